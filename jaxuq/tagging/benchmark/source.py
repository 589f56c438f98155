"""Data sets of a run, read and embedded when first asked for."""

import functools
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxuq.checkpoints import encoder_digest, find_encoder
from jaxuq.study import Listener, digest
from jaxuq.tagging.annotations import ANNOTATED, annotated_labels, read_annotations
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.methods import Problem, no_embeddings
from jaxuq.tagging.benchmark.settings import settings_for
from jaxuq.tagging.columns import read_columns
from jaxuq.tagging.embeddings import embed_text
from jaxuq.tagging.function_files import read_functions, with_functions
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.reading import load_weak_labels
from jaxuq.tagging.records import TaggingDataError, WeakLabels, bio_label_names, make_weak_labels, read_text

_COLUMNS = (".conll", ".tsv", ".bio", ".iob2")
_PARTS = (*_COLUMNS, ".txt")  # of a folder, in which .txt is of columns too, as CoNLL-2003 has it


class Texts(NamedTuple):
    """The parts of a data set.

    Attributes:
        fit: what label models are fitted to.
        valid: what epochs are chosen by.
        test: what is labelled and, with gold labels, scored.
        remark: what a reader of the scores must know of them; empty if nothing.
    """

    fit: WeakLabels
    valid: WeakLabels
    test: WeakLabels
    remark: str = ""

    def parts(self) -> dict[str, WeakLabels]:
        """The texts by name."""
        return {"fit": self.fit, "valid": self.valid, "test": self.test}


class Source:
    """A data set, read when first asked for."""

    def __init__(self, entry: str, configuration: TaggingConfiguration, *, neural: bool = False, votes: bool = True):
        self.entry, self.configuration, self.votes = entry, configuration, votes
        self.name = pathlib.Path(entry).stem if pathlib.Path(entry).is_file() else pathlib.Path(entry).name
        self._texts: Texts | None = None
        self._problem: Problem | None = None
        self.neural = neural

    @functools.cached_property
    def digest(self) -> str:
        """What it is: sentences, votes and gold labels of every part, names of functions and labels; and its name."""
        return digest(self.name, {name: tuple(data) for name, data in self.texts.parts().items()})

    @functools.cached_property
    def encoder(self) -> str | None:
        """What the word vectors follow from; None if nothing reads any."""
        return encoder_digest(find_encoder(self.configuration.embeddings)) if self.neural else None

    @property
    def texts(self) -> Texts:
        """What is fitted to, chosen by and labelled."""
        if self._texts is None:
            self._texts = read_texts(self.entry, self.configuration, votes=self.votes)
        return self._texts

    def problem(self, listener: Listener) -> Problem:
        """With word vectors if any method wants them."""
        if self._problem is None:
            texts = self.texts
            if texts.remark:
                listener.message(texts.remark)
            fit, valid, test = (self._embedded(name, data, listener) for name, data in texts.parts().items())
            selection = self.configuration.selection
            if texts.valid.labels is None and selection == "f1":
                listener.message(f"{self.name} has no gold labels for validation: epochs are chosen by likelihood")
                selection = "likelihood"
            settings = settings_for(
                self.name,
                self.configuration.settings,
                epochs=self.configuration.epochs,
                batch_size=self.configuration.batch_size,
                selection=selection,
                outside=self.configuration.outside,
                encoder=self.configuration.embeddings,
            )
            self._problem = Problem(self.name, fit, valid, test, settings)
        return self._problem

    def _embedded(self, name: str, data: WeakLabels, listener: Listener) -> EmbeddedText:
        if not self.neural:
            return EmbeddedText(data, no_embeddings(data))
        label, encoder = f"{self.name} {name}", self.configuration.embeddings
        kind = self.configuration.sentence_vector
        return embed_text(encoder, data, sentence_vector=kind, on_progress=told_vectors(listener, label))

    def record(self) -> dict[str, Any]:
        """For `run.json`."""
        texts = self.texts
        return {
            "name": self.name,
            "digest": self.digest,
            "sentences": {name: len(data.lengths) for name, data in texts.parts().items()},
            "label_names": list(texts.test.label_names),
            "function_names": list(texts.test.function_names),
            "remark": texts.remark,
        }


def told_vectors(listener: Listener, name: str) -> Callable[[int, int], None]:
    """What an encoder calls.

    Args:
        listener: is told of sub-words done and in all.
        name: of the text.

    Returns:
        `on_progress(done, total)`.
    """
    return lambda done, total: listener.progress(f"word vectors, {name}", done, total, "sub-words")


def read_text_to_label(entry: str, configuration: TaggingConfiguration) -> WeakLabels:
    """The part of a data set that the configuration names, whole: of a folder, a name, or a file.

    Raises:
        TaggingDataError: it is not there, or damaged.
    """
    found = _load(entry, configuration.part, configuration)
    if found is None:
        raise TaggingDataError(f"{entry} has no part {configuration.part!r}; choose another --part")
    return found


def read_texts(entry: str, configuration: TaggingConfiguration, *, votes: bool = True) -> Texts:
    """The parts of a data set: a folder, a name, or a file.

    Without a part to choose epochs by, a fifth of what is fitted to is held out for it; where that is also what is
    scored, because there is nothing else, the held-out sentences are not scored. Text without labelling functions is
    refused unless nothing wants `votes`.

    Raises:
        TaggingDataError: it is not there, or damaged.
    """
    test, name = read_text_to_label(entry, configuration), pathlib.Path(entry).name
    train = valid = None
    if votes and not test.function_names:
        raise TaggingDataError(
            f"{entry} has no labelling functions (a single column of tags, or annotations, are the right ones unless "
            "--gold none says otherwise); add some with --functions mine.py or rules.toml"
        )
    if not pathlib.Path(entry).is_file():
        train, valid = (_load(entry, part, configuration) for part in ("train", "valid"))
        known = [part for part in (train, valid, test) if part is not None]
        names = tuple(dict.fromkeys(name for part in known for name in part.label_names))  # functions may mark more
        train, valid = (None if part is None else part.with_labels(names) for part in (train, valid))
        test = test.with_labels(names)
    if configuration.active:  # no epoch is chosen, and no label of the valid part is read
        pool = train or valid or test
        return Texts(pool, pool._replace(labels=None), test)
    if valid is not None:
        same = configuration.part == "valid" and test.labels is not None
        remark = f"{name}: epochs of the neural models are chosen on the part that is scored" if same else ""
        return Texts(train or valid, valid, test, remark)
    fit = train or test
    count = len(fit.lengths)
    if count < 2:
        return Texts(fit, fit._replace(labels=None), test, f"{name}: one sentence, so epochs are chosen on it")
    held = np.zeros(count, bool)
    held[np.random.default_rng(0).permutation(count)[: max(1, count // 5)]] = True
    chosen, rest = fit.take(np.flatnonzero(held)), fit.take(np.flatnonzero(~held))
    remark = f"{name} has no part to choose epochs by: {held.sum()} of the {count} sentences to fit to are held out"
    if fit.labels is None or not (train is None or configuration.part == "train"):
        return Texts(rest, chosen, test, remark)
    return Texts(rest, chosen, rest, f"{remark}, and not scored; label them with --apply")


def _load(entry: str, part: str, configuration: TaggingConfiguration) -> WeakLabels | None:
    """A part of a folder, None where there is no such part; or a file, whole; with the functions that are wanted."""
    path, own = pathlib.Path(entry), configuration.own_functions()
    files = [read_functions(file) for file in configuration.function_files()]
    if path.is_file():
        data = _read_file(path, configuration)
    elif (files_of := _column_files(path)) is not None:
        if part not in files_of:
            return None
        data = _read_columns(files_of[part], configuration)
    else:
        try:
            data = load_weak_labels(entry, part, functions="all" if own == "all" else "recommended")  # type: ignore[arg-type]
        except TaggingDataError as error:
            if "has no part" in str(error):
                return None
            raise
    data = data.functions(()) if own == "none" else data
    return with_functions(data, files) if files else data


def _column_files(path: pathlib.Path) -> dict[str, pathlib.Path] | None:
    """The files of columns of a folder, by part; None where it is none of these."""
    if not path.is_dir() or (path / "meta.json").exists():
        return None
    files = {file.stem: file for end in reversed(_PARTS) for file in path.glob(f"*{end}")}
    return {part: files[part] for part in ("train", "valid", "test") if part in files} or None


def _read_columns(path: pathlib.Path, configuration: TaggingConfiguration) -> WeakLabels:
    gold = None if configuration.gold is None else configuration.gold == "last"
    return read_columns(path, gold=gold, columns=configuration.columns)


def _read_file(path: pathlib.Path, configuration: TaggingConfiguration) -> WeakLabels:
    if path.suffix in _COLUMNS:
        return _read_columns(path, configuration)
    if path.suffix in ANNOTATED:
        return annotated_labels(read_annotations(path), gold=configuration.gold != "none")
    if path.suffix != ".txt":
        raise TaggingDataError(
            f"{path} is a file; expected a folder with meta.json, columns in a file that ends in "
            f"{', '.join(_COLUMNS)}, annotations in {', '.join(ANNOTATED)}, or text in .txt"
        )
    lines = [re.split(r"[ \t]+", line.strip(" \t")) for line in read_text(path).split("\n")]
    sentences = [words for words in lines if any(words)]
    if not sentences:
        raise TaggingDataError(f"{path} holds no text; expected a sentence a line")
    return make_weak_labels(
        sentences, [np.zeros((len(words), 0), np.int32) for words in sentences], None, bio_label_names(()), []
    )
