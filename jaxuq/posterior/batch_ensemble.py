r"""Batch ensembles: members that share their kernels but for a factor of rank one each.

$W_k = W \circ (r_k s_k^\top)$: member k costs a vector of inputs and one of outputs for each kernel, and biases of its
own. A member is made when it is read, so samples of ten members take the memory of one network and a little.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree, Shaped

from jaxuq._arrays import widest
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.posterior._model import ApplyFn, Params, aligned, freeze_numbers, is_number, map_numbers, thaw
from jaxuq.posterior.draws import Draws
from jaxuq.posterior.method import Method


class BatchEnsembleState(NamedTuple):
    """Shared parameters and what is each member's own; without an optimiser a pytree to be trained as any parameters.

    Attributes:
        shared: parameters in the form of one network's.
        factors: for each leaf, with an axis of members first: `(r, s)` of a kernel, the offset of a vector, `()` for
            what is no number.
        optimizer: state of the optimiser; `()` if there is none.
    """

    shared: Params
    factors: PyTree
    optimizer: Any = ()


def batch_ensemble(
    num_members: int = 4, *, spread: float = 0.5, optimizer: optax.GradientTransformation | None = None
) -> Method:
    r"""An ensemble whose members differ in rank-one factors of each kernel, and in their biases.

    Use it where an ensemble's memory is too much: on a device that holds one network and not ten, or where samples are
    kept. Its members agree more than independent ones do, and more so with a smaller `spread`. Leaves of two axes or
    more are kernels, the last axis their outputs and all others inputs; vectors are each member's own; scalars are
    shared. Where the optimiser decays weights, leave the factors out, and take a smaller rate for them (a quarter).

    With `optimizer`, `update` has every member's gradient and moves all together: the shared kernels along the members'
    sum. Without, train the state itself: the mean of the members' losses, each read by `rank_one_member`.

    Args:
        num_members: K.
        spread: standard deviation of the factors about 1, at the start.
        optimizer: that `update` moves kernels and factors with; None if something else trains the state.

    Returns:
        A `Method` that observes gradients, as a function; samples are `Draws` of the members' factors, in order.

    Raises:
        OptionError: a number is out of range; from `update`, without an optimiser or on gradients that are no function;
            from `sample`, for more samples than members.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.posterior import dense, predict
        >>> method = batch_ensemble(4)
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)})
        >>> predict(dense, method.sample(jax.random.key(1), state, 4), jnp.ones((5, 3))).shape
        (4, 5, 2)

    References:
        Wen, Tran, Ba. BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning. ICLR 2020,
        Eq. 1.
    """
    check_count("num_members", num_members)
    check_number("spread", spread, 0.0)

    def init(rng_key: Key[Array, ""], params: Params) -> BatchEnsembleState:
        shared = freeze_numbers(params)
        leaves, structure = jax.tree.flatten(shared)
        keys = jax.random.split(rng_key, len(leaves))

        def own(key: Array, leaf: Array) -> Any:
            if not is_number(leaf) or leaf.ndim == 0:
                return ()
            if leaf.ndim == 1:
                return jnp.zeros((num_members, *leaf.shape), leaf.dtype)
            shapes = (num_members, *leaf.shape[:-1]), (num_members, leaf.shape[-1])
            noise = [jax.random.normal(k, shape, widest(leaf)) for k, shape in zip(jax.random.split(key), shapes)]
            return tuple((1 + spread * one).astype(leaf.dtype) for one in noise)

        factors = structure.unflatten([own(key, leaf) for key, leaf in zip(keys, leaves)])
        state = BatchEnsembleState(shared, factors)
        return state if optimizer is None else state._replace(optimizer=optimizer.init(_trained(state)))

    def update(rng_key: Key[Array, ""], state: BatchEnsembleState, gradients: Any) -> BatchEnsembleState:
        del rng_key
        if optimizer is None or not callable(gradients):
            wrong = "there is no optimiser; pass optimizer=" if optimizer is None else "gradients are no function"
            raise OptionError(f"{wrong}: each member wants the gradient at its own parameters")
        trained = _trained(state)

        def pulled(number: Array) -> Any:
            def member(both: Any) -> list[Array]:
                shared, factors = both
                one = rank_one_member(_filled(state.shared, shared), jax.tree.map(lambda leaf: leaf[number], factors))
                return [leaf for leaf in jax.tree.leaves(one) if is_number(leaf)]

            places, pull = jax.vjp(member, trained)
            found = aligned(state.shared, gradients(thaw(_filled(state.shared, places))))
            slopes = [slope for slope, leaf in zip(found, jax.tree.leaves(state.shared)) if is_number(leaf)]
            return pull(
                [
                    jnp.zeros_like(place) if slope is None else jnp.asarray(slope).astype(place.dtype)
                    for slope, place in zip(slopes, places)
                ]
            )[0]

        each = jax.lax.map(pulled, jnp.arange(num_members))
        moves = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), each)
        with jax.numpy_dtype_promotion("standard"):  # optimisers mix integer steps with floats
            updates, after = optimizer.update(moves, state.optimizer, trained)
        moved: Any = optax.apply_updates(trained, updates)
        shared, factors = moved
        return BatchEnsembleState(_filled(state.shared, shared), factors, after)

    def sample(rng_key: Key[Array, ""], state: BatchEnsembleState, num_samples: int) -> Draws:
        del rng_key
        if check_count("num_samples", num_samples) > num_members:
            raise OptionError(f"num_samples is {num_samples}, but there are {num_members} members; raise `num_members`")
        return Draws(jax.tree.map(lambda leaf: leaf[:num_samples], state.factors), state.shared, rank_one)

    return Method(init, update, sample, "gradients")


def _trained(state: BatchEnsembleState) -> tuple[list[Array], PyTree]:
    return [leaf for leaf in jax.tree.leaves(state.shared) if is_number(leaf)], state.factors


def _filled(tree: Params, numbers: list[Array]) -> Params:
    taken = iter(numbers)
    return map_numbers(lambda _: next(taken), tree)


def rank_one_member(shared: Params, factors: PyTree) -> Params:
    r"""The parameters of one member, $W \circ (r s^\top)$ for kernels and $b + b_k$ for vectors.

    Args:
        shared: of a `BatchEnsembleState`.
        factors: of one member, without the axis of members.

    Returns:
        Parameters that the model reads.

    Raises:
        ArrayError: the factors are not those of one member of these parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> kernel, factors = jnp.array([[1.0, 2.0], [3.0, 4.0]]), (jnp.array([1.0, -1.0]), jnp.array([0.5, 2.0]))
        >>> print(jnp.array([1.0, 2.0]) @ rank_one_member(kernel, factors))
        [ -2.5 -12. ]
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(shared)
    try:
        own_factors = structure.flatten_up_to(factors)
    except (ValueError, TypeError) as error:
        raise ArrayError(f"factors are no tree like the shared parameters: {error}") from None

    def own(path: Any, leaf: Any, factor: Any) -> Any:
        if not hasattr(leaf, "dtype") or (
            isinstance(factor, tuple) and not factor
        ):  # activations of a model's own, counters, scalars
            return leaf
        wanted = (leaf.shape[:-1], leaf.shape[-1:]) if leaf.ndim > 1 else leaf.shape
        given = jax.tree.map(jnp.shape, factor)
        if given != wanted:
            raise ArrayError(
                f"the factors of the leaf {jax.tree_util.keystr(path) or 'shared'} of shape {leaf.shape} have the "
                f"shapes {given}; expected {wanted}, those of one member (jax.vmap over members)"
            )
        if isinstance(factor, tuple):
            return leaf * factor[0][..., None] * factor[1][(None,) * (leaf.ndim - 1)]
        return leaf + factor

    return structure.unflatten([own(*path, factor) for path, factor in zip(paths, own_factors)])


def rank_one(apply_fn: ApplyFn, shared: Params) -> ApplyFn:
    """A model of one member's factors: the reader of a batch ensemble's `Draws`, and a transform of any model.

    Args:
        apply_fn: the model of one network's parameters.
        shared: of a `BatchEnsembleState`.

    Returns:
        `apply(factors, inputs, ...)`; `jax.vmap` it over the members.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> members = jax.vmap(rank_one(lambda w, x: x @ w, jnp.ones((2, 1))), in_axes=(0, None))
        >>> print(members((jnp.array([[1.0, 1.0], [2.0, 2.0]]), jnp.ones((2, 1))), jnp.ones(2))[:, 0])
        [2. 4.]
    """

    def apply(factors: PyTree, inputs: PyTree, **options: Any) -> Any:
        return apply_fn(thaw(rank_one_member(shared, factors)), inputs, **options)

    return apply


@checked
def rank_one_dense(
    kernel: Float[Array, "inputs outputs"],
    rows: Float[Array, " inputs"],
    columns: Float[Array, " outputs"],
    features: Float[Array, "*batch inputs"],
) -> Shaped[Array, "*batch outputs"]:
    r"""A member's dense layer without its kernel being made: $((x \circ r) W) \circ s$.

    Use it in a network of one's own, with members on an axis of the batch; in any other, `rank_one` is simpler.

    Args:
        kernel: $W$, shared.
        rows: $r$ of the member.
        columns: $s$ of the member.
        features: inputs of the layer.

    Returns:
        Outputs, before a bias.

    Example:
        >>> import jax.numpy as jnp
        >>> kernel = jnp.array([[1.0, 2.0], [3.0, 4.0]])
        >>> print(rank_one_dense(kernel, jnp.array([1.0, -1.0]), jnp.array([0.5, 2.0]), jnp.array([1.0, 2.0])))
        [ -2.5 -12. ]
    """
    turned = (features * jnp.broadcast_to(rows, features.shape)) @ kernel
    return turned * jnp.broadcast_to(columns, turned.shape)
