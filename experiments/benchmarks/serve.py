"""Many clients of `jaxuq serve` at once against one after another, with SmolLM2-135M on this machine.

    python experiments/benchmarks/serve.py [--clients 32] [--new-tokens 64] [--rounds 2]

One process serves (a subprocess), this one asks: prompts of 20 to 120 words, answers of 64 tokens, streamed. In turns,
in one run: `alone`, each request sent when the last is answered (a few of them: every one takes as long as the next);
and `together`, all clients at once. Printed are tokens a second, the ratio, seconds to the first token, and whether the
texts are equal; a first round, in which programs are compiled, does not count. Other work on a machine slows both.

    python experiments/benchmarks/serve.py --price [--clients 8] [--rounds 5]

What confidence costs: the same requests in turns, without and with `{"confidence": true, "chain": true}`, not streamed,
all clients at once. Printed are tokens a second of both and the share that is lost, with its spread over the rounds; so
too by the server's processor time (on Linux), which other work on the machine disturbs less.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

WORDS = (
    "river",
    "stone",
    "winter",
    "garden",
    "question",
    "number",
    "music",
    "window",
    "letter",
    "city",
    "bird",
    "road",
)


def body(number: int, new_tokens: int) -> dict:
    """The request of a client: a prompt of its own, of a length of its own."""
    words = " ".join(WORDS[(number * 7 + at * (number % 5 + 1)) % len(WORDS)] for at in range(20 + number * 37 % 100))
    return {
        "messages": [{"role": "user", "content": f"Write a story with these words: {words}"}],
        "max_tokens": new_tokens, "temperature": 0.7, "seed": number, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


def ask(url: str, content: dict) -> tuple[str, int, float, float]:
    """The text, its tokens, seconds to the first of them and to the last."""
    began, first, text, tokens = time.perf_counter(), 0.0, "", 0
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=3600) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
                new = "".join(choice["delta"].get("content") or "" for choice in event["choices"])
                if new and not text:
                    first = time.perf_counter() - began
                text += new
    return text, tokens, first, time.perf_counter() - began


def ask_all(url: str, contents: list[dict], at_once: int) -> tuple[list[tuple[str, int, float, float]], float]:
    """Answers, and tokens a second of all of them."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda content: ask(url, content), contents))
    return answers, sum(answer[1] for answer in answers) / (time.perf_counter() - began)


def ask_whole(url: str, content: dict) -> tuple[str, int]:
    """The text of a reply that is not streamed, and its tokens."""
    content = {name: value for name, value in content.items() if not name.startswith("stream")}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=3600) as answer:
        reply = json.load(answer)
    assert ("jaxuq" in content) == bool(reply["choices"][0].get("jaxuq"))
    return reply["choices"][0]["message"]["content"], reply["usage"]["completion_tokens"]


def processor_seconds(process: int) -> float:
    """Of all threads of a process so far; NaN where the system does not say."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def price(url: str, process: int, contents: list[dict], rounds: int) -> None:
    """Measure and print what confidence costs."""
    kinds = {"plain": {}, "confidence": {"jaxuq": {"confidence": True, "chain": True}}}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 1):
        texts = {}
        for kind, more in list(kinds.items())[:: 1 if number % 2 else -1]:
            began, worked = time.perf_counter(), processor_seconds(process)
            with concurrent.futures.ThreadPoolExecutor(len(contents)) as pool:
                answers = list(pool.map(lambda content, more=more: ask_whole(url, content | more), contents))
            texts[kind] = [text for text, _ in answers]
            if number:
                tokens = sum(tokens for _, tokens in answers)
                rates[kind].append(tokens / (time.perf_counter() - began))
                costs[kind].append((processor_seconds(process) - worked) / tokens)
        assert texts["plain"] == texts["confidence"]
        if number:
            said = (f"{kind} {rates[kind][-1]:.1f} ({1000 * costs[kind][-1]:.1f} ms)" for kind in kinds)
            print(f"round {number}: tokens a second (processor time each) {', '.join(said)}", flush=True)
    print(", ".join(f"{kind} {statistics.median(rate):.1f} tokens a second" for kind, rate in rates.items()))
    by_time = [1 - sure / plain for plain, sure in zip(rates["plain"], rates["confidence"])]
    by_work = [1 - plain / sure for plain, sure in zip(costs["plain"], costs["confidence"])]
    for name, lost in (("by the clock", by_time), ("by processor time", by_work)):
        print(f"lost {name}: {statistics.median(lost):.1%} (rounds: {', '.join(f'{one:.1%}' for one in sorted(lost))})")


@contextlib.contextmanager
def server(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """A server in a process of its own; its address, and the number of the process."""
    command = [sys.executable, "-m", "jaxuq", "serve", options.model, "--port", "0", *options.more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        while not (found := re.search(r"http://\S+/v1", line := process.stdout.readline())):
            assert line, "the server has ended"
            print(line.strip())
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--price", action="store_true", help="what confidence costs, see above")
    parser.add_argument("--clients", type=int, default=None, help="at once; by default 32, with --price 8")
    parser.add_argument("--alone", type=int, default=4, help="requests one after another, in each round")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    options, options.more = parser.parse_known_args()
    options.clients = options.clients or (8 if options.price else 32)
    contents = [body(number, options.new_tokens) for number in range(options.clients)]
    if options.price:
        with server(options) as (url, process):
            price(url, process, contents, options.rounds)
        return
    few = contents[:: max(1, len(contents) // options.alone)][: options.alone]
    rates: dict[str, list[float]] = {"alone": [], "together": []}
    firsts: dict[str, list[float]] = {"alone": [], "together": []}
    equal = compared = 0
    with server(options) as (url, _):
        for number in range(options.rounds + 1):
            alone, rate_alone = ask_all(url, few, 1)
            together, rate_together = ask_all(url, contents, options.clients)
            by_prompt = {content["seed"]: answer[0] for content, answer in zip(contents, together)}
            if number:
                equal += sum(by_prompt[content["seed"]] == answer[0] for content, answer in zip(few, alone))
                compared += len(few)
                for kind, rate, answers in (("alone", rate_alone, alone), ("together", rate_together, together)):
                    rates[kind].append(rate)
                    firsts[kind] += [answer[2] for answer in answers]
            print(f"round {number}: alone {rate_alone:.1f}, together {rate_together:.1f} tokens a second", flush=True)
    print(f"{options.model}, {options.clients} clients, {options.new_tokens} tokens each, {os.cpu_count()} cores")
    for kind in rates:
        median, worst = statistics.median(firsts[kind]), max(firsts[kind])
        print(
            f"{kind:<9} {statistics.median(rates[kind]):7.1f} tokens a second; first token after {median:.1f} s "
            f"(median), {worst:.1f} s (worst)"
        )
    ratios = [together / alone for alone, together in zip(rates["alone"], rates["together"])]
    print(f"ratio     {', '.join(f'{ratio:.2f}' for ratio in ratios)}; {equal} of {compared} texts equal")


if __name__ == "__main__":
    main()
