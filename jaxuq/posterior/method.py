"""What every method of this room is: three functions, and the optax transformation of those that act in training."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import optax
from jaxtyping import Array, Key

from jaxuq._errors import OptionError
from jaxuq.posterior._model import Params, Samples

Observes = Literal["snapshots", "gradients", "data"]


class Method(NamedTuple):
    """A way of getting parameter samples.

    Attributes:
        init: `init(rng_key, params) -> state`, which has observed nothing yet.
        update: `update(rng_key, state, ...) -> state`, which has observed something more; a step is the same whenever
            it is made again with the same key. What is observed says `observes`.
        sample: `sample(rng_key, state, num_samples) -> samples`, for `predict_forecast`.
        observes: `"snapshots"`: `update(rng_key, state, params)` is given parameters that an optimiser has trained;
            `"gradients"`: `update(rng_key, state, gradient_fn)`, with `gradient_fn(params)` the gradient of the summed
            negative log likelihood wherever the method wants it; `"data"`: `update(rng_key, state, apply_fn, inputs,
            labels, where=None)`, a batch for the trained parameters.
        transformation: makes the optax form; None if there is none.
    """

    init: Callable[[Key[Array, ""], Params], Any]
    update: Callable[..., Any]
    sample: Callable[[Key[Array, ""], Any, int], Samples]
    observes: Observes
    transformation: Callable[..., optax.GradientTransformation] | None = None

    def as_optax(self, rng_key: Key[Array, ""], *, every: int = 1, start: int = 0) -> optax.GradientTransformation:
        """The method as an optax transformation, which observes as the training goes.

        A method that observes snapshots changes no update and stands last in `optax.chain`; a chain takes the place of
        the optimiser of the parameters that it samples:
        `optax.multi_transform({"last": method.as_optax(rng_key), "rest": optax.adamw(1e-4)}, labels)`. Anything chained
        after it would scale its noise as well. Step `t` (from 0) is the `update` with `fold_in(rng_key, t)`.

        Args:
            rng_key: of all steps. Its words, not the key, go into the transformation's state.
            every: steps from one snapshot to the next (a chain has its own `thinning`).
            start: steps before the first of them (a chain has its own `burn_in`).

        Returns:
            A transformation whose state holds the method's: `posterior_state(optimizer_state)`.

        Raises:
            OptionError: for a method that cannot act so.
        """
        if self.transformation is None:
            raise OptionError(
                f"a method that observes {self.observes} in this way is no optax transformation; call its update"
            )
        return self.transformation(rng_key, every, start)
