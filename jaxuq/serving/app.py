"""The server as an ASGI application: routes of the protocol, over any backend."""

import asyncio
import contextlib
import functools
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from jaxuq._extras import needed_package
from jaxuq.serving.counters import Counters
from jaxuq.serving.fields import refuse_constants
from jaxuq.serving.guard import Guard
from jaxuq.serving.jobs import Backend, BadRequest, Growth, TokenText
from jaxuq.serving.requests import Completion, read_chat, read_completion, read_embedding, read_loading
from jaxuq.serving.responses import embedding_list, error_object, head, part_choice, usage, whole_choice
from jaxuq.serving.static_page import page_routes
from jaxuq.serving.worker import Busy, Task, Work, Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST_BODY = 4 * 2**20  # bytes
_BODY_SECONDS = 60.0  # for a request to come in whole
_RETRY_AFTER = "2"  # seconds
_LOG = logging.getLogger("jaxuq.serving")


def make_app(
    backend: Backend, *, host: str = "127.0.0.1", hosts: Iterable[str] = (), key: str = "", most_waiting: int = 256
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

    service = _Service(backend, Worker(backend, most_waiting), Counters())

    async def refuse(error: BadRequest, scope: Any, receive: Any, send: Any) -> None:
        await _refused(error)(scope, receive, send)

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


def _refused(error: BadRequest) -> "Response":
    from starlette.responses import JSONResponse

    again = {"Retry-After": _RETRY_AFTER}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: again, 503: again}.get(error.status)
    content = error_object(str(error), error.status, error.param, error.code)
    return JSONResponse(content, error.status, headers=headers)


async def _content(request: "Request") -> Any:
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


def _answered(endpoint: Callable[..., Awaitable["Response"]]) -> Callable[..., Awaitable["Response"]]:
    """An endpoint whose errors are answers; what was said stays out of logs."""

    async def answer(request: "Request") -> "Response":
        from starlette.requests import ClientDisconnect

        try:
            return await endpoint(request)
        except BadRequest as error:
            return _refused(error)
        except Busy:
            return _refused(BadRequest("too many requests wait; come again", status=429, code="busy"))
        except ClientDisconnect:
            return _refused(BadRequest("the client left", status=499))
        except Exception as error:
            return _refused(BadRequest(_failed(error), status=500))

    return answer


def _failed(error: Exception) -> str:
    """What a client is told of a failure; the log has the place, and nothing of the request."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    _LOG.error("%s at %s", type(error).__name__, ", ".join(f"{one.filename}:{one.lineno}" for one in where))
    return f"the model failed ({type(error).__name__})"


@contextlib.asynccontextmanager
async def _watched(receive: Any, task: Task, counters: Counters) -> AsyncIterator[None]:
    """While a task runs: call it off as soon as its client leaves."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        counters.add("abandoned_total")
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        task.cancel()


class _Service:
    """The endpoints."""

    def __init__(self, backend: Backend, worker: Worker, counters: Counters):
        self._backend, self._worker, self.counters = backend, worker, counters

    async def health(self, request: "Request") -> "Response":
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "ok"})

    async def metrics(self, request: "Request") -> "Response":
        from starlette.responses import PlainTextResponse

        text = self.counters.text(requests_running=self._worker.running, requests_waiting=self._worker.waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def models(self, request: "Request") -> "Response":
        from starlette.responses import JSONResponse

        entries = {
            one: {"id": one, "object": "model", "created": 0, "owned_by": "jaxuq"} for one in self._backend.names
        }
        name = request.path_params.get("name")
        if name is None:
            return JSONResponse({"object": "list", "data": [*entries.values()]})
        if name not in entries:
            return _refused(
                BadRequest("there is no such model here", status=404, param="model", code="model_not_found")
            )
        return JSONResponse(entries[name])

    def answering(self, read: Callable[[Any, Backend], Completion]) -> Callable[..., Awaitable["Response"]]:
        """An endpoint that makes text of requests that `read` reads."""

        async def endpoint(request: "Request") -> Any:
            content = await _content(request)
            wanted = await asyncio.to_thread(read, content, self._backend)
            task = self._worker.submit(self._work(wanted))
            return _Events(self, wanted, task) if wanted.stream else await self._whole(request, wanted, task)

        return _answered(endpoint)

    def _work(self, wanted: Completion) -> Work:
        """Of every prompt, by its number: its tokens for `echo`, and what its answers grow by."""
        scored = wanted.echo and wanted.log_probs
        calls = [
            (number, functools.partial(self._backend.score, job.prompt, job.alternatives, job.model))
            for number, job in enumerate(wanted.jobs)
            if scored
        ]
        return Work([(number, job) for number, job in enumerate(wanted.jobs) if job.max_tokens], calls)

    async def _whole(self, request: "Request", wanted: Completion, task: Task) -> "Response":
        from starlette.responses import JSONResponse

        before: dict[int, list[TokenText]] = {}
        grown: dict[tuple[int, int], list[Growth]] = {}
        async with _watched(request.receive, task, self.counters):
            async for number, item in task:
                if isinstance(item, Growth):
                    grown.setdefault((number, item.answer), []).append(item)
                else:
                    before[number] = item
        choices = []
        for number, job in enumerate(wanted.jobs):
            text = self._prompt_text(wanted, number) if wanted.echo else ""
            for answer in range(job.answers):
                parts = grown.get((number, answer), [])
                choices.append(whole_choice(wanted, len(choices), parts, before.get(number, ()), text))
        counted = self._usage(wanted, {place: parts[-1].count for place, parts in grown.items()})
        return JSONResponse({**head(wanted, wanted.jobs[0].model), "choices": choices, "usage": counted})

    def _prompt_text(self, wanted: Completion, number: int) -> str:
        text = wanted.texts[number]
        return self._backend.decode(wanted.jobs[number].prompt) if text is None else text

    def _usage(self, wanted: Completion, counts: dict[Any, int]) -> dict[str, int]:
        counted = usage(sum(len(job.prompt) for job in wanted.jobs), sum(counts.values()))
        self.counters.add("prompt_tokens_total", counted["prompt_tokens"])
        self.counters.add("generated_tokens_total", counted["completion_tokens"])
        return counted

    async def events(self, wanted: Completion, task: Task) -> AsyncIterator[dict[str, Any]]:
        """The objects of a stream."""
        begin = head(wanted, wanted.jobs[0].model, chunk=True)
        more: dict[str, Any] = {"usage": None} if wanted.usage else {}
        answers = wanted.jobs[0].answers
        if wanted.chat:
            for index in range(answers):
                delta = {"role": "assistant", "content": ""}
                choice = {"index": index, "delta": delta, "finish_reason": None, "logprobs": None}
                yield {**begin, "choices": [choice], **more}
        counts: dict[int, int] = {}
        read: dict[int, int] = {}
        async for number, growth in task:
            index = number * answers + growth.answer
            counts[index] = growth.count
            if growth.text or growth.tokens or growth.finish or growth.verdict is not None:
                yield {**begin, "choices": [part_choice(wanted, index, growth, read.get(index, 0))], **more}
            read[index] = read.get(index, 0) + len(growth.text)
        counted = self._usage(wanted, counts)
        if wanted.usage:
            yield {**begin, "choices": [], "usage": counted}

    async def _embeddings(self, request: "Request") -> "Response":
        from starlette.responses import JSONResponse

        wanted = await asyncio.to_thread(read_embedding, await _content(request), self._backend)
        calls = [
            (at, functools.partial(self._backend.embed, tokens, wanted.model))
            for at, tokens in enumerate(wanted.inputs)
        ]
        task = self._worker.submit(Work(calls=calls))
        async with _watched(request.receive, task, self.counters):
            vectors = [vector async for _, vector in task]
        tokens = sum(map(len, wanted.inputs))
        self.counters.add("prompt_tokens_total", tokens)
        return JSONResponse(embedding_list(vectors, wanted.model, tokens, wanted.base64))

    def loading(self, *, drop: bool) -> Callable[..., Awaitable["Response"]]:
        """The endpoint that loads adapters, or drops them."""

        async def endpoint(request: "Request") -> "Response":
            from starlette.responses import JSONResponse

            wanted = read_loading(await _content(request), drop=drop)
            call = functools.partial(self._backend.drop, wanted.name)
            if wanted.path is not None:
                call = functools.partial(self._backend.load, wanted.name, wanted.path)
            async for _ in self._worker.submit(Work(calls=[(0, call)])):
                pass
            return JSONResponse({"status": "ok", "models": list(self._backend.names)})

        return _answered(endpoint)

    @property
    def embeddings(self) -> Callable[..., Awaitable["Response"]]:
        """The endpoint of vectors."""
        return _answered(self._embeddings)


class _Events:
    """A response of server-sent events, which ends its task when the client leaves."""

    def __init__(self, service: _Service, wanted: Completion, task: Task):
        self._service, self._wanted, self._task = service, wanted, task

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        with contextlib.suppress(OSError):
            async with _watched(receive, self._task, self._service.counters):
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                try:
                    async for event in self._service.events(self._wanted, self._task):
                        await self._event(send, json.dumps(event, ensure_ascii=False))
                except Exception as error:
                    if isinstance(error, OSError):
                        raise
                    await self._event(send, json.dumps(error_object(_failed(error), 500)))
                else:
                    await self._event(send, "[DONE]")
                await send({"type": "http.response.body", "body": b""})

    async def _event(self, send: Any, data: str) -> None:
        body = f"data: {data}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
