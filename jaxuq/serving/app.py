"""The server as an ASGI application: routes of the protocol, over any backend."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jaxuq._extras import needed_package
from jaxuq.serving.counters import Counters
from jaxuq.serving.exchange import refused
from jaxuq.serving.guard import Guard
from jaxuq.serving.jobs import Backend, BadRequest
from jaxuq.serving.passing import LargerModel
from jaxuq.serving.requests import read_chat, read_completion
from jaxuq.serving.responses import error_object
from jaxuq.serving.service import Service
from jaxuq.serving.static_page import page_routes
from jaxuq.serving.worker import Worker

if TYPE_CHECKING:
    from starlette.requests import Request


def make_app(
    backend: Backend,
    *,
    host: str = "127.0.0.1",
    hosts: Iterable[str] = (),
    key: str = "",
    most_waiting: int = 256,
    larger: LargerModel | None = None,
) -> Guard:
    """A server, as an ASGI application.

    `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/load_lora_adapter`,
    `/v1/unload_lora_adapter`; `GET /v1/models`, `/v1/models/{id}`, `/health`, `/metrics`; `/`, a page to chat.
    Requests are answered side by side; those for whom there is no room yet wait, in the order in which they came. What
    the protocol has and the server does not is refused by its name.

    Args:
        backend: the model.
        host: that it will listen at; where that is this machine, others' names in `Host` are refused.
        hosts: further names by which clients may call it.
        key: that clients must send; empty: none is asked for.
        most_waiting: requests that wait; further ones are told to come again (429).
        larger: who is asked where an answer of a chat is withheld; None: nobody.

    Returns:
        The application.

    Raises:
        ServingError: Starlette is missing.
    """
    needed_package("starlette", "serving")
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    service = Service(backend, Worker(backend, most_waiting), Counters(), larger)

    async def refuse(error: BadRequest, scope: Any, receive: Any, send: Any) -> None:
        await refused(error)(scope, receive, send)

    def unknown(request: "Request", error: Exception) -> JSONResponse:
        status = getattr(error, "status_code", 500)
        said = {404: "there is nothing at this path", 405: "this path is not asked so"}.get(status, "refused")
        return JSONResponse(error_object(said, status), status, headers=getattr(error, "headers", None))

    routes = [*page_routes(), Route("/health", service.health), Route("/metrics", service.metrics)]
    for prefix in ("/v1", ""):
        routes += [
            Route(f"{prefix}/models", service.models),
            Route(f"{prefix}/models/{{name:path}}", service.models),
            Route(f"{prefix}/chat/completions", service.answering(read_chat), methods=["POST"]),
            Route(f"{prefix}/completions", service.answering(read_completion), methods=["POST"]),
            Route(f"{prefix}/embeddings", service.embeddings, methods=["POST"]),
            Route(f"{prefix}/load_lora_adapter", service.loading(drop=False), methods=["POST"]),
            Route(f"{prefix}/unload_lora_adapter", service.loading(drop=True), methods=["POST"]),
        ]
    handlers: Any = {HTTPException: unknown}
    inner: Any = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(inner, refuse, host=host, hosts=hosts, key=key, counters=service.counters)
