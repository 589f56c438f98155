"""Finding what a model wrote in the text that it was asked about: exactly, without spaces, then approximately."""

import bisect
import difflib
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_TIGHT = frozenset(",.-;!")  # signs written without a space before them when a window is compared


class LocatingRules(NamedTuple):
    """What `locate` counts as a place of a phrase. The defaults are the corrected form of the published rules.

    Attributes:
        threshold: least similarity of an approximate match, in (0, 1].
        narrower: a window has at least n - `narrower` tokens, n those of the phrase.
        wider: and at most n + `wider`.
        long: a phrase of more characters than this may, once spaces are ignored, begin and end within tokens.
        short_without_spaces: shorter phrases are looked for without spaces too, at the bounds of tokens.
        repeats: neighbouring repetitions of a phrase are all found, not every second one.
        last_token: the last token of a text belongs to windows.
        narrow_at_end: so do the narrowest windows at its end.
    """

    threshold: float = 0.75
    narrower: int = 2
    wider: int = 1
    long: int = 15
    short_without_spaces: bool = True
    repeats: bool = True
    last_token: bool = True
    narrow_at_end: bool = True


CORRECTED = LocatingRules()
EXACT = LocatingRules(threshold=1.0, narrower=0, wider=0, long=10**9)  # letter by letter, at the bounds of tokens
PUBLISHED = LocatingRules(short_without_spaces=False, repeats=False, last_token=False, narrow_at_end=False)
# One stored report (GPT-3.5, G&O, conll04) was made with these.
PUBLISHED_EARLY = PUBLISHED._replace(threshold=0.7, wider=2, last_token=True)


class Match(NamedTuple):
    """A place in a text.

    Attributes:
        start: first token.
        end: one behind the last token.
        score: 1 for an exact match (spaces and case aside), else the similarity.
    """

    start: int
    end: int
    score: float


class Haystack(NamedTuple):
    """A text made ready to be searched many times; see `make_haystack`.

    Memory is tokens x different characters, 32 bits each.

    Attributes:
        tokens: in lower case, or as they are.
        spaced: the tokens with a space around each.
        spaced_starts: where each token begins there, and the end.
        dense: the tokens without spaces.
        dense_starts: where each token begins there, and the end.
        alphabet: a column for each character.
        counts: of each character in the tokens before each token.
        spaces: how many tokens before each token have a space before them when they are written out.
    """

    tokens: tuple[str, ...]
    spaced: str
    spaced_starts: tuple[int, ...]
    dense: str
    dense_starts: tuple[int, ...]
    alphabet: dict[str, int]
    counts: Int[np.ndarray, "before character"]
    spaces: Int[np.ndarray, " before"]


def make_haystack(tokens: Sequence[str], *, ignore_case: bool = True) -> Haystack:
    """Prepare the tokens of a text for `locate`.

    Args:
        tokens: of the text.
        ignore_case: compare in lower case.

    Returns:
        `Haystack`.

    Example:
        >>> make_haystack(["Ada", "wrote"]).spaced
        ' ada wrote '
    """
    tokens = tuple(token.lower() for token in tokens) if ignore_case else tuple(tokens)
    lengths = np.array([len(token) for token in tokens], np.int64)
    before = np.concatenate([[0], np.cumsum(lengths)])
    dense = "".join(tokens)
    alphabet = {character: column for column, character in enumerate(dict.fromkeys(dense))}
    counts = np.zeros((len(tokens) + 1, len(alphabet)), np.int32)
    if dense:
        rows = np.repeat(np.arange(1, len(tokens) + 1), lengths)
        np.add.at(counts, (rows, np.array([alphabet[character] for character in dense])), 1)
    spaced_out = [
        not (token in _TIGHT or previous.endswith("-")) for previous, token in zip(("", *tokens[:-1]), tokens)
    ]
    return Haystack(
        tokens,
        " " + "".join(token + " " for token in tokens),
        tuple((before + 1 + np.arange(len(tokens) + 1)).tolist()),
        dense,
        tuple(before.tolist()),
        alphabet,
        np.cumsum(counts, axis=0, dtype=np.int32),
        np.concatenate([[0], np.cumsum(spaced_out)]).astype(np.int32),
    )


def locate(phrase: str, haystack: Haystack, *, num_tokens: int, rules: LocatingRules = CORRECTED) -> list[Match]:
    """Find a phrase in a text.

    In this order, and the first that finds something decides: (1) all places where the tokens are the phrase; (2) all
    places where they are once spaces are ignored, from the beginning of a token to the end of one, or anywhere for
    phrases of more than 15 characters (whole tokens are returned then); (3) windows of n - 2 to n + 1 tokens, n those
    of the phrase, as similar to it as the threshold or more: the most similar, of these the shortest, and all of them.
    Similarity is Ratcliff and Obershelp's, of `difflib`, between the phrase and the window written with spaces except
    before `, . - ; !` and after a hyphen.

    Windows that cannot be similar enough are not compared: neither the letters they share with the phrase nor their
    longest common subsequence may be too few. Time for one phrase is at most proportional to the windows times their
    length, and for the phrases of a reply it is linear in their number.

    Args:
        phrase: what to find, in the case of the haystack.
        haystack: of `make_haystack`.
        num_tokens: n, how many tokens the phrase has.
        rules: the numbers above; `PUBLISHED` are those of the published code, in which neighbouring repetitions are
            found every second time only, (2) needs more than 15 characters, and the last token of a text belongs to no
            window of (3), nor do the narrowest ones at its end.

    Returns:
        Matches in the order of the text; empty if there is none. All lie within the text and hold at least one token.

    Raises:
        ValueError: a threshold out of range.

    Example:
        >>> haystack = make_haystack(["The", "PffBB", "-", "n", "blend", ";", "PffBB", "-", "n", "."])
        >>> locate("pffbb-n", haystack, num_tokens=3)
        [Match(start=1, end=4, score=1.0), Match(start=6, end=9, score=1.0)]
        >>> locate("blends", haystack, num_tokens=1)
        [Match(start=4, end=5, score=0.909...)]

    References:
        Li, Ramprasad, Zhang. A simple but effective approach to improve structured language model output for
        information extraction. Findings of EMNLP, 2024.
        Ratcliff, Metzener. Pattern matching: the gestalt approach. Dr. Dobb's Journal, 1988.
        Hyyrö. Bit-parallel LCS-length computation revisited. Australasian Workshop on Combinatorial Algorithms, 2004.
    """
    if not 0 < rules.threshold <= 1:
        raise ValueError(f"threshold is {rules.threshold}; expected a number in (0, 1]")
    phrase = phrase.strip()
    if not phrase or not haystack.tokens:
        return []
    return (
        _spaced(phrase, haystack, rules)
        or _dense(phrase, haystack, rules)
        or _similar(phrase, haystack, max(num_tokens, 1), rules)
    )


def _occurrences(needle: str, text: str, *, overlapping: bool) -> list[int]:
    found, at = [], text.find(needle)
    while at >= 0:
        found.append(at)
        at = text.find(needle, at + (1 if overlapping else len(needle)))
    return found


def _tokens_between(starts: Sequence[int], begin: int, end: int, gap: int) -> tuple[int, int]:
    """The tokens that hold the characters `begin` to `end`; tokens are `gap` characters apart."""
    return bisect.bisect_right(starts, begin) - 1, bisect.bisect_left(starts, end + gap)


def _spaced(phrase: str, haystack: Haystack, rules: LocatingRules) -> list[Match]:
    places = _occurrences(f" {phrase} ", haystack.spaced, overlapping=rules.repeats)
    spans = [_tokens_between(haystack.spaced_starts, at + 1, at + 1 + len(phrase), 1) for at in places]
    return [Match(start, end, 1.0) for start, end in dict.fromkeys(spans) if end > start]


def _dense(phrase: str, haystack: Haystack, rules: LocatingRules) -> list[Match]:
    if len(phrase) <= rules.long and not rules.short_without_spaces:
        return []
    needle = phrase.replace(" ", "")
    if not needle:
        return []
    starts = haystack.dense_starts
    matches = []
    for at in _occurrences(needle, haystack.dense, overlapping=False):
        start, end = _tokens_between(starts, at, at + len(needle), 0)
        at_bounds = starts[start] == at and starts[end] == at + len(needle)
        if end > start and (len(phrase) > rules.long or at_bounds):
            matches.append(Match(start, end, 1.0))
    return list(dict.fromkeys(matches))


def _written(tokens: Sequence[str]) -> str:
    """A window as a person would write it, nearly."""
    parts = [tokens[0]]
    for previous, token in itertools.pairwise(tokens):
        parts.append(token if token in _TIGHT or previous.endswith("-") else f" {token}")
    return "".join(parts)


def _similar(phrase: str, haystack: Haystack, num_tokens: int, rules: LocatingRules) -> list[Match]:
    total = len(haystack.tokens)
    sizes = np.arange(max(1, num_tokens - rules.narrower), num_tokens + rules.wider + 1)
    sizes = sizes[sizes <= total]
    if not sizes.size:
        return []
    begins, widths = (grid.ravel() for grid in np.meshgrid(np.arange(total), sizes, indexing="ij"))
    ends = begins + widths
    inside = ends <= (total if rules.last_token else total - 1)
    inside &= begins <= (total if rules.narrow_at_end else total - num_tokens + 1)
    begins, ends = begins[inside], ends[inside]
    likely = np.flatnonzero(_letter_bounds(phrase, haystack, begins, ends) >= rules.threshold)
    windows = _order_bounds(phrase, haystack, begins[likely].tolist(), ends[likely].tolist())
    windows.sort(key=lambda window: -window[0])
    best, found = rules.threshold, []
    for bound, begin, end in windows:
        if bound < best:
            break
        text = _written(haystack.tokens[begin:end])
        score = difflib.SequenceMatcher(None, phrase, text).ratio()
        if score >= best:
            found = [] if score > best else found
            best = score
            found.append((begin, end, len(text)))
    found.sort()
    if best == rules.threshold and not rules.repeats:
        shortest = found[:1]  # at the very threshold the published code keeps the first window only
    else:
        shortest = [entry for entry in found if entry[2] == min(length for *_, length in found)]
    return [Match(start, end, best) for start, end, _ in shortest]


def _order_bounds(
    phrase: str, haystack: Haystack, begins: Sequence[int], ends: Sequence[int]
) -> list[tuple[float, int, int]]:
    """Twice the longest common subsequence by the sum of the lengths, which no similarity exceeds.

    Bit k of `state` is 0 where the phrase's letter k adds to the subsequence; windows that begin together share work.
    """
    places: dict[str, int] = {}
    for place, letter in enumerate(phrase):
        places[letter] = places.get(letter, 0) | 1 << place
    whole = (1 << len(phrase)) - 1
    windows = []
    begun, state, text_length, at = -1, whole, 0, 0
    for begin, end in zip(begins, ends):
        if begin != begun:
            begun, state, text_length, at = begin, whole, 0, begin
        while at < end:
            token = haystack.tokens[at]
            if at > begin and not (token in _TIGHT or haystack.tokens[at - 1].endswith("-")):
                token = " " + token
            text_length += len(token)
            for letter in token:
                shared = state & places.get(letter, 0)
                state = ((state + shared) | (state - shared)) & whole
            at += 1
        common = len(phrase) - state.bit_count()
        windows.append((2.0 * common / (len(phrase) + text_length), begin, end))
    return windows


def _letter_bounds(
    phrase: str, haystack: Haystack, begins: Int[np.ndarray, " windows"], ends: Int[np.ndarray, " windows"]
) -> Float[np.ndarray, " windows"]:
    """What the similarity cannot exceed: twice the shared letters by the sum of the lengths."""
    wanted = Counter(phrase)
    spaces = haystack.spaces[ends] - haystack.spaces[begins + 1]
    starts = np.asarray(haystack.dense_starts)
    lengths = starts[ends] - starts[begins] + spaces
    if " " in haystack.alphabet:  # a token of nothing but spaces
        blank = haystack.counts[:, haystack.alphabet[" "]]
        spaces = spaces + blank[ends] - blank[begins]
    shared = np.minimum(spaces, wanted.pop(" ", 0))
    known = [(haystack.alphabet[letter], count) for letter, count in wanted.items() if letter in haystack.alphabet]
    if known:
        columns = np.array([column for column, _ in known])
        part = haystack.counts[:, columns]
        shared = shared + np.minimum(part[ends] - part[begins], [count for _, count in known]).sum(axis=1)
    return 2.0 * shared / (len(phrase) + lengths)
