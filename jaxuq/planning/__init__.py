"""The planning room: what a job on many devices will hold, send and take at least, before there are any."""

from jaxuq.planning.devices import DEVICES, Device
from jaxuq.planning.jobs import Request, Stage
from jaxuq.planning.plan import JOBS, SMALL_MODELS, Plan, StagePlan, plan_job
from jaxuq.planning.shapes import MODEL_SHAPES, abstract_decoder, model_shape, rows_on, shapes_on

__all__ = [
    "DEVICES",
    "JOBS",
    "MODEL_SHAPES",
    "SMALL_MODELS",
    "Device",
    "Plan",
    "Request",
    "Stage",
    "StagePlan",
    "abstract_decoder",
    "model_shape",
    "plan_job",
    "rows_on",
    "shapes_on",
]
