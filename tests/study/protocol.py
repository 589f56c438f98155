"""The results room has no array functions."""

from typing import Any

import jaxuq.study

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = dict.fromkeys(jaxuq.study.__all__, "files on disk; tests/study")
