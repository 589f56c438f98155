"""Who may ask: the checks before a request is read, so that no web page can speak to a server on its reader's machine.

A page on the internet can post to `localhost`, and by rebinding its own name to 127.0.0.1 can read what comes back. The
first has an `Origin` of another host, or a content type that is no JSON's; the second has the page's name as `Host`.
"""

import hmac
import ipaddress
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from jaxuq.serving.counters import Counters
from jaxuq.serving.jobs import BadRequest
from jaxuq.serving.secrecy import is_loopback
from jaxuq.serving.static_page import PAGE_PATHS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/chat/completions", "/completions"),
    *(*PAGE_PATHS, "/embeddings", "/models", "/health", "/metrics", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"),
)


def split_host(value: str) -> str:
    """The host of a `Host` header, without port; empty where it is none.

    Args:
        value: such as `localhost:8000` or `[::1]:8000`.

    Returns:
        Lower case, without brackets.

    Example:
        >>> split_host("LocalHost:8000"), split_host("[::1]:80"), split_host("a@b"), split_host("a:b")
        ('localhost', '::1', '', '')
    """
    try:
        parts = urllib.parse.urlsplit(f"//{value}")
        _ = parts.port
    except ValueError:
        return ""
    plain = parts.netloc == value and "@" not in value
    return (parts.hostname or "").rstrip(".").casefold() if plain else ""


class Guard:
    """An ASGI application around another, which refuses what should not come in, and counts.

    Attributes:
        under_way: requests that are being answered.
        stopping: whether further ones are refused (503), because the server ends once those under way are answered.

    Args:
        inner: the application.
        refuse: sends an error.
        host: that the server listens at.
        hosts: further names by which clients may call it.
        key: that clients must have; empty: none.
        counters: of the server.
    """

    def __init__(
        self,
        inner: Application,
        refuse: Callable[[BadRequest, Scope, Receive, Send], Awaitable[None]],
        *,
        host: str,
        hosts: Iterable[str],
        key: str,
        counters: Counters,
    ):
        self._inner, self._refuse, self._counters = inner, refuse, counters
        self._hosts = {split_host(one) for one in hosts} | {host.casefold()}
        self._local, self._key = is_loopback(host), key.encode()
        self.under_way, self.stopping = 0, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, count."""
        if scope["type"] != "http":
            return
        began, status = time.monotonic(), 0

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.under_way += 1
        try:
            self._check(scope)
        except BadRequest as error:
            await self._refuse(error, scope, receive, counted)
        else:
            await self._inner(scope, receive, counted)
        finally:
            self.under_way -= 1
        path = scope["path"].rstrip("/") or "/"
        path = path if path in PATHS else "/v1/models" if path.startswith("/v1/models/") else "other"
        self._counters.add("requests_total", path=path, status=status)
        self._counters.add("request_seconds_total", time.monotonic() - began, path=path)

    def _check(self, scope: Scope) -> None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._known(split_host(hosts[0])):
            raise BadRequest("this server is not called by that Host; start it with --allow-host NAME", status=403)
        if scope["method"] in ("GET", "HEAD") and scope["path"] in PAGE_PATHS:
            return  # the page itself: nothing but this package's files, to be opened from anywhere
        own = (f"http://{hosts[0]}".casefold(), f"https://{hosts[0]}".casefold())
        if any(one.casefold() not in own for one in headers.get("origin", [])):
            raise BadRequest("requests from pages of another origin are refused", status=403)
        if headers.get("sec-fetch-site", ["none"])[0] not in ("none", "same-origin"):
            raise BadRequest("requests from pages of another site are refused", status=403)
        if self._key and scope["path"].rstrip("/") != "/health":
            given = headers.get("authorization", [""])
            scheme, _, word = given[0].partition(" ")
            right = hmac.compare_digest(word.strip().encode("latin-1"), self._key)
            if len(given) != 1 or scheme.casefold() != "bearer" or not right:
                raise BadRequest("the key is missing or wrong", status=401, code="invalid_api_key")
        if self.stopping and scope["path"].rstrip("/") != "/metrics":
            raise BadRequest("the server is stopping", status=503, code="stopping")
        if scope["method"] == "POST":
            kinds = headers.get("content-type", [""])
            if len(kinds) != 1 or kinds[0].partition(";")[0].strip().casefold() != "application/json":
                raise BadRequest("the request needs the header Content-Type: application/json", status=415)

    def _known(self, host: str) -> bool:
        if is_loopback(host) or host in self._hosts:
            return bool(host)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return not self._local  # a number is nobody's to rebind
