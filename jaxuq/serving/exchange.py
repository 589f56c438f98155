"""A request in, its errors out: bodies within limits, and failures of which nobody is told more than that they were."""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from jaxuq.serving.fields import refuse_constants
from jaxuq.serving.jobs import BadRequest
from jaxuq.serving.responses import error_object
from jaxuq.serving.worker import Busy

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST_BODY = 4 * 2**20  # bytes
_BODY_SECONDS = 60.0  # for a request to come in whole
_RETRY_AFTER = "2"  # seconds
_LOG = logging.getLogger("jaxuq.serving")


def refused(error: BadRequest) -> "Response":
    """The answer to a request that is refused."""
    from starlette.responses import JSONResponse

    again = {"Retry-After": _RETRY_AFTER}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: again, 503: again}.get(error.status)
    content = error_object(str(error), error.status, error.param, error.code)
    return JSONResponse(content, error.status, headers=headers)


async def read_content(request: "Request") -> Any:
    """The JSON of a request."""
    length = request.headers.get("content-length", "0")
    too_long = BadRequest(f"the request is longer than {_LONGEST_BODY} bytes", status=413)
    if not length.isdigit() or int(length) > _LONGEST_BODY:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    raise too_long
    except TimeoutError:
        raise BadRequest("the request did not come in whole in time", status=408) from None
    try:
        return json.loads(bytes(body), parse_constant=refuse_constants)
    except (ValueError, RecursionError):
        raise BadRequest("the request is no JSON") from None


def answered(endpoint: Callable[..., Awaitable["Response"]]) -> Callable[..., Awaitable["Response"]]:
    """An endpoint whose errors are answers; what was said stays out of logs."""

    async def answer(request: "Request") -> "Response":
        from starlette.requests import ClientDisconnect

        try:
            return await endpoint(request)
        except BadRequest as error:
            return refused(error)
        except Busy:
            return refused(BadRequest("too many requests wait; come again", status=429, code="busy"))
        except ClientDisconnect:
            return refused(BadRequest("the client left", status=499))
        except Exception as error:
            return refused(BadRequest(failed(error), status=500))

    return answer


def failed(error: Exception) -> str:
    """What a client is told of a failure; the log has the place, and nothing of the request."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    _LOG.error("%s at %s", type(error).__name__, ", ".join(f"{one.filename}:{one.lineno}" for one in where))
    return f"the model failed ({type(error).__name__})"
