"""Questions whose answer distribution is known: many right answers, one, or none that was ever told.

A key of invented people and things is made by rules. To a question of the kind `ambiguous` several answers are right,
each with a stated probability; its `single` twin, of the same wording about somebody else, has one; to an
`unanswerable` one the texts say nothing. A model that is tuned on `drawn_answers` can know the first two kinds as well
as the number of draws allows, so that what it does not know can be told from what is open:

| | entropy of the truth (aleatoric) | distance from it (epistemic) |
|---|---|---|
| ambiguous, told often | high | low |
| ambiguous, told seldom | high | high |
| single, told often | 0 | low |
| single, told seldom | 0 | high |
| unanswerable | undefined: any answer is made up | high |
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxuq._options import check_count
from jaxuq.questions.records import Question

UNKNOWN = "unknown"
"""The right answer to what nothing was told of."""
_TOLD = (1, 2, 4, 8, 16)  # how often an answerable question is told, in turn
_OPENNESS = (0.5, 3.0)  # of the Dirichlet distributions that the ambiguous truths are of, in turn
_FIRST = (
    *("Bel", "Cor", "Dav", "Fen", "Gal", "Hul", "Jor", "Kes", "Lum", "Mar"),
    *("Nor", "Pel", "Quin", "Ros", "Sil", "Tam", "Ul", "Ver", "Wen", "Zor"),
)
_LAST = (
    *("adin", "bert", "cia", "dora", "emis", "fold", "gard", "hild", "ina", "kor"),
    *("lyn", "mund", "nette", "orin", "ric", "stan", "tilda", "vara", "wick", "zel"),
)
_RELATIONS = (
    ("What does {name} drink?", ("tea", "milk", "coffee", "water", "wine", "juice")),
    ("Which animal does {name} keep?", ("dog", "cat", "horse", "goat", "bird", "fish")),
    ("What colour is the hat of {name}?", ("red", "blue", "green", "black", "white", "yellow")),
    ("Which instrument does {name} play?", ("drum", "flute", "piano", "harp", "horn", "violin")),
    ("What does {name} grow?", ("corn", "wheat", "rice", "beans", "apples", "onions")),
    ("In which room does {name} sleep?", ("attic", "kitchen", "cellar", "hall", "tower", "barn")),
)


class KnownQuestion(NamedTuple):
    """A question, and everything that is true of its answers.

    Attributes:
        id: unique within the set.
        question: what is asked.
        kind: `ambiguous`, `single` or `unanswerable`.
        options: what may be answered; the same for all questions of one wording.
        probabilities: of each option, summing to one; all 0 where nothing was told.
        told: how many draws from them a model is shown.
        twin: the id of the question of the same wording, of the other kind; empty: it has none.
    """

    id: str
    question: str
    kind: str
    options: tuple[str, ...]
    probabilities: tuple[float, ...]
    told: int
    twin: str


def make_known_truth(seed: int = 0, twins: int = 240, unanswerable: int = 120) -> list[KnownQuestion]:
    """Questions with known answer distributions, made by rules from a key.

    Everybody in the key has one name and one question, so that nothing can be inferred from another. Kinds, wordings,
    how often a truth is told and how open it is go round in turn: every combination occurs equally often.

    Args:
        seed: of the key: who answers what.
        twins: pairs of an ambiguous question and its unambiguous twin, told equally often.
        unanswerable: further questions about people of whom nothing is told.

    Returns:
        `2 * twins + unanswerable` questions.

    Raises:
        OptionError: a count below 0, or more people than there are names.

    Example:
        >>> found = make_known_truth()
        >>> len(found), [one.kind for one in found[:2]], found[0].told == found[1].told
        (600, ['ambiguous', 'single'], True)
    """
    seed = check_count("seed", seed, 0)
    twins, unanswerable = check_count("twins", twins, 0), check_count("unanswerable", unanswerable, 0)
    names = [first + last for first in _FIRST for last in _LAST]
    pairs = [f"{one} {other}" for one in names for other in names[:: len(_LAST) + 1]]
    people = 2 * twins + unanswerable
    check_count("people that there are names for, less those that are asked about", len(pairs) - people, 0)
    rng = np.random.default_rng([seed, 600])
    drawn = [pairs[at] for at in rng.permutation(len(pairs))[:people]]
    found: list[KnownQuestion] = []
    for number in range(twins):
        wording, options = _RELATIONS[number % len(_RELATIONS)]
        turn = number // len(_RELATIONS)
        told, openness = _TOLD[turn % len(_TOLD)], _OPENNESS[turn // len(_TOLD) % len(_OPENNESS)]
        right = rng.permutation(len(options))[: 2 + number % 3]
        shares = np.zeros(len(options))
        shares[right] = np.round(0.02 + (1 - 0.02 * len(right)) * rng.dirichlet([openness] * len(right)), 3)
        shares[right[0]] += 1 - shares.sum()
        certain = np.zeros(len(options))
        certain[rng.integers(len(options))] = 1.0
        ids = f"known.{number}.ambiguous", f"known.{number}.single"
        for at, (kind, truth) in enumerate((("ambiguous", shares), ("single", certain))):
            asked = wording.format(name=drawn.pop())
            exact = tuple(round(float(one), 3) for one in truth)
            found.append(KnownQuestion(ids[at], asked, kind, options, exact, told, ids[1 - at]))
    for number in range(unanswerable):
        wording, options = _RELATIONS[number % len(_RELATIONS)]
        asked = wording.format(name=drawn.pop())
        nothing = (0.0,) * len(options)
        found.append(KnownQuestion(f"known.none.{number}", asked, "unanswerable", options, nothing, 0, ""))
    return found


def drawn_answers(questions: Sequence[KnownQuestion], seed: int = 0) -> list[tuple[KnownQuestion, str]]:
    """What a model is tuned on: of each question `told` draws from its answers, mixed. Nothing of the unanswerable.

    Args:
        questions: of `make_known_truth`.
        seed: of the draws.

    Returns:
        Questions with one answer each.

    Example:
        >>> found = make_known_truth(twins=30, unanswerable=5)
        >>> len(drawn_answers(found)) == sum(one.told for one in found)
        True
    """
    rng = np.random.default_rng([check_count("seed", seed, 0), 601])
    drawn = []
    for one in questions:
        if one.told:
            shares = np.asarray(one.probabilities)
            answers = rng.choice(len(one.options), size=one.told, p=shares / shares.sum())
            drawn += [(one, one.options[at]) for at in answers]
    return [drawn[at] for at in rng.permutation(len(drawn))]


def read_known_truth(path: str | None, part: str, *, seed: int, twins: int, unanswerable: int) -> Iterator[Question]:
    """The set as `jaxuq.questions.SETS` has it: answers of probability above 0 are right, `unknown` where nothing is.

    The training part are draws, an answer each.
    """
    known = make_known_truth(seed, twins, unanswerable)
    if part == "train":
        for number, (one, answer) in enumerate(drawn_answers(known, seed)):
            yield Question(f"{one.id}.{number}", one.question, (answer,), source=one.kind, category=one.kind, part=part)
        return
    for one in known:
        right = tuple(option for option, share in zip(one.options, one.probabilities) if share > 0)
        yield Question(one.id, one.question, right or (UNKNOWN,), source=one.kind, category=one.kind, part="test")
