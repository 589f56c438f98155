"""A small data set in the published layout, and a tiny encoder, both made from nothing."""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file

WORDS = ["visit", "saw", "in", "and", "then", "the", "old", "met"]
PEOPLE = ["ada", "grace", "alan", "emmy"]
PLACES = ["rome", "oslo", "lima", "cairo"]
_ENCODER = pathlib.Path(__file__).parent.parent / "checkpoints" / "golden" / "bert.npz"


def write_data(folder: pathlib.Path, *, sentences: int = 24, seed: int = 0, gold: bool = True) -> pathlib.Path:
    """Sentences of a few words, with people and places; three labelling functions of different worth."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    functions = ["people", "places", "noise"]
    meta = {"entity_types": ["PER", "LOC"], "lf": functions, "lf_rec": functions}
    (folder / "meta.json").write_text(json.dumps(meta))
    for part in ("train", "valid", "test"):
        rows = {}
        for number in range(sentences):
            words = [str(word) for word in rng.choice(WORDS + PEOPLE + PLACES, size=rng.integers(3, 8))]
            true = [[i, i + 1, "PER" if w in PEOPLE else "LOC"] for i, w in enumerate(words) if w in PEOPLE + PLACES]
            people = [span for span in true if span[2] == "PER" and rng.random() < 0.9]
            places = [span for span in true if span[2] == "LOC" and rng.random() < 0.8]
            noise = [[i, i + 1, "PER"] for i in range(len(words)) if rng.random() < 0.1]
            row = {"data": {"text": words}, "weak_labels": [people, places, noise]}
            rows[str(number)] = row | ({"label": true} if gold else {})
        (folder / f"{part}.json").write_text(json.dumps(rows))
    return folder


def write_encoder(folder: pathlib.Path) -> pathlib.Path:
    """A random BERT of 30 sub-words and 16 positions, so that sentences of more than 14 sub-words need windows."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(_ENCODER) as stored:
        config = json.loads(str(stored["config"]))
        tensors = {key.removeprefix("tensor:"): stored[key] for key in stored.files if key.startswith("tensor:")}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *PEOPLE, *PLACES, "un", "##seen", "##ly"]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder
