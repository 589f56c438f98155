"""The serving room: jaxuq's own models behind the OpenAI chat protocol, and a client for any server that speaks it."""

from jaxuq.serving.endpoint import Patience, open_endpoint
from jaxuq.serving.errors import ServingError
from jaxuq.serving.secrecy import KEY_VARIABLES, Secrets, is_loopback, key_for, plain_url
from jaxuq.serving.server import BadRequest, Piece, language_backend, make_server

__all__ = [
    "KEY_VARIABLES",
    "BadRequest",
    "Patience",
    "Piece",
    "Secrets",
    "ServingError",
    "is_loopback",
    "key_for",
    "language_backend",
    "make_server",
    "open_endpoint",
    "plain_url",
]
