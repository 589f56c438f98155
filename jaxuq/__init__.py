"""jaxuq: how sure is this answer, and how far can few labels go? Uncertainty quantification in JAX.

The rooms, and JAX, are imported on first use: `import jaxuq` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxuq._citation import citation
from jaxuq._errors import JaxuqError
from jaxuq._pages import use_huge_pages

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
        planning,
        posterior,
        questions,
        reporting,
        serving,
        study,
        tagging,
        training,
        tuning,
    )
    from jaxuq._entries import Entry
    from jaxuq._keys import named_key

__version__ = "0.1.0"

__all__ = [
    "Entry",
    "JaxuqError",
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
    "planning",
    "posterior",
    "questions",
    "reporting",
    "serving",
    "study",
    "tagging",
    "training",
    "tuning",
    "use_huge_pages",
]

_ROOMS = tuple(
    name
    for name in __all__
    if name not in ("Entry", "JaxuqError", "__version__", "citation", "named_key", "use_huge_pages")
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"jaxuq.{name}")
    if name == "named_key":
        return importlib.import_module("jaxuq._keys").named_key
    if name == "Entry":
        return importlib.import_module("jaxuq._entries").Entry
    raise AttributeError(f"module 'jaxuq' has no attribute {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
