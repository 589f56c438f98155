"""Weakly labelled text from a folder in the layout that was published with CHMM and Sparse-CHMM."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxuq.tagging.records import (
    TaggingDataError,
    WeakLabels,
    bio_label_names,
    make_weak_labels,
    read_text,
    spans_to_labels,
)

Part = Literal["train", "valid", "test"]


def _find_folder(name_or_folder: str | os.PathLike) -> Path:
    """The folder itself, or that of a published data set under `JAXUQ_DATA`."""
    places = [Path(name_or_folder).expanduser()]
    if os.environ.get("JAXUQ_DATA"):
        root = Path(os.environ["JAXUQ_DATA"]).expanduser()
        places += [root / "ner_weak" / name_or_folder, root / name_or_folder]
    for place in places:
        if (place / "meta.json").is_file():
            return place
    looked = ", ".join(map(str, places))
    raise TaggingDataError(
        f"no folder with a meta.json for {os.fspath(name_or_folder)!r}; looked in {looked}. Give a folder, or put the "
        "data set as ner_weak/<name> into the folder that the environment variable JAXUQ_DATA names"
    )


def _read_json(path: Path) -> Any:
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise TaggingDataError(f"{path} could not be read as JSON: {error}") from error
    except RecursionError:
        raise TaggingDataError(f"{path} could not be read as JSON: it is nested too deeply") from None


def load_weak_labels(
    name_or_folder: str | os.PathLike, part: Part, *, functions: Literal["recommended", "all"] = "recommended"
) -> WeakLabels:
    """Read one part of a data set in the layout that was published with CHMM and Sparse-CHMM.

    `<folder>/<part>.json` is `{id: {"data": {"text": [token, ...]}, "label": [[start, end, type], ...], "weak_labels":
    [one list of spans per labelling function]}}`, and `<folder>/meta.json` names the functions (`lf`, and of those
    `lf_rec` the ones that the published results use) and the `entity_types`.

    Args:
        name_or_folder: a folder, or a name such as `"NCBI-Disease"` of one under `JAXUQ_DATA`.
        part: `"train"`, `"valid"` or `"test"`.
        functions: the recommended labelling functions or all of them.

    Returns:
        `WeakLabels`; without `labels` if no sentence has any.

    Raises:
        TaggingDataError: if something is missing or malformed, with the sentence and the token where there is one.

    Example:
        >>> load_weak_labels("nowhere", "test")
        Traceback (most recent call last):
        jaxuq.tagging.records.TaggingDataError: no folder with a meta.json for 'nowhere'; looked in nowhere...

    References:
        Li, Song, Zhang. Sparse conditional hidden Markov model for weakly supervised named entity recognition. KDD
        2022.
        Zhang, Yu, Li, Wang, Yang, Yang, Ratner. WRENCH: a comprehensive benchmark for weak supervision. NeurIPS 2021.
    """
    folder = _find_folder(name_or_folder)
    meta = _read_json(folder / "meta.json")
    path = folder / f"{part}.json"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.json") if p.stem != "meta"))
        raise TaggingDataError(f"{folder} has no part {part!r}; it has {there}")
    label_names, all_names, names = _names(folder / "meta.json", meta, functions)
    columns = [all_names.index(name) for name in names]
    sentences = _read_json(path)
    if not isinstance(sentences, dict):
        raise TaggingDataError(f"{path} is {_kind(sentences)}; expected an object with named sentences")
    tokens, observations, labels, ids = [], [], [], []
    for name, sentence in sentences.items():
        words, gold, weak = _sentence(f"{path}, sentence {name}", sentence, len(all_names))
        votes = np.zeros((len(words), len(columns)), np.int32)
        for column, function in enumerate(columns):
            votes[:, column] = spans_to_labels(
                weak[function], len(words), label_names, sentence=name, source=all_names[function]
            )
        tokens.append(words)
        observations.append(votes)
        ids.append(_text(name, f"{path}, the name of a sentence"))
        labels.append(spans_to_labels(gold or [], len(words), label_names, sentence=name))
    known = any(sentence.get("label") is not None for sentence in sentences.values())
    return make_weak_labels(tokens, observations, labels if known else None, label_names, names, ids=ids)


def _names(path: Path, meta: Any, functions: str) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Labels, all labelling functions, and those that were asked for."""
    lists: dict[str, list[str]] = {}
    for key in ("entity_types", "lf", "lf_rec"):
        values: Any = meta.get(key) if isinstance(meta, dict) else None
        if key == "lf_rec" and values is None:
            values = lists["lf"]
        right = isinstance(values, list) and all(isinstance(value, str) and value for value in values)
        if not right or len(set(values)) != len(values) or not set(lists.get("lf", values)) >= set(values):
            raise TaggingDataError(
                f"{path} is not as expected at {key!r}; it needs entity_types, lf and optionally lf_rec, all lists of "
                "different names, lf_rec a part of lf"
            )
        lists[key] = [_text(value, f"{path}, {key}") for value in values]
    return (
        bio_label_names(lists["entity_types"]),
        lists["lf"],
        lists["lf_rec"] if functions == "recommended" else lists["lf"],
    )


def _sentence(where: str, sentence: Any, functions: int) -> tuple[list[str], list | None, list[list]]:
    """Words, gold spans (None without) and the spans of each labelling function; the spans are checked later."""
    for key, parent in (("data", sentence), ("weak_labels", sentence)):
        if not isinstance(parent, dict) or key not in parent:
            raise TaggingDataError(f"{where}: {key!r} is missing")
    data, gold, weak = sentence["data"], sentence.get("label"), sentence["weak_labels"]
    if not isinstance(data, dict) or "text" not in data:
        raise TaggingDataError(f"{where}: 'text' is missing in 'data'")
    if not isinstance(data["text"], list):
        raise TaggingDataError(f"{where}: 'text' is {_kind(data['text'])}; expected a list of words")
    words = [_text(word, f"{where}, token {token}", empty=True) for token, word in enumerate(data["text"])]
    if not (gold is None or isinstance(gold, list)):
        raise TaggingDataError(f"{where}: 'label' is {_kind(gold)}; expected a list of [start, end, type]")
    if not isinstance(weak, list) or not all(isinstance(spans, list) for spans in weak):
        raise TaggingDataError(f"{where}: 'weak_labels' is no list of lists of [start, end, type]")
    if len(weak) != functions:
        raise TaggingDataError(f"{where}: {len(weak)} functions have spans and meta.json names {functions}")
    return words, gold, weak


def _text(value: Any, where: str, *, empty: bool = False) -> str:
    """A string that can be written again."""
    if not isinstance(value, str) or not (value or empty):
        raise TaggingDataError(f"{where}: {value!r} is {_kind(value)}; expected text{'' if empty else ', not empty'}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TaggingDataError(f"{where}: {value!r} holds half of a surrogate pair, which is no text")
    return value


def _kind(value: Any) -> str:
    """What a JSON value is, in the words of JSON."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
