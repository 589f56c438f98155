"""What to label next: how much the answer to each question would teach, from samples of the adapters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, widened
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.posterior import summarise

_LEAST = 1e-30


@checked
@widened
def margin(probabilities: Float[Array, "*batch options"]) -> Float[Array, "*batch"]:
    r"""$p_{(1)} - p_{(2)}$, the lead of the likeliest answer; label the smallest.

    Args:
        probabilities: of the answers, two or more.

    Returns:
        A number in [0, 1].

    Raises:
        OptionError: one answer alone.

    Example:
        >>> import jax.numpy as jnp
        >>> margin(jnp.array([0.6, 0.3, 0.1])).round(3)
        Array(0.3, dtype=float32)

    References:
        T. Scheffer, C. Decomain, S. Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001.
    """
    if probabilities.shape[-1] < 2:
        raise OptionError(f"{probabilities.shape[-1]} option(s); expected two at least, of which one may lead")
    best, _ = jax.lax.top_k(probabilities, 2)
    return best[..., 0] - best[..., 1]


def bald(log_probs: Float[Array, "samples *batch options"]) -> Float[Array, "*batch"]:
    r"""$H\big(\tfrac1K \sum_k p_k\big) - \tfrac1K \sum_k H(p_k)$: what an answer would say about the adapters, nats.

    The epistemic part of a forecast; label the largest.

    Args:
        log_probs: of the answers under each sample; any logits will do.

    Returns:
        Mutual information, >= 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{bald(jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8]]))):.4f}")
        0.2754

    References:
        N. Houlsby, F. Huszár, Z. Ghahramani, M. Lengyel, "Bayesian Active Learning for Classification and Preference
        Learning", 2011, Eq. 2.
    """
    return summarise(log_probs, "categorical").epistemic


@checked
@widened
def batch_bald(
    log_probs: Float[Array, "samples questions options"],
    batch_size: int,
    *,
    where: Bool[Array, " questions"] | None = None,
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    r"""Questions that together say most about the adapters, chosen one after another.

    $$I(y_1, \dots, y_b; \theta) = H\Big(\tfrac1K \sum_k \prod_i p_k(y_i)\Big) - \sum_i \tfrac1K \sum_k H(p_k(y_i))$$

    exactly: the joint distribution has `options ** batch_size` entries, so keep batches small (4 options: 8). Samples
    must be the same for all questions; with fresh dropout masks for each question it means nothing.

    Args:
        log_probs: of the answers under each sample, normalised.
        batch_size: how many questions.
        where: questions that can be chosen.

    Returns:
        Their numbers in the order of choice, and the joint information after each, nats; -1 and NaN once all that can
        be chosen are. What has no information (NaN) is never chosen. Holds
        `samples * options ** (batch_size - 1)` numbers, and `questions * options ** batch_size` for the last choice.

    Raises:
        ValueError: a batch that is empty, larger than the pool, or whose joint distribution has over 2^22 entries.

    Example:
        >>> import jax.numpy as jnp
        >>> first, second = (
        ...     jnp.array([[0.9, 0.1], [0.6, 0.4], [0.85, 0.15]]),
        ...     jnp.array([[0.2, 0.8], [0.5, 0.5], [0.25, 0.75]]),
        ... )
        >>> chosen, information = batch_bald(jnp.log(jnp.stack([first, second])), 2)
        >>> chosen.tolist(), [f"{value:.4f}" for value in information]
        ([0, 2], ['0.2754', '0.3785'])

    References:
        A. Kirsch, J. van Amersfoort, Y. Gal, "BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian
        Active Learning", NeurIPS 2019, Eq. 8 to 12.
    """
    samples, questions, options = log_probs.shape
    if not 1 <= batch_size <= questions or options**batch_size > 2**22:
        raise OptionError(
            f"batch_size is {batch_size} for {questions} questions with {options} options; expected 1 to {questions}, "
            "and at most 2^22 joint answers"
        )
    probabilities = jnp.exp(log_probs)
    own = jax.scipy.special.entr(probabilities).sum(-1).mean(0)
    free = counted(where, (questions,)) & ~jnp.isnan(own)
    probabilities = jnp.where(free[None, :, None], probabilities, 1.0 / options)
    joint = jnp.ones((samples, 1), probabilities.dtype)
    spent = jnp.zeros((), probabilities.dtype)
    chosen, information = [], []
    for _ in range(batch_size):

        def with_question(one: Array, joint: Array = joint) -> Array:
            both = jnp.einsum("sj,so->jo", joint, one) / samples
            return jax.scipy.special.entr(jnp.maximum(both, _LEAST)).sum()

        entropies = jax.lax.map(with_question, jnp.swapaxes(probabilities, 0, 1))
        gains = jnp.where(free, entropies - own - spent, -jnp.inf)
        best = jnp.argmax(gains)
        left = jnp.any(free)
        chosen.append(jnp.where(left, best, -1))
        information.append(jnp.where(left, gains[best], jnp.nan))
        free = free.at[best].set(False)
        spent = spent + own[best]
        joint = jnp.einsum("sj,so->sjo", joint, jnp.take(probabilities, best, axis=1)).reshape(samples, -1)
    return jnp.stack(chosen), jnp.stack(information)


@typed()
@checked
@widened
def base_tuned_gap(
    tuned: Float[Array, " questions"],
    base: Float[Array, " questions"],
    weight: Float[Array, ""] | float,
    *,
    where: Bool[Array, " questions"] | None = None,
) -> Float[Array, " questions"]:
    r"""$\lambda\, \tilde U_\text{tuned} + (1 - \lambda)\, \tilde U_\text{base}$, both scaled to [0, 1] over the pool.

    Uncertainty of the model as tuned so far counts for more from round to round, $\lambda_t = 0.1\,(t + 1)$; label the
    largest.

    Args:
        tuned: uncertainty of each question under the tuned model.
        base: under the base model.
        weight: $\lambda$ in [0, 1].
        where: questions that count.

    Returns:
        Scores in [0, 1]; 0 where masked, NaN where one of both is. A pool of equal numbers counts as 0.

    Example:
        >>> import jax.numpy as jnp
        >>> gap = base_tuned_gap(jnp.array([3.0, 4, 5, 8]), jnp.array([2.0, 5, 9, 4]), 0.3)
        >>> [f"{value:.2f}" for value in gap]
        ['0.00', '0.36', '0.82', '0.50']

    References:
        L. Zhang, J. Wu, D. Zhou, G. Xu, "STAR: Constraint LoRA with Dynamic Active Learning for Data-Efficient
        Fine-Tuning of Large Language Models", ACL findings 2024 (the released code scales one of the two only).
    """
    kept = counted(where, tuned)
    known = kept & ~jnp.isnan(tuned) & ~jnp.isnan(base)

    def scaled(values: Array) -> Array:
        low = jnp.min(jnp.where(known, values, jnp.inf), initial=jnp.inf)
        span = jnp.max(jnp.where(known, values, -jnp.inf), initial=-jnp.inf) - low
        values = jnp.where(kept, values, low)
        return (values - low) / jnp.where(span > 0, span, 1.0)

    share = jnp.asarray(weight, tuned.dtype)
    return jnp.where(kept, share * scaled(tuned) + (1 - share) * scaled(base), 0.0)
