"""The function of a kept model's parameters, made again from the names that its folder holds."""

from collections.abc import Callable

from jaxtyping import Array, PyTree

from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.muben.heads import likelihood_head, read_outputs
from jaxuq.networks import apply_function


def model_function(backbone: Backbone, task_type: str, num_tasks: int) -> Callable[..., Array]:
    """`apply_fn(params, inputs, *, rng_key=None) -> outputs`, as forecasts read them.

    Args:
        backbone: the network.
        task_type: `"classification"` or `"regression"`.
        num_tasks: of the labels.

    Returns:
        The function.
    """
    apply_fn = apply_function(backbone.network(num_tasks * likelihood_head(task_type).outputs_per_task))

    def outputs(params: PyTree, inputs: PyTree, *, rng_key: Array | None = None) -> Array:
        return read_outputs(task_type, num_tasks, apply_fn(params, inputs, rng_key=rng_key))

    return outputs
