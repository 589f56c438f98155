"""Where phrases are found: against brute force, and as properties that must always hold."""

import difflib
import itertools
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from jaxuq.extraction import (
    CORRECTED,
    PUBLISHED,
    join_tokens,
    locate,
    make_haystack,
    make_reader,
    plain_text,
    tokenize,
)
from jaxuq.extraction.spans import Span, merge_overlaps, settle_types
from jaxuq.extraction.tables import MARKS
from jaxuq.extraction.tokens import TOKENIZERS

WORDS = ["ada", "lovelace", "lovelac", "met", "bo", "-", ",", ".", "poly", "polymer", "x", "12", "12.5"]


def written(tokens):
    text = tokens[0]
    for before, token in itertools.pairwise(tokens):
        text += token if token in {",", ".", "-", ";", "!"} or before.endswith("-") else " " + token
    return text


def brute_force(phrase, tokens, n, rules):
    """The three steps, without any of the shortcuts."""
    last = len(tokens)
    exact = [
        (i, j) for i in range(last) for j in range(i + 1, last + 1) if " ".join(tokens[i:j]) == phrase
    ]  # fmt: skip
    if exact:
        if rules.repeats:
            return exact
        kept = exact[:1]  # the space after a match is used up, so the next token cannot begin one
        for place in exact[1:]:
            kept += [place] if place[0] > kept[-1][1] else []
        return kept
    dense = phrase.replace(" ", "")
    if len(phrase) > rules.long or rules.short_without_spaces:
        whole = [(i, j) for i in range(last) for j in range(i + 1, last + 1) if "".join(tokens[i:j]) == dense]
        if whole and len(phrase) <= rules.long:
            return whole
        if len(phrase) > rules.long and dense in "".join(tokens):
            return None  # within tokens: tested by hand below
    scored = {}
    for i in range(last if rules.narrow_at_end else max(0, last - n + 2)):
        for j in range(i + max(1, n - rules.narrower), min(last, i + n + rules.wider) + 1):
            if j < last or rules.last_token:
                window = written(tokens[i:j])
                scored[i, j] = difflib.SequenceMatcher(None, phrase, window).ratio(), len(window)
    good = {place: value for place, value in scored.items() if value[0] >= rules.threshold}
    if not good:
        return []
    best = max(score for score, _ in good.values())
    ties = {place: length for place, (score, length) in good.items() if score == best}
    if best == rules.threshold and not rules.repeats:
        return [min(ties)]
    return sorted(place for place, length in ties.items() if length == min(ties.values()))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    st.one_of(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
        st.text(st.sampled_from(list("adlovecmetb -.12")), min_size=1, max_size=14),
    ),
    st.sampled_from([CORRECTED, PUBLISHED]),
)
def test_locating_is_brute_force_made_quick(tokens, phrase, rules):
    phrase = phrase.strip()
    n = max(len(phrase.split()), 1)
    expected = brute_force(phrase, tokens, n, rules) if phrase else []
    if expected is None:
        return
    found = locate(phrase, make_haystack(tokens), num_tokens=n, rules=rules)
    if found and found[0].score == 1.0 and rules.repeats and expected:
        # without spaces, matches do not overlap one another
        assert {match[:2] for match in found} <= set(expected)
    else:
        assert [match[:2] for match in found] == expected


def test_all_occurrences_and_neighbouring_repetitions():
    haystack = make_haystack(["bo", "bo", "bo", "met", "bo"])
    assert [match[:2] for match in locate("bo", haystack, num_tokens=1)] == [(0, 1), (1, 2), (2, 3), (4, 5)]
    published = locate("bo", haystack, num_tokens=1, rules=PUBLISHED)
    assert [match[:2] for match in published] == [(0, 1), (2, 3), (4, 5)]


def test_long_phrases_may_begin_within_a_token():
    haystack = make_haystack(["the", "semi-poly(styrene", "sulfonate)s", "film"])
    assert [match[:2] for match in locate("poly (styrene sulfonate)", haystack, num_tokens=5)] == [(1, 3)]
    assert locate("semi", haystack, num_tokens=1) == []


def test_the_last_token_belongs_to_the_text():
    haystack = make_haystack(["she", "met", "lovelace"])
    assert [match[:2] for match in locate("lovelaces", haystack, num_tokens=1)] == [(2, 3)]
    assert locate("lovelaces", haystack, num_tokens=1, rules=PUBLISHED) == []


def test_the_narrowest_window_may_end_the_text():
    """Two tokens like a phrase of four are found at the end as they are anywhere else."""
    for text, place in (("Poly x was used", (0, 2)), ("We used poly x", (2, 4))):
        assert [match[:2] for match in make_reader(tokenize(text)).find("(poly x)")] == [place]


def test_what_is_not_there_is_not_found():
    reader = make_reader(tokenize("Ada met Bo in Rome."))
    assert not any(reader.find(phrase) for phrase in ("Charles", "Paris", "none", "", " ", "zzzzzzz" * 100))


TEXT = st.text(max_size=60)


@settings(max_examples=150, deadline=None)
@given(TEXT, st.one_of(TEXT, st.text(st.sampled_from(list("ab |-\n\x00é\u05d0\u202e")), max_size=40)))
def test_offsets_lie_within_the_text_and_matches_are_there(text, phrase):
    words = tokenize(text)
    assert all(text[start:end] == token for token, start, end in zip(words.tokens, words.starts, words.ends))
    reader = make_reader(words)
    for match in reader.find(phrase):
        assert 0 <= match.start < match.end <= len(words.tokens)
        start, end = words.characters(match.start, match.end)
        assert 0 <= start < end <= len(text)
        found = [plain_text(token).lower() for token in words.tokens[match.start : match.end]]
        plain = plain_text(phrase).lower()
        wanted = {plain.strip(), plain.strip(MARKS).strip()}  # marks around a phrase may be its own, or a model's
        if match.score == 1.0:
            assert any(one.replace(" ", "") in "".join(found).replace(" ", "") for one in wanted)
        else:
            ratios = [difflib.SequenceMatcher(None, one, written(found)).ratio() for one in wanted]
            assert match.score in ratios and match.score >= 0.75


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=5), min_size=1, max_size=8))
def test_every_run_of_tokens_is_found_where_it_is(tokens):
    text = join_tokens(tokens)
    haystack = make_haystack(text.tokens)
    for start, end in {(0, 1), (0, len(tokens)), (len(tokens) // 2, len(tokens))}:
        phrase = " ".join(haystack.tokens[start:end])
        assert (start, end) in [match[:2] for match in locate(phrase, haystack, num_tokens=end - start)]
        assert text.text[slice(*text.characters(start, end))] == " ".join(tokens[start:end])


def test_a_reply_of_ten_thousand_rows_is_located_in_linear_time():
    reader = make_reader(tokenize("Ada Lovelace met Charles Babbage in London. " * 20))

    def seconds(rows):
        phrases = [f"lovelac {number}" for number in range(rows)]
        began = time.process_time()
        for phrase in phrases:
            reader.find(phrase)
        return time.process_time() - began

    seconds(10)
    assert seconds(320) < 32 * max(seconds(40), 1e-3)


def test_tokenizers_keep_places():
    text = "Poly(3-hexylthiophene) costs $1,200.50; don't ask.\u200b\x07 שלום"
    for name in TOKENIZERS:
        if name == "spacy":
            pytest.importorskip("spacy")
        made = tokenize(text, name)
        assert all(text[start:end] == token for token, start, end in zip(made.tokens, made.starts, made.ends))
    with pytest.raises(ValueError, match="tokenizer is 'nltk'"):
        tokenize(text, "nltk")


spans = st.tuples(st.integers(0, 9), st.integers(1, 4), st.sampled_from("ab"), st.sampled_from([0.8, 1.0]))


@settings(max_examples=80, deadline=None)
@given(st.lists(spans, max_size=8))
def test_settled_spans_do_not_overlap_and_the_best_stay(drawn):
    by_type = {"a": [], "b": []}
    for start, length, kind, score in drawn:
        by_type[kind].append(Span(start, start + length, kind, score))
    settled = settle_types(by_type)
    places = [token for span in settled for token in range(span.start, span.end)]
    assert len(places) == len(set(places))
    best = max((span.score for group in by_type.values() for span in group), default=None)
    assert best is None or best in [span.score for span in settled]
    last = {span[:2]: span.type for kind in "ab" for span in by_type[kind]}
    assert {span[:2]: span.type for span in settle_types(by_type, rule="last")} == last


def test_merging_keeps_the_larger_of_overlapping_matches():
    found = merge_overlaps(locate("bo", make_haystack(["bo", "bo"]), num_tokens=1) * 2)
    assert [match[:2] for match in found] == [(0, 1), (1, 2)]
