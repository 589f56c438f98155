"""The serving room: jaxuq's own models behind the OpenAI chat protocol, and a client for any server that speaks it."""

from jaxuq.serving.app import make_app
from jaxuq.serving.batch_answers import answer_batch
from jaxuq.serving.batch_files import BatchWaits, batch_chat
from jaxuq.serving.endpoint import open_endpoint
from jaxuq.serving.errors import ServingError
from jaxuq.serving.jobs import Asked, Backend, BadRequest, Growth, Job, TokenText
from jaxuq.serving.judging import Judge, Verdict
from jaxuq.serving.local_backend import LocalBackend
from jaxuq.serving.passing import LargerModel
from jaxuq.serving.patience import Patience
from jaxuq.serving.running import address_of, listen, serve, serving
from jaxuq.serving.secrecy import KEY_VARIABLES, Secrets, is_loopback, key_for, plain_url
from jaxuq.serving.served import Given, OneModel, Served
from jaxuq.serving.served_adapters import ServedAdapters
from jaxuq.serving.served_experts import ServedExperts

__all__ = [
    "KEY_VARIABLES",
    "Asked",
    "Backend",
    "BadRequest",
    "BatchWaits",
    "Given",
    "Growth",
    "Job",
    "Judge",
    "LargerModel",
    "LocalBackend",
    "OneModel",
    "Patience",
    "Secrets",
    "Served",
    "ServedAdapters",
    "ServedExperts",
    "ServingError",
    "TokenText",
    "Verdict",
    "address_of",
    "answer_batch",
    "batch_chat",
    "is_loopback",
    "key_for",
    "listen",
    "make_app",
    "open_endpoint",
    "plain_url",
    "serve",
    "serving",
]
