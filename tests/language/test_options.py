"""Options that are numbers, all over what builds on language models: one rule for what a number is."""

import jax.numpy as jnp
import pytest

from jaxuq import confidence, experts, tuning
from jaxuq.language import FinetuneConfig
from jaxuq.networks import LoraConfig

ROWS = jnp.ones((4, 3))
NUMBERS = {
    "learning_rate": lambda value: FinetuneConfig(learning_rate=value),
    "warmup": lambda value: FinetuneConfig(warmup=value),
    "weight_decay": lambda value: FinetuneConfig(weight_decay=value),
    "beta2": lambda value: FinetuneConfig(beta2=value),
    "alpha": lambda value: LoraConfig(alpha=value),
    "dropout": lambda value: LoraConfig(dropout=value),
    "coverage": lambda value: confidence.selective_accuracy(ROWS[:, 0], ROWS[:, 0], coverage=value),
    "temperature": lambda value: confidence.renyi_divergence(ROWS, temperature=value),
    "order": lambda value: confidence.renyi_divergence(ROWS, order=value),
    "keep_ratio": lambda value: tuning.prune_samples(ROWS[:, 0], ROWS[:, 0], value),
    "fraction": lambda value: experts.select(ROWS[:, 0], value),
}
COUNTS = {
    "batch_size": lambda value: FinetuneConfig(batch_size=value),
    "epochs": lambda value: FinetuneConfig(epochs=value),
    "rank": lambda value: LoraConfig(rank=value),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_option_takes_what_is_not_finite(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*expected a finite number"):
        NUMBERS[name](value)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, True])
def test_no_option_counts_what_is_no_whole_number(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*expected an integer of at least 1"):
        COUNTS[name](value)
