"""What a training says about its examples: which are easy, which keep changing, and which have a wrong label."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer

from jaxuq._arrays import as_float, is_class, length, select, take_class, undefined_unless, widened, within_classes
from jaxuq._entropies import log_softmax
from jaxuq._options import check_count
from jaxuq._shapes import checked


class DynamicsState(NamedTuple):
    """Running statistics of each example; seven numbers an example, whatever the number of epochs.

    Attributes:
        seen: how often it was observed.
        confidence: mean probability of its label.
        squares: sum of squared differences from that mean.
        margin: mean of its label's logit minus the greatest other one.
        right: how often its label was the most probable class.
        was_right: whether it was when last observed.
        forgotten: how often it was right and then, when next observed, wrong.
    """

    seen: Int[Array, " n"]
    confidence: Float[Array, " n"]
    squares: Float[Array, " n"]
    margin: Float[Array, " n"]
    right: Int[Array, " n"]
    was_right: Bool[Array, " n"]
    forgotten: Int[Array, " n"]


class ExampleDynamics(NamedTuple):
    """The statistics of a training.

    Attributes:
        confidence: mean probability of the label over the observations.
        variability: their standard deviation (of the population).
        correctness: share of observations at which the label was the most probable class.
        forgotten: right, then wrong: how often; infinite for an example that was never right.
        margin: area under the margin: mean logit of the label minus the greatest other one.
    """

    confidence: Float[Array, " n"]
    variability: Float[Array, " n"]
    correctness: Float[Array, " n"]
    forgotten: Float[Array, " n"]
    margin: Float[Array, " n"]


def init_dynamics(num_examples: int) -> DynamicsState:
    """The state before anything was observed.

    Args:
        num_examples: of the training set.

    Returns:
        Zeros.

    Raises:
        OptionError: fewer than 0.

    Example:
        >>> int(init_dynamics(3).seen.sum())
        0
    """
    check_count("num_examples", num_examples, 0)
    count, number = jnp.zeros(num_examples, jnp.int32), jnp.zeros(num_examples)
    return DynamicsState(count, number, number, number, count, jnp.zeros(num_examples, bool), count)


@checked
def update_dynamics(
    state: DynamicsState,
    rows: Int[Array, " batch"],
    logits: Float[Array, "batch classes"],
    labels: Integer[Array, " batch"],
    *,
    where: Bool[Array, " batch"] | None = None,
) -> DynamicsState:
    r"""Observe examples once more: at the end of each epoch, without dropout, all of them.

    Means and squares are updated by Welford's rule, so nothing of the epochs is stored. The state is a pytree of
    arrays: it rides in a `jax.lax.scan` over epochs, beside the optimiser's.

    Args:
        state: from `init_dynamics` or the last update.
        rows: which examples these are, none twice; a number that is no row is left out.
        logits: of the examples.
        labels: given classes.
        where: True for the examples that count; None counts all.

    Returns:
        The new state.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> state = init_dynamics(1)
        >>> for p in (0.2, 0.5, 0.8, 0.9):
        ...     logits = jnp.log(jnp.array([[p, 1 - p]]))
        ...     state = update_dynamics(state, jnp.array([0]), logits, jnp.array([0]))
        >>> found = example_dynamics(state)
        >>> print(f"{found.confidence[0]:.4f} {found.variability[0]:.4f}")
        0.6000 0.2739

    References:
        S. Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics", EMNLP
        2020, section 2 (confidence, variability, correctness).
        M. Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning", ICLR 2019.
        G. Pleiss, T. Zhang, E. Elenberg, K. Q. Weinberger, "Identifying Mislabeled Data using the Area Under the Margin
        Ranking", NeurIPS 2020, Eq. 2.
    """
    n, classes = state.seen.shape[0], logits.shape[-1]
    known = within_classes(labels, classes) & (rows >= 0)
    known = known if where is None else known & where
    places = jnp.where(known, rows, n)
    logits = select(as_float(logits, state.confidence, logits), known)
    mine = is_class(labels, classes)
    own = jnp.sum(jnp.where(mine, logits, 0), axis=-1)
    best_other = jnp.max(jnp.where(mine, -jnp.inf, logits), axis=-1, initial=-jnp.inf)
    probability = jnp.exp(jnp.sum(jnp.where(mine, log_softmax(logits), 0), axis=-1))
    is_right = own > best_other

    def last(values: Array) -> Array:
        return values.at[places].get(mode="fill", fill_value=0)

    def put(values: Array, new: Array) -> Array:
        values = as_float(values, logits) if jnp.issubdtype(values.dtype, jnp.floating) else values
        return values.at[places].set(new.astype(values.dtype), mode="drop")

    seen = last(state.seen) + 1
    share = 1 / seen.astype(logits.dtype)
    before, margin = as_float(last(state.confidence), logits), as_float(last(state.margin), logits)
    mean = before + (probability - before) * share
    squares = as_float(last(state.squares), logits) + (probability - before) * (probability - mean)
    lapsed = last(state.was_right) & ~is_right
    return DynamicsState(
        put(state.seen, seen),
        put(state.confidence, mean),
        put(state.squares, squares),
        put(state.margin, margin + (own - best_other - margin) * share),
        put(state.right, last(state.right) + is_right.astype(jnp.int32)),
        put(state.was_right, is_right),
        put(state.forgotten, last(state.forgotten) + lapsed.astype(jnp.int32)),
    )


@checked
def example_dynamics(state: DynamicsState) -> ExampleDynamics:
    """What was seen of each example.

    Low confidence at low variability marks examples that are hard or have a wrong label: look at them, do not drop them
    unseen. High variability marks those that training profits from most.

    Args:
        state: after some updates.

    Returns:
        The statistics; NaN for examples that were never observed.

    Example:
        >>> import jax.numpy as jnp
        >>> state = init_dynamics(1)
        >>> for logits in ([2.0, 1.0], [1.5, 2.0], [3.0, 1.0]):
        ...     state = update_dynamics(state, jnp.array([0]), jnp.array([logits]), jnp.array([0]))
        >>> print(example_dynamics(state).margin.round(4), example_dynamics(state).forgotten)
        [0.8333] [1.]
    """
    count = jnp.maximum(state.seen, 1).astype(as_float(state.confidence).dtype)
    observed = state.seen > 0
    confidence, squares, margin = (as_float(x) for x in (state.confidence, state.squares, state.margin))
    varied = squares > 0
    variability = jnp.where(varied, jnp.sqrt(jnp.where(varied, squares, 1) / count), 0)
    correctness = state.right.astype(count.dtype) / count
    forgotten = jnp.where(state.right > 0, state.forgotten.astype(count.dtype), jnp.inf)
    found = confidence, variability, correctness, forgotten, margin
    return ExampleDynamics(*(undefined_unless(observed, one) for one in found))


@checked
@widened
def error_norm(logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""EL2N, the length of the error of the probabilities: $\lVert p - e_y \rVert_2$.

    Early in training (epochs 10 to 20 of 200), averaged over a few initialisations, it ranks examples by how much they
    matter: the smallest can be left out first; the very largest are often mislabelled.

    Args:
        logits: of the classes.
        labels: given classes.

    Returns:
        In [0, sqrt(2)]; NaN for a label that is no class.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(error_norm(jnp.log(jnp.array([0.2, 0.5, 0.3])), jnp.array(1)).round(6))
        0.616441

    References:
        M. Paul, S. Ganguli, G. K. Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples Early in
        Training", NeurIPS 2021, Definition 2.3.
    """
    probabilities = jnp.exp(log_softmax(logits))
    own = take_class(probabilities, labels)
    # |p|^2 - 2 p_y + 1, in terms that are all >= 0
    rest = jnp.sum(jnp.square(probabilities), axis=-1) - jnp.square(own)
    square = jnp.maximum(rest, 0) + jnp.square(1 - own)
    positive = square > 0
    return jnp.where(positive | jnp.isnan(square), jnp.sqrt(jnp.where(square == 0, 1, square)), 0)


@checked
@widened
def gradient_variability(
    gradients: Float[Array, "checkpoints n *inputs"],
) -> Float[Array, " n"]:
    r"""Variance of gradients (VoG): how much the gradient of the label's logit in the input changed during training.

    $$\mathrm{VoG} = \frac1D \sum_d \sqrt{\frac1T \sum_t (g_{td} - \bar g_d)^2}$$

    The mean over coordinates of the standard deviation over checkpoints. Compare within a class (subtract its mean,
    divide by its deviation): classes differ in scale.

    Args:
        gradients: $\partial z_y / \partial x$ of each example at three checkpoints or more; of tokens, in embeddings.

    Returns:
        A number >= 0 for each example.

    Raises:
        ArrayError: fewer than two axes.

    Example:
        >>> import jax.numpy as jnp
        >>> gradients = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])[:, None]
        >>> print(gradient_variability(gradients).round(6))
        [0.408248]

    References:
        C. Agarwal, D. D'souza, S. Hooker, "Estimating Example Difficulty using Variance of Gradients", CVPR 2022, Eq. 1
        to 3.
    """
    centred = gradients - jnp.mean(gradients, axis=0, keepdims=True)
    deviation = length(jnp.moveaxis(centred, 0, -1)) / jnp.sqrt(jnp.asarray(gradients.shape[0], gradients.dtype))
    return jnp.mean(deviation, axis=tuple(range(1, deviation.ndim)))
