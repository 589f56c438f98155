"""The shapes of language models without their numbers: what a program is compiled from."""

import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq.networks import Decoder, DecoderConfig, Experts, LoraConfig
from jaxuq.networks.sharding import leaf_sharding

_LLAMA: dict[str, Any] = {"vocab_size": 128_256, "num_kv_heads": 8, "max_positions": 131_072}
_QWEN: dict[str, Any] = {"vocab_size": 152_064, "max_positions": 32_768, "attention_bias": True, "head_dim": 128}

MODEL_SHAPES: dict[str, DecoderConfig] = {
    "llama3-1b": DecoderConfig(hidden_size=2048, intermediate_size=8192, num_layers=16, num_heads=32, head_dim=64,
                               tied=True, **_LLAMA),
    "llama3-8b": DecoderConfig(hidden_size=4096, intermediate_size=14_336, num_layers=32, num_heads=32, head_dim=128,
                               **_LLAMA),
    "llama3-70b": DecoderConfig(hidden_size=8192, intermediate_size=28_672, num_layers=80, num_heads=64, head_dim=128,
                                **_LLAMA),
    "qwen2.5-7b": DecoderConfig(hidden_size=3584, intermediate_size=18_944, num_layers=28, num_heads=28, num_kv_heads=4,
                                **_QWEN),
    "qwen2.5-32b": DecoderConfig(hidden_size=5120, intermediate_size=27_648, num_layers=64, num_heads=40,
                                 num_kv_heads=8, **_QWEN),
    "mixtral-8x7b": DecoderConfig(32_000, 4096, 14_336, 32, 32, 8, 128, max_positions=32_768, experts=Experts(8, 2)),
}  # fmt: skip
"""Public models by name; a folder with `config.json`, a `.gguf` file or a name of `jaxuq models list` will do too."""


@typed()
def model_shape(name: str | os.PathLike) -> DecoderConfig:
    """The shape of a model, from the table or from a checkpoint's headers.

    Args:
        name: of `MODEL_SHAPES`; or what `jaxuq.language.inspect_model` reads, of which no weight is.

    Returns:
        The configuration.

    Raises:
        CheckpointError: it is neither, or the checkpoint is damaged.
        OptionError: a folder without weights holds no readable `config.json`.

    Example:
        >>> model_shape("llama3-8b").num_layers
        32
    """
    if str(name) in MODEL_SHAPES:
        return MODEL_SHAPES[str(name)]
    from jaxuq.checkpoints import read_json
    from jaxuq.language import CheckpointError, decoder_config, inspect_model
    from jaxuq.language.catalogue import MODELS, find_model

    path = pathlib.Path(name).expanduser()
    if (path / "config.json").is_file():
        return decoder_config(read_json(path / "config.json"), source=str(path / "config.json"))
    known = ", ".join(MODEL_SHAPES)
    if not path.exists() and (str(name) not in MODELS or find_model(str(name)) is None):
        hint = f"fetch it first: jaxuq models fetch {name}" if str(name) in MODELS else f"known shapes are {known}"
        raise CheckpointError(f"there is no model {name!r} at hand; {hint}; or name a folder with config.json")
    return inspect_model(name).config


@typed()
def shapes_on(tree: PyTree, mesh: Mesh) -> PyTree:
    """Shapes of arrays as they lie on a mesh by `PARTITION_RULES`.

    Args:
        tree: shapes of parameters, adapters or an optimiser's state, from `jax.eval_shape`.
        mesh: the devices.

    Returns:
        `jax.ShapeDtypeStruct`s with shardings.

    Example:
        >>> mesh = Mesh(jax.devices()[:1], ("data",))
        >>> shapes_on({"embedding": jax.ShapeDtypeStruct((8, 4), jnp.float32)}, mesh)["embedding"].shape
        (8, 4)
    """

    def one(path: tuple, leaf: Any) -> jax.ShapeDtypeStruct:
        names = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path]
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf_sharding(names, leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(one, tree)


@typed()
def rows_on(mesh: Mesh, shape: tuple[int, ...], dtype: Any = jnp.int32, *, axis: int = 0) -> jax.ShapeDtypeStruct:
    """The shape of an array of rows, such as tokens, divided over a mesh as far as the rows allow.

    Args:
        mesh: the devices.
        shape: of the array.
        dtype: of its numbers.
        axis: of the rows.

    Returns:
        The shape with its sharding.

    Example:
        >>> rows_on(Mesh(jax.devices()[:1], ("data",)), (4, 16)).shape
        (4, 16)
    """
    axes, rows = [], shape[axis]
    for name in ("data", "fsdp"):
        if name in mesh.shape and rows % mesh.shape[name] == 0:
            axes, rows = [*axes, name], rows // mesh.shape[name]
    spec = PartitionSpec(*(None,) * axis, tuple(axes) or None)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))


@typed()
def abstract_decoder(
    config: DecoderConfig, mesh: Mesh, *, dtype: Any = jnp.float16, lora: LoraConfig | None = None, remat: bool = False
) -> tuple[Decoder, PyTree, PyTree | None]:
    """A decoder with the shapes of its parameters and adapters on a mesh; no number of them exists.

    Args:
        config: the model's shape.
        mesh: the devices.
        dtype: of parameters and activations. For bfloat16 give float16, which has as many bytes and which a CPU
            multiplies without a float32 copy of the whole array.
        lora: adapters; None: none.
        remat: see `Decoder`.

    Returns:
        Decoder, parameters, adapters.

    Example:
        >>> mesh = Mesh(jax.devices()[:1], ("data",))
        >>> decoder, params, _ = abstract_decoder(MODEL_SHAPES["llama3-8b"], mesh)
        >>> sum(leaf.size for leaf in jax.tree.leaves(params))
        8030261248
    """
    decoder = Decoder(config, dtype=dtype, scan=True, lora=lora, remat=remat)
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    variables: Any = jax.eval_shape(decoder.init, jax.random.key(0), tokens)
    adapters = None if lora is None else shapes_on(variables["lora"], mesh)
    return decoder, shapes_on(variables["params"], mesh), adapters
