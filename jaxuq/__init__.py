"""jaxuq: how sure is this answer, and how far can few labels go? Uncertainty quantification in JAX.

The rooms are imported on first use, so `import jaxuq` costs little more than `import jax`.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from jaxuq._citation import citation
from jaxuq._keys import named_key

if TYPE_CHECKING:
    from jaxuq import (
        calibration,
        checkpoints,
        confidence,
        experts,
        extraction,
        language,
        losses,
        metrics,
        molecules,
        networks,
        parallel,
        posterior,
        questions,
        reporting,
        results,
        tagging,
        training,
        tuning,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "calibration",
    "checkpoints",
    "citation",
    "confidence",
    "experts",
    "extraction",
    "language",
    "losses",
    "metrics",
    "molecules",
    "named_key",
    "networks",
    "parallel",
    "posterior",
    "questions",
    "reporting",
    "results",
    "tagging",
    "training",
    "tuning",
]

_ROOMS = tuple(name for name in __all__ if name not in ("__version__", "citation", "named_key"))


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"jaxuq.{name}")
    raise AttributeError(f"module 'jaxuq' has no attribute {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
