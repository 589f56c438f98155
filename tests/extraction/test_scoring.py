"""Scores against counting by hand, and the published rules where they differ."""

import numpy as np
import pytest

from jaxuq.extraction import (
    Span,
    entity_counts,
    find_conflicts,
    make_reader,
    published_pairs,
    published_tuples,
    read_all_entities,
    read_entities,
    read_relations,
    read_resolution,
    relation_counts,
    resolve,
    scores_from_counts,
    tokenize,
)
from jaxuq.metrics import entity_scores

GOLD = [Span(0, 2, "person"), Span(4, 5, "place"), Span(6, 9, "person")]
FOUND = [Span(0, 2, "person"), Span(4, 5, "person"), Span(6, 7, "person"), Span(8, 9, "person")]


def tags(spans, length=10):
    made = ["O"] * length
    for start, end, kind, *_ in spans:
        made[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return made


def test_full_scores_are_those_of_tags():
    ours = scores_from_counts(entity_counts(FOUND, GOLD, ["person", "place"]), partial=False)
    tagged = entity_scores([tags(FOUND)], [tags(GOLD)])
    assert (ours.correct, ours.predicted, ours.gold) == (tagged.correct, tagged.predicted, tagged.gold)
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx((tagged.precision, tagged.recall, tagged.f1))


def test_partial_scores_by_hand():
    counts = entity_counts(FOUND, GOLD, ["person", "place"])
    symmetric = scores_from_counts(counts, partial=True)
    assert (symmetric.correct, symmetric.predicted, symmetric.gold, symmetric.missed) == (3, 4, 3, 1)
    assert (symmetric.precision, symmetric.recall) == (3 / 4, 2 / 3)
    published = scores_from_counts(counts, partial=True, convention="published")
    assert published.recall == 3 / (3 + 1)  # three predictions against one missed gold span
    assert scores_from_counts(np.zeros((0, 6), np.int64), partial=True).f1 == 0
    with pytest.raises(ValueError, match="'micro'"):
        scores_from_counts(counts, partial=True, convention="micro")


def test_types_do_not_mix():
    counts = entity_counts([Span(0, 1, "place")], [Span(0, 1, "person")], ["person", "place", "year"])
    assert counts[:, :2].tolist() == [[0, 1], [1, 0], [0, 0]] and counts[:, 2:].sum() == 0


TEXT = "Ada Lovelace worked for Charles Babbage in London; Ada wrote the notes."
READER = make_reader(tokenize(TEXT))
OLD = make_reader(tokenize(TEXT), convention="published")


def words(spans):
    return [" ".join(READER.text.tokens[span.start : span.end]) for span in spans]


def test_entities_are_located_and_do_not_overlap():
    reply = "| Person |\n|---|\n| Ada Lovelace |\n| Ada |\n| charles babbages |\n| Turing |\n"
    spans, status = read_entities(reply, "person", "Person", READER)
    assert (words(spans), status) == (["Ada Lovelace", "Charles Babbage", "Ada"], "found")
    assert spans[1].score == pytest.approx(30 / 31)


def test_all_entities_in_one_and_the_published_loss():
    reply = "| Entity | Entity Type |\n|---|---|\n| Lovelace | person |\n| Babbage | Person |\n| London | Place |\n"
    labels = {"person": "Person", "place": "Place"}
    found, _ = read_all_entities(reply, labels, READER)
    assert {kind: words(spans) for kind, spans in found.items()} == {
        "person": ["Lovelace", "Babbage"],
        "place": ["London"],
    }
    old, _ = read_all_entities(reply, labels, OLD)
    assert {kind: words(spans) for kind, spans in old.items()} == {"person": ["Babbage"], "place": ["London"]}


def test_conflicts_are_found_and_resolved():
    spans = {
        "person": [Span(0, 2, "person"), Span(7, 8, "person")],
        "place": [Span(1, 2, "place"), Span(7, 8, "place")],
    }
    assert find_conflicts(spans) == [(0, 2, ("person", "place")), (7, 8, ("person", "place"))]
    reply = "| Entity | Entity Type |\n|---|---|\n| Lovelace | PERSON |\n| London | place |\n| London | person |\n"
    places, status = read_resolution(reply, ["person", "place"], READER)
    assert (places, status) == ({(1, 2): "person", (7, 8): "place"}, "found")
    left = resolve(spans, {(7, 8): "place", (1, 2): "person"})
    assert [span[:2] for span in left["person"]] == [(0, 2)] and [span[:2] for span in left["place"]] == [(7, 8)]


RELATIONS = (
    "| Person | Employer | Certain |\n|---|---|---|\n| Ada | Babbage | Yes |\n| Babbage | London | no |\n| X | Y |\n"
)


def test_relations_have_all_their_arguments_in_the_text():
    found, status = read_relations(RELATIONS, ["Person", "Employer"], READER, check="Certain")
    assert (found, status) == ([(((0, 1), (9, 10)), ((5, 6),))], "found")
    # the published code makes a pair of every two places
    pairs = published_pairs(RELATIONS, ["Person", "Employer", "Certain"], OLD)
    assert pairs == [(((0, 1),), ((5, 6),)), (((9, 10),), ((5, 6),))]
    assert read_relations("| Person | Employer |\n|---|---|\n| Ada | Ada |\n", ["Person", "Employer"], READER)[0] == []


def test_an_abbreviation_stands_in_for_what_is_not_found():
    reader = make_reader(tokenize("P3HT has a PCE of 4 %."))
    reply = "| Material | Property | Short | Value |\n|---|---|---|---|\n| P3HT | power conversion | PCE | 4 % |\n"
    found, _ = read_relations(reply, ["Material", "Property", "Value"], reader, optional=["", "Short", ""])
    assert found == [(((0, 1),), ((3, 4),), ((5, 7),))]
    old = make_reader(reader.text, convention="published")
    longer = (
        reply.replace(" Value |\n", " Value | Condition |\n")
        .replace("4 % |", "4 % | - |")
        .replace("|---|\n", "|---|---|\n")
    )
    assert published_tuples(longer, ["Material", "Property", "Short", "Value", "Condition"], old) == found


def test_relation_counts_by_hand():
    a, b = (((0, 1), (9, 10)), ((2, 4),)), (((5, 6),), ((7, 8),))
    gold = {"kills": [(((9, 10),), ((3, 4),)), (((5, 6),), ((7, 8),))]}
    assert relation_counts({"kills": [a, a, b]}, gold, ["kills", "hires"]).tolist() == [[2, 2, 1, 1, 2, 2], [0] * 6]
