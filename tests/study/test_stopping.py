"""A promised stop: the binomial test by hand, and how often the promise breaks."""

import numpy as np
import pytest
from scipy import stats

from jaxuq.study import promised_stop


def test_the_first_round_that_passes_its_share_of_the_test():
    """Of four rounds each has a quarter of delta; the p-value of a round is the binomial's lower tail."""
    count, level, delta = 60, 0.25, 0.1
    wrong = np.array([20, 9, 6, 2])
    values = stats.binom.cdf(wrong, count, level)
    expected = int(np.flatnonzero(values <= delta / 4)[0])
    assert values[1] <= delta < 4 * values[1]  # one test alone would have stopped a round too early
    assert expected == 2
    assert promised_stop(wrong / count, count, level=level, delta=delta, loss="binary") == expected
    assert promised_stop(wrong[:1] / count, count, level=level, delta=delta, loss="binary") is None


def test_a_stop_breaks_its_promise_no_more_often_than_it_may():
    """Ten models, all a little worse than wanted, on the same rows: every stop is a broken promise."""
    rng, level, delta, broken = np.random.default_rng(0), 0.2, 0.1, 0
    for _ in range(1000):
        difficulty = rng.random(80)  # a row that is hard is missed by most models
        risks = np.array([np.mean(difficulty < 0.205 + 0.02 * rng.random()) for _ in range(10)])
        broken += promised_stop(risks, 80, level=level, delta=delta) is not None
    assert broken <= stats.binom.ppf(0.999, 1000, delta)


def test_losses_in_parts_are_bounded_too():
    rng = np.random.default_rng(1)
    broken = sum(promised_stop(rng.beta(0.9, 3.2, (3, 50)).mean(axis=1), 50, level=0.2) is not None for _ in range(500))
    assert 0.9 / 4.1 > 0.2 and broken <= stats.binom.ppf(0.999, 500, 0.1)
    assert promised_stop(np.zeros(3), 200, level=0.2) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 0.0}, "level"),
        ({"delta": 1.0}, "delta"),
        ({"count": 0}, "count"),
        ({"risks": np.zeros(0)}, "there is no round"),
    ],
)
def test_what_cannot_be_promised_is_refused(changes, message):
    given = {"risks": np.zeros(2), "count": 9, "level": 0.2} | changes
    with pytest.raises(ValueError, match=message):
        promised_stop(given.pop("risks"), given.pop("count"), **given)
