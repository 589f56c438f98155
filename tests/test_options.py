"""Numbers that a user sets: of any type that is one, in range, and never a traceback of the conversion."""

import fractions
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import calibration, metrics
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.losses import evidential_classification_loss
from jaxuq.tuning import TuneConfiguration, TuningError
from jaxuq.tuning.configuration import normalised


@pytest.mark.parametrize("value", [10**400, fractions.Fraction(10**400), math.inf, math.nan, True, np.True_, "1", None])
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(OptionError, match=r"rate is .*expected a finite number"):
        check_number("rate", value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), np.array(1.0), fractions.Fraction(1)])
def test_numbers_of_every_type_count(value):
    assert check_number("rate", value, 0.0, 1.0) == 1.0
    with pytest.raises(OptionError):
        check_number("rate", value, 0.0, 1.0, open_high=True)


@pytest.mark.parametrize("value", [-1.0, jnp.float32(-1), jnp.float32(2), jnp.array(jnp.nan)])
def test_a_number_of_a_loss_is_checked_in_an_array_too(value):
    with pytest.raises(OptionError, match="kl_weight is"):
        evidential_classification_loss(jnp.zeros((2, 3)), jnp.array([0, 1]), kl_weight=value)


@pytest.mark.parametrize("value", [np.array(2), np.int64(2), 2])
def test_counts_become_ints(value):
    assert type(check_count("rows", value)) is int
    for wrong in (2.0, True, "2", None, 0):
        with pytest.raises(OptionError, match="rows is"):
            check_count("rows", wrong)


_ROW = jnp.linspace(0.1, 0.9, 5)
_LEVELS = {
    "abstention_threshold": lambda level: calibration.abstention_threshold(
        _ROW, _ROW > 0.5, _ROW, level=level, delta=0.1
    ),
    "abstention_threshold, delta": lambda delta: calibration.abstention_threshold(
        _ROW, _ROW > 0.5, _ROW, level=0.1, delta=delta
    ),
    "adaptive_conformal": calibration.adaptive_conformal,
    "conformal_risk_control": lambda level: calibration.conformal_risk_control(_ROW, 5, level=level),
    "conformal_threshold": lambda level: calibration.conformal_threshold(_ROW, level=level),
    "hoeffding_bound": lambda delta: calibration.hoeffding_bound(_ROW, 5, delta=delta),
    "jackknife_plus": lambda level: calibration.jackknife_plus(_ROW[:, None], _ROW, level=level),
    "risk_p_values": lambda level: calibration.risk_p_values(_ROW, 5 * _ROW, level=level),
    "sdm_region": lambda level: calibration.sdm_region(
        _ROW, jnp.stack([_ROW, 1 - _ROW], axis=-1), jnp.array([0, 1, 0, 1, 0]), level=level
    ),
    "shifted_thresholds": lambda level: calibration.shifted_thresholds(_ROW, _ROW, _ROW, level=level),
    "bootstrap": lambda level: metrics.bootstrap(jax.random.key(0), metrics.brier_score, _ROW, _ROW > 0.5, level=level),
    "interval_of_resamples": lambda level: metrics.interval_of_resamples(_ROW[0], _ROW, level=level),
    "interval_score": lambda level: metrics.interval_score(_ROW, _ROW, _ROW, level=level),
}


def test_every_function_with_a_level_is_here():
    for room in (calibration, metrics):
        functions = [(name, getattr(room, name)) for name in room.__all__]
        named = {
            name for name, one in functions if inspect.isfunction(one) and "level" in inspect.signature(one).parameters
        }
        assert named <= set(_LEVELS)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.1, math.nan])
@pytest.mark.parametrize("name", _LEVELS)
def test_a_promise_for_none_or_for_all_is_refused(name, level):
    with pytest.raises(OptionError, match=r"is .*expected"):
        _LEVELS[name](level)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2.5, True, "2", [2], 0, -1])
@pytest.mark.parametrize("name", ["seeds", "members", "samples", "limit", "options"])
def test_counts_of_a_run_from_python_are_checked_before_it_begins(name, value):
    configuration = TuneConfiguration()
    object.__setattr__(configuration, name, value)  # as where nobody checks types
    with pytest.raises(TuningError, match=f"--{name} is .*(whole number|starts at)"):
        normalised(configuration)


@pytest.mark.parametrize(
    ("typed", "meant", "other"),
    [(["muben", "--sed", "3"], "--seeds", "--samples INT"), (["muben", "--model", "x"], "", "experts")],
)
def test_a_mistyped_option_suggests_options_of_the_same_command(typed, meant, other, capsys):
    from jaxuq.cli import main

    with pytest.raises(SystemExit) as ended:
        main(typed)
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2 and typed[1] in said and meant in said and other not in said
    assert ("Perhaps" in said or "similar" in said) == bool(meant)
