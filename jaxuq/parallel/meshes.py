"""A mesh of devices from its description in words, as commands take it: `data=2,tensor=4`."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxuq._arguments import typed
from jaxuq._errors import OptionError

MESH_AXES = ("data", "fsdp", "tensor", "expert")


@typed()
def mesh_axes(text: str) -> dict[str, int]:
    """The axes of a mesh's description.

    Args:
        text: such as `data=2,tensor=4`.

    Returns:
        Lengths by name, in order.

    Raises:
        OptionError: an unknown axis, one named twice, a length below one.

    Example:
        >>> mesh_axes("data=2,tensor=4")
        {'data': 2, 'tensor': 4}
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in MESH_AXES or not number.isdigit() or int(number) < 1 or name in sizes:
            raise OptionError(
                f"the mesh is {text!r}; expected axes among {', '.join(MESH_AXES)}, each once and with its number "
                "of devices, such as data=2,tensor=4"
            )
        sizes[name] = int(number)
    return sizes


def check_rows(option: str, rows: int, mesh: str) -> None:
    """Refuse a number of rows that the devices of a mesh cannot share evenly.

    Args:
        option: where the number is from, for the message.
        rows: of a batch.
        mesh: as for `mesh_axes`; empty: one device.

    Raises:
        OptionError: the number is no multiple of the devices along `data` and `fsdp`, or the mesh is no description.
    """
    if not mesh:
        return
    parts = math.prod(size for axis, size in mesh_axes(mesh).items() if axis in ("data", "fsdp"))
    if rows % parts:
        raise OptionError(
            f"{option} is {rows}, and the mesh {mesh} divides rows over {parts} devices; take a multiple of {parts}"
        )


@typed()
def mesh_of(text: str, *, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh from its description, such as `data=2,tensor=4`.

    Args:
        text: names of axes among `data`, `fsdp`, `tensor`, `expert`, and their lengths.
        devices: to take, the first ones; None: those that JAX sees.

    Returns:
        A mesh with automatic axes.

    Raises:
        OptionError: the text is no description, or there are fewer devices.

    Example:
        >>> mesh_of("data=1,tensor=1").axis_names
        ('data', 'tensor')
    """
    sizes = mesh_axes(text)
    devices = jax.devices() if devices is None else devices
    count = int(np.prod(list(sizes.values())))
    if len(devices) < count:
        raise OptionError(f"the mesh {text} has {count} devices and there are {len(devices)}")
    return Mesh(np.array(devices[:count]).reshape(tuple(sizes.values())), tuple(sizes))
