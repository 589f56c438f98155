"""Examples of the public functions of jaxuq.posterior for tests/test_protocol.py."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {
    "BernoulliForecast": "a type",
    "CategoricalForecast": "a type",
    "Forecast": "a type",
    "GaussianForecast": "a type",
}
