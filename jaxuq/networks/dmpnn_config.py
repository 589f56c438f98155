"""What the directed message-passing networks of chemprop 2 differ in, and how their outputs are read."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_count, check_number

AtomFeatures = Literal["v2", "v1", "organic", "rigr"]
Aggregation = Literal["norm", "sum", "mean"]

DMPNN_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "relu": nn.relu,
        "leakyrelu": lambda x: nn.leaky_relu(x, 0.1),
        "tanh": jnp.tanh,
        "elu": nn.elu,
        "selu": nn.selu,
    }
)
"""Chemprop's activations without parameters; `"prelu"` has one."""
_NAMES = (*DMPNN_ACTIVATIONS, "prelu")

OUTPUTS: Mapping[str, int] = MappingProxyType(
    {
        "regression": 1,
        "regression-mve": 2,
        "regression-evidential": 4,
        "regression-quantile": 2,
        "classification": 1,
        "classification-dirichlet": 2,
        "multiclass": 0,
        "multiclass-dirichlet": 0,
    }
)
"""Outputs a task by kind; of several classes one a class."""


@dataclasses.dataclass(frozen=True)
class DMPNNOutputs:
    """What a trained network's outputs mean.

    Attributes:
        kind: of prediction, by chemprop's name.
        tasks: names of the tasks.
        classes: of each task; only of several classes.
        mean: of each task's labels, for regression; empty: outputs are in the labels' units.
        scale: their standard deviation.
    """

    kind: str
    tasks: tuple[str, ...]
    classes: int = 0
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self):
        check_choice("kind of outputs", self.kind, tuple(OUTPUTS))
        for name in ("mean", "scale"):
            for number in getattr(self, name):
                check_number(f"{name} of outputs", number)
        if self.kind.startswith("multiclass"):
            check_count("classes", self.classes, 2)
        if len(self.mean) != len(self.scale) or len(self.mean) not in (0, len(self.tasks)):
            counts = f"{len(self.mean)} means and {len(self.scale)} scales"
            raise OptionError(f"there are {counts} of outputs for {len(self.tasks)} tasks")

    @property
    def width(self) -> int:
        """Of the output layer."""
        return len(self.tasks) * (OUTPUTS[self.kind] or self.classes)

    def read(self, outputs: Float[Array, "molecules width"]) -> Float[Array, "molecules tasks ..."]:
        """Predictions, as chemprop's own network gives them.

        Args:
            outputs: of the network.

        Returns:
            Of regression the label; with a variance `[..., 2]`; evidential `[..., 4]`: mean, virtual observations,
            shape and scale of the variance; of quantiles `[..., 2]`: middle and width. Of classification the
            probability of 1, from a Dirichlet distribution `[..., 2]` with the uncertainty; of several classes the
            probability of each.
        """
        rows, tasks = outputs.shape[0], len(self.tasks)
        mean, scale = (
            jnp.asarray(numbers or (fill,) * tasks, outputs.dtype)[None]
            for numbers, fill in ((self.mean, 0.0), (self.scale, 1.0))
        )
        if self.kind == "classification":
            return jax.nn.sigmoid(outputs)
        if self.kind == "multiclass":
            return jax.nn.softmax(outputs.reshape(rows, tasks, self.classes), axis=-1)
        if self.kind.endswith("dirichlet"):
            evidence = jax.nn.softplus(outputs.reshape(rows, tasks, -1)) + 1
            total = evidence.sum(-1)
            if self.kind == "multiclass-dirichlet":
                return evidence / total[..., None]
            return jnp.stack([evidence[..., 1] / total, 2 / total], axis=-1)
        first, *others = jnp.split(outputs, OUTPUTS[self.kind], axis=1)
        first = first * scale + mean
        if self.kind == "regression":
            return first
        if self.kind == "regression-quantile":
            last = others[0] * scale + mean
            return jnp.stack([(first + last) / 2, last - first], axis=-1)
        positive = [jax.nn.softplus(part) for part in others]
        positive[-1] = positive[-1] * scale**2
        if self.kind == "regression-evidential":
            positive[1] = positive[1] + 1
        return jnp.stack([first, *positive], axis=-1)


@dataclasses.dataclass(frozen=True)
class DMPNNConfig:
    """A directed message-passing network; the defaults are chemprop 2's.

    Attributes:
        width: of messages and atoms.
        depth: messages travel `depth` - 1 bonds.
        dropout_rate: in [0, 1), of messages and atoms; the benchmark's networks have 0.1.
        atoms: which features of atoms and bonds are read: chemprop's `"v2"` (72 and 14), `"v1"` (133), `"organic"`
            (44), or `"rigr"` (52 and 2), which are the same for all resonance structures.
        activation: relu, leakyrelu (slope 0.1), prelu, tanh, elu or selu.
        bias: whether messages have biases.
        undirected: whether the two directions of a bond are averaged before each step.
        aggregation: how a molecule's atoms are brought together: their sum over `norm`, sum, or mean.
        norm: what the sum is divided by.
        batch_norm: whether the molecule's vector is scaled and shifted, as a trained batch normalisation does.
        hidden: widths of the layers between molecule and output; None: one of `width`.
        head_activation: between these; None: `activation`.
        head_dropout_rate: between these; None: `dropout_rate`.
        descriptor_mean: of descriptors of the molecule that join its vector; as many as there are.
        descriptor_scale: their standard deviation.
        outputs: of a trained network; None of one that has no output layer yet.
    """

    width: int = 300
    depth: int = 3
    dropout_rate: float = 0.0
    atoms: AtomFeatures = "v2"
    activation: str = "relu"
    bias: bool = False
    undirected: bool = False
    aggregation: Aggregation = "norm"
    norm: float = 100.0
    batch_norm: bool = False
    hidden: tuple[int, ...] | None = None
    head_activation: str | None = None
    head_dropout_rate: float | None = None
    descriptor_mean: tuple[float, ...] = ()
    descriptor_scale: tuple[float, ...] = ()
    outputs: DMPNNOutputs | None = None

    def __post_init__(self):
        check_count("width", self.width)
        check_count("depth", self.depth)
        for width in self.hidden or ():
            check_count("hidden", width)
        check_choice("atoms", self.atoms, ("v2", "v1", "organic", "rigr"))
        check_choice("activation", self.activation, _NAMES)
        check_choice("aggregation", self.aggregation, ("norm", "sum", "mean"))
        if self.head_activation is not None:
            check_choice("head_activation", self.head_activation, _NAMES)
        for name in ("dropout_rate", "head_dropout_rate"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0, 1.0, open_high=True)
        check_number("norm", self.norm, 0.0, open_low=True)
        for name, least in (("descriptor_mean", -math.inf), ("descriptor_scale", 0.0)):
            for number in getattr(self, name):
                check_number(name, number, least, open_low=True)
        if len(self.descriptor_mean) != len(self.descriptor_scale):
            counts = f"{len(self.descriptor_mean)} means and {len(self.descriptor_scale)} scales"
            raise OptionError(f"there are {counts} of descriptors")

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the layers between molecule and output."""
        return (self.width,) if self.hidden is None else self.hidden

    @property
    def num_descriptors(self) -> int:
        """Descriptors of the molecule that join its vector."""
        return len(self.descriptor_mean)


def dmpnn_config(**fields: Any) -> DMPNNConfig:
    """A configuration from JSON.

    Args:
        **fields: as `dataclasses.asdict` gave them, with lists for tuples.

    Returns:
        The configuration.

    Raises:
        OptionError: a value out of its range.
        TypeError: unknown fields.

    Example:
        >>> dmpnn_config(hidden=[8, 4], outputs={"kind": "classification", "tasks": ["active"]}).outputs.tasks
        ('active',)
    """

    def frozen(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    outputs = fields.pop("outputs", None)
    return DMPNNConfig(**frozen(fields), outputs=None if outputs is None else DMPNNOutputs(**frozen(outputs)))
