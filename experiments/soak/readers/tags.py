"""Texts with tags: columns, annotation programs, weak labels, files of labelling functions."""

import json
import pathlib
import shutil
from typing import Any

from readers.files import Read, Reader, lines, texts

_COLUMNS = (
    "-DOCSTART- O O O\n\nAda B-PER O S-PER\nmet O O O\nBo B-PER B-PER S-PER\n\n# a comment\nRome B-LOC O S-LOC\n"
    "is O O O\nold O B-X O\ntown O I-X O\n"
)
_PRODIGY = lines(
    {
        "text": "Ada met Bo.",
        "spans": [{"start": 0, "end": 3, "label": "PER", "token_start": 0, "token_end": 0}],
        "tokens": [
            {"text": "Ada", "start": 0, "end": 3, "id": 0},
            {"text": "met", "start": 4, "end": 7, "id": 1},
            {"text": "Bo", "start": 8, "end": 10, "id": 2},
            {"text": ".", "start": 10, "end": 11, "id": 3},
        ],
        "answer": "accept",
        "meta": {"id": "a"},
    },
    {"text": "Bo wrote 😀 in Rome", "spans": [{"start": 14, "end": 18, "label": "LOC"}], "answer": "accept"},
    {"text": "no", "spans": [], "answer": "reject"},
)
_LABEL_STUDIO = json.dumps(
    [
        {
            "id": 1,
            "data": {"text": "Ada met Bo."},
            "annotations": [
                {
                    "was_cancelled": False,
                    "result": [
                        {
                            "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]},
                            "type": "labels",
                            "from_name": "label",
                            "to_name": "text",
                        }
                    ],
                }
            ],
        },
        {
            "id": 2,
            "text": "Rome is old",
            "annotator": 1,
            "label": [{"start": 0, "end": 4, "text": "Rome", "labels": ["LOC"]}],
        },
    ]
)
_RULES = """
[[gazetteer]]
name = "cities"
type = "LOC"
phrases = ["New York", "Rome"]
[[gazetteer]]
name = "people"
type = "PER"
file = "people.txt"
[[regex]]
name = "years"
type = "DATE"
pattern = "[0-9]{4}"
"""


def _docbin(folder: pathlib.Path) -> None:
    import spacy
    from spacy.tokens import Doc, DocBin, Span

    nlp, documents = spacy.blank("xx"), DocBin(store_user_data=True)
    for words in (["Ada", "met", "Bo"], ["Rome", "is", "old"]):
        document = Doc(nlp.vocab, words=words, spaces=[True] * 3)
        document.ents = [Span(document, 0, 1, label="MINE")]
        documents.add(document)
    documents.to_disk(folder / "a.spacy")


def _columns(folder: pathlib.Path) -> Any:
    from jaxuq.tagging import read_columns

    gold = (True, False, None)[len((folder / "a.conll").read_bytes()) % 3]
    return read_columns(folder / "a.conll", gold=gold)


def _annotations(name: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.tagging import annotated_labels, read_annotations

        found = read_annotations(folder / name)
        return annotated_labels(found)

    return read


def _weak_labels(folder: pathlib.Path) -> Any:
    from jaxuq.tagging import load_weak_labels

    load_weak_labels(folder, "test", functions="all")
    return load_weak_labels(folder, "test")


def _weak_folder(folder: pathlib.Path) -> None:
    from tests.tagging.small_data import write_data

    write_data(folder, sentences=4)


def _rules(folder: pathlib.Path) -> Any:
    import numpy as np

    from jaxuq.tagging import make_weak_labels, read_functions, with_functions

    words = [["Ada", "Lovelace", "left", "New", "York", "in", "1843"], ["Bo"]]
    known = make_weak_labels(words, [np.zeros((len(row), 0), int) for row in words], None, ("O",), [])
    return with_functions(known, [read_functions(folder / "rules.toml")])


def _tagger(folder: pathlib.Path) -> None:
    from jaxuq.tagging.benchmark import run_tagging
    from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
    from tests.tagging.small_data import write_data

    data = (str(write_data(folder / "data", sentences=6)),)
    run_tagging(TaggingConfiguration(data=data, model="hmm", seeds=1, output=folder / "run"))
    shutil.move(next((folder / "run").rglob("model.json")).parent, folder / "model")
    shutil.rmtree(folder / "run")


def _apply(folder: pathlib.Path) -> Any:
    from jaxuq.tagging.benchmark import apply_model
    from jaxuq.tagging.benchmark.configuration import TaggingConfiguration

    data = (str(folder / "data"),)
    return apply_model(TaggingConfiguration(data=data, apply=folder / "model", output=folder / "applied"))


READERS: dict[str, Reader] = {
    "tags: columns": Reader(("a.conll",), texts(a__conll=_COLUMNS), _columns, ("read_columns",)),
    "tags: Prodigy": Reader(("a.jsonl",), texts(a__jsonl=_PRODIGY), _annotations("a.jsonl"), ("read_annotations",)),
    "tags: Label Studio": Reader(("a.json",), texts(a__json=_LABEL_STUDIO), _annotations("a.json")),
    "tags: spaCy": Reader(("a.spacy",), _docbin, _annotations("a.spacy")),
    "tags: weak labels": Reader(("meta.json", "test.json"), _weak_folder, _weak_labels, ("load_weak_labels",)),
    "tags: labelling functions": Reader(
        ("rules.toml", "people.txt"),
        texts(rules__toml=_RULES, people__txt="Ada Lovelace\n\nBo\n"),
        _rules,
        ("read_functions",),
    ),
    "tags: kept model": Reader(("model/model.json", "model/weights.safetensors"), _tagger, _apply, share=0.03),
}
"""By name, as the page shows them."""
