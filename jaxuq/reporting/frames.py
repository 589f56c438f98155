"""The type of a pandas table in this room's annotations.

When the code runs, `Frame` is the name of `pandas.DataFrame`, so nothing imports pandas before a function needs it.
Type checkers see `Any`: what an indexing or grouping of a table returns depends on its content, which they cannot know.
"""

from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    Frame = Any
    OptionalFrame = Any
else:
    Frame = "pandas.DataFrame"
    OptionalFrame = Optional["pandas.DataFrame"]
