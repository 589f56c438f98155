"""Examples of the public functions of jaxuq.networks for tests/test_protocol.py."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {}
