"""A server that speaks the chat protocol, asked again where that may help; all that it sends is a reply or an error."""

import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxuq.extraction.chat import ChatSettings, Reply, Request, Usage
from jaxuq.serving.errors import ServingError
from jaxuq.serving.replies import BrokenOff, UnreadableReply, reply_from_events, reply_from_json
from jaxuq.serving.secrecy import KEY_VARIABLES, environment_secrets, key_for, plain_url

if TYPE_CHECKING:
    from httpx2 import Client, Response

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_HOPELESS = {401: "refuses the key", 403: "forbids the request", 404: "knows no such address or model"}
_LONGEST_BODY = 32 * 2**20  # bytes; a reply beyond that is no reply
_LONGEST_ERROR = 2**16  # bytes that are read of an error
_SAID = 300  # characters of what a server says that are shown


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


def chat_body(model: str, settings: ChatSettings, request: Request) -> dict[str, Any]:
    """A request as the protocol has it.

    Args:
        model: its name at the server.
        settings: how replies are made; sample `i` is asked for with `seed + i`.
        request: what is asked.

    Returns:
        The object; the same whoever is asked, so that replies can be kept under it.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": list(request.messages),
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "top_p": settings.top_p,
        "seed": settings.seed + request.sample,
    }
    if settings.log_probs:
        body["logprobs"] = True
    if request.form is not None:
        form = request.form
        choices = {name: list(some) for name, some in form.choices}
        body["jaxuq"] = {"table": {"columns": list(form.columns), "text": form.text, "choices": choices}}
    return body


class Asker:
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
        insecure: bool,
    ):
        self._client, self._address, self._model, self._settings = client, address, model, settings
        self._patience, self._stream, self._sleep, self._usage = patience, stream, sleep, usage
        self._insecure, self._lock, self._answered = insecure, threading.Lock(), False

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent."""
        body = chat_body(self._model, self._settings, request)
        if self._stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def count(self, reply: Reply) -> None:
        """Add a reply to what was used."""
        with self._lock:
            self._usage.add(reply)

    def ask(self, body: dict[str, Any]) -> Reply:
        """The reply, or an error after the last attempt."""
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
            raise ServingError(f"nobody answers at {plain_url(self._address)}: {reason}; is the server running?")
        return Reply("", error=f"{reason} ({self._patience.attempts} attempts)")

    def _backoff(self, attempt: int) -> float:
        return self._patience.backoff * 2**attempt * random.uniform(0.5, 1.0)

    def _once(self, body: dict[str, Any]) -> Reply:
        import httpx2

        key = key_for(self._address, insecure=self._insecure)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        until = time.monotonic() + self._patience.total
        try:
            with self._client.stream("POST", self._address, json=body, headers=headers) as response:
                if response.status_code != 200:
                    self._refuse(response, bool(key))
                if "text/event-stream" in response.headers.get("content-type", ""):
                    return reply_from_events(_lines(_limited(response.iter_bytes(), until)))
                return reply_from_json(b"".join(_limited(response.iter_bytes(), until)))
        except httpx2.ConnectError as error:
            raise _TryAgain(f"no connection: {_said(str(error))}") from None
        except httpx2.TimeoutException as error:
            raise _TryAgain(f"no answer in time ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.DecodingError) as error:
            raise _TryAgain(f"the connection broke: {_said(str(error))}") from None
        except BrokenOff as error:
            raise _TryAgain(f"the server broke off: {_said(str(error))}") from None
        except UnreadableReply as error:
            raise _TryAgain(str(error)) from None

    def _refuse(self, response: "Response", keyed: bool) -> None:
        status = response.status_code
        location = response.headers.get("location")
        if location is not None and 300 <= status < 400:
            raise _Refused(
                f"status {status}, Location {_said(plain_url(location))}: redirects are not followed, since the key "
                "and the texts are meant for the address given; give the new one if you trust it"
            )
        content = b""
        try:
            for chunk in _limited(response.iter_bytes(), time.monotonic() + 10):
                content += chunk
                if len(content) > _LONGEST_ERROR:
                    break
        except _TryAgain:
            pass
        said = _said(content[:_LONGEST_ERROR].decode("utf-8", "replace"), cut=len(content) > _LONGEST_ERROR)
        if status in _AGAIN:
            raise _TryAgain(f"status {status}: {said}", _retry_after(response.headers.get("retry-after")))
        if status in _HOPELESS:
            kept = "" if keyed or status != 401 else f"; no key was sent, {KEY_VARIABLES[0]} may hold one"
            raise ServingError(f"{self._address} {_HOPELESS[status]} (status {status}): {said}{kept}")
        raise _Refused(f"status {status}: {said}")


def _said(text: str, *, cut: bool = False) -> str:
    """What a server says, fit for a line: secrets first, so that no shortening leaves half of one."""
    text = environment_secrets().hide(text, cut=cut)
    return " ".join(re.sub(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffef]", " ", text).split())[:_SAID]


def _retry_after(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None  # a date: wait as usual
    return None if math.isnan(seconds) else seconds


def _lines(chunks: Iterable[bytes]) -> Iterable[str]:
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace").strip("\r") for line in whole)
    yield left.decode("utf-8", "replace")


def _limited(chunks: Iterable[bytes], until: float) -> Iterable[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if time.monotonic() > until:
            raise _TryAgain("the reply takes too long")
        if size > _LONGEST_BODY:
            raise _TryAgain(f"the reply is longer than {_LONGEST_BODY} bytes")
        yield chunk
