"""What all trainings of a run share, and what each leaves."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, PyTree

from jaxuq.molecules.muben.problem import Problem
from jaxuq.molecules.muben.recipe import Recipe
from jaxuq.training import Fitted, Training, TrainState


class Setting(NamedTuple):
    """What all trainings of a run share.

    Attributes:
        problem: the data.
        make_network: `make_network(num_outputs) -> module`.
        recipe: hyper-parameters, with what the user changed.
        samples: posterior samples of SGLD.
        frozen_backbone: whether only the output layer is trained.
        muben: whether SWAG and BBP follow the published code where it differs from the papers.
        fit: `fit(name, training, state, num_epochs) -> Fitted`, the runner's, with progress and checkpoints.
        pretrained: parameters that training starts from, on the host; None for none.
        molecules_at_once: how many molecules go through the network at once without training.
        branches: weight of the distance between the branches' outputs; None for a network without branches.
        members: networks a seed of the training that ensembles use; number 0 is the same whatever their number.
    """

    problem: Problem
    make_network: Callable[[int], Any]
    recipe: Recipe
    samples: int
    frozen_backbone: bool
    muben: bool
    fit: Callable[[str, Training, TrainState, int], Fitted]
    pretrained: PyTree = None
    molecules_at_once: int = 4096
    branches: float | None = None
    members: int = 1

    @property
    def task_type(self) -> str:
        """Of the data set."""
        return self.problem.task_type

    @property
    def num_tasks(self) -> int:
        """Tasks of the data set."""
        return len(self.problem.task_names)

    def network(self, outputs_per_task: int) -> Any:
        """The module with a head of so many outputs a task."""
        return self.make_network(self.num_tasks * outputs_per_task)

    def by_task(self, outputs: Float[Array, "n outputs"], outputs_per_task: int) -> Float[Array, "n tasks per_task"]:
        """Outputs are laid out task by task."""
        return outputs.reshape(outputs.shape[0], self.num_tasks, outputs_per_task)


class Trained(NamedTuple):
    """Networks after training.

    Attributes:
        params: parameters of the best epoch, axes `[seeds, members]` first.
        observed: what training gathered (SWAG's moments, SGLD's trace), axes `[seeds]` first; None otherwise.
        seconds: training time of one network.
    """

    params: PyTree
    observed: PyTree
    seconds: float
