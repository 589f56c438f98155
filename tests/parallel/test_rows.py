"""The row planner: every item once, within the limits, in few shapes, and back in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxuq import JaxuqError
from jaxuq.parallel import RowBatch, in_order, pad_rows, plan_rows, rung

LENGTHS = st.lists(st.integers(0, 400), max_size=60)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_rows": st.integers(1, 20),
        "max_tokens": st.integers(1, 3000),
        "max_padding": st.floats(0, 0.99),
        "least": st.sampled_from([None, 1, 8, 16, 32]),
        "longest": st.integers(1, 500),
        "devices": st.integers(1, 5),
    },
)


@given(LENGTHS, LIMITS, st.booleans(), st.booleans())
@settings(deadline=None)
def test_every_item_is_in_one_batch_within_the_limits(lengths, limits, full, grouped):
    full = full and ("max_rows" in limits or "max_tokens" in limits)
    groups = [length % 3 for length in lengths] if grouped else None
    batches = plan_rows(lengths, full=full, groups=groups, **limits)
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(len(lengths)))
    devices, least = limits.get("devices", 1), limits.get("least", 16)
    for batch in batches:
        own = [lengths[row] for row in batch.rows]
        assert own == sorted(own) and own[-1] <= batch.length and len(own) <= batch.size
        assert batch.size % devices == 0
        if "max_rows" in limits:
            assert batch.size <= max(limits["max_rows"], devices)
        if "max_tokens" in limits:
            assert batch.size * batch.length <= limits["max_tokens"] or batch.size == devices
        if "max_padding" in limits and len(own) > 1:
            assert sum(own) >= (1 - limits["max_padding"]) * len(own) * own[-1] - 1e-9
        if least is None:
            assert (batch.length == own[-1] and batch.size - len(own) < devices) or full
        elif not full:
            assert batch.size - len(own) < max(len(own), devices)
        if groups is not None:
            assert len({groups[row] for row in batch.rows}) == 1


@given(LENGTHS, st.integers(1, 16))
@settings(deadline=None)
def test_what_was_computed_comes_back_in_order(lengths, max_rows):
    batches = plan_rows(lengths, max_rows=max_rows)
    items = [np.arange(length) + 7 * row for row, length in enumerate(lengths)]
    outputs = []
    for batch in batches:
        array, counts = pad_rows([items[row] for row in batch.rows], batch, fill=-1, dtype=np.int64)
        assert array.shape == (batch.size, batch.length) and (counts[len(batch.rows) :] == 0).all()
        assert (array[np.arange(batch.length)[None] >= counts[:, None]] == -1).all()
        outputs.append(np.stack([counts, array.sum(1, where=array >= 0)], axis=1))
    if lengths:
        expected = [(len(item), item.sum()) for item in items]
        assert in_order(batches, outputs).tolist() == [list(map(int, one)) for one in expected]


def test_any_data_make_few_shapes_and_little_padding():
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(4, 1, 5000).astype(int) + 1
    batches = plan_rows(lengths, max_rows=16)
    shapes = {(batch.size, batch.length) for batch in batches}
    rungs = {rung(length) for length in lengths.tolist()}
    assert {length for _, length in shapes} <= rungs and len(shapes) <= len(rungs) + 4
    held = sum(batch.size * batch.length for batch in batches)
    assert lengths[lengths > 16].sum() < held < 1.35 * lengths.sum()
    full = plan_rows(lengths, max_tokens=2048, full=True)
    assert len({(batch.size, batch.length) for batch in full}) == len({batch.length for batch in full})


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 8, 16, 64]))
def test_rungs_hold_what_they_are_asked_for_and_waste_less_than_a_third(length, least):
    size = rung(length, least=least)
    assert size >= length and (size == least or size - length < size / 3 + 1)
    assert size in {least * 2**k for k in range(15)} | {3 * least * 2**k // 2 for k in range(15)}
    assert rung(length, least=least, longest=100) == (min(size, 100) if length <= 100 else length)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_rows": 0}, "max_rows is 0"),
        ({"max_padding": 1.0}, "max_padding is 1.0"),
        ({"devices": 0}, "devices is 0"),
        ({"full": True}, "full batches need max_rows or max_tokens"),
        ({"groups": [1]}, "1 groups and 3 lengths"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, said):
    with pytest.raises(JaxuqError, match=said):
        plan_rows([1, 2, 3], **arguments)


def test_what_does_not_fit_is_refused():
    batch = RowBatch(np.arange(1), 1, 2)
    for items in ([[1, 2, 3]], [[1], [2]]):
        with pytest.raises(JaxuqError, match="do not fit"):
            pad_rows(items, batch)
    assert plan_rows([]) == []
