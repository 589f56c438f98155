"""A language model: decoder, parameters, tokenizer; loaded from a name, a folder or a GGUF file, and saved."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.checkpoints import StoredTensor, read_json, stored_tensors
from jaxuq.checkpoints.errors import refused
from jaxuq.checkpoints.settings import Settings
from jaxuq.language.architectures import decoder_config
from jaxuq.language.catalogue import fetch_model
from jaxuq.language.config_json import config_json
from jaxuq.language.errors import CheckpointError
from jaxuq.language.gguf import GGUFFile, gguf_tensors, read_gguf
from jaxuq.language.gguf_config import gguf_config
from jaxuq.language.gguf_tokenizer import gguf_stops, gguf_tokenizer
from jaxuq.language.safetensors import write_weights
from jaxuq.language.tokenization import check_tokenizer, stop_tokens
from jaxuq.language.weights import check_tensors, load_weights, settle_tie
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig, Model, as_model, capability
from jaxuq.networks.model import check_decoder
from jaxuq.networks.sharding import place_params
from jaxuq.parallel import meet_processes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class LanguageModel(NamedTuple):
    """A decoder, or a `Model` of one's own, with its parameters and tokenizer.

    Attributes:
        decoder: the module, or the functions; what loads, saves, adapts and tunes needs the module.
        params: its parameters.
        tokenizer: as transformers has it.
        name: where it came from.
        lora: adapters; None: the base model.
        stops: tokens that end an answer, besides those of `stop_tokens`.
    """

    decoder: Any
    params: PyTree
    tokenizer: "PreTrainedTokenizerBase"
    name: str
    lora: PyTree | None = None
    stops: tuple[int, ...] = ()

    @property
    def variables(self) -> PyTree:
        """What the functions take as parameters."""
        params = {"params": self.params} if isinstance(self.decoder, Decoder) else self.params
        return params if self.lora is None else capability(self.decoder, "join")(params, self.lora)

    @property
    def functions(self) -> Model:
        """What generates, scores and attends."""
        return as_model(self.decoder)

    @property
    def mesh(self) -> jax.sharding.Mesh | None:
        """The devices that the parameters are spread over; None: one device."""
        for leaf in jax.tree.leaves(self.params):
            mesh = getattr(getattr(leaf, "sharding", None), "mesh", None)
            if isinstance(mesh, jax.sharding.Mesh) and mesh.size > 1:
                return mesh
        return None

    def on_mesh(self, mesh: jax.sharding.Mesh | None) -> "LanguageModel":
        """The model with its parameters spread over a mesh by `PARTITION_RULES`; what lies there already stays.

        Whatever is then done with the model is divided over the devices: rows of batches over `data` and `fsdp`, heads
        and vocabulary over `tensor`.
        """
        if mesh is not None:
            meet_processes(mesh)
        return self._replace(params=place_params(self.params, mesh), lora=place_params(self.lora, mesh))


class CheckpointInfo(NamedTuple):
    """What a checkpoint holds, read from its headers.

    Attributes:
        path: the file or folder.
        architecture: Hugging Face's name of the family.
        config: the decoder's shape.
        parameters: how many numbers.
        stored: how many tensors there are of each storage type.
        bytes: of the files with weights.
        chat_template: whether the tokenizer has one; None: not known without loading it.
    """

    path: Path
    architecture: str
    config: DecoderConfig
    parameters: int
    stored: dict[str, int]
    bytes: int
    chat_template: bool | None


class _Checkpoint(NamedTuple):
    """A checkpoint that has been opened but not read."""

    path: Path
    content: Mapping[str, Any]
    config: DecoderConfig
    tensors: dict[str, StoredTensor]
    gguf: GGUFFile | None

    @property
    def family(self) -> str:
        """Hugging Face's name of it."""
        return str(self.content["model_type"])


def _open(path: Path) -> _Checkpoint:
    file = None
    if path.is_dir():
        content = read_json(path / "config.json")
        source, tensors = path / "config.json", stored_tensors(path)
    elif path.suffix == ".gguf":
        file = read_gguf(path)
        content = gguf_config(file)
        source = path
        tensors = gguf_tensors(
            file,
            architecture=file.metadata["general.architecture"],
            heads=content["num_attention_heads"],
            kv_heads=content["num_key_value_heads"],
        )
    else:
        raise CheckpointError(
            f"{path} is neither a folder with config.json and safetensors nor a .gguf file; other files are not read"
        )
    layers = content.get("num_hidden_layers")
    if isinstance(layers, int) and layers > len(tensors):  # or listing their tensors could take forever
        raise CheckpointError(f"{source}: {layers} layers are announced, but {path} has {len(tensors)} tensors")
    config = decoder_config(content, source=str(source))
    return _Checkpoint(path, content, *settle_tie(config, tensors, source), file)


def _tokenizer(checkpoint: _Checkpoint) -> "PreTrainedTokenizerBase":
    if checkpoint.gguf is not None:
        return gguf_tokenizer(checkpoint.gguf)
    path = checkpoint.path
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise CheckpointError(f"{path} holds no tokenizer (tokenizer.json or tokenizer.model)")
    from transformers import AutoTokenizer

    with refused(f"the tokenizer in {path} cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    longest = tokenizer.model_max_length  # 10**30 where the files say nothing
    if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 1:
        raise CheckpointError(f"{path}: model_max_length is {longest!r}, expected a number of tokens")
    return tokenizer


def _stops(checkpoint: _Checkpoint) -> tuple[int, ...]:
    """The ends of an answer that the files name: of the generation's settings, or else of the model's."""
    if checkpoint.gguf is not None:
        return gguf_stops(checkpoint.gguf)
    file, content = checkpoint.path / "generation_config.json", checkpoint.content
    if file.is_file():
        content = read_json(file)
    else:
        file = checkpoint.path / "config.json"
    stops = Settings(content, file).get("eos_token_id", [])
    stops = stops if isinstance(stops, list) else [stops]
    listed = Settings({str(number): stop for number, stop in enumerate(stops)}, f"{file}: eos_token_id")
    return tuple(listed.count(str(number), minimum=0) for number in range(len(stops)))


def _locate(name_or_path: str | os.PathLike) -> Path:
    path = Path(name_or_path).expanduser()
    return path if path.exists() else fetch_model(str(name_or_path))


@typed()
def load_model(
    name_or_path: str | os.PathLike,
    *,
    dtype: Any = jnp.float32,
    scan: bool | None = None,
    mesh: jax.sharding.Mesh | None = None,
    lora: LoraConfig | None = None,
) -> LanguageModel:
    """Load a language model.

    Weights are read tensor by tensor from the memory-mapped files, cast, and placed on the devices; beside the
    parameters, one parameter at a time is on the host.

    Args:
        name_or_path: a folder with `config.json`, safetensors and tokenizer as Hugging Face lays them out; a `.gguf`
            file; a name of `model_names()`; or `organisation/model` on the Hugging Face hub. Names are downloaded once.
        dtype: of parameters and activations.
        scan: whether layers are stacked; None: unrolled on CPU, where that decodes faster, stacked elsewhere.
        mesh: devices to spread the parameters over, see `PARTITION_RULES`; None: the default device.
        lora: configuration of the adapters that the decoder will have; none are made here.

    Returns:
        The model.

    Raises:
        CheckpointError: names the file and what is wrong with it: missing or unexpected tensors (all of them), a wrong
            shape, numbers that are not finite, a damaged file, an architecture that is not supported.
    """
    try:
        floating = jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except TypeError:
        floating = False
    if not floating:
        raise OptionError(f"dtype is {dtype!r}; expected a type of floating numbers such as jax.numpy.bfloat16")
    path = _locate(name_or_path)
    checkpoint = _open(path)
    scan = jax.default_backend() != "cpu" if scan is None else scan
    check_tensors(checkpoint.config, checkpoint.tensors, path, family=checkpoint.family)
    tokenizer, stops = _tokenizer(checkpoint), _stops(checkpoint)
    highest = max([len(tokenizer) - 1, *stops, *stop_tokens(tokenizer)])
    if highest >= checkpoint.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer of {path} gives tokens up to {highest}, but the model has {checkpoint.config.vocab_size}"
        )
    params = load_weights(
        checkpoint.config, checkpoint.tensors, path, family=checkpoint.family, dtype=dtype, scan=scan, mesh=mesh
    )
    decoder = Decoder(checkpoint.config, dtype=dtype, scan=scan, lora=lora)
    return LanguageModel(decoder, params, tokenizer, str(name_or_path), stops=stops)


@typed()
def save_model(path: str | os.PathLike, model: LanguageModel) -> None:
    """Save a model as a folder that `load_model` and transformers read: configuration, safetensors, tokenizer.

    The numbers are written as they are, so that loading gives the same bits. Adapters are not included: merge them
    first, or save them on their own. The folder appears when it is complete.

    Args:
        path: a folder that does not exist yet.
        model: what to save.

    Raises:
        CheckpointError: the folder exists, or no supported family describes this decoder.
    """
    path = Path(path).expanduser()
    if path.exists():
        raise CheckpointError(f"{path} exists already; name a new folder")
    check_decoder(model.decoder, "saving a model", "save its parameters with its own library")
    check_tokenizer(model.tokenizer)
    dtype = str(jnp.dtype(model.decoder.dtype))
    content = config_json(model.decoder.config) | {"dtype": dtype}
    stops = list(stop_tokens(model))
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}, indent=2) + "\n")
        model.tokenizer.save_pretrained(folder)
        write_weights(folder, model.decoder.config, model.params)
        folder.chmod(0o755)
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@typed()
def inspect_model(name_or_path: str | os.PathLike) -> CheckpointInfo:
    """What a checkpoint holds, without reading its weights.

    Args:
        name_or_path: as for `load_model`.

    Returns:
        Shape, sizes and storage types.

    Raises:
        CheckpointError: as `load_model`, but for what only reading all weights shows.
    """
    path = _locate(name_or_path)
    checkpoint = _open(path)
    check_tensors(checkpoint.config, checkpoint.tensors, path, family=checkpoint.family)
    stored: dict[str, int] = {}
    parameters = 0
    for tensor in checkpoint.tensors.values():
        stored[tensor.kind] = stored.get(tensor.kind, 0) + 1
        count = 1
        for length in tensor.shape:
            count *= length
        parameters += count
    if checkpoint.gguf is None:
        settings = path / "tokenizer_config.json"
        template = (path / "chat_template.jinja").is_file() or (
            settings.is_file() and "chat_template" in read_json(settings)
        )
    else:
        template = "tokenizer.chat_template" in checkpoint.gguf.metadata
    files = {tensor.file for tensor in checkpoint.tensors.values()}
    return CheckpointInfo(
        path,
        checkpoint.family,
        checkpoint.config,
        parameters,
        stored,
        sum(file.stat().st_size for file in files),
        template,
    )
