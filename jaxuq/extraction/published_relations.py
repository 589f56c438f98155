"""Relations as the published code reads and counts them; kept apart, since it is no way to do it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxuq.extraction.parsing import parse_rows
from jaxuq.extraction.reading import Reader, says_yes
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import overlap


def published_pairs(
    reply: str, columns: Sequence[str], reader: Reader, *, subject_windows: bool = True
) -> list[Arguments]:
    """Subject and object of each row whose third column says yes, every place of one with every place of the other.

    Args:
        reply: the last message.
        columns: subject, object and check.
        reader: of the text, published convention.
        subject_windows: look for the object, too, in windows of as many tokens as the subject has, as the code does.

    Returns:
        Pairs, repetitions included.
    """
    pairs: list[Arguments] = []
    for subject, object_, check in parse_rows(reply, columns, convention="published").rows:
        if not (subject and object_ and check) or not says_yes(check):
            continue
        ours = reader.find(subject)
        theirs = reader.find(object_, reader.count(subject.lower()) if subject_windows else None)
        for a in ours:
            for b in theirs:
                if a[:2] != b[:2] and _written(a, reader) != _written(b, reader):
                    pairs.append(((a[:2],), (b[:2],)))
    return pairs


def published_tuples(reply: str, columns: Sequence[str], reader: Reader) -> list[Arguments]:
    """Material, property and value of each row; the property's abbreviation stands in where it is not found.

    Args:
        reply: the last message.
        columns: material, property, abbreviation, value, condition.
        reader: of the text, published convention.

    Returns:
        For each row the places of the three.
    """
    relations: list[Arguments] = []
    for material, property_, short, value, _ in parse_rows(reply, columns, convention="published").rows:
        if not (material and property_ and value):
            continue
        first, second, third = (reader.find(phrase) for phrase in (material, property_, value))
        second = second or reader.find(short, ignore_case=False) or reader.find(short)
        if first and second and third:
            relations.append(tuple(tuple(match[:2] for match in group) for group in (first, second, third)))
    return relations


def published_pair_counts(predicted: Sequence[Arguments], gold: Sequence[Arguments]) -> Int[np.ndarray, "6"]:
    """Counts of pairs of one text and type, repetitions counted.

    Args:
        predicted: of `published_pairs`.
        gold: the same form.

    Returns:
        The `COUNTS`.

    Example:
        >>> pair = (((0, 1),), ((2, 3),))
        >>> published_pair_counts([pair, pair], [pair]).tolist()
        [2, 1, 2, 1, 2, 1]
    """

    def touch(a: Arguments, b: Arguments) -> bool:
        return all(overlap(x[0], y[0]) for x, y in zip(a, b))

    return np.array(
        [
            len(predicted),
            len(gold),
            sum(pair in gold for pair in predicted),
            sum(pair in predicted for pair in gold),
            sum(any(touch(a, b) for b in gold) for a in predicted),
            sum(any(touch(a, b) for a in predicted) for b in gold),
        ]
    )


def published_tuple_counts(predicted: Sequence[Arguments], gold: Sequence[Arguments]) -> Int[np.ndarray, "6"]:
    """Counts of relations of several arguments of one text.

    A prediction is correct if each argument is that of *some* gold relation, not of one and the same; a gold relation
    is found if each of its arguments is that of the *last* prediction of the text, the only one that is looked at.

    Args:
        predicted: of `published_tuples`.
        gold: relations whose arguments have one place each.

    Returns:
        The `COUNTS`.

    Example:
        >>> a, b = (((0, 1),), ((2, 3),)), (((4, 5),), ((6, 7),))
        >>> published_tuple_counts([a, b], [a, b]).tolist()
        [2, 2, 2, 1, 2, 1]
    """
    counts = [len(predicted), len(gold)]
    for partial in (False, True):

        def same(a: tuple[int, int], b: tuple[int, int], partial: bool = partial) -> bool:
            return overlap(a, b) if partial else a == b

        counts.append(
            sum(
                all(
                    any(same(place, theirs[number][0]) for place in ours for theirs in gold)
                    for number, ours in enumerate(arguments)
                )
                for arguments in predicted
            )
        )
        counts.append(
            sum(
                all(any(same(place, theirs[0]) for place in ours) for ours, theirs in zip(predicted[-1], arguments))
                for arguments in gold
                if predicted
            )
        )
    return np.array(counts)


def _written(match: tuple[int, int, float], reader: Reader) -> str:
    return " ".join(reader.haystack.tokens[match[0] : match[1]])
