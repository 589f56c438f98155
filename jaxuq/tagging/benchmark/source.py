"""Data sets of a run, read and embedded when first asked for."""

import pathlib
from typing import Any, Literal

from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.listener import Listener
from jaxuq.tagging.benchmark.methods import Problem, no_embeddings
from jaxuq.tagging.benchmark.settings import settings_for
from jaxuq.tagging.embeddings import embed_text
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.reading import load_weak_labels, read_columns
from jaxuq.tagging.records import TaggingDataError, WeakLabels

_COLUMNS = (".conll", ".tsv", ".bio", ".iob2")


class Source:
    """A data set, read when first asked for."""

    def __init__(self, entry: str, configuration: TaggingConfiguration):
        self.entry, self.configuration = entry, configuration
        self.name = pathlib.Path(entry).stem if pathlib.Path(entry).is_file() else pathlib.Path(entry).name
        self._texts: dict[str, WeakLabels] | None = None
        self._problem: Problem | None = None
        self.neural = False

    @property
    def texts(self) -> dict[str, WeakLabels]:
        """`fit`, `valid` and `test`."""
        if self._texts is None:
            self._texts = read_texts(self.entry, self.configuration)
        return self._texts

    def problem(self, listener: Listener) -> Problem:
        """With word vectors if any method wants them."""
        if self._problem is None:
            texts = self.texts
            embedded = {name: self._embedded(name, data, listener) for name, data in texts.items()}
            selection = self.configuration.selection
            if texts["valid"].labels is None and selection == "f1":
                listener.message(f"{self.name} has no gold labels for validation: epochs are chosen by likelihood")
                selection = "likelihood"
            settings = settings_for(
                self.name,
                self.configuration.settings,
                epochs=self.configuration.epochs,
                batch_size=self.configuration.batch_size,
                selection=selection,
                outside=self.configuration.outside,
            )
            self._problem = Problem(self.name, *(embedded[name] for name in ("fit", "valid", "test")), settings)
        return self._problem

    def _embedded(self, name: str, data: WeakLabels, listener: Listener) -> EmbeddedText:
        if not self.neural:
            return EmbeddedText(data, no_embeddings(data))
        label, encoder = f"{self.name} {name}", self.configuration.embeddings
        kind = self.configuration.sentence_vector
        return embed_text(encoder, data, sentence_vector=kind, on_progress=lambda *at: listener.embedding(label, *at))

    def record(self) -> dict[str, Any]:
        """For `run.json`."""
        texts = self.texts
        return {
            "name": self.name,
            "sentences": {name: len(data.lengths) for name, data in texts.items()},
            "label_names": list(texts["test"].label_names),
            "function_names": list(texts["test"].function_names),
        }


def read_texts(entry: str, configuration: TaggingConfiguration) -> dict[str, WeakLabels]:
    """The parts of a data set: a folder, a name, or a file of columns, which serves as all parts.

    Raises:
        TaggingDataError: it is not there, or damaged.
    """
    path = pathlib.Path(entry)
    if path.is_file():
        if path.suffix not in _COLUMNS:
            raise TaggingDataError(
                f"{path} is a file; expected a folder with meta.json, or columns in a file that ends in "
                f"{', '.join(_COLUMNS)}"
            )
        data = read_columns(path)
        if not data.function_names:
            raise TaggingDataError(f"{path}, sentence 0: two columns; expected token, labelling functions, gold tag")
        return {"fit": data, "valid": data, "test": data}

    def load(part: Literal["train", "valid", "test"]) -> WeakLabels | None:
        try:
            return load_weak_labels(entry, part, functions=configuration.functions)
        except TaggingDataError as error:
            if "has no part" in str(error):
                return None
            raise

    parts = {part: load(part) for part in ("train", "valid", configuration.part)}  # type: ignore[misc]
    test = parts[configuration.part]
    if test is None:
        raise TaggingDataError(f"{entry} has no part {configuration.part!r}; choose another --part")
    valid = parts["valid"] or test
    return {"fit": parts["train"] or valid, "valid": valid, "test": test}
