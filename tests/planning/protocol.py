"""Public names of jaxuq.planning for tests/test_protocol.py: all of them are about shapes."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {
    "DEVICES": "a table",
    "JOBS": "a table",
    "MODEL_SHAPES": "a table",
    "SMALL_MODELS": "a table",
    "Device": "a record",
    "Plan": "a record",
    "Request": "a record",
    "Stage": "a record",
    "StagePlan": "a record",
    "abstract_decoder": "shapes; tests/compiled",
    "model_shape": "reads files",
    "plan_job": "compiles programs; tests/planning",
    "rows_on": "shapes; tests/compiled",
    "shapes_on": "shapes; tests/compiled",
}
