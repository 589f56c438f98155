"""The curvature of a decoder's adapters: Kronecker factors of each, from one forward and a few backward passes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import counted, widest
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.networks import Decoder, stack_layers, unstack_layers
from jaxuq.networks.linear import Linear
from jaxuq.posterior import KroneckerFactors, kronecker_factors
from jaxuq.tuning.answers import answer_loss, option_logits, placed_prompts
from jaxuq.tuning.prompts import AnswerPrompts


@typed()
@checked
def adapter_factors(
    decoder: Decoder,
    params: PyTree,
    lora: PyTree,
    prompts: AnswerPrompts,
    labels: Int[Array, " batch"],
    *,
    where: Bool[Array, " batch"] | None = None,
) -> tuple[PyTree, Float[Array, ""]]:
    r"""Kronecker factors of the Gauss-Newton matrix of every adapter, summed over a batch of questions.

    For a factor $W$ with $h_t = W^\top x_t$ at token t, $A = \sum_t x_t x_t^\top$ and
    $B = \sum_{n, c, t} g_{nct}\, g_{nct}^\top$, where
    $g_{nct} = \partial/\partial h_t\, \sqrt{p_{nc}}\,(e_c - p_n)^\top f_n$ and $f_n$ are the `answer_logits`: the
    exact Fisher information over the answers to choose from, with the
    gradients of each token kept apart. One backward pass for each answer; no Jacobian is formed. All tokens of the
    prompt count, padding does not.

    Args:
        decoder: with plain LoRA adapters.
        params: of the base model.
        lora: the trained adapters.
        prompts: questions with their answers.
        labels: the right answers, for the likelihood alone.
        where: questions that count.

    Returns:
        `(factors, log_likelihood)` for a state of `jaxuq.posterior.laplace`; layers are stacked
        (`stacked_adapters`). Beside the factors it holds the activations and one gradient at the adapters.

    Raises:
        ValueError: DoRA, whose magnitudes are not linear in the weights, or no adapters.

    References:
        A. X. Yang, M. Robeyns, X. Wang, L. Aitchison, "Bayesian Low-Rank Adaptation for Large Language Models", ICLR
        2024, Eq. 8 and 9.
    """
    if decoder.lora is None or decoder.lora.dora:
        raise OptionError(f"the decoder's adapters are {decoder.lora}; expected plain LoRA")
    depth, scale = decoder.config.num_layers, decoder.lora.scale
    if not decoder.scan:
        params, lora = stack_layers(params, depth), stack_layers(lora, depth)
    stacked = decoder.clone(scan=True, remat=False)
    kept = counted(where, (prompts.tokens.shape[0],))
    tokens, positions = placed_prompts(prompts)

    def listen(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        """In place of an adapter: the same, with taps on what comes out of each factor and a note of what goes in."""
        module = context.module
        if not isinstance(module, Linear) or context.method_name != "_adapted":
            return following(*args, **kwargs)
        x, y = args[0], args[1]
        factors = {name: module.get_variable("lora", name) for name in ("a", "b", "tap_a", "tap_b")}
        narrow = x @ factors["a"] + factors["tap_a"]
        module.put_variable("lora", "into_a", x)
        module.put_variable("lora", "into_b", narrow)
        return y + (narrow @ factors["b"] + factors["tap_b"]) * scale

    def run(taps: PyTree) -> tuple[Array, PyTree]:
        """Logits, and what goes into each factor."""
        tapped = {
            name: adapter | {f"tap_{part}": tap for part, tap in taps[name].items()}
            for name, adapter in lora["layers"].items()
        }
        variables = {"params": params, "lora": {"layers": tapped}}
        with nn.intercept_methods(listen):
            output, seen = stacked.apply(variables, tokens, positions, mutable=["lora"])
        inputs = {
            name: {part: adapter[f"into_{part}"] for part in ("a", "b")}
            for name, adapter in seen["lora"]["layers"].items()
        }
        return option_logits(stacked, variables, output.hidden, prompts), inputs

    taps = jax.tree.map(lambda leaf: jnp.zeros((depth, *tokens.shape, leaf.shape[2]), leaf.dtype), lora["layers"])
    logits, pull, inputs = jax.vjp(run, taps, has_aux=True)
    probabilities = jnp.where(kept[:, None], jax.nn.softmax(logits), 0.0)
    taken = ((positions >= 0) & kept[:, None]).reshape(-1)

    def factors_of(x: Array, gradients: Array) -> KroneckerFactors:
        return jax.vmap(lambda x, g: kronecker_factors(_rows(x), _rows(g), where=taken))(x, gradients)

    def of_option(number: Array) -> PyTree:
        own = jax.nn.one_hot(number, logits.shape[1], dtype=logits.dtype)
        root = jnp.take(probabilities, number, axis=1)[:, None]
        (gradients,) = pull(jnp.sqrt(root) * (own[None] - probabilities))
        return jax.tree.map(lambda x, g: factors_of(x, g).outputs, inputs, gradients)

    def add(total: PyTree, number: Array) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, of_option(number)), None

    zeros = jax.tree.map(lambda leaf: jnp.zeros((depth, leaf.shape[2], leaf.shape[2]), widest(leaf)), lora["layers"])
    outputs, _ = jax.lax.scan(add, zeros, jnp.arange(logits.shape[1]))
    factors = jax.tree.map(lambda x, b: factors_of(x, x)._replace(outputs=b), inputs, outputs)
    losses = answer_loss(logits, jnp.where(kept, labels, 0))
    return {"layers": factors}, -jnp.sum(jnp.where(kept, losses, 0.0))


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


@typed()
def stacked_adapters(decoder: Decoder, lora: PyTree) -> PyTree:
    """Adapters with their layers stacked, as `adapter_factors` arranges their curvature.

    Args:
        decoder: says whether its layers are stacked already.
        lora: adapters as the decoder takes them.

    Returns:
        `{"layers": {"query": {"a": [layers, ...], ...}, ...}}`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=2, num_heads=1, num_kv_heads=1, head_dim=4), scan=False)
        >>> layers = {f"layers_{i}": {"query": {"a": jnp.ones((4, 1))}} for i in range(2)}
        >>> stacked_adapters(decoder, layers)["layers"]["query"]["a"].shape
        (2, 4, 1)
    """
    return lora if decoder.scan else stack_layers(lora, decoder.config.num_layers)


@typed()
def decoder_adapters(decoder: Decoder, stacked: PyTree) -> PyTree:
    """The inverse of `stacked_adapters`.

    Args:
        decoder: says whether its layers are stacked.
        stacked: adapters with stacked layers.

    Returns:
        Adapters as the decoder takes them.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=2, num_heads=1, num_kv_heads=1, head_dim=4), scan=False)
        >>> sorted(decoder_adapters(decoder, {"layers": {"query": {"a": jnp.ones((2, 4, 1))}}}))
        ['layers_0', 'layers_1']
    """
    return stacked if decoder.scan else unstack_layers(stacked, decoder.config.num_layers)
