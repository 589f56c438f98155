"""Gradients as Adam would apply them: preconditioned by the moments that training left in a checkpoint."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import widened, widest
from jaxuq._entries import Entries, function_of
from jaxuq._errors import OptionError


class AdapterCheckpoint(NamedTuple):
    """Adapters after an epoch, with the state of Adam.

    Attributes:
        lora: the adapters.
        first_moment: Adam's mean of gradients, without bias correction; None: not known.
        second_moment: that of their squares; None: not known.
        count: steps that the moments have seen.
        learning_rate: the mean over the epoch's steps.
        beta1: decay of the first moment.
        beta2: decay of the second.
        epsilon: Adam's.
    """

    lora: PyTree
    first_moment: PyTree | None
    second_moment: PyTree | None
    count: Int[Array, ""] | int
    learning_rate: Float[Array, ""] | float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@typed()
@widened
def precondition(
    gradients: PyTree[Float[Array, "examples ..."]],
    checkpoint: AdapterCheckpoint,
    *,
    convention: "str | Convention" = "elrea",
) -> PyTree[Float[Array, "examples ..."]]:
    r"""The step that Adam would take on each example alone.

    $$\Gamma = \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
      \hat m = \frac{\beta_1 m + (1 - \beta_1) g}{1 - \beta_1^t}, \qquad
      \hat v = \frac{\beta_2 v + (1 - \beta_2) g^2}{1 - \beta_2^t}$$

    with the moments $m, v$ of the checkpoint and $t$ one step after it. $\eta$ is the mean learning rate of the epoch:
    the last step's own is next to zero where the rate decays. `"less"` is what the published code of LESS computes: no
    bias correction, $\epsilon$ within the root, and no $\eta$, which it puts into `influence`.

    Args:
        gradients: from `example_gradients`.
        checkpoint: whose moments have the shapes of one example's gradients.
        convention: `"elrea"` or `"less"`, or a `Convention` of yours.

    Returns:
        The same tree of the same shapes.

    Raises:
        ValueError: unknown convention; the checkpoint has no optimiser state, or one of other shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> state = AdapterCheckpoint(None, jnp.array([0.1]), jnp.array([0.01]), count=9, learning_rate=1.0)
        >>> print(f"{precondition(jnp.array([[0.2]]), state)[0, 0]:.4f}")
        0.1683

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.5.
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, Eq 4.
    """
    step = function_of(CONVENTIONS, convention)
    if checkpoint.first_moment is None or checkpoint.second_moment is None:
        raise OptionError(
            "this checkpoint has no optimiser state, which Eq 5.5 needs: keep one an epoch with finetune(..., "
            "checkpoint=folder) and read it with load_adapter_checkpoints(folder), or ask for preconditioned=False"
        )
    shapes = jax.tree.map(lambda leaf: leaf.shape[1:], gradients)
    for moments in (checkpoint.first_moment, checkpoint.second_moment):
        if jax.tree.map(jnp.shape, moments) != shapes:
            others = jax.tree.map(jnp.shape, moments)
            raise OptionError(f"an example's gradients have the shapes {shapes}, the optimiser's moments {others}")
    wide = widest(*jax.tree.leaves(gradients))
    beta1, beta2 = (jnp.asarray(beta, wide) for beta in (checkpoint.beta1, checkpoint.beta2))

    def one(gradient: Array, first: Array, second: Array) -> Array:
        first = beta1 * jnp.broadcast_to(first, gradient.shape) + (1 - beta1) * gradient
        second = beta2 * jnp.broadcast_to(second, gradient.shape) + (1 - beta2) * gradient**2
        return step(first, second, checkpoint)

    return jax.tree.map(one, gradients, checkpoint.first_moment, checkpoint.second_moment)


def _with_bias_correction(first: Array, second: Array, checkpoint: AdapterCheckpoint) -> Array:
    steps = jnp.asarray(checkpoint.count, first.dtype) + 1
    beta1, beta2, epsilon, rate = (
        jnp.asarray(x, first.dtype)
        for x in (checkpoint.beta1, checkpoint.beta2, checkpoint.epsilon, checkpoint.learning_rate)
    )
    return rate * (first / (1 - beta1**steps)) / (jnp.sqrt(second / (1 - beta2**steps)) + epsilon)


def _as_published(first: Array, second: Array, checkpoint: AdapterCheckpoint) -> Array:
    return first / jnp.sqrt(second + jnp.asarray(checkpoint.epsilon, first.dtype))


Convention = Callable[[Array, Array, AdapterCheckpoint], Array]
"""`convention(first, second, checkpoint)`: the step from both moments, to which the example has been added."""

CONVENTIONS: Entries[Convention] = Entries(
    "convention of preconditioning", "jaxuq.preconditionings", {"elrea": _with_bias_correction, "less": _as_published}
)
"""Conventions by name; put yours in, or declare an entry point of the group `jaxuq.preconditionings`."""
