"""Weakly labelled text from files: the published JSON layout and columns as in CoNLL."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxuq.tagging.records import TaggingDataError, WeakLabels, bio_label_names, make_weak_labels, spans_to_labels

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
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaggingDataError(f"{path} could not be read as JSON: {error}") from error


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
    try:
        label_names = bio_label_names(meta["entity_types"])
        all_names = list(meta["lf"])
        names = list(meta["lf_rec"]) if functions == "recommended" and "lf_rec" in meta else all_names
        columns = [all_names.index(name) for name in names]
    except (KeyError, ValueError, TypeError) as error:
        raise TaggingDataError(
            f"{folder / 'meta.json'} is not as expected ({error!r}); it needs entity_types, lf and optionally lf_rec, "
            "all lists of names, lf_rec a part of lf"
        ) from error
    tokens, observations, labels, ids = [], [], [], []
    sentences = _read_json(path)
    for name, sentence in sentences.items():
        try:
            words, gold, weak = sentence["data"]["text"], sentence.get("label"), sentence["weak_labels"]
        except (KeyError, TypeError) as error:
            raise TaggingDataError(f"{path}, sentence {name}: {error!r} is missing") from error
        if len(weak) != len(all_names):
            raise TaggingDataError(
                f"{path}, sentence {name}: {len(weak)} functions have spans and meta.json names {len(all_names)}"
            )
        votes = np.zeros((len(words), len(columns)), np.int32)
        for column, function in enumerate(columns):
            votes[:, column] = spans_to_labels(
                weak[function], len(words), label_names, sentence=name, source=all_names[function]
            )
        tokens.append(words)
        observations.append(votes)
        ids.append(name)
        labels.append(spans_to_labels(gold or [], len(words), label_names, sentence=name))
    known = any(sentence.get("label") is not None for sentence in sentences.values())
    return make_weak_labels(tokens, observations, labels if known else None, label_names, names, ids=ids)


def read_columns(path: str | os.PathLike, *, gold: bool = True) -> WeakLabels:
    """Read columns as in CoNLL: one token a line, blanks between columns, an empty line between sentences.

    The first column is the token. With `gold` the last is the right tag; every column between is a labelling function.
    Tags are IOB2; the entity types are those that occur, sorted. `-DOCSTART-` lines are left out.

    Args:
        path: a text file in UTF-8.
        gold: whether the last column holds the right tags.

    Returns:
        `WeakLabels` with the functions named `column 1`, `column 2`, ...

    Raises:
        TaggingDataError: if the number of columns changes, a tag is not IOB2 (IO or BIOES tags, say), or an `I-` does
            not continue an entity of its type, with the sentence and the token.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.txt")
        >>> _ = path.write_text("Ada B-PER B-PER\\nLovelace O I-PER\\n\\nHello O O\\n")
        >>> data = read_columns(path)
        >>> data.observations[:, :, 0].tolist(), data.labels.tolist()
        ([[1, 0], [0, -1]], [[1, 2], [0, -1]])

    References:
        Tjong Kim Sang, De Meulder. Introduction to the CoNLL-2003 shared task. CoNLL 2003.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaggingDataError(f"{path} could not be read as UTF-8 text: {error}") from error
    sentences: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        columns = line.split()
        if not columns or columns[0] == "-DOCSTART-":
            sentences.append([])
        else:
            sentences[-1].append(columns)
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        raise TaggingDataError(f"{path} holds no sentence")
    width = len(sentences[0][0])
    if width < 2:
        raise TaggingDataError(f"{path}, sentence 0, token 0: {width} column; expected a token and at least one tag")
    kinds = set()
    for number, sentence in enumerate(sentences):
        previous = ["O"] * width
        for position, row in enumerate(sentence):
            where = f"{path}, sentence {number}, token {position}"
            if len(row) != width:
                raise TaggingDataError(f"{where}: {len(row)} columns; expected {width} as before")
            for column, tag in enumerate(row[1:], 1):
                prefix, dash, kind = tag.partition("-")
                if tag != "O" and not (prefix in ("B", "I") and dash and kind):
                    raise TaggingDataError(
                        f"{where}, column {column}: the tag is {tag!r}; expected O, B-type or I-type"
                    )
                if prefix == "I" and previous[column] not in (f"B-{kind}", f"I-{kind}"):
                    raise TaggingDataError(
                        f"{where}, column {column}: {tag} follows {previous[column]}; an entity begins with B-{kind}"
                    )
                if tag != "O":
                    kinds.add(kind)
            previous = row
    label_names = bio_label_names(sorted(kinds))
    index = {name: i for i, name in enumerate(label_names)}
    arrays = [np.array([[index[tag] for tag in row[1:]] for row in sentence], np.int32) for sentence in sentences]
    functions = width - 2 if gold else width - 1
    return make_weak_labels(
        [[row[0] for row in sentence] for sentence in sentences],
        [array[:, :functions] for array in arrays],
        [array[:, -1] for array in arrays] if gold else None,
        label_names,
        [f"column {i + 1}" for i in range(functions)],
    )
