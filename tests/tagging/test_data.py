"""Reading weakly labelled text, labelling functions, and what is refused."""

import json

import numpy as np
import pytest

from jaxuq.parallel import plan_rows
from jaxuq.tagging import (
    TaggingDataError,
    apply_labelling_functions,
    bio_label_names,
    gazetteer_function,
    load_weak_labels,
    make_weak_labels,
    spans_to_labels,
)


def _folder(tmp_path, **changes):
    sentence = {
        "data": {"text": ["a", "b", "c"]},
        "label": [[0, 2, "X"]],
        "weak_labels": [[[1, 3, "Y"]], [], [[0, 1, "X"]]],
    }
    meta = {"lf": ["f", "never", "g"], "lf_rec": ["g", "f"], "entity_types": ["X", "Y"]}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "test.json").write_text(json.dumps({"s7": {**sentence, **changes}}))
    return tmp_path


def test_the_published_layout(tmp_path):
    data = load_weak_labels(_folder(tmp_path), "test")
    assert data.function_names == ("g", "f") and data.ids == ("s7",)
    np.testing.assert_array_equal(data.labels, [[1, 2, 0]])
    np.testing.assert_array_equal(data.observations[0].T, [[1, 0, 0], [0, 3, 4]])
    everything = load_weak_labels(tmp_path, "test", functions="all")
    assert everything.functions(["never"]).observations.max() == 0
    with pytest.raises(TaggingDataError, match="no part 'train'; it has test"):
        load_weak_labels(tmp_path, "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [[0, 2, "X"], [1, 3, "X"]]}, "sentence s7, gold, token 1.*overlaps"),
        ({"label": [[2, 4, "X"]]}, "sentence s7, gold, token 2.*leaves the sentence of 3 tokens"),
        ({"label": [[1, 1, "X"]]}, "token 1.*empty"),
        ({"weak_labels": [[[1, 2, "Z"]], [], []]}, "sentence s7, f, token 1: unknown entity type 'Z'; known are X, Y"),
        ({"weak_labels": [[]]}, "sentence s7: 1 functions"),
        ({"data": {"text": []}, "label": [], "weak_labels": [[], [], []]}, "sentence s7 is empty"),
    ],
)
def test_bad_spans_are_refused_with_sentence_and_token(tmp_path, changes, message):
    with pytest.raises(TaggingDataError, match=message):
        load_weak_labels(_folder(tmp_path, **changes), "test")


def test_labelling_functions_name_themselves_when_they_fail():
    functions = {"broken": lambda tokens: [(0, 9, "X")], "fine": gazetteer_function(["a"], "X", ignore_case=True)}
    with pytest.raises(TaggingDataError, match="sentence 0, broken, token 0"):
        apply_labelling_functions([["A"]], functions, ["X"])
    with pytest.raises(TaggingDataError, match="'broken' failed: ZeroDivisionError"):
        apply_labelling_functions([["A"]], {"broken": lambda tokens: [(1 // 0, 1, "X")]}, ["X"])
    data = apply_labelling_functions([["A"]], {"fine": functions["fine"]}, ["X"], labels=[[(0, 1, "X")]])
    np.testing.assert_array_equal(data.observations[0], [[1]])
    assert data.tags(data.labels) == [["B-X"]]


def test_one_token_and_one_label_are_enough():
    data = make_weak_labels([["a"]], [np.zeros((1, 1), np.int32)], None, bio_label_names([]), ["f"])
    assert data.label_names == ("O",) and data.labels is None
    np.testing.assert_array_equal(spans_to_labels([], 2, ("O",), sentence="0"), [0, 0])


@pytest.mark.data
def test_bucketing_the_published_sets_wastes_under_a_fifth():
    for name in ("NCBI-Disease", "LaptopReview"):
        lengths = load_weak_labels(name, "train").lengths
        batches = plan_rows(lengths, max_padding=0.2, least=None)
        padded = sum(batch.size * batch.length for batch in batches)
        assert 1 - lengths.sum() / padded < 0.2
