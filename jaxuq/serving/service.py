"""The endpoints of the server, over any backend: replies whole, or as events while they grow."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from jaxuq.serving.counters import Counters
from jaxuq.serving.exchange import answered, failed, read_content, refused
from jaxuq.serving.jobs import Backend, BadRequest, Growth, TokenText
from jaxuq.serving.passing import LargerModel, passed_on
from jaxuq.serving.requests import Completion, read_embedding, read_loading
from jaxuq.serving.responses import embedding_list, error_object, head, part_choice, usage, whole_choice
from jaxuq.serving.worker import Task, Work, Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


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


class Service:
    """The endpoints.

    Args:
        backend: the model.
        worker: its thread.
        counters: of the server.
        larger: who is asked where an answer is withheld; None: nobody.
    """

    def __init__(self, backend: Backend, worker: Worker, counters: Counters, larger: LargerModel | None = None):
        self._backend, self._worker, self.counters, self._larger = backend, worker, counters, larger

    async def health(self, request: "Request") -> "Response":
        """Whether the server answers."""
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "ok"})

    async def metrics(self, request: "Request") -> "Response":
        """Counts, as Prometheus reads them."""
        from starlette.responses import PlainTextResponse

        text = self.counters.text(requests_running=self._worker.running, requests_waiting=self._worker.waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def models(self, request: "Request") -> "Response":
        """All models, or one."""
        from starlette.responses import JSONResponse

        entries = {
            one: {"id": one, "object": "model", "created": 0, "owned_by": "jaxuq"} for one in self._backend.names
        }
        name = request.path_params.get("name")
        if name is None:
            return JSONResponse({"object": "list", "data": [*entries.values()]})
        if name not in entries:
            return refused(BadRequest("there is no such model here", status=404, param="model", code="model_not_found"))
        return JSONResponse(entries[name])

    def answering(self, read: Callable[[Any, Backend], Completion]) -> Callable[..., Awaitable["Response"]]:
        """An endpoint that makes text of requests that `read` reads."""

        async def endpoint(request: "Request") -> Any:
            content = await read_content(request)
            wanted = await asyncio.to_thread(read, content, self._backend)
            task = self._worker.submit(self._work(wanted))
            return _Events(self, wanted, task) if wanted.stream else await self._whole(request, wanted, task)

        return answered(endpoint)

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
            async for number, item in self._items(wanted, task):
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

    def _items(self, wanted: Completion, task: Task) -> AsyncIterable[tuple[int, Any]]:
        """What comes of a task; answers that are withheld are those of the larger model, if there is one."""
        return task if self._larger is None else passed_on(self._larger, wanted, task)

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
        async for number, growth in self._items(wanted, task):
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

        wanted = await asyncio.to_thread(read_embedding, await read_content(request), self._backend)
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

            wanted = read_loading(await read_content(request), drop=drop)
            call = functools.partial(self._backend.drop, wanted.name)
            if wanted.path is not None:
                call = functools.partial(self._backend.load, wanted.name, wanted.path)
            async for _ in self._worker.submit(Work(calls=[(0, call)])):
                pass
            return JSONResponse({"status": "ok", "models": list(self._backend.names)})

        return answered(endpoint)

    @property
    def embeddings(self) -> Callable[..., Awaitable["Response"]]:
        """The endpoint of vectors."""
        return answered(self._embeddings)


class _Events:
    """A response of server-sent events, which ends its task when the client leaves."""

    def __init__(self, service: Service, wanted: Completion, task: Task):
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
                    await self._event(send, json.dumps(error_object(failed(error), 500)))
                else:
                    await self._event(send, "[DONE]")
                await send({"type": "http.response.body", "body": b""})

    async def _event(self, send: Any, data: str) -> None:
        body = f"data: {data}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
