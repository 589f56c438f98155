"""Any server that speaks the OpenAI chat protocol, asked with patience and never twice for the same."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxuq.extraction.chat import DEFAULT_SETTINGS, ChatModel, ChatSettings, Reply, Request, Usage
from jaxuq.extraction.errors import ExtractionError
from jaxuq.study import digest, write_text

if TYPE_CHECKING:
    from httpx2 import Client, Response

KEY_VARIABLES = ("JAXUQ_API_KEY", "OPENAI_API_KEY")
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_HOPELESS = {401: "refuses the key", 403: "forbids the request", 404: "knows no such address or model"}
_LONGEST_BODY = 32 * 2**20  # bytes; a reply beyond that is no reply


class Patience(NamedTuple):
    """How long and how often a server is asked.

    Attributes:
        concurrency: requests under way at once.
        timeout: seconds without a byte from the server after which an attempt is given up.
        total: seconds after which an attempt is given up whatever comes in.
        attempts: for each request, the first included.
        backoff: seconds before the second attempt; doubled each time, with some chance, up to `longest`.
        longest: the most seconds between two attempts, also where the server asks for more (`Retry-After`).
    """

    concurrency: int = 8
    timeout: float = 60.0
    total: float = 600.0
    attempts: int = 6
    backoff: float = 1.0
    longest: float = 60.0


DEFAULT_PATIENCE = Patience()


class _TryAgain(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _Refused(Exception):
    """This request cannot succeed; others may."""


def open_endpoint(
    url: str,
    model: str,
    settings: ChatSettings = DEFAULT_SETTINGS,
    *,
    patience: Patience = DEFAULT_PATIENCE,
    stream: bool = False,
    cache: str | pathlib.Path | None = None,
    usage: Usage | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ChatModel:
    """A model behind an OpenAI-compatible server.

    The key is read from the environment (`JAXUQ_API_KEY`, else `OPENAI_API_KEY`) when a request is sent; none is needed
    for servers that ask for none. It is never part of a name, a cache entry, a message or an error. Replies are kept in
    the cache by a hash of all that decides them (address, model, settings, messages, number of the sample).

    Args:
        url: of the server, such as `http://localhost:8000/v1`; `/chat/completions` is added where it is missing.
        model: name of the model there.
        settings: how replies are made; sample `i` is asked for with `seed + i`.
        patience: timeouts and retries.
        stream: have replies sent in parts, so that a silent server is noticed early.
        cache: folder of earlier replies; None keeps none.
        usage: counts requests and tokens.
        sleep: waits between attempts.

    Returns:
        `ChatModel`. A request for which every attempt fails, or that the server refuses (too long, for instance), has a
        reply with an `error`; a refused key, an unknown model or an address that nobody serves raise.

    Raises:
        ExtractionError: the address is no http(s) URL, numbers are out of range, or the package `httpx2` is missing.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ExtractionError(f"the model's address is {_plain_url(url)!r}; expected http://... or https://...")
    if parts.username or parts.password or parts.query:
        raise ExtractionError(
            f"the model's address has a user, a password or a query; put a key into {KEY_VARIABLES[0]}, not there"
        )
    if patience.concurrency < 1 or patience.attempts < 1 or not patience.timeout > 0:
        raise ExtractionError(f"{patience} has a number out of range; expected one request, one attempt and a timeout")
    try:
        import httpx2
    except ImportError:
        raise ExtractionError("asking a server needs the package httpx2: pip install 'jaxuq[extraction]'") from None
    address = url.rstrip("/")
    address = address if address.endswith("/chat/completions") else f"{address}/chat/completions"
    limits = httpx2.Limits(max_connections=patience.concurrency, max_keepalive_connections=patience.concurrency)
    client = httpx2.Client(timeout=httpx2.Timeout(patience.timeout), limits=limits)
    asker = _Asker(client, address, model, settings, patience, stream, sleep, usage or Usage())
    folder = None if cache is None else pathlib.Path(cache)

    def one(request: Request) -> Reply:
        body = asker.body(request)
        entry = None if folder is None else folder / _entry(address, body)
        kept = None if entry is None else _read_entry(entry)
        reply = kept if kept is not None else asker.ask(body)
        if entry is not None and kept is None and not reply.error:
            write_text(entry, json.dumps(reply._asdict(), ensure_ascii=False))
        asker.count(reply)
        return reply

    def ask(requests: Sequence[Request]) -> list[Reply]:
        with concurrent.futures.ThreadPoolExecutor(patience.concurrency) as pool:
            futures = [pool.submit(one, request) for request in requests]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    return ChatModel(model, ask, 4 * patience.concurrency, digest(address, model, settings))


def _plain_url(url: str) -> str:
    """An address without what may be secret."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _entry(address: str, body: dict[str, Any]) -> str:
    decides = {"address": address, **{name: value for name, value in body.items() if not name.startswith("stream")}}
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{digest[:2]}/{digest}.json"


def _read_entry(path: pathlib.Path) -> Reply | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        pieces, log_probs = tuple(fields.pop("pieces")), tuple(map(float, fields.pop("log_probs")))
        return Reply(**{**fields, "pieces": pieces, "log_probs": log_probs, "cached": True})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # a damaged entry is asked for again


def _key() -> str:
    return next((value for name in KEY_VARIABLES if (value := os.environ.get(name, "").strip())), "")


class _Asker:
    """One server."""

    def __init__(
        self,
        client: "Client",
        address: str,
        model: str,
        settings: ChatSettings,
        patience: Patience,
        stream: bool,
        sleep: Callable[[float], None],
        usage: Usage,
    ):
        self._client, self._address, self._model, self._settings = client, address, model, settings
        self._patience, self._stream, self._sleep, self._usage = patience, stream, sleep, usage
        self._lock = threading.Lock()
        self._answered = False

    def body(self, request: Request) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": self._model,
            "messages": list(request.messages),
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "top_p": settings.top_p,
            "seed": settings.seed + request.sample,
        }
        if settings.log_probs:
            body["logprobs"] = True
        if self._stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def count(self, reply: Reply) -> None:
        with self._lock:
            self._usage.add(reply)

    def ask(self, body: dict[str, Any]) -> Reply:
        reason = ""
        for attempt in range(self._patience.attempts):
            try:
                reply = self._once(body)
                self._answered = True
                return reply
            except _Refused as error:
                return Reply("", error=str(error))
            except _TryAgain as error:
                reason = str(error)
                if attempt + 1 < self._patience.attempts:
                    with self._lock:
                        self._usage.retries += 1
                    wait = error.wait if error.wait is not None else self._backoff(attempt)
                    self._sleep(min(max(wait, 0.0), self._patience.longest))
        if reason.startswith("no connection") and not self._answered:
            raise ExtractionError(f"nobody answers at {self._address}: {reason}; is the server running?")
        return Reply("", error=f"{reason} ({self._patience.attempts} attempts)")

    def _backoff(self, attempt: int) -> float:
        return self._patience.backoff * 2**attempt * random.uniform(0.5, 1.0)

    def _once(self, body: dict[str, Any]) -> Reply:
        import httpx2

        key = _key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        until = time.monotonic() + self._patience.total
        try:
            with self._client.stream("POST", self._address, json=body, headers=headers) as response:
                if response.status_code != 200:
                    self._refuse(response, key)
                kind = response.headers.get("content-type", "")
                if "text/event-stream" in kind:
                    return _from_events(_limited(response.iter_lines(), until))
                content = b"".join(_limited(response.iter_bytes(), until))
        except httpx2.ConnectError as error:
            raise _TryAgain(f"no connection: {_hide(str(error), key)}") from None
        except httpx2.TimeoutException as error:
            raise _TryAgain(f"no answer in time ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.DecodingError) as error:
            raise _TryAgain(f"the connection broke: {_hide(str(error), key)}") from None
        try:
            return _from_object(json.loads(content))
        except (ValueError, RecursionError):
            raise _TryAgain("the server's reply is no JSON") from None

    def _refuse(self, response: "Response", key: str) -> None:
        status = response.status_code
        try:
            text = b"".join(_limited(response.iter_bytes(), time.monotonic() + 10))[:2000].decode("utf-8", "replace")
        except _TryAgain:
            text = ""
        said = _hide(" ".join(re.sub(r"[^\x20-\x7e\u00a0-\uffff]", " ", text).split())[:300], key)
        if status in _AGAIN:
            raise _TryAgain(f"status {status}: {said}", _retry_after(response.headers.get("retry-after")))
        if status in _HOPELESS:
            raise ExtractionError(f"{self._address} {_HOPELESS[status]} (status {status}): {said}")
        raise _Refused(f"status {status}: {said}")


def _hide(text: str, key: str) -> str:
    return text.replace(key, "***") if key else text


def _retry_after(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None  # a date: wait as usual


def _limited(chunks: Iterable[Any], until: float) -> Iterable[Any]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if time.monotonic() > until:
            raise _TryAgain("the reply takes too long")
        if size > _LONGEST_BODY:
            raise _TryAgain(f"the reply is longer than {_LONGEST_BODY} bytes")
        yield chunk


def _from_object(content: Any) -> Reply:
    """A reply from one JSON object."""
    try:
        choice, usage = content["choices"][0], content.get("usage") or {}
        text = choice["message"]["content"]
        pieces, log_probs = _token_log_probs(choice.get("logprobs"))
        counts = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise _TryAgain(f"the server's reply is no chat completion: {error!r}") from None
    if not isinstance(text, str | None):
        raise _TryAgain("the server's reply has no text")
    return Reply(text or "", "", str(choice.get("finish_reason") or "stop"), pieces, log_probs, *counts)


def _token_log_probs(part: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    entries = (part or {}).get("content") or []
    return tuple(str(entry["token"]) for entry in entries), tuple(float(entry["logprob"]) for entry in entries)


def _from_events(lines: Iterable[str]) -> Reply:
    """A reply from server-sent events; whole only if the server says that it ends."""
    text, finish, done = [], "", False
    pieces: list[str] = []
    log_probs: list[float] = []
    counts = (0, 0)
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            done = True
            break
        try:
            event = json.loads(data)
            if event.get("error"):
                raise _TryAgain(f"the server broke off: {str(event['error'])[:200]}")
            usage = event.get("usage") or {}
            if usage:
                counts = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
            for choice in event.get("choices", [])[:1]:
                part = (choice.get("delta") or {}).get("content") or ""
                text.append(part if isinstance(part, str) else "")
                more, values = _token_log_probs(choice.get("logprobs"))
                pieces += more
                log_probs += values
                finish = choice.get("finish_reason") or finish
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _TryAgain("an event of the stream is no JSON of a chat completion") from None
    if not done and not finish:
        raise _TryAgain("the stream ended before the reply did")
    return Reply("".join(text), "", finish or "stop", tuple(pieces), tuple(log_probs), *counts)
