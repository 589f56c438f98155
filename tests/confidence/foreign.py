"""Files as other programs write them: from their documented formats, with numbers that are known."""

import json

import numpy as np


def harness_text(count=40, seed=0):
    """Lines of a task of texts with two filters and three repeats; every fourth answer is wrong."""
    rng, lines = np.random.default_rng(seed), []
    for number in range(count):
        right = number % 4 != 0
        said = number + 3 if right else number + 30
        others = [said if rng.random() < (0.9 if right else 0.3) else int(rng.integers(90)) for _ in range(2)]
        texts = [f"{number} + 3 makes {one}.\n#### {one}" for one in (said, *others)]
        for name in ("strict-match", "flexible-extract"):
            lines.append({
                "doc_id": number, "doc": {"question": f"What is {number} + 3?", "answer": f"#### {number + 3}"},
                "target": f"#### {number + 3}",
                "arguments": {"gen_args_0": {"arg_0": f"Question: What is {number} + 3?", "arg_1": {"until": ["Q:"]}}},
                "resps": [texts], "filtered_resps": [str(said)], "filter": name, "metrics": ["exact_match"],
                "doc_hash": "a", "prompt_hash": "b", "target_hash": "c", "exact_match": float(right),
            })  # fmt: skip
    return lines


def harness_choice(count=40, seed=0):
    """Lines of a task of choices, in the form that writes log-likelihoods as text."""
    rng, lines = np.random.default_rng(seed), []
    for number in range(count):
        told, target = -3 * rng.random(3), int(rng.integers(3))
        names = ("red", "green", "blue")
        asked = {f"gen_args_{k}": {"arg_0": "Which colour?", "arg_1": f" {name}"} for k, name in enumerate(names)}
        lines.append({
            "doc_id": number, "doc": {"query": "which?"}, "target": str(target),
            "arguments": asked,
            "resps": [[[str(one), "False"]] for one in told], "filtered_resps": [[str(one), "False"] for one in told],
            "filter": "none", "metrics": ["acc"], "acc": float(int(np.argmax(told)) == target),
        })  # fmt: skip
    return lines, names


def chat_completion(number, pieces, log_probs, further=(), top=3, **more):
    """A chat completion with log-probabilities, as OpenAI and vLLM give it."""

    def content(pieces, log_probs):
        made = []
        for piece, value in zip(pieces, log_probs):
            rest = float(np.log1p(-min(np.exp(value), 0.999)) - np.log(2))
            likeliest = ((piece, value), ("x", rest), ("y", rest))[:top]
            top_log_probs = [{"token": name, "logprob": one, "bytes": None} for name, one in likeliest]
            made.append({"token": piece, "logprob": value, "bytes": None, "top_logprobs": top_log_probs})
        return {"content": made, "refusal": None}

    def choice(index, pieces, log_probs):
        return {"index": index, "finish_reason": "stop", "logprobs": content(pieces, log_probs),
                "message": {"role": "assistant", "content": "".join(pieces), "refusal": None}}  # fmt: skip

    choices = [choice(at, *one) for at, one in enumerate([(pieces, log_probs), *further])]
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "m", "choices": choices,
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, **more}  # fmt: skip


def text_completion(number, pieces, log_probs, **more):
    """A completion of the older form, as vLLM gives it."""
    told = {"tokens": list(pieces), "token_logprobs": list(log_probs), "text_offset": [0] * len(pieces),
            "top_logprobs": [{piece: value, "z": value - 1.0} for piece, value in zip(pieces, log_probs)]}  # fmt: skip
    return {"id": f"cmpl-{number}", "object": "text_completion", "model": "m", **more,
            "choices": [{"index": 0, "text": "".join(pieces), "logprobs": told, "finish_reason": "stop"}]}  # fmt: skip


def batch_line(number, body):
    """A line of the batch interface's output."""
    return {"id": f"batch_req_{number}", "custom_id": f"q{number}", "error": None,
            "response": {"status_code": 200, "request_id": "r", "body": body}}  # fmt: skip


def colours(count=40, seed=1):
    """Answers of three tokens whose probability is their chance of being right."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        chance = rng.uniform(0.2, 0.999)
        right = rng.random() < chance
        yield number, ("The answer is", " ", "red" if right else "blue"), (-0.01, -0.02, float(np.log(chance))), right


def write_lines(path, lines):
    """As JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
