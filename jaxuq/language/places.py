"""Where each tensor of a checkpoint goes in a decoder, by the names that its family's files have for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxuq.checkpoints.places import Place
from jaxuq.language.families import FAMILIES, TENSOR_NAMES, Family
from jaxuq.networks import DecoderConfig
from jaxuq.networks.linear import LINEAR_LAYERS

_KERNELS = ("gate", "up", "down")


def tensor_places(config: DecoderConfig, family: Family | str = "llama") -> dict[str, tuple[Place, ...]]:
    """Every tensor of a checkpoint by its Hugging Face name, in the order of the file's usual layout.

    One that holds several of ours (a fused projection) has several places, one under another; several that make up one
    of ours (experts of a layer, layers of a stack) have places of one path.

    Args:
        config: the decoder's shape.
        family: whose files they are.

    Returns:
        Names, and places in `params` of a stacked decoder; `lm_head.weight` only if the embedding is not tied.

    Example:
        >>> from jaxuq.language import decoder_config
        >>> config = decoder_config({"model_type": "phi3", "num_hidden_layers": 2, "pad_token_id": 0})
        >>> [place.path[1] for place in tensor_places(config, "phi3")["model.layers.1.mlp.gate_up_proj.weight"]]
        ['gate', 'up']
    """
    family = FAMILIES[family] if isinstance(family, str) else family
    return dict(_places(config, family))


def stored_shape(places: Sequence[Place]) -> tuple[int, ...]:
    """The shape of the stored tensor that these places share.

    Args:
        places: of one tensor.

    Returns:
        Its shape.
    """
    return (sum(place.shape[0] for place in places), *places[0].shape[1:])


def linear_names(family: Family | str = "llama") -> dict[str, str]:
    """Our names of a block's linear layers that can have adapters, and what a family's files call them.

    Args:
        family: whose files they are.

    Returns:
        For instance `{"query": "self_attn.q_proj", ...}`; layers that its files fuse share a name.

    Example:
        >>> linear_names()["up"], linear_names("phi3")["up"]
        ('mlp.up_proj', 'mlp.gate_up_proj')
    """
    family = FAMILIES[family] if isinstance(family, str) else family
    fused = {ours: theirs for theirs, parts in family.fused.items() for ours in parts}
    names = {**TENSOR_NAMES, **family.names, **fused}
    return {name: names[name] for name in LINEAR_LAYERS}


def _linear_shapes(config: DecoderConfig) -> dict[str, tuple[int, int, bool]]:
    """Inputs, outputs, and whether there is a bias."""
    hidden, inner = config.hidden_size, config.intermediate_size
    heads, kv_heads = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    shapes = {
        "query": (hidden, heads, config.attention_bias),
        "key": (hidden, kv_heads, config.attention_bias),
        "value": (hidden, kv_heads, config.attention_bias),
        "output": (heads, hidden, config.output_bias),
    }
    prefix, width = ("", inner) if config.experts is None else ("shared_", config.experts.shared_size)
    if width:
        shapes |= {
            f"{prefix}gate": (hidden, width, config.mlp_bias),
            f"{prefix}up": (hidden, width, config.mlp_bias),
            f"{prefix}down": (width, hidden, config.mlp_bias),
        }
    return shapes


def _norm_names(config: DecoderConfig) -> dict[str, tuple[str, int]]:
    """Our names of a block's norms; Hugging Face's, and widths."""
    names = {"attention_norm": ("input_layernorm", config.hidden_size)}
    if config.post_norms:
        names["post_attention_norm"] = ("post_attention_layernorm", config.hidden_size)
        names["mlp_norm"] = ("pre_feedforward_layernorm", config.hidden_size)
        names["post_mlp_norm"] = ("post_feedforward_layernorm", config.hidden_size)
    else:
        names["mlp_norm"] = ("post_attention_layernorm", config.hidden_size)
    if config.query_key_norm:
        heads, kv_heads = (config.num_heads, config.num_kv_heads) if config.whole_query_key_norm else (1, 1)
        names["query_norm"] = ("self_attn.q_norm", config.head_dim * heads)
        names["key_norm"] = ("self_attn.k_norm", config.head_dim * kv_heads)
    return names


def _places(config: DecoderConfig, family: Family) -> Iterator[tuple[str, tuple[Place, ...]]]:
    table = (config.vocab_size, config.hidden_size)
    yield "model.embed_tokens.weight", (Place(("embedding",), table),)
    for layer in range(config.num_layers):
        for name, places in _block(config, family, {"index": (layer,), "stack": (config.num_layers,)}):
            yield f"model.layers.{layer}.{name}", places
    yield "model.norm.weight", (Place(("final_norm", "scale"), (config.hidden_size,)),)
    if not config.tied:
        yield "lm_head.weight", (Place(("unembedding",), table, True),)


def _block(config: DecoderConfig, family: Family, at: dict[str, Any]) -> Iterator[tuple[str, tuple[Place, ...]]]:
    names, shapes = {**TENSOR_NAMES, **family.names}, _linear_shapes(config)
    groups: dict[str, tuple[str, ...]] = {names[name]: (name,) for name in shapes}
    for theirs, parts in family.fused.items():
        if all(name in shapes for name in parts):
            groups = {theirs: parts, **{one: ours for one, ours in groups.items() if ours[0] not in parts}}
    for theirs, parts in groups.items():
        starts = _starts([shapes[name][1] for name in parts])
        yield (
            f"{theirs}.weight",
            tuple(
                Place(("layers", name, "kernel"), shapes[name][1::-1], True, start=start, **at)
                for name, start in zip(parts, starts)
            ),
        )
        if shapes[parts[0]][2]:
            yield (
                f"{theirs}.bias",
                tuple(
                    Place(("layers", name, "bias"), shapes[name][1:2], start=start, **at)
                    for name, start in zip(parts, starts)
                ),
            )
    if config.experts is not None:
        yield from _expert_places(config, names, at)
    for name, (theirs, width) in _norm_names(config).items():
        yield f"{theirs}.weight", (Place(("layers", name, "scale"), (width,), **at),)


def _starts(rows: list[int]) -> list[int | None]:
    """Where each part begins in a fused tensor; None for a tensor of one part."""
    return [None] if len(rows) == 1 else [sum(rows[:number]) for number in range(len(rows))]


def _expert_places(
    config: DecoderConfig, names: Mapping[str, str], at: dict[str, Any]
) -> Iterator[tuple[str, tuple[Place, ...]]]:
    experts, hidden, inner = config.experts, config.hidden_size, config.intermediate_size
    assert experts is not None
    yield f"{names['router']}.weight", (Place(("layers", "experts", "router"), (experts.count, hidden), True, **at),)
    if experts.shared_size:
        yield f"{names['shared_router']}.weight", (Place(("layers", "shared_router"), (1, hidden), True, **at),)
    (layer,), (layers,) = at["index"], at["stack"]
    for expert in range(experts.count):
        own: dict[str, Any] = {"index": (layer, expert), "stack": (layers, experts.count)}
        for name in _KERNELS:
            shape = (hidden, inner) if name == "down" else (inner, hidden)
            theirs = names[f"experts/{name}"].format(expert=expert)
            yield f"{theirs}.weight", (Place(("layers", "experts", name, "kernel"), shape, True, **own),)
