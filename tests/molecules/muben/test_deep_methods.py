"""Methods that train a last layer, members or cycles of their own: what their forecasts must look like."""

import numpy as np
import pytest

from jaxuq.study import read_arrays

NEW = ("laplace-network", "cyclical-sgld", "batch-ensemble", "sngp", "vbll")


def _cell(run, method, seed=0):
    return read_arrays(run[0].predictions / f"{method}-seed{seed}.npz")


@pytest.mark.parametrize("method", NEW)
def test_each_is_uncertain_of_its_own_in_a_way_of_its_own(regression_run, method):
    found, alone = _cell(regression_run, method), _cell(regression_run, "deterministic")
    assert (found["test_epistemic"] > 0).all() and (found["test_aleatoric"] > 0).all()
    assert not np.allclose(found["test_mean"], alone["test_mean"])
    assert np.ptp(found["test_epistemic"][:, 0]) > 0
    assert not np.array_equal(found["test_mean"], _cell(regression_run, method, 1)["test_mean"])


def test_the_noise_of_a_variational_last_layer_is_one_number_a_task(regression_run):
    noise = _cell(regression_run, "vbll")["test_aleatoric"]
    np.testing.assert_allclose(noise, np.broadcast_to(noise[:1], noise.shape), rtol=1e-5)
    other = _cell(regression_run, "sngp")["test_aleatoric"]
    assert np.ptp(other[:, 0]) > 1e-4 * other[:, 0].mean()


def test_the_second_task_is_the_first_in_other_units(regression_run):
    """Labels 2 y + 1: forecasts of the two come from two outputs of one network, and variances from four times."""
    for method in ("batch-ensemble", "vbll"):
        found = _cell(regression_run, method)
        share = found["test_aleatoric"][:, 1] / found["test_aleatoric"][:, 0]
        assert 1.5 < np.median(share) < 9


def test_binary_tasks_have_entropies_that_add_up(classification_run):
    for method in ("sngp", "vbll"):
        found = _cell(classification_run, method)
        p = 1 / (1 + np.exp(-found["test_logits"].astype(float)))
        entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
        np.testing.assert_allclose(found["test_aleatoric"] + found["test_epistemic"], entropy, rtol=1e-3, atol=1e-5)
        assert (found["test_epistemic"] >= 0).all() and found["test_epistemic"].max() > 1e-5
