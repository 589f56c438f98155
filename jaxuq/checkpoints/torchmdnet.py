"""The denoising-pretrained checkpoint of TorchMD-NET's equivariant transformer, `denoised-pcqm4mv2.ckpt`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.places import Place, fill_places, linear, norm
from jaxuq.checkpoints.torch_files import TorchFile
from jaxuq.networks.geometry import basis_constants
from jaxuq.networks.torchmdnet_layers import TorchMDNetConfig

# Statistics of the pre-training's noise and labels, and the radial functions, which are fixed (and compared).
TORCHMDNET_UNUSED = ("pos_normalizer.", "mean", "std", "representation_model.distance_expansion.")
_REQUIRED = {
    "rbf_type": "expnorm",
    "activation": "silu",
    "attn_activation": "silu",
    "neighbor_embedding": True,
    "distance_influence": "both",
    "cutoff_lower": 0.0,
}
_SIZES = {
    "embedding_dimension": "width",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "num_rbf": "num_basis",
    "cutoff_upper": "cutoff",
    "max_z": "max_number",
    "max_num_neighbors": "max_neighbors",
}
_LAYER = {"q_proj": ("query", 1), "k_proj": ("key", 1), "v_proj": ("value", 3), "o_proj": ("output", 3)}


def torchmdnet_places(config: TorchMDNetConfig) -> dict[str, Place]:
    """The table of the transformer's tensors, without the prefix `model.`.

    Args:
        config: the shape.

    Returns:
        Places by tensor name.

    Example:
        >>> torchmdnet_places(TorchMDNetConfig())["representation_model.out_norm_vec.weight"].path
        ('vector_scale',)
    """
    width, basis, elements = config.width, config.num_basis, (config.max_number, config.width)
    base = "representation_model"
    near = f"{base}.neighbor_embedding"
    places = {
        f"{base}.embedding.weight": Place(("embedding", "elements", "embedding"), elements),
        f"{near}.embedding.weight": Place(("embedding", "neighbor_elements", "embedding"), elements),
    }
    places |= linear(f"{near}.distance_proj", ("embedding", "filter"), basis, width)
    places |= linear(f"{near}.combine", ("embedding", "combine"), 2 * width, width)
    for number in range(config.num_layers):
        stacked: dict[str, Any] = {"index": (number,), "stack": (config.num_layers,)}
        name = f"{base}.attention_layers.{number}"
        places |= norm(f"{name}.layernorm", ("layers", "norm"), width, **stacked)
        for theirs, (ours, times) in _LAYER.items():
            places |= linear(f"{name}.{theirs}", ("layers", ours), width, times * width, **stacked)
        places |= linear(f"{name}.vec_proj", ("layers", "vectors"), width, 3 * width, bias=False, **stacked)
        places |= linear(f"{name}.dk_proj", ("layers", "key_filter"), basis, width, **stacked)
        places |= linear(f"{name}.dv_proj", ("layers", "value_filter"), basis, 3 * width, **stacked)
    places |= norm(f"{base}.out_norm", ("final_norm",), width)
    if config.vector_norm != "none":
        places[f"{base}.out_norm_vec.weight"] = Place(("vector_scale",), (width,))
    for theirs, ours in (("output_model", "energy_head"), ("output_model_noise", "noise_head")):
        for number, (inputs, outputs) in enumerate(((width, width // 2), (width // 2, 1))):
            name, path = f"{theirs}.output_network.{number}", (f"{ours}_{number}",)
            places |= linear(f"{name}.vec1_proj", (*path, "lengths"), inputs, inputs, bias=False)
            places |= linear(f"{name}.vec2_proj", (*path, "vectors"), inputs, outputs, bias=False)
            places |= linear(f"{name}.update_net.0", (*path, "hidden"), 2 * inputs, inputs)
            places |= linear(f"{name}.update_net.2", (*path, "output"), inputs, 2 * outputs)
    return places


def torchmdnet_config(settings: Mapping[str, Any], source: Path) -> TorchMDNetConfig:
    """The shape from the checkpoint's `hyper_parameters`; its vector norm becomes the correct form of the whitening.

    Args:
        settings: as stored.
        source: named in messages.

    Returns:
        The shape.

    Raises:
        CheckpointError: a setting is missing, or of a variant that is not supported.

    Example:
        >>> torchmdnet_config({}, Path("x.ckpt"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: the hyper_parameters of x.ckpt lack embedding_dimension, ...
    """
    missing = [name for name in (*_SIZES, *_REQUIRED) if name not in settings]
    if missing:
        raise CheckpointError(f"the hyper_parameters of {source} lack {', '.join(missing)}")
    for name, value in _REQUIRED.items():
        if settings[name] != value:
            raise CheckpointError(f"{source} has {name} {settings[name]!r}; supported is {value!r}")
    whitening = settings.get("layernorm_on_vec")
    if whitening not in (None, "whitened"):
        raise CheckpointError(f"{source} has layernorm_on_vec {whitening!r}; supported are 'whitened' and None")
    sizes = {ours: settings[theirs] for theirs, ours in _SIZES.items()}
    try:
        return TorchMDNetConfig(**sizes, vector_norm="isotropic" if whitening else "none")
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the hyper_parameters of {source} do not fit together: {error}") from error


def read_torchmdnet(file: TorchFile) -> tuple[TorchMDNetConfig, PyTree]:
    """Shape and parameters of a checkpoint of the equivariant transformer.

    Args:
        file: the checkpoint.

    Returns:
        The shape, and parameters of everything but the benchmark's own layers.

    Raises:
        CheckpointError: as `torchmdnet_config` and `fill_places`, radial functions that were trained, or a
            normalisation of vectors of which the settings do not tell.
    """
    settings = file.settings("hyper_parameters")
    config = torchmdnet_config(settings, file.path)
    stored = {name.removeprefix("model."): tensor for name, tensor in file.tensors("state_dict").items()}
    scale = "representation_model.out_norm_vec.weight"
    if "layernorm_on_vec" not in settings and scale in stored:
        raise CheckpointError(
            f"the hyper_parameters of {file.path} lack layernorm_on_vec, which says how vectors are normalised, and "
            f"its tensor {scale} tells that they are"
        )
    means, width = basis_constants(config.num_basis, config.cutoff)
    for name, expected in (("means", np.asarray(means)), ("betas", np.full(config.num_basis, width, np.float32))):
        tensor = stored.get(f"representation_model.distance_expansion.{name}")
        if tensor is not None and not np.allclose(tensor.read(), expected, rtol=1e-4, atol=1e-5):
            raise CheckpointError(f"{tensor.name} in {file.path} differs from the fixed radial functions: trained ones")
    return config, fill_places(torchmdnet_places(config), stored, TORCHMDNET_UNUSED, file.path)
