"""The planning room: what a job on many devices will hold, send and take at least, before there are any."""

from jaxuq.planning.devices import DEVICES, Device
from jaxuq.planning.jobs import JOBS, Request, Stage
from jaxuq.planning.plan import Plan, StagePlan, plan_job
from jaxuq.planning.shapes import MODEL_SHAPES, abstract_decoder, model_shape, rows_on, shapes_on

__all__ = [
    "DEVICES",
    "JOBS",
    "MODEL_SHAPES",
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
