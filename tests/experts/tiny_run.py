"""A tiny model that learns two families of two words, and a finished training of it."""

import json

from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.language import LanguageModel
from tests.language.tiny_decoder import base_params, decoder_with
from tests.language.words import tokenizer

_ANSWERS = {"red": "one yes", "blue": "two no"}


def tiny_model():
    return LanguageModel(decoder_with().clone(lora=None), base_params(), tokenizer(), "tiny")


def write_data(path, count=16, sources=True):
    lines = []
    for number in range(count):
        colour = ("red", "blue")[number % 2]
        record = {"instruction": f"what is {colour} {'abcdefg'[number % 7]} {colour}", "response": _ANSWERS[colour]}
        lines.append(json.dumps(record | ({"source": colour} if sources else {})))
    path.write_text("\n".join(lines) + "\n")
    return path


def configuration(data, output, **changes):
    options = {
        "model": "tiny", "data": str(data), "output": output, "rank": 3, "learning_rate": 1e-2,
        "expert_learning_rate": 1e-2, "batch_size": 2, "max_length": 24, "dimension": 32, "clusters": 2,
        "epochs": 1, "expert_epochs": 1,
    }  # fmt: skip
    return TrainConfiguration(**options | changes)
