"""Servers that repeat the key in every way a reply has room for: bytes on a socket, drawn at random."""

import base64
import contextlib
import html
import json
import random
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator


def disguises(key: str) -> list[str]:
    """The key, and what stands for it."""
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    return [
        key,
        key.upper(),
        f"Bearer {key}",
        f"https://user:{key}@host/v1?api_key={key}",
        basic,
        base64.b64encode(key.encode()).decode(),
        base64.urlsafe_b64encode(f"Bearer {key}".encode()).decode().rstrip("="),
        "".join(f"%{ord(letter):02X}" for letter in key),
        urllib.parse.quote(key),
        "".join(f"\\u{ord(letter):04x}" for letter in key),
        "".join(f"&#{ord(letter)};" for letter in key),
        html.escape(key),
        key.encode().hex(),
        f"{key[:5]}**{key[5:]}**",
        "\n".join(key),
        "\\n".join(key),
        "\\\\t".join(key),
        json.dumps(json.dumps({"key": key})),
    ]


def shows(content: bytes, key: str) -> list[str]:
    """The disguises in what was written, and the key where removing marks and escapes would put it together."""
    found = [one for one in disguises(key) if one.encode() in content or one.encode("unicode_escape") in content]
    bare = "".join(filter(str.isalnum, html.unescape(urllib.parse.unquote(content.decode("utf-8", "replace")))))
    return found + ["marks"] * ("".join(filter(str.isalnum, key)).casefold() in bare.casefold())


def reply(rng: random.Random, key: str) -> bytes:
    """A response of any kind, all of it."""
    said = rng.choice(disguises(key))
    pad = "x" * rng.choice([0, 3, 290, 1995, 65_530])
    evil = rng.choice([said, pad + said, [said], {said: said}, {"message": said}, {"a": [pad + said]}])
    number = rng.choice([said, -1, 1.5, True, None, "7", 10**400, [said], {"n": said}, float("nan")])
    usage = {"prompt_tokens": number, "completion_tokens": number, said: 1}
    cut = rng.randrange(1, len(key))
    tokens = [{"token": rng.choice([key[:cut], key[cut:], said]), "logprob": rng.choice([-0.5, said, None])}] * 2
    split = [{"token": part, "logprob": -0.1} for part in (key[:cut], key[cut:], " Ada")]
    logprobs = rng.choice([None, said, {"content": tokens}, {"content": split}, {"content": said}])
    text = rng.choice(
        [said, f"| Person |\n|---|\n| {said} |\n", f"| {said} |\n|---|\n| Ada |\n", "| Person |\n|---|\n| Ada |"]
    )
    message = {"role": said, "content": rng.choice([text, text, evil]), said: said}
    choice = {"message": message, "finish_reason": rng.choice(["stop", said, [said], None]), "logprobs": logprobs}
    whole = rng.choice([{"choices": [choice], "usage": usage}, {"choices": evil}, {"error": evil}, [evil], evil])
    parts = [{"choices": [{"delta": {"content": part}}]} for part in (key[:cut], key[cut:], text)]
    ends = [
        {"error": evil},
        {"choices": [{"delta": {}, "finish_reason": "stop", "logprobs": logprobs}], "usage": usage},
        {"choices": evil},
        {"usage": {"prompt_tokens": said}, "choices": []},
    ]
    events = [*parts[: rng.randrange(4)], rng.choice(ends)]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + rng.choice(["", "data: [DONE]\n\n", said])
    kind, body = rng.choice(
        [
            ("application/json", json.dumps(whole).encode()),
            ("application/json", json.dumps(whole).encode()[: rng.randrange(1, 400)]),
            ("text/event-stream", stream.encode()),
            ("text/html", f"<p>{pad}{said}</p>".encode()),
            (said.replace("\n", " "), b"\x1f\x8b" + said.encode()),
        ]
    )
    plain = said.replace("\n", " ")
    status = rng.choice(
        ["200"] * 6 + ["301", "302", "307", "308", "400", "413", "422", "429", "500", "503", "599", "700"]
    )
    status = rng.choice([status] * 99 + ["401"])
    reason = rng.choice(["OK", plain, ""])
    headers = [
        f"Content-Type: {kind}",
        f"X-Key: {plain}",
        f"Set-Cookie: key={plain}",
        f"Retry-After: {rng.choice(['0', plain])}",
    ]
    if status[0] == "3" or rng.random() < 0.1:
        headers.append(
            f"Location: {rng.choice([f'https://elsewhere/{plain}', f'https://u:{plain}@elsewhere/?k={plain}', plain])}"
        )
    headers.append(
        rng.choice(
            [
                f"Content-Length: {len(body)}",
                "Content-Length: 100000",
                f"Content-Encoding: {plain}",
                "Content-Encoding: gzip",
            ]
        )
    )
    head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{one}\r\n" for one in headers) + "Connection: close\r\n\r\n"
    return rng.choice([head.encode() + body] * 20 + [f"{plain}\r\n\r\n".encode(), head.encode()[:-20], b""])


def _more(connection: socket.socket) -> bytes:
    """What comes next; an OSError where the client has gone, who would be waited for without end."""
    some = connection.recv(65536)
    if not some:
        raise ConnectionResetError("the client has gone")
    return some


def all_at_once(reply: bytes) -> Iterator[bytes]:
    """A reply as it is."""
    yield reply


def in_pieces(rng: random.Random, pause: float) -> Callable[[bytes], Iterator[bytes]]:
    """Replies that come late, in pieces with pauses between them, or break off."""

    def pieces(reply: bytes) -> Iterator[bytes]:
        while reply:
            size = rng.choice([1, 10, 100, 1000]) if rng.random() < 0.4 else len(reply)
            if rng.random() < 0.1:
                threading.Event().wait(rng.random() * pause)
            if rng.random() < 0.03:
                raise ConnectionResetError("enough said")
            yield reply[:size]
            reply = reply[size:]

    return pieces


@contextlib.contextmanager
def hostile_server(respond, *, host: str = "127.0.0.1", pace: Callable[[bytes], Iterator[bytes]] = all_at_once):
    """Answers every connection with the bytes of `respond(head, body)`; gives the address and what was asked."""
    listener = socket.create_server((host, 0), backlog=64)
    listener.settimeout(0.1)
    seen: list[bytes] = []
    done = threading.Event()

    def answer(connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            request = b""
            while b"\r\n\r\n" not in request:
                request += _more(connection)
            head, _, body = request.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            while len(body) < length:
                body += _more(connection)
            seen.append(head)
            for piece in pace(respond(head, body)):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    def accept():
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}/v1", seen
    finally:
        done.set()
        thread.join()
        listener.close()
