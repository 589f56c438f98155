"""The results room has no array functions."""

from typing import Any

import jaxuq.results

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = dict.fromkeys(jaxuq.results.__all__, "files on disk; tests/results")
