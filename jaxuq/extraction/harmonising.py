r"""How likely a span that a model named is wrong, without a gold label: Pareto optimal self-supervision (POLAR).

A harmoniser $h$, a small classifier of words by their vectors, is taught by several sources at once: labelling
functions and the replies of the model itself. What it takes for true where sources contradict each other follows from
which of them its vectors can explain; the risk of a label is the probability that it does not get. Sources that copy
one another count as many and are one.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, widened
from jaxuq._errors import OptionError
from jaxuq._shapes import checked

Scalariser = Literal["linear", "square", "norm", "max"]


class Harmoniser(NamedTuple):
    """A linear classifier of standardised vectors.

    Attributes:
        weight: `[width, label]`.
        bias: `[label]`.
        mean: `[width]` of the vectors that it was taught with.
        spread: `[width]` their standard deviation; 1 where it is nothing.
    """

    weight: Float[Array, "width label"]
    bias: Float[Array, " label"]
    mean: Float[Array, " width"]
    spread: Float[Array, " width"]


@checked
@widened
def pareto_loss(
    losses: Float[Array, "*batch source"],
    kind: Scalariser = "square",
    *,
    weights: Float[Array, " source"] | None = None,
    where: Bool[Array, "*batch source"] | None = None,
) -> Float[Array, "*batch"]:
    r"""One loss of many sources' losses $\ell_j$, whose minimum is Pareto optimal among them.

    | kind | |
    |---|---|
    | `"linear"` | $\sum_j w_j \ell_j$ |
    | `"square"` | $(\sum_j w_j \ell_j)^2$ |
    | `"norm"` | $\lVert (w_j \ell_j)_j \rVert_2$ |
    | `"max"` | $\max_j w_j \ell_j$ |

    All but the first let examples weigh more the more the sources contradict what is believed. The square is that of
    the sum, no sum of squares.

    Args:
        losses: non-negative, such as $-\log h(x)_{\lambda_j}$ for the label $\lambda_j$ that source j gives.
        kind: how they become one.
        weights: $w_j$; None: one over the number of sources.
        where: False where a source abstains.

    Returns:
        One number each; 0 where all abstain.

    Raises:
        OptionError: another kind.

    Example:
        >>> import jax.numpy as jnp
        >>> said = -jnp.log(jnp.array([0.7, 0.7, 0.2]))  # two sources say the first label, one the second
        >>> [f"{pareto_loss(said, kind):.4f}" for kind in ("linear", "square", "norm", "max")]
        ['0.7743', '0.5995', '0.5622', '0.5365']

    References:
        Zhao, Wei, Preston, Poon. Pareto optimal learning for estimating large language model errors. ACL 2024.
    """
    if kind not in get_args(Scalariser):
        raise OptionError(f"kind is {kind!r}; expected one of {', '.join(get_args(Scalariser))}")
    share = jnp.full(losses.shape[-1:], 1.0 / losses.shape[-1], losses.dtype) if weights is None else weights
    weighed = jnp.where(counted(where, losses), losses, 0.0) * jnp.broadcast_to(share, losses.shape)
    if kind == "max":
        return jnp.max(weighed, axis=-1)
    if kind == "norm":
        square = jnp.sum(weighed**2, axis=-1)
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    total = jnp.sum(weighed, axis=-1)
    return total if kind == "linear" else total**2


@checked
@widened
def fit_harmoniser(
    vectors: Float[Array, "item width"],
    votes: Int[Array, "item source"],
    examples: Int[Array, " item"],
    num_labels: int,
    *,
    num_examples: int,
    kind: Scalariser = "square",
    weights: Float[Array, " source"] | None = None,
    num_steps: int = 300,
    learning_rate: float = 0.02,
    weight_decay: float = 1e-4,
) -> Harmoniser:
    r"""Teach a harmoniser by all sources at once, without any gold label.

    $$\min_h \frac1N \sum_i G(\ell_{i1}, \dots, \ell_{im}), \qquad
      \ell_{ij} = -\frac{1}{|T_{ij}|} \sum_{t \in T_{ij}} \log h(x_t)_{\lambda_j(t)}$$

    with $G$ of `pareto_loss`; an example is a text, an item one of its words, and $T_{ij}$ the words at which source j
    does not abstain. Where every example is one item this is POLAR as published, for classes. Adam on all items at
    once, for a fixed number of steps: none is chosen by gold labels, as the published code does.

    Args:
        vectors: of the items.
        votes: label indices; -1 where a source abstains.
        examples: which example an item belongs to.
        num_labels: number of labels.
        num_examples: number of examples.
        kind: see `pareto_loss`.
        weights: see `pareto_loss`.
        num_steps: of Adam.
        learning_rate: of Adam.
        weight_decay: L2, added to the gradient of the weights.

    Returns:
        `Harmoniser`. Holds `[item, label]` numbers beside the vectors.

    Raises:
        OptionError: another kind, or a number out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> vectors, votes = jnp.eye(2)[jnp.array([0, 1, 0, 1])], jnp.array([[0, 0], [1, -1], [0, -1], [1, 1]])
        >>> taught = fit_harmoniser(vectors, votes, jnp.arange(4), 2, num_examples=4)
        >>> harmonised(taught, vectors).argmax(-1).tolist()
        [0, 1, 0, 1]

    References:
        Zhao, Wei, Preston, Poon. Pareto optimal learning for estimating large language model errors. ACL 2024.
    """
    for name, value in (("num_labels", num_labels), ("num_examples", num_examples), ("num_steps", num_steps)):
        if value < 1:
            raise OptionError(f"{name} is {value}; expected at least 1")
    mean, spread = vectors.mean(0), vectors.std(0)
    spread = jnp.where(spread > 1e-6, spread, 1.0)
    scaled = (vectors - mean[None]) / spread[None]
    said = (votes >= 0) & (votes < num_labels)
    counts = jax.ops.segment_sum(said.astype(vectors.dtype), examples, num_examples)
    start = {"weight": jnp.zeros((vectors.shape[1], num_labels), vectors.dtype), "bias": jnp.zeros(num_labels)}
    start["bias"] = start["bias"].astype(vectors.dtype)
    optimiser = optax.adam(learning_rate)

    def objective(chosen: dict[str, Array]) -> Array:
        log_probs = jax.nn.log_softmax(scaled @ chosen["weight"] + chosen["bias"][None])
        losses = -jnp.take_along_axis(log_probs, jnp.where(said, votes, 0), axis=1)
        losses = jax.ops.segment_sum(jnp.where(said, losses, 0.0), examples, num_examples) / jnp.maximum(counts, 1.0)
        values = pareto_loss(losses, kind, weights=weights, where=counts > 0)
        return values.mean() + 0.5 * weight_decay * jnp.sum(chosen["weight"] ** 2)

    def step(carry, _):
        chosen, state = carry
        with jax.numpy_dtype_promotion("standard"):  # Optax's own code relies on it
            updates, state = optimiser.update(jax.grad(objective)(chosen), state)
            return (optax.apply_updates(chosen, updates), state), None

    last: Any = jax.lax.scan(step, (start, optimiser.init(start)), None, length=num_steps)[0][0]
    return Harmoniser(last["weight"], last["bias"], mean, spread)


@checked
@widened
def harmonised(harmoniser: Harmoniser, vectors: Float[Array, "item width"]) -> Float[Array, "item label"]:
    """What a harmoniser believes of items.

    Args:
        harmoniser: of `fit_harmoniser`.
        vectors: of the items.

    Returns:
        Probabilities of the labels.

    Example:
        >>> import jax.numpy as jnp
        >>> nothing = Harmoniser(jnp.zeros((3, 2)), jnp.zeros(2), jnp.zeros(3), jnp.ones(3))
        >>> harmonised(nothing, jnp.ones((1, 3))).tolist()
        [[0.5, 0.5]]
    """
    scaled = (vectors - harmoniser.mean[None]) / harmoniser.spread[None]
    return jax.nn.softmax(scaled @ harmoniser.weight + harmoniser.bias[None])


@checked
@widened
def span_risk(
    probabilities: Float[Array, "*batch token label"],
    labels: Int[Array, "*batch token"],
    *,
    where: Bool[Array, "*batch token"] | None = None,
) -> Float[Array, "*batch"]:
    r"""How likely a span is wrong: $\zeta = 1 - \prod_t h(x_t)_{z_t}$, over its words.

    It ranks spans by what other sources make of them. A probability it is only after calibration on labelled spans: the
    harmoniser's own errors are not in it, and words are taken as independent.

    Args:
        probabilities: of the labels at the span's words.
        labels: those that the span gives them, such as `B-PER, I-PER`.
        where: False in padding.

    Returns:
        In [0, 1]; 0 for a span without words, NaN for one with a label that is none.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{span_risk(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 0])):.2f}")  # 1 - 0.9 x 0.8
        0.28

    References:
        Zhao, Wei, Preston, Poon. Pareto optimal learning for estimating large language model errors. ACL 2024.
    """
    kept = counted(where, labels)
    classes = (labels >= 0) & (labels < probabilities.shape[-1])
    own = jnp.take_along_axis(probabilities, jnp.where(kept & classes, labels, 0)[..., None], axis=-1)[..., 0]
    own = jnp.where(classes, own, jnp.nan)
    return 1.0 - jnp.prod(jnp.where(kept, own, 1.0), axis=-1)
