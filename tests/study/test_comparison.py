"""Paired comparisons against closed forms, SciPy and the intervals that they belong to."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq import metrics
from jaxuq._errors import OptionError
from jaxuq.study.comparison import Paired, corrected, paired_interval, paired_probability, paired_scores
from jaxuq.study.ranges import within_range
from jaxuq.study.resamples import Examples, Resamples, Scored, read_resamples, resample_cells

RNG = np.random.default_rng(0)


def _paired(mean, seeds, draws, part="test"):
    return Paired(mean, dict(enumerate(seeds)), np.array(seeds)[:, None] + draws, part)


def test_one_seed_has_the_interval_of_the_resamples_and_more_add_students_t():
    draws = RNG.normal(0.02, 0.1, (2, 300))
    one, two = _paired(0.5, [0.5], draws[0]), _paired(0.4, [0.4], draws[1])
    difference = draws[0] - draws[1] + 0.1
    bias, half = np.mean(difference) - 0.1, stats.norm.ppf(0.975) * np.std(difference)
    centres = 0.1, 0.1 - bias, 0.1 - (1 + np.sqrt(2)) * bias  # as it is, and with either bias taken off
    expected = min(centres) - half, max(centres) + half
    np.testing.assert_allclose(paired_interval(one, two), expected, rtol=1e-4)
    none = np.zeros(300)
    several = _paired(0.5, [0.4, 0.5, 0.6], none), _paired(0.4, [0.45, 0.35, 0.4], none)
    own = np.array([-0.05, 0.15, 0.2])
    ends = stats.t.interval(0.95, 2, own.mean(), stats.sem(own))
    np.testing.assert_allclose(paired_interval(*several), ends, rtol=1e-6)
    np.testing.assert_allclose(paired_probability(*several), stats.ttest_1samp(own, 0).pvalue, rtol=1e-6)


def test_what_resamples_know_of_seeds_is_not_counted_twice():
    draws = 0.1 * RNG.normal(size=(3, 400))
    draws -= draws.mean(1, keepdims=True)
    around = (draws - draws.mean(0)).var(1).sum() / 2  # what the examples move one seed but not the others
    none = _paired(0.0, [0.0] * 3, np.zeros(400))
    for share, luck in ((0.5, 0.0), (1.0, 0.0), (3.0, 2.0)):  # of that variance: what the seeds differ by
        own = np.sqrt(share * around) * np.array([-1.0, 0.0, 1.0])
        resampled, beyond = draws.mean(0).var(), luck * around / 3
        variance = resampled + beyond
        degrees = 2 * (variance / beyond) ** 2 if beyond else np.inf
        expected = stats.t.interval(0.9, degrees, 0.0, np.sqrt(variance))
        np.testing.assert_allclose(paired_interval(_paired(0.0, own, draws), none, level=0.9), expected, rtol=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.06, 0.2])
def test_a_probability_below_one_minus_the_level_is_an_interval_without_zero(shift):
    draws = RNG.normal(0, 0.03, (2, 400))
    one, two = _paired(0.505 + shift, [0.5 + shift, 0.51 + shift], draws[0]), _paired(0.5, [0.5, 0.5], draws[1])
    chance = paired_probability(one, two)
    for level in (0.5, 0.9, 0.95, 0.99):
        lower, upper = paired_interval(one, two, level=level)
        assert lower <= one.mean - two.mean <= upper
        assert (lower > 0 or upper < 0) == (chance < 1 - level)


def test_what_is_not_paired_has_no_difference():
    one = _paired(0.5, [0.5], np.zeros(3))
    for other in (one._replace(part="other"), one._replace(resamples=None), one._replace(seeds={1: 0.5})):
        assert paired_interval(one, other) is None and np.isnan(paired_probability(one, other))


@pytest.mark.parametrize(("correction", "scipy"), [("holm", None), ("bonferroni", None), ("benjamini-hochberg", "bh")])
def test_corrections_of_many_comparisons(correction, scipy):
    chances = RNG.uniform(0, 0.2, 9)
    found = corrected(np.append(chances, np.nan), correction)
    assert np.isnan(found[-1])
    if scipy:
        expected = stats.false_discovery_control(chances, method=scipy)
    elif correction == "bonferroni":
        expected = np.minimum(9 * chances, 1)
    else:  # Holm's: by what is left at each step, never less than a step before
        order = np.argsort(chances)
        steps = [min(1.0, max((9 - j) * chances[order[j]] for j in range(i + 1))) for i in range(9)]
        expected = np.empty(9)
        expected[order] = steps
    np.testing.assert_allclose(found[:-1], expected)
    with pytest.raises(OptionError, match="there are holm, bonferroni"):
        corrected(chances, "tukey")


def _mean(values, *, where):
    return jnp.stack([jnp.mean(values, where=where), jnp.mean(values**2, where=where)])


def test_cells_of_the_same_examples_are_resampled_alike_and_kept(tmp_path, monkeypatch):
    values = RNG.normal(size=(2, 2, 30)).astype(np.float32)
    where = np.arange(30) < 25

    def cells(asked):
        for m in range(2):
            for seed in range(2):

                def examples(m=m, seed=seed):
                    asked.append((m, seed))
                    return Examples((values[m, seed],), where, "test")

                yield Scored({"method": f"m{m}", "seed": seed}, f"address {m}", examples)

    asked = []
    found = resample_cells(tmp_path, cells(asked), _mean, ["mean", "square"], num_resamples=40)
    np.testing.assert_allclose(found.estimates[1, 0], values[0, 1, :25].mean(), rtol=1e-5)
    # Sums of cells on a resample are those of summed cells: they have seen the same rows.
    total = metrics.bootstrap(
        *(_key(), _mean, jnp.asarray(values[0, 0] + values[1, 1])),
        where=jnp.asarray(where),
        num_resamples=40,
        batch_size=8,
    )
    np.testing.assert_allclose(found.values[0, :, 0] + found.values[3, :, 0], total.resamples[:, 0], atol=1e-6)
    ends = found.intervals(["method"])["m0",]["mean"]
    both = metrics.interval_of_resamples(
        jnp.asarray(found.estimates[:2, 0].mean()), jnp.asarray(found.values[:2, :, 0].mean(0))
    )
    np.testing.assert_allclose(ends, both, rtol=1e-6)
    again = resample_cells(tmp_path, cells(asked), _mean, ["mean", "square"], num_resamples=40)
    np.testing.assert_array_equal(again.values, found.values)
    assert len(asked) == 4
    resample_cells(tmp_path, cells(asked), _mean, ["mean", "square"], num_resamples=20)
    assert len(asked) == 8
    paired = paired_scores(found, lambda cell: cell["method"] == "m1")["mean"]
    assert paired.mean == pytest.approx(values[1, :, :25].mean(), rel=1e-5) and set(paired.seeds) == {0, 1}


def test_seeds_with_examples_of_their_own_count_as_independent_and_pair_with_the_same(tmp_path):
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(4, 3000, 1))
    cells = [{"method": method, "seed": seed} for method in "ab" for seed in (0, 1)]
    found = Resamples(cells, ["one", "two"] * 2, ["mean"], np.zeros((4, 1)), draws)
    lower, upper = found.intervals(["method"])["a",]["mean"]
    assert (upper - lower) / 2 == pytest.approx(1.96 / np.sqrt(2), rel=0.1)
    one, two = (paired_scores(found, lambda cell, m=m: cell["method"] == m)["mean"] for m in "ab")
    assert paired_interval(one, two) is not None
    other = found._replace(parts=["one", "two", "two", "one"])
    swapped = paired_scores(other, lambda cell: cell["method"] == "b")["mean"]
    assert paired_interval(one, swapped) is None
    found.write(tmp_path)
    assert read_resamples(tmp_path)[0].cells == found.cells
    content = bytearray((tmp_path / "resamples.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "resamples.npz").write_bytes(content)
    assert read_resamples(tmp_path) is None


def _key():
    import jax

    from jaxuq._keys import named_key

    return named_key(jax.random.key(0), "bootstrap")


@pytest.mark.parametrize(
    ("name", "estimate", "ends", "cut"),
    [
        ("recall", 0.9, (0.7, 2.37), (0.7, 1.0)),
        ("partial_recall", 0.9, (-0.2, 2.37), (0.0, 1.0)),
        ("rmse", 0.1, (-0.1, 4.0), (0.0, 4.0)),
        ("nll", -3.0, (-4.0, -2.0), (-4.0, -2.0)),
        ("accuracy", 95.0, (90.0, 99.0), (90.0, 99.0)),  # a score of somebody's own, in per cent
        ("auroc", np.nan, (np.nan, np.nan), (np.nan, np.nan)),
        ("accuracy", 0.0, (0.0, 0.0), (np.nan, np.nan)),  # none right: other questions might have been
        ("full_f1", 1.0, (1.0, 1.0), (np.nan, np.nan)),
        ("rmse", 0.3, (0.3, 0.3), (0.3, 0.3)),
    ],
)
def test_an_interval_ends_where_no_score_can_be(name, estimate, ends, cut):
    np.testing.assert_array_equal(within_range(name, estimate, ends), cut)
    draws = np.array([[[estimate - 0.5], [estimate + 0.5]]])
    kept = Resamples([{"method": "a"}], ["test"], [name], np.array([[estimate]]), draws).intervals(["method"])["a",]
    lower, upper = kept[name]
    assert np.isnan(estimate) or lower <= estimate <= upper
    if name == "recall":
        assert upper == 1.0
