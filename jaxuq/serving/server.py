"""A small server that speaks the OpenAI chat protocol, for jaxuq's own models on one machine."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jaxuq.language import Answer, LanguageModel

_LONGEST_REQUEST = 8 * 2**20  # bytes
_ROLES = ("system", "user", "assistant", "tool")


class Piece(NamedTuple):
    """What a backend gives, token by token.

    Attributes:
        text: that the reply grows by.
        log_prob: of the token; None where the backend does not know.
        finish: `"stop"` or `"length"` with the last piece, else empty.
        prompt_tokens: length of the prompt.
    """

    text: str
    log_prob: float | None = None
    finish: str = ""
    prompt_tokens: int = 0


class BadRequest(ValueError):
    """A request that the server refuses with status 400; the message is what the client is told."""


Backend = Callable[[dict[str, Any]], Iterator[Piece]]


def language_backend(model: "LanguageModel") -> Backend:
    """Answer with a model of `jaxuq.language`, one request at a time.

    Args:
        model: from `jaxuq.language.load_model`.

    Returns:
        A function from a request's JSON to the pieces of its reply.
    """
    import queue

    from jaxuq.language import PromptError, Sampling, encode_prompt, generate

    lock = threading.Lock()
    context = model.functions.max_positions

    def answer(request: dict[str, Any]) -> Iterator[Piece]:
        messages = request["messages"]
        try:
            prompt = len(encode_prompt(model.tokenizer, messages))
        except PromptError as error:
            raise BadRequest(str(error)) from None
        wanted = request["max_tokens"] or max(1, min(1024, context - prompt))
        if prompt + wanted > context:
            raise BadRequest(
                f"the prompt has {prompt} tokens and the answer may have {wanted}: the context is {context} tokens"
            )
        top_p = None if request["top_p"] >= 1 else request["top_p"]
        options = {
            "max_new_tokens": wanted,
            "sampling": Sampling(request["temperature"], None, top_p),
            "rng_key": request["seed"],
            "stop": request["stop"],
            "batch_size": 1,
        }
        if not request["stream"]:  # without a look at every token
            with lock:
                (made,) = generate(model, [messages], **options)
            yield from _pieces(model, made)
            yield Piece("", None, "length" if made.finish == "length" else "stop", prompt)
            return
        pieces: queue.Queue[Piece | BaseException] = queue.Queue()

        def work() -> None:
            try:
                with lock:
                    (made,) = generate(
                        model, [messages], on_token=lambda new: pieces.put(Piece(new.text, new.log_prob)), **options
                    )
                pieces.put(Piece("", None, "length" if made.finish == "length" else "stop", prompt))
            except BaseException as error:
                pieces.put(error)

        threading.Thread(target=work, daemon=True).start()
        while True:
            piece = pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            if piece.finish:
                return

    return answer


def _pieces(model: "LanguageModel", answer: "Answer") -> Iterator[Piece]:
    from jaxuq.language import TextStream

    stream, left = TextStream(model.tokenizer), answer.text
    last = len(answer.tokens) - 1
    for number, (token, log_prob) in enumerate(zip(answer.tokens, answer.log_probs)):
        text = stream.push(int(token), last=number == last)
        text, left = left[: len(text)], left[len(text) :]  # nothing of a stop string
        yield Piece(text, float(log_prob))


def make_server(backend: Backend, name: str, *, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server, bound but not yet serving: call `serve_forever`.

    It answers `POST /v1/chat/completions` (whole or streamed), `GET /v1/models` and `GET /health`. It asks for no key
    and is meant for the machine that it runs on.

    Args:
        backend: makes replies.
        name: of the model.
        host: the address to listen at.
        port: 0 takes a free one (`server.server_address[1]`).

    Returns:
        The server.

    Raises:
        OSError: the port is taken.
    """

    class Handler(_Handler):
        answer = staticmethod(backend)
        model_name = name

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def _number(
    fields: dict[str, Any], name: str, otherwise: float | int, low: float | int, high: float | int
) -> float | int:
    value = fields.get(name)
    value = otherwise if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequest(f"{name} is {value!r}; expected a number from {low} to {high}")
    return value


def check_request(fields: Any) -> dict[str, Any]:
    """A request with every field that a backend reads, or an error that says which one is wrong.

    Args:
        fields: the request's JSON.

    Returns:
        `messages`, `temperature`, `top_p`, `max_tokens` (0: as many as fit), `seed`, `stop`, `stream`, `logprobs`.

    Raises:
        BadRequest: a field is missing or of another form.

    Example:
        >>> check_request({"messages": [{"role": "user", "content": "Hi"}]})["temperature"]
        1.0
    """
    if not isinstance(fields, dict):
        raise BadRequest("the request is no JSON object")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages is missing; expected a list with at least one message")
    for number, message in enumerate(messages):
        known = isinstance(message, dict) and message.get("role") in _ROLES
        if not known or not isinstance(message.get("content"), str):
            raise BadRequest(f"message {number} needs a role ({', '.join(_ROLES)}) and content that is text")
    if fields.get("n") not in (None, 1):
        raise BadRequest("n is not supported; ask once for each reply")
    stop = fields.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise BadRequest("stop is no text or list of texts")
    longest = fields.get("max_tokens", fields.get("max_completion_tokens"))
    return {
        "messages": [{"role": m["role"], "content": m["content"]} for m in messages],
        "temperature": float(_number(fields, "temperature", 1.0, 0.0, 100.0)),
        "top_p": float(_number(fields, "top_p", 1.0, 1e-6, 1.0)),
        "max_tokens": 0 if longest is None else int(_number({"max_tokens": longest}, "max_tokens", 0, 1, 1e6)),
        "seed": int(_number(fields, "seed", 0, -(2**31), 2**31 - 1)),
        "stop": stop,
        "stream": bool(fields.get("stream")),
        "usage": bool((fields.get("stream_options") or {}).get("include_usage")),
        "logprobs": bool(fields.get("logprobs")),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Backend
    model_name = ""
    timeout = 120

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests may be confidential."""

    def do_GET(self) -> None:
        if self.path.rstrip("/") in ("/v1/models", "/models"):
            entry = {"id": self.model_name, "object": "model", "created": 0, "owned_by": "jaxuq"}
            self._send(200, {"object": "list", "data": [entry]})
        elif self.path == "/health":
            self._send(200, {"status": "ok"})
        else:
            self._fail(404, f"there is nothing at {self.path}; POST to /v1/chat/completions")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            return self._fail(411, "the request has no Content-Length")
        if not 0 <= length <= _LONGEST_REQUEST:
            self.close_connection = True
            return self._fail(413, f"the request has {length} bytes; at most {_LONGEST_REQUEST} are read")
        content = self.rfile.read(length)
        if self.path.rstrip("/") not in ("/v1/chat/completions", "/chat/completions"):
            return self._fail(404, f"there is nothing at {self.path}; POST to /v1/chat/completions")
        try:
            request = check_request(json.loads(content))
            pieces = type(self).answer(request)
            first = next(pieces)  # what is wrong with a prompt shows here, before a stream begins
        except (BadRequest, ValueError, RecursionError) as error:
            return self._fail(400, str(error) if isinstance(error, BadRequest) else f"the request is wrong: {error}")
        except StopIteration:
            return self._fail(500, "the model gave no reply")
        except Exception as error:  # a request must not end the server
            return self._fail(500, f"the model failed: {type(error).__name__}")
        (self._stream if request["stream"] else self._whole)(request, first, pieces)
        return None

    def _whole(self, request: dict[str, Any], first: Piece, pieces: Iterator[Piece]) -> None:
        made = [first]
        try:
            made += pieces
        except Exception as error:
            return self._fail(500, f"the model failed: {type(error).__name__}")
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(piece.text for piece in made)},
            "finish_reason": made[-1].finish or "stop",
            "logprobs": _log_probs(made) if request["logprobs"] else None,
        }
        self._send(200, {**self._head("chat.completion"), "choices": [choice], "usage": _usage(made)})
        return None

    def _stream(self, request: dict[str, Any], first: Piece, pieces: Iterator[Piece]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        made: list[Piece] = []
        head = self._head("chat.completion.chunk")

        def event(choices: list[dict[str, Any]], **more: Any) -> None:
            self.wfile.write(f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode())
            self.wfile.flush()

        try:
            event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
            for piece in _chained(first, pieces):
                made.append(piece)
                choice = {"index": 0, "delta": {"content": piece.text}, "finish_reason": piece.finish or None}
                if request["logprobs"]:
                    choice["logprobs"] = _log_probs([piece])
                event([choice])
            if request["usage"]:
                event([], usage=_usage(made))
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # the client has gone
        except Exception as error:
            event([], error={"message": f"the model failed: {type(error).__name__}"})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"jaxuq-{time.time_ns():x}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model_name,
        }

    def _fail(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._send(status, {"error": {"message": message, "type": kind, "code": status}})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _chained(first: Piece, rest: Iterator[Piece]) -> Iterator[Piece]:
    yield first
    yield from rest


def _log_probs(pieces: list[Piece]) -> dict[str, Any]:
    known = [piece for piece in pieces if piece.log_prob is not None]
    return {"content": [{"token": piece.text, "logprob": piece.log_prob, "top_logprobs": []} for piece in known]}


def _usage(pieces: list[Piece]) -> dict[str, int]:
    prompt = max((piece.prompt_tokens for piece in pieces), default=0)
    written = sum(1 for piece in pieces if piece.log_prob is not None or (piece.text and not piece.finish))
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
