r"""The distribution over possible answers, from one pass over the prompt, for any sample of the adapters."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, class_numbers, undefined_unless, within_classes
from jaxuq._shapes import checked
from jaxuq.losses import categorical_cross_entropy
from jaxuq.networks import Decoder, Model, as_model, capability
from jaxuq.tuning.prompts import AnswerPrompts

_ABSENT = -1e9  # the logit of an option that is not there: its probability is exactly zero


@typed()
def answer_logits(
    model: Model | Decoder, params: PyTree, prompts: AnswerPrompts, *, rng_key: Key[Array, ""] | None = None
) -> Float[Array, "batch options"]:
    r"""Logits of the answers that a prompt may go on with: $z_c = x_{T, v_c}$ for the first token $v_c$ of answer $c$.

    Their softmax is the model's distribution over the answers, given that it is one of them. This is multiple choice by
    letter, and the setting in which adapters' posteriors are compared: the head trimmed to the answers' tokens.

    Args:
        model: or a decoder.
        params: of the model; for a decoder parameters, and adapters.
        prompts: and the tokens of the answers.
        rng_key: for the adapters' dropout; None: none.

    Returns:
        Logits; -1e9 for answers that are not there. Logits of the whole vocabulary exist for one token of each prompt.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> prompts = AnswerPrompts(jnp.array([[1, 2, 3]]), jnp.array([2]), jnp.array([[4, 5]]), jnp.ones((1, 2), bool))
        >>> answer_logits(decoder, decoder.init(jax.random.key(0), prompts.tokens), prompts).shape
        (1, 2)

    References:
        A. X. Yang, M. Robeyns, X. Wang, L. Aitchison, "Bayesian Low-Rank Adaptation for Large Language Models", ICLR
        2024, section 5 (answers as tokens of the last position).
    """
    tokens, positions = placed_prompts(prompts)
    given = {} if rng_key is None else {"rng_key": rng_key}
    for name in given:
        capability(model, name)
    hidden, _, _ = as_model(model).hidden_of(params, tokens, positions, **given)
    return option_logits(model, params, hidden, prompts)


@typed()
def placed_prompts(prompts: AnswerPrompts) -> tuple[Int[Array, "batch time"], Int[Array, "batch time"]]:
    """Tokens and positions as a decoder takes them: -1 where there is padding.

    Args:
        prompts: the questions.

    Returns:
        Tokens, zero where there is padding, and positions.

    Example:
        >>> import jax.numpy as jnp
        >>> prompts = AnswerPrompts(jnp.array([[3, 4]]), jnp.array([1]), jnp.array([[5]]), jnp.ones((1, 1), bool))
        >>> placed_prompts(prompts)[1].tolist()
        [[0, -1]]
    """
    tokens, lengths = jnp.asarray(prompts.tokens), jnp.asarray(prompts.lengths)
    slots = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    positions = jnp.where(slots < lengths[:, None].astype(jnp.int32), slots, -1)
    return jnp.where(positions >= 0, tokens, 0), positions


@typed()
def option_logits(
    model: Model | Decoder, params: PyTree, hidden: Float[Array, "batch time hidden"], prompts: AnswerPrompts
) -> Float[Array, "batch options"]:
    """Logits of the answers from last hidden states, see `answer_logits`.

    Args:
        model: or a decoder.
        params: of the model.
        hidden: last hidden states of the prompts.
        prompts: and the tokens of the answers.

    Returns:
        Logits in at least single precision; -1e9 for answers that are not there, NaN for a token
        that the model has not.

    Raises:
        ArrayError: the shapes differ.
    """
    logits = as_float(
        as_model(model).token_logits(params, _last_of(hidden, jnp.asarray(prompts.lengths)), axes=2)[:, 0]
    )
    options, where = jnp.asarray(prompts.options), jnp.asarray(prompts.where)
    chosen = jnp.take_along_axis(logits, class_numbers(options, logits.shape[-1]), axis=1)
    return jnp.where(where, undefined_unless(within_classes(options, logits.shape[-1]), chosen), _ABSENT)


@checked
def _last_of(
    hidden: Float[Array, "batch time hidden"], lengths: Int[Array, " batch"]
) -> Float[Array, "batch 1 hidden"]:
    return jnp.take_along_axis(hidden, jnp.maximum(lengths - 1, 0)[:, None, None], axis=1)


@typed()
def bind_answers(model: Model | Decoder, params: PyTree) -> Callable[..., Float[Array, "batch options"]]:
    """`apply_fn(lora, prompts, *, rng_key=None)` of the posterior room: base parameters are shared by all samples.

    With `jaxuq.posterior.predict_forecast(apply_fn, samples, prompts, "categorical")` many samples of the adapters run
    side by side; every product with a base kernel is one product of all of them.

    Args:
        model: that trains a part of its parameters, such as a decoder with a `lora` configuration.
        params: of the base model, shared; for a decoder without the collection's name around them.

    Returns:
        The function.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.language import init_adapters
        >>> from jaxuq.networks import DecoderConfig, LoraConfig
        >>> from jaxuq.posterior import predict_forecast
        >>> config = DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4)
        >>> decoder = Decoder(config, lora=LoraConfig(rank=2))
        >>> params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        >>> samples = jax.vmap(init_adapters, (0, None, None))(jax.random.split(jax.random.key(1), 3), decoder, params)
        >>> prompts = AnswerPrompts(jnp.array([[1, 2, 3]]), jnp.array([3]), jnp.array([[4, 5]]), jnp.ones((1, 2), bool))
        >>> forecast = predict_forecast(bind_answers(decoder, params), samples, prompts, "categorical")
        >>> forecast.epistemic.shape
        (1,)
    """

    def apply(lora: PyTree, prompts: AnswerPrompts, *, rng_key: Key[Array, ""] | None = None) -> Array:
        return answer_logits(model, join(base, lora), prompts, rng_key=rng_key)

    base, join = {"params": params} if isinstance(model, Decoder) else params, capability(model, "join")
    return apply


@checked
def answer_loss(logits: Float[Array, "batch options"], labels: Int[Array, " batch"]) -> Float[Array, " batch"]:
    r"""$-\log p_y$ of the right answers among the options.

    Args:
        logits: from `answer_logits`.
        labels: the right options.

    Returns:
        Losses in nats, in at least single precision; NaN for a label that is no option.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{answer_loss(jnp.zeros((1, 2)), jnp.array([1]))[0]:.4f}")
        0.6931
    """
    return categorical_cross_entropy(logits, labels)
