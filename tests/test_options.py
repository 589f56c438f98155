"""Numbers that a user sets: of any type that is one, in range, and never a traceback of the conversion."""

import fractions
import math

import jax.numpy as jnp
import numpy as np
import pytest

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


@pytest.mark.parametrize("value", [math.nan, math.inf, 2.5, True, "2", [2], 0, -1])
@pytest.mark.parametrize("name", ["seeds", "members", "samples", "limit", "options"])
def test_counts_of_a_run_from_python_are_checked_before_it_begins(name, value):
    configuration = TuneConfiguration()
    object.__setattr__(configuration, name, value)  # as where nobody checks types
    with pytest.raises(TuningError, match=f"--{name} is .*(whole number|starts at)"):
        normalised(configuration)
