"""Any server that speaks the OpenAI chat protocol, asked with patience and never twice for the same."""

import concurrent.futures
import hashlib
import json
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

from jaxuq._extras import needed_package
from jaxuq.extraction.chat import DEFAULT_SETTINGS, ChatModel, ChatSettings, Reply, Request, Usage
from jaxuq.serving.errors import ServingError
from jaxuq.serving.patience import DEFAULT_PATIENCE, Asker, Patience
from jaxuq.serving.replies import reply_of_record
from jaxuq.serving.secrecy import KEY_VARIABLES, environment_secrets, guard_logs, is_loopback, key_for, plain_url
from jaxuq.study import digest, write_text


def open_endpoint(
    url: str,
    model: str,
    settings: ChatSettings = DEFAULT_SETTINGS,
    *,
    patience: Patience = DEFAULT_PATIENCE,
    stream: bool = False,
    cache: str | pathlib.Path | None = None,
    usage: Usage | None = None,
    insecure: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> ChatModel:
    """A model behind an OpenAI-compatible server.

    The key is read from the environment (`JAXUQ_API_KEY`, else `OPENAI_API_KEY`) when a request is sent; none is needed
    for servers that ask for none. It goes to the host that it belongs to and nowhere else (see `key_for`): redirects
    are not followed, and no proxy stands between this machine and itself. It is never part of a name, a cache entry, a
    reply, a message, a log record or an error, whatever the server sends. Replies are kept in the cache by a hash of
    all that decides them (address, model, settings, messages, number of the sample).

    Args:
        url: of the server, such as `http://localhost:8000/v1`; `/chat/completions` is added where it is missing.
        model: name of the model there.
        settings: how replies are made; sample `i` is asked for with `seed + i`.
        patience: timeouts and retries.
        stream: have replies sent in parts, so that a silent server is noticed early.
        cache: folder of earlier replies; None keeps none.
        usage: counts requests and tokens.
        insecure: send a key by plain http to another machine.
        sleep: waits between attempts.

    Returns:
        `ChatModel`. A request for which every attempt fails, or that the server refuses (too long, for instance), has a
        reply with an `error`; a refused key, an unknown model or an address that nobody serves raise.

    Raises:
        ServingError: the address is no http(s) URL, its key would be readable on the way, numbers are out of range,
            or the package `httpx2` is missing.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ServingError("the model's address cannot be read; expected http://... or https://...") from None
    if not known:
        raise ServingError(f"the model's address is {plain_url(url)!r}; expected http://... or https://...")
    if parts.username or parts.password or parts.query:
        raise ServingError(
            f"the model's address has a user, a password or a query; put a key into {KEY_VARIABLES[0]}, not there"
        )
    if environment_secrets().hide(url + " " + model) != url + " " + model:
        raise ServingError(f"the address or the model's name has a key in it; only {KEY_VARIABLES[0]} may hold one")
    if patience.concurrency < 1 or patience.attempts < 1 or not patience.timeout > 0:
        raise ServingError(f"{patience} has a number out of range; expected one request, one attempt and a timeout")
    key_for(url, insecure=insecure)
    httpx2 = needed_package("httpx2", "asking a server")
    address = url.rstrip("/")
    address = address if address.endswith("/chat/completions") else f"{address}/chat/completions"
    limits = httpx2.Limits(max_connections=patience.concurrency, max_keepalive_connections=patience.concurrency)
    client = httpx2.Client(
        timeout=httpx2.Timeout(patience.timeout),
        limits=limits,
        follow_redirects=False,
        trust_env=not is_loopback(parts.hostname or ""),
    )
    guard_logs("httpx2", "httpcore2")
    asker = Asker(client, address, model, settings, patience, stream, sleep, usage or Usage(), insecure)
    folder = None if cache is None else pathlib.Path(cache)

    def one(request: Request) -> Reply:
        body = asker.body(request)
        entry = None if folder is None else folder / _entry(address, body)
        kept = None if entry is None else _read_entry(entry)
        reply = guarded_reply(lambda: kept if kept is not None else asker.ask(body))
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


def guarded_reply(make: Callable[[], Reply]) -> Reply:
    """The one exit: a reply, or an error, without secrets. What goes wrong unforeseen costs this request only."""
    secrets = environment_secrets()
    try:
        reply = make()
    except ServingError as error:
        raise ServingError(secrets.hide(str(error))) from None
    except Exception as error:
        reply = Reply("", error=f"the reply could not be read ({type(error).__name__})")
    hidden = reply._replace(**{name: secrets.hide(getattr(reply, name)) for name in ("text", "error", "finish")})
    said = "".join(reply.pieces)
    if hidden != reply or secrets.hide(said) != said:
        return hidden._replace(pieces=(), log_probs=())  # a secret may be spread over several
    return hidden


def _entry(address: str, body: dict[str, Any]) -> str:
    decides = {"address": address, **{name: value for name, value in body.items() if not name.startswith("stream")}}
    name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{name[:2]}/{name}.json"


def _read_entry(path: pathlib.Path) -> Reply | None:
    try:
        return reply_of_record(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None  # there is none, or a damaged one: asked for (again)
