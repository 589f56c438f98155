"""Spectral normalisation: kernels whose largest singular value stays below a bound while they are trained."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, root, widened
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked


class SpectralState(NamedTuple):
    """What is known of each kernel's largest singular value from the steps before.

    Attributes:
        directions: a unit vector of the outputs for each kernel; `()` for other leaves.
    """

    directions: PyTree


def _unit(vector: Array) -> Array:
    """Of length one, whatever the size; zeros stay."""
    largest = jnp.max(jnp.abs(vector), initial=0)
    vector = vector / jnp.where(largest > 0, largest, jnp.ones_like(largest))
    length = root(jnp.sum(jnp.square(vector)))
    return vector / jnp.where(length > 0, length, jnp.ones_like(length))


@checked
@widened
def largest_singular_value(
    kernel: Float[Array, "inputs outputs"], direction: Float[Array, " outputs"], *, steps: int = 1
) -> tuple[Float[Array, ""], Float[Array, " outputs"]]:
    r"""The largest singular value of a matrix by power iteration, from where the last one ended.

    $u \propto W v$, $v \propto W^\top u$, $\hat\sigma = u^\top W v$. Each step costs two products with a vector; an
    estimate is never above the true value, and one step at a time suffices where kernels move little between them.

    Args:
        kernel: $W$.
        direction: $v$, of any length but zero; random at first, then what the last call gave.
        steps: of the iteration.

    Returns:
        $\hat\sigma \ge 0$, differentiable in the kernel ($u v^\top$), and the new $v$.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `steps` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> sigma, _ = largest_singular_value(jnp.array([[1.0, 0.5], [-0.5, 2.0]]), jnp.ones(2), steps=20)
        >>> print(f"{sigma:.6f}")
        2.081139

    References:
        T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR
        2018, Algorithm 1.
    """
    still = jax.lax.stop_gradient(kernel)
    largest = jnp.max(jnp.abs(still), initial=0)
    still = still / jnp.where(largest > 0, largest, jnp.ones_like(largest))
    left, right = jnp.zeros_like(still[:, 0]), _unit(jax.lax.stop_gradient(direction))
    for _ in range(check_count("steps", steps)):
        left = _unit(still @ right)
        ahead = _unit(still.T @ left)
        right = jnp.where(jnp.any(ahead != 0), ahead, right)  # of zeros, what was there is as good as any
    return left @ kernel @ right, right


@typed()
def spectral_bound(
    rng_key: Key[Array, ""], bound: float = 0.95, *, steps: int = 1
) -> optax.GradientTransformationExtraArgs:
    r"""An optax transformation after which no kernel has a singular value above a bound: $W \leftarrow W \min(1, c /
    \hat\sigma)$.

    Put it last in `optax.chain`: it sees where the updates lead and shortens what comes out too long. So features keep
    distances: what is far from the data is far in feature space too, which distance-aware heads (`cosine_features`,
    `feature_density`) need. With residual connections a bound below 1 keeps layers invertible; batch norm needs a
    larger one (6). It bounds one matrix at a time, no whole network without residual connections.

    In half precision the sum of a kernel and its update is rounded; it is measured, and shortened, once more.

    Leaves with at least two axes are kernels, all axes but the last their inputs; biases and scales pass. Leave others
    out with `optax.masked`, the output layer above all.

    Args:
        rng_key: of the directions in which the power iteration starts.
        bound: c > 0.
        steps: of the power iteration at each update.

    Returns:
        A transformation with a `SpectralState`.

    Raises:
        OptionError: a number is out of range; by `update`, if the parameters are missing.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> optimizer = optax.chain(optax.sgd(0.1), spectral_bound(jax.random.key(0), steps=20))
        >>> params = jnp.array([[1.0, 0.5], [-0.5, 2.0]])
        >>> updates, _ = optimizer.update(jnp.zeros((2, 2)), optimizer.init(params), params)
        >>> print(f"{jnp.linalg.norm(params + updates, 2):.4f}")
        0.9500

    References:
        Liu, Lin, Padhy, Tran, Bedrax-Weiss, Lakshminarayanan. Simple and principled uncertainty estimation with
        deterministic deep learning via distance awareness. NeurIPS 2020, Eq. 10.
    """
    check_number("bound", bound, 0.0, open_low=True)
    check_count("steps", steps)

    def is_kernel(leaf: Any) -> bool:
        return jnp.ndim(leaf) > 1 and jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)

    def init(params: PyTree) -> SpectralState:
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(rng_key, max(len(leaves), 1))

        def start(key: Array, leaf: Any) -> Any:
            return _unit(jax.random.normal(key, leaf.shape[-1:], as_float(leaf).dtype)) if is_kernel(leaf) else ()

        return SpectralState(structure.unflatten([start(key, leaf) for key, leaf in zip(keys, leaves)]))

    def shorten(update: Any, leaf: Any, direction: Any) -> tuple[Array, Any]:
        if not is_kernel(leaf):
            return update, direction
        place = as_float(leaf) + as_float(update, leaf)
        sigma, direction = largest_singular_value(place.reshape(-1, place.shape[-1]), direction, steps=steps)
        share = jnp.minimum(1, bound / jnp.where(sigma > 0, sigma, bound))

        def moved(share: Array) -> Array:
            return (place * share - as_float(leaf)).astype(update.dtype)

        if jnp.asarray(leaf).dtype.itemsize < 4:  # their sum is rounded: look at what comes out
            there = as_float((as_float(leaf) + as_float(moved(share), leaf)).astype(leaf.dtype))
            sigma, direction = largest_singular_value(there.reshape(-1, there.shape[-1]), direction, steps=steps)
            share = share * jnp.minimum(1, bound / jnp.where(sigma > 0, sigma, bound))
        return moved(share), direction

    def update(updates: PyTree, state: SpectralState, params: PyTree = None, **_: Any) -> tuple[PyTree, SpectralState]:
        if params is None:
            raise OptionError("the parameters are missing; call optimizer.update(gradients, state, params)")
        moves, structure = jax.tree.flatten(updates)
        both = [
            shorten(*each) for each in zip(moves, jax.tree.leaves(params), structure.flatten_up_to(state.directions))
        ]
        changes, directions = zip(*both) if both else ((), ())
        return structure.unflatten(changes), SpectralState(structure.unflatten(directions))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
