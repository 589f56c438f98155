"""Labelling in rounds on a problem whose best strategy is known: finding a threshold is a binary search."""

import itertools

import jax
import numpy as np
import pytest

from jaxuq import tuning

KEY = jax.random.key(2)
POOL, TRUTH = 64, 41  # question i asks whether i < TRUTH


def _posterior(labelled):
    """Thresholds that agree with the labels."""
    labelled = np.asarray(labelled)
    low = labelled[labelled < TRUTH].max(initial=-1) + 1
    high = labelled[labelled >= TRUTH].min(initial=POOL)
    return np.arange(low, high + 1)


def _exact_learner(number, labelled):
    """Possible thresholds, evenly; nothing is noise."""
    thresholds = _posterior(labelled)
    thresholds = thresholds[np.arange(POOL) * len(thresholds) // POOL]  # always as many: one program
    below = np.arange(POOL)[None] < thresholds[:, None]
    p = np.where(np.stack([below, ~below], -1), 1.0, 1e-12).astype(np.float32)
    return np.log(p / p.sum(-1, keepdims=True))


def _rounds(acquisition, batch_size=1, rounds=6, start=1, key=KEY):
    return list(
        tuning.label_in_rounds(
            key, acquisition, _exact_learner, POOL, start=start, batch_size=batch_size, rounds=rounds,
            base_entropy=np.ones(POOL, np.float32),
        )
    )  # fmt: skip


@pytest.mark.parametrize("acquisition", ["bald", "entropy", "margin", "batch-bald", "gap"])
def test_one_label_a_round_is_a_binary_search(acquisition):
    found = _rounds(acquisition)
    sizes = [len(_posterior(one.labelled)) for one in found]
    for before, after in itertools.pairwise(sizes):
        assert after <= before // 2 + 2, sizes
    assert sizes[-1] <= 3 < len(_posterior(_rounds("random")[-1].labelled))


def test_labelled_and_pool_stay_a_partition():
    for acquisition in ("random", "batch-bald"):
        found = _rounds(acquisition, batch_size=11, rounds=4, start=20)  # the whole pool, in the end
        assert [len(one.labelled) for one in found] == [20, 31, 42, 53, 64]
        for one, after in itertools.pairwise(found):
            assert not set(one.labelled) & set(one.chosen)
            assert after.labelled.tolist() == [*one.labelled, *one.chosen]
        assert sorted(found[-1].labelled) == list(range(POOL)) and found[-1].chosen.size == 0


def test_chance_is_reproducible_and_the_start_is_common():
    def labelled(name, key=KEY):
        return _rounds(name, batch_size=3, rounds=2, start=5, key=key)[-1].labelled.tolist()

    assert labelled("random") == labelled("random") != labelled("random", jax.random.key(3))
    assert labelled("random")[:5] == labelled("bald")[:5] == labelled("margin")[:5]
    with pytest.raises(tuning.TuningError, match="60 labels and 1 rounds of 5 are 65; there are 64"):
        _rounds("random", batch_size=5, rounds=1, start=60)


def test_a_batch_is_chosen_together_and_in_blocks():
    """Forty copies of the best question: one by one they are all chosen, together only one is worth its label."""
    best, other = [[0.99, 0.01]] * 2 + [[0.01, 0.99]] * 2, [[0.9, 0.1], [0.1, 0.9]] * 2  # samples agree in pairs
    pool = np.log(np.array([best] * 40 + [other], np.float32)).swapaxes(0, 1)  # [samples, pool, options]
    everything = np.ones(41, bool)
    alone = tuning.choose_questions(KEY, "bald", pool, 2, where=everything)
    together = tuning.choose_questions(KEY, "batch-bald", pool, 2, where=everything)
    assert alone.tolist() == [0, 1] and together.tolist() == [0, 40]
    everything[[0, 40]] = False
    many = tuning.choose_questions(KEY, "batch-bald", pool, 19, where=everything)  # two blocks of at most 16
    assert len(set(many.tolist())) == 19 and not set(many.tolist()) & {0, 40}


def test_gap_goes_from_the_base_to_the_tuned_model():
    now = np.log(np.array([[[0.5, 0.5], [0.9, 0.1]]], np.float32))
    everything, base = np.ones(2, bool), np.array([0.1, 0.6], np.float32)
    for round_number, first in ((0, 1), (9, 0)):
        found = tuning.choose_questions(
            KEY, "gap", now, 1, where=everything, base_entropy=base, round_number=round_number
        )
        assert found.tolist() == [first]
    with pytest.raises(ValueError, match="base_entropy"):
        tuning.choose_questions(KEY, "gap", now, 1, where=everything)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"acquire": ("bald,best",)}, "--acquire best: choose among random, entropy"),
        ({"acquire": ("bald",), "posterior": ("none",)}, "needs a posterior of two samples"),
        ({"acquire": ("batch-bald",), "posterior": ("dropout",)}, "masks differ from question to question"),
        ({"acquire": ("bald",), "loss": ("plain,focal",)}, "--acquire takes one --loss"),
        ({"acquire": ("bald",), "teach": ("sure",)}, "two runs"),
        ({"teach": ("sure",), "loss": ("focal",)}, "--teach takes one --loss, plain"),
        ({"acquire": ("bald",), "rounds": 0}, "--rounds is 0"),
        ({"acquire": ("bald",), "start": 90}, "are 140 labels; there are 103 questions"),
        ({"keep_ratio": 1.5}, "--keep-ratio is 1.5"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_a_sentence(options, said, tmp_path):
    with pytest.raises(tuning.TuningError, match=said):
        tuning.run_tuning(tuning.TuneConfiguration(output=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_what_goes_with_an_option_is_set_by_it():
    used = tuning.configuration.normalised(tuning.TuneConfiguration(acquire=("bald",), label=3))
    assert used.loss == ("plain",) and used.posterior == ("ensemble",)
