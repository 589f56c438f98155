"""Make the golden files of OpenAI's client: completions that it received, as its own objects write themselves down.

    python tests/confidence/golden/make_completions.py

Needs openai 3.57.0 (Apache-2.0). The server is a few lines of Python's own, whose answers are a table here: the fields
are those of OpenAI's server and of vLLM's.
"""

import contextlib
import http.server
import json
import math
import pathlib
import threading

SAID = (  # answers of three choices: tokens and their log-probabilities
    ((("Par", -0.05), ("is", -0.01)), (("Paris", -0.25),), (("Ly", -2.5), ("on", -0.5))),
    ((("Lim", -0.75), ("a", -0.125)), (("Lim", -0.75), ("a", -0.125)), (("Quito", -2.0),)),
    ((("Jane", -0.5), (" Austen", -0.0625)), (("Austen", -1.0),), (("Jane", -0.5), (" Eyre", -3.0))),
    ((("Sydney", -0.375),), (("Canberra", -1.25),), (("Canberra", -1.25),)),
)
TRUTHS = ("Paris", "Lima", "Jane Austen", "Canberra")


def likeliest(piece: str, value: float) -> list[tuple[str, float]]:
    """The likeliest tokens at a place: the chosen one and another."""
    return [(piece, value), ("~", math.log1p(-math.exp(value)) - 0.25)]


def chat(number: int) -> dict:
    """A chat completion."""
    choices = []
    for index, pieces in enumerate(SAID[number]):
        content = [
            {"token": piece, "logprob": value, "bytes": list(piece.encode()),
             "top_logprobs": [{"token": name, "logprob": one, "bytes": list(name.encode())}
                              for name, one in likeliest(piece, value)]}
            for piece, value in pieces
        ]  # fmt: skip
        message = {"role": "assistant", "content": "".join(piece for piece, _ in pieces), "refusal": None,
                   "annotations": []}  # fmt: skip
        choices.append({"index": index, "message": message, "finish_reason": "stop",
                        "logprobs": {"content": content, "refusal": None}})  # fmt: skip
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1700000000 + number, "model": "table",
            "choices": choices, "usage": usage, "service_tier": "default", "system_fingerprint": None}  # fmt: skip


def text(number: int) -> dict:
    """A completion of the older form, with what vLLM adds."""
    choices = []
    for index, pieces in enumerate(SAID[number]):
        starts = [len("".join(piece for piece, _ in pieces[:place])) for place in range(len(pieces))]
        told = {"tokens": [piece for piece, _ in pieces], "token_logprobs": [value for _, value in pieces],
                "top_logprobs": [dict(likeliest(*one)) for one in pieces], "text_offset": starts}  # fmt: skip
        choices.append({"index": index, "text": "".join(piece for piece, _ in pieces), "logprobs": told,
                        "finish_reason": "stop", "stop_reason": None, "prompt_logprobs": None})  # fmt: skip
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": None}
    return {"id": f"cmpl-{number}", "object": "text_completion", "created": 1700000000 + number, "model": "table",
            "choices": choices, "usage": usage, "kv_transfer_params": None}  # fmt: skip


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = int(asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"])
        body = json.dumps((chat if "messages" in asked else text)(number)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def table():
    """A server that answers by the table; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


def write(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """What the client received, in each way in which its objects write themselves.

    Args:
        folder: to write into.

    Returns:
        The files, by their names.
    """
    import openai

    folder.mkdir(parents=True, exist_ok=True)
    with table() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        more = {"model": "table", "n": 3}
        chats = [
            client.chat.completions.create(
                messages=[{"role": "user", "content": str(number)}], logprobs=True, top_logprobs=2, **more
            )
            for number in range(len(SAID))
        ]
        texts = [client.completions.create(prompt=str(number), logprobs=2, **more) for number in range(len(SAID))]
    for name, made in (("chat", chats), ("text", texts)):
        (folder / f"{name}.jsonl").write_text("".join(one.to_json(indent=None) + "\n" for one in made))
        (folder / f"{name}_indented.json").write_text("".join(one.to_json() + "\n" for one in made))
        (folder / f"{name}_dumped.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in made))
        (folder / f"{name}_list.json").write_text(json.dumps([one.to_dict() for one in made]))
    return {path.name: path for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    import openai

    write(pathlib.Path(__file__).parent / f"openai-{openai.__version__}")
