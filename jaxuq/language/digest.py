"""What a language model is: a digest of its numbers, its shape and its tokenizer, not of its name."""

import concurrent.futures
import json
import re
from typing import Any

import jax
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._fingerprint import fingerprint
from jaxuq.language.model import LanguageModel
from jaxuq.networks import Decoder
from jaxuq.parallel import on_host
from jaxuq.study import digest


@typed()
def model_digest(model: LanguageModel) -> str:
    """SHA-256 of all that answers follow from: parameters, adapters, decoder, tokenizer with its chat template, stops.

    Weights that change under the same name are another model; the same weights in another folder are the same. Layers
    that are stacked and layers that are not are told apart, for their sums are not rounded alike. Every number is read
    once, a tensor at a time on the host: some seconds for a billion of them.

    Args:
        model: loaded.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import Decoder, DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> params = decoder.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        >>> model = LanguageModel(decoder, params, tokenizer=None, name="tiny")
        >>> moved = model._replace(params=jax.tree.map(lambda leaf: leaf + 1, params))
        >>> [model_digest(one) == model_digest(model) for one in (model._replace(name="other"), moved)]
        [True, False]
    """
    decoder = model.decoder
    if isinstance(decoder, Decoder):
        adapters = None if model.lora is None else decoder.lora
        shape = repr((decoder.config, str(jax.numpy.dtype(decoder.dtype)), decoder.scan, adapters))
    else:  # a structure may hold settings, as that of an equinox module does
        structure = re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree.structure((model.params, model.lora))))
        shape = f"{fingerprint(decoder)} {structure}"
    return digest(_tree(model.params), _tree(model.lora), shape, _tokenizer(model.tokenizer), list(model.stops))


def _tree(tree: PyTree) -> list[tuple[str, str]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    here = all(getattr(leaf, "is_fully_addressable", True) for _, leaf in leaves)
    with concurrent.futures.ThreadPoolExecutor(4 if here else 1) as pool:  # processes gather them in one order
        found = list(pool.map(lambda leaf: digest(on_host(leaf)), [leaf for _, leaf in leaves]))
    return [(jax.tree_util.keystr(path), one) for (path, _), one in zip(leaves, found)]


def _tokenizer(tokenizer: Any) -> dict[str, Any] | None:
    """Vocabulary and rules, and what is put around a conversation."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = sorted(tokenizer.get_vocab().items())
    else:
        rules = json.loads(backend.to_str())
        for name in ("padding", "truncation"):  # of the last call
            rules.pop(name, None)
    special = {name: str(value) for name, value in getattr(tokenizer, "special_tokens_map", {}).items()}
    return {"rules": rules, "template": repr(getattr(tokenizer, "chat_template", None)), "special": special}
