"""How docstrings of jaxuq are read: "Example:" is the section of doctests."""

import re
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Names the section as griffe does, so that doctests come out as code."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object that is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
