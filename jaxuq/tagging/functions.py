"""Labelling functions of one's own: any Python callable from tokens to spans, with helpers for the usual kinds."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq.tagging.records import (
    Span,
    TaggingDataError,
    WeakLabels,
    bio_label_names,
    make_weak_labels,
    spans_to_labels,
)

LabellingFunction = Callable[[Sequence[str]], Iterable[Span]]


def apply_labelling_functions(
    sentences: Sequence[Sequence[str]],
    functions: Mapping[str, LabellingFunction],
    types: Sequence[str],
    *,
    labels: Sequence[Iterable[Span]] | None = None,
    ids: Sequence[str] | None = None,
) -> WeakLabels:
    """Run labelling functions over tokenised text.

    Args:
        sentences: the tokens of each sentence.
        functions: name to a callable from tokens to `(start, end, type)` spans, `end` exclusive. Spans of one function
            must not overlap; a function may abstain by returning nothing, or None. One that never fires is kept: the
            models learn that its silence says nothing.
        types: the entity types.
        labels: gold spans of each sentence, if there are any.
        ids: names of the sentences; None numbers them.

    Returns:
        `WeakLabels`.

    Raises:
        TaggingDataError: if a sentence is empty or a span impossible, with the sentence, the function and the token.
        ValueError: if there is no function.

    Example:
        >>> names = {"capitals": regex_function(r"[A-Z][a-z]+", "PER"), "list": gazetteer_function(["Ada"], "PER")}
        >>> data = apply_labelling_functions([["then", "Ada", "spoke", "to", "Charles"]], names, ["PER"])
        >>> data.observations[0].T.tolist()
        [[0, 1, 0, 0, 1], [0, 1, 0, 0, 0]]

    References:
        Ratner, Bach, Ehrenberg, Fries, Wu, Ré. Snorkel: rapid training data creation with weak supervision. VLDB 2018.
    """
    if not functions:
        raise ValueError("functions is empty; expected at least one labelling function")
    label_names = bio_label_names(types)
    names = [str(i) for i in range(len(sentences))] if ids is None else list(ids)
    observations = []
    for name, tokens in zip(names, sentences, strict=True):
        votes = np.zeros((len(tokens), len(functions)), np.int32)
        for column, (source, function) in enumerate(functions.items()):
            try:
                spans = marked_spans(function, tokens)
            except Exception as error:
                raise TaggingDataError(
                    f"sentence {name}: the labelling function {source!r} failed: {type(error).__name__}: {error}"
                ) from error
            votes[:, column] = spans_to_labels(spans, len(tokens), label_names, sentence=name, source=source)
        observations.append(votes)
    gold = None
    if labels is not None:
        gold = [
            spans_to_labels(spans, len(tokens), label_names, sentence=name)
            for name, tokens, spans in zip(names, sentences, labels, strict=True)
        ]
    return make_weak_labels(sentences, observations, gold, label_names, list(functions), ids=names)


def marked_spans(function: LabellingFunction, tokens: Sequence[str]) -> list[Any]:
    """What a labelling function marks, not yet checked; a Python function without a `return` marks nothing."""
    spans = function(tokens)
    return [] if spans is None else list(spans)


def gazetteer_function(phrases: Iterable[str], kind: str, *, ignore_case: bool = False) -> LabellingFunction:
    """A function that marks the phrases of a list, the longest match first, from left to right.

    Args:
        phrases: words separated by blanks, as the tokens are.
        kind: the type of what it marks.
        ignore_case: whether capitals do not matter.

    Returns:
        A labelling function.

    Raises:
        ValueError: if no phrase has a word.

    Example:
        >>> places = gazetteer_function(["New York", "New York City", "York"], "LOC")
        >>> places("from New York City to York".split())
        [(1, 4, 'LOC'), (5, 6, 'LOC')]
    """

    def fold(word: str) -> str:
        return word.casefold() if ignore_case else word

    entries = {tuple(fold(word) for word in phrase.split()) for phrase in phrases} - {()}
    if not entries:
        raise ValueError("the gazetteer has no phrase; expected at least one")
    longest = max(map(len, entries))

    def function(tokens: Sequence[str]) -> list[Span]:
        words, spans, start = [fold(token) for token in tokens], [], 0
        while start < len(words):
            lengths = range(min(longest, len(words) - start), 0, -1)
            length = next((n for n in lengths if tuple(words[start : start + n]) in entries), 0)
            if length:
                spans.append((start, start + length, kind))
            start += length or 1
        return spans

    return function


def regex_function(pattern: str, kind: str, *, flags: int = 0) -> LabellingFunction:
    """A function that marks what a regular expression matches in the tokens joined by blanks.

    Args:
        pattern: a regular expression; a match must begin and end where tokens do, or it is left out.
        kind: the type of what it marks.
        flags: flags of the module `re`.

    Returns:
        A labelling function.

    Raises:
        re.error: if the pattern is malformed.

    Example:
        >>> money = regex_function(r"[$] [0-9.]+( million)?", "MONEY")
        >>> money("costs $ 2.5 million , not $ 3".split())
        [(1, 4, 'MONEY'), (6, 8, 'MONEY')]
    """
    compiled = re.compile(pattern, flags)

    def function(tokens: Sequence[str]) -> list[Span]:
        starts = np.cumsum([0, *(len(token) + 1 for token in tokens)])[:-1]
        first = {int(start): index for index, start in enumerate(starts)}
        last = {int(start) + len(token): index + 1 for index, (start, token) in enumerate(zip(starts, tokens))}
        matches = compiled.finditer(" ".join(tokens))
        return [(first[m.start()], last[m.end()], kind) for m in matches if m.start() in first and m.end() in last]

    return function


def heuristic_function(predicate: Callable[[str], bool], kind: str) -> LabellingFunction:
    """A function that marks each run of tokens of which a predicate holds.

    Args:
        predicate: from one token to whether it belongs to an entity, such as `str.istitle`.
        kind: the type of what it marks.

    Returns:
        A labelling function.

    Example:
        >>> heuristic_function(str.istitle, "PER")("so Ada Lovelace wrote".split())
        [(1, 3, 'PER')]
    """

    def function(tokens: Sequence[str]) -> list[Span]:
        edges = np.diff([0, *(int(predicate(token)) for token in tokens), 0])
        return [(int(a), int(b), kind) for a, b in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1))]

    return function
