"""Where downloads and computed features are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloads and computed features are kept: `JAXUQ_CACHE`, or `~/.cache/jaxuq`.

    Returns:
        The folder; it is made when something is first written.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    return Path(os.environ.get("JAXUQ_CACHE") or Path.home() / ".cache" / "jaxuq").expanduser().absolute()
