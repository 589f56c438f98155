"""Predictions that a person can open: beside every cell a table whose rows say which example they are of."""

import csv
import json

import pytest

from tests.study.studies import STUDIES

_SLOW = ("muben --active", "tune", "tune --acquire", "tune --teach", "experts")
_COMMANDS = [pytest.param(name, marks=[pytest.mark.long] if name in _SLOW else []) for name in STUDIES]


def _rows(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _records(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def _molecules(data):
    return [line.split(",")[0] for line in (data / "test.csv").read_text().splitlines()[1:]]


def _sentences(data):
    return list(json.loads((data / "test.json").read_text()))


def _asked(data):
    return [one["question"] for one in _records(data / "mine.jsonl")]


def _texts(data):
    return [one["text"] for one in _records(data / "news.jsonl")]


def _questions(data):
    return [one["question"] for part in ("held", "other") for one in _records(data / f"{part}.jsonl")]


def _instructions(data):
    return [one["instruction"] for one in _records(data / "asked.jsonl")]


_KNOWN = {
    "muben": ("smiles", _molecules), "muben --active": None, "tag": ("sentence", _sentences),
    "confidence": ("question", _asked), "extract": ("text", _texts), "tune": ("question", _questions),
    "tune --acquire": ("question", _questions), "tune --teach": ("question", _questions),
    "experts": ("instruction", _instructions),
}  # fmt: skip


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_cell_has_a_table_whose_rows_name_their_examples(name, first):
    root = first(name)
    out = root / "out"
    cells = [*(out / "predictions").glob("**/*.npz"), *(out / "predictions").glob("**/*-*.jsonl")]
    tables = [cell.with_suffix(".csv") for cell in cells] or [out / "predictions.csv"]
    tables = [out / "predictions" / "texts.csv"] if name == "extract" else tables
    if _KNOWN[name] is None:
        return
    heading, known = _KNOWN[name]
    for table in tables:
        found = list(dict.fromkeys(row[heading] for row in _rows(table)))
        assert all(any(one in text for text in found) for one in known(root / "data")), (table, found)
        assert len(found) == len(set(known(root / "data")))


def test_numbers_of_a_table_are_those_of_the_arrays(first):
    import numpy as np

    for file in (first("muben") / "out" / "predictions").glob("*.npz"):
        arrays, rows = np.load(file), _rows(file.with_suffix(".csv"))
        assert [row["smiles"] for row in rows] == arrays["test_smiles"].tolist()
        np.testing.assert_array_equal([np.float32(row["mean"]) for row in rows], arrays["test_mean"][:, 0])
