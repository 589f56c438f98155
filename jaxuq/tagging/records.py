"""What weakly labelled text is in memory: tokens, what each labelling function said of them, and labels if known."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxuq._errors import JaxuqError

Span = tuple[int, int, str]
_MOST_BYTES = 2**31  # of a file that is read at once
_MOST_VOTES = 2**31  # of an array of votes, padding included


class TaggingDataError(JaxuqError, ValueError):
    """The data is at fault, not jaxuq; the message names the sentence and the token.

    Example:
        >>> issubclass(TaggingDataError, ValueError)
        True
    """


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark; its lines end with a line feed.

    Raises:
        TaggingDataError: it cannot be read, is no UTF-8, or is too large to be read at once.
    """
    try:
        size = path.stat().st_size
        if size <= _MOST_BYTES:
            return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        raise TaggingDataError(f"{path} could not be read as UTF-8 text: {error}") from None
    raise TaggingDataError(f"{path} has {size} bytes; expected at most {_MOST_BYTES}: divide it")


class WeakLabels(NamedTuple):
    """Sentences with the votes of several labelling functions.

    `observations` and `lengths` are what the label models take. They stay on the host until a model takes them.

    Attributes:
        ids: a name for each sentence.
        tokens: the words of each sentence.
        observations: `[batch, time, function]` indices into `label_names`; a function that marks nothing at a token
            says `O`, index 0; -1 in padding.
        lengths: `[batch]` number of tokens.
        labels: `[batch, time]` gold indices, -1 in padding; None where there are none.
        label_names: `O, B-x, I-x, B-y, I-y, ...`
        function_names: one name per labelling function.
    """

    ids: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    observations: Int[np.ndarray, "batch time function"]
    lengths: Int[np.ndarray, " batch"]
    labels: Int[np.ndarray, "batch time"] | None
    label_names: tuple[str, ...]
    function_names: tuple[str, ...]

    def take(self, rows: Sequence[int] | Int[np.ndarray, " rows"]) -> "WeakLabels":
        """Some of the sentences, cropped to the longest of them."""
        rows = np.asarray(rows, np.int64)
        time = int(self.lengths[rows].max(initial=1))
        return self._replace(
            ids=tuple(self.ids[row] for row in rows),
            tokens=tuple(self.tokens[row] for row in rows),
            observations=self.observations[rows, :time],
            lengths=self.lengths[rows],
            labels=None if self.labels is None else self.labels[rows, :time],
        )

    def functions(self, names: Sequence[str]) -> "WeakLabels":
        """Only the named labelling functions, in the order given."""
        unknown = sorted(set(names) - set(self.function_names))
        if unknown:
            raise ValueError(
                f"no labelling function is called {', '.join(unknown)}; there are {', '.join(self.function_names)}"
            )
        columns = [self.function_names.index(name) for name in names]
        return self._replace(observations=self.observations[:, :, columns], function_names=tuple(names))

    def with_labels(self, label_names: Sequence[str]) -> "WeakLabels":
        """The same with other label names, among which are all of its own.

        Raises:
            TaggingDataError: one of its own is not.
        """
        if tuple(label_names) == self.label_names:
            return self
        unknown = [name for name in self.label_names if name not in label_names]
        if unknown:
            raise TaggingDataError(
                f"the labels {', '.join(unknown)} of the data are not among {', '.join(label_names)}"
            )
        places = np.array([*(list(label_names).index(name) for name in self.label_names), -1], np.int32)  # -1: padding
        labels = None if self.labels is None else places[self.labels]
        return self._replace(observations=places[self.observations], labels=labels, label_names=tuple(label_names))

    def tags(self, labels: Int[np.ndarray, "batch time"]) -> list[list[str]]:
        """Label indices as tag strings, without the padding, for `jaxuq.metrics.entity_scores`."""
        values = np.asarray(labels)
        return [[self.label_names[i] for i in row[:length]] for row, length in zip(values, self.lengths)]


def bio_label_names(types: Iterable[str]) -> tuple[str, ...]:
    """The labels of the BIO scheme in the order that all of jaxuq uses.

    Args:
        types: entity types.

    Returns:
        `("O", "B-x", "I-x", ...)`: `O` has index 0, `B-` odd and `I-` even indices.

    Raises:
        ValueError: if a type is empty or given twice.

    Example:
        >>> bio_label_names(["PER", "LOC"])
        ('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC')

    References:
        Ramshaw, Marcus. Text chunking using transformation-based learning. Workshop on Very Large Corpora, 1995.
    """
    types = tuple(types)
    if not all(types) or len(set(types)) != len(types):
        raise ValueError(f"entity types are {types}; expected different, non-empty names")
    return ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def spans_to_labels(
    spans: Iterable[Any], length: int, label_names: Sequence[str], *, sentence: str, source: str = "gold"
) -> Int[np.ndarray, " length"]:
    """Mark the spans of one sentence.

    Args:
        spans: `(start, end, type)`, `end` exclusive.
        length: number of tokens.
        label_names: as `bio_label_names` gives them.
        sentence: the name of the sentence, for messages.
        source: who marked the spans, for messages.

    Returns:
        Label indices.

    Raises:
        TaggingDataError: if a span is empty, leaves the sentence, overlaps another, or has an unknown type.

    Example:
        >>> spans_to_labels([(1, 3, "PER")], 4, ["O", "B-PER", "I-PER"], sentence="s1").tolist()
        [0, 1, 2, 0]
    """
    labels = np.zeros(length, np.int32)
    index = {name: number for number, name in enumerate(label_names)}
    where = f"sentence {sentence}, {source}"
    for span in spans:
        if not (isinstance(span, Sequence) and not isinstance(span, str) and len(span) == 3):
            raise TaggingDataError(f"{where}: a span is {span!r}; expected [start, end, type]")
        start, end, kind = span
        if not all(isinstance(bound, int | np.integer) and not isinstance(bound, bool) for bound in (start, end)):
            raise TaggingDataError(f"{where}: the span {list(span)} has bounds that are not whole numbers")
        if not 0 <= start < end <= length:
            raise TaggingDataError(
                f"{where}, token {start}: the span {list(span)} is empty or leaves the sentence of {length} tokens; "
                f"expected 0 <= start < end <= {length}"
            )
        if f"B-{kind}" not in index:
            known = ", ".join(name[2:] for name in label_names if name.startswith("B-"))
            raise TaggingDataError(f"{where}, token {start}: unknown entity type {kind!r}; known are {known}")
        taken = np.flatnonzero(labels[start:end])
        if taken.size:
            raise TaggingDataError(
                f"{where}, token {start + taken[0]}: the span {list(span)} overlaps another; keep one of the two, "
                "such as the longer"
            )
        labels[start], labels[start + 1 : end] = index[f"B-{kind}"], index[f"I-{kind}"]
    return labels


def make_weak_labels(
    tokens: Sequence[Sequence[str]],
    observations: Sequence[Int[np.ndarray, "_ _"]],
    labels: Sequence[Int[np.ndarray, " _"]] | None,
    label_names: Sequence[str],
    function_names: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
) -> WeakLabels:
    """Pad the sentences of a data set into one array.

    Args:
        tokens: the words of each sentence.
        observations: for each sentence the label index of each token by each function.
        labels: gold label indices, or None.
        label_names: as `bio_label_names` gives them.
        function_names: one name per function.
        ids: names of the sentences; None numbers them.

    Returns:
        `WeakLabels`.

    Raises:
        TaggingDataError: if there is no sentence, a sentence is empty, or numbers of tokens or functions disagree.

    Example:
        >>> data = make_weak_labels(
        ...     [["Ada", "wrote"]], [np.array([[1], [0]])], None, ("O", "B-PER", "I-PER"), ["names"]
        ... )
        >>> data.observations.shape, data.lengths.tolist(), data.ids
        ((1, 2, 1), [2], ('0',))
    """
    names = [str(i) for i in range(len(tokens))] if ids is None else list(ids)
    if not tokens:
        raise TaggingDataError("there is no sentence; expected at least one")
    lengths = np.array([len(words) for words in tokens], np.int32)
    for row, (name, words, votes) in enumerate(zip(names, tokens, observations, strict=True)):
        if not len(words):
            raise TaggingDataError(f"sentence {name} is empty, so it has no token 0; leave it out")
        if votes.shape != (len(words), len(function_names)):
            raise TaggingDataError(
                f"sentence {name} has observations of shape {votes.shape}; expected "
                f"{(len(words), len(function_names))}, tokens x functions"
            )
        if labels is not None and len(labels[row]) != len(words):
            raise TaggingDataError(f"sentence {name} has {len(words)} tokens and {len(labels[row])} gold labels")
    shape = (len(tokens), int(lengths.max()), len(function_names))
    if math.prod(shape) > _MOST_VOTES:
        longest = names[int(lengths.argmax())]
        raise TaggingDataError(
            f"{shape[0]} sentences x {shape[1]} tokens of the longest, {longest}, x {shape[2]} functions are more than "
            f"{_MOST_VOTES} votes; divide that sentence, or the data"
        )
    padded = np.full(shape, -1, np.int32)
    gold = None if labels is None else np.full(padded.shape[:2], -1, np.int32)
    for row, length in enumerate(lengths):
        padded[row, :length] = observations[row]
        if labels is not None and gold is not None:
            gold[row, :length] = labels[row]
    words = tuple(tuple(str(word) for word in sentence) for sentence in tokens)
    return WeakLabels(tuple(names), words, padded, lengths, gold, tuple(label_names), tuple(function_names))
