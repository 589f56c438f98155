"""Traces stopped inside the compiled loop against whole traces cut afterwards, by loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence
from jaxuq.language import Halting, Sampling, continue_generation, generate, generate_tokens, generation, take_rows
from tests.confidence import tiny_text

WINDOW, NEW = 3, 12


@pytest.fixture(scope="module")
def given():
    model = tiny_text.model()
    prompts = jnp.asarray(np.random.default_rng(0).integers(3, 40, (4, 5)), jnp.int32)
    return model.functions, model.variables, prompts, jnp.full(4, 5, jnp.int32), jax.random.split(jax.random.key(2), 4)


def _groups(made):
    """Means over windows of minus the mean log-probability of the 20 likeliest tokens, by loops."""
    found = np.full(made.tokens.shape, np.nan)
    for row in range(len(found)):
        token = [-np.mean(np.asarray(made.alternatives.log_probs[row, t], np.float64)) for t in range(NEW)]
        for t in range(WINDOW - 1, int(made.num_generated[row])):
            found[row, t] = np.mean(token[t - WINDOW + 1 : t + 1])
    return found


def test_a_trace_ends_at_the_first_full_window_below_the_threshold(given):
    options = {"max_new_tokens": NEW, "sampling": Sampling(1.5), "top_alternatives": 20}
    whole = generate_tokens(*given, **options, halting=confidence.group_halting(-jnp.inf, window=WINDOW))
    assert not whole.halted.any() and (whole.num_generated == NEW).all()
    groups = _groups(whole)
    before = generation._continue._cache_size()
    for threshold in np.nanquantile(groups, [0.02, 0.2, 0.6]):
        made = generate_tokens(*given, **options, halting=confidence.group_halting(float(threshold), window=WINDOW))
        for row in range(4):
            below = [t for t in range(WINDOW - 1, NEW) if groups[row, t] < threshold]
            length = below[0] + 1 if below else NEW
            assert int(made.num_generated[row]) == length
            assert bool(made.halted[row]) == bool(below)
            np.testing.assert_array_equal(made.tokens[row, :length], whole.tokens[row, :length])
            place = int(confidence.stopped_at(jnp.asarray(groups[row], jnp.float32), float(threshold)))
            assert place == (below[0] if below else NEW)
    assert generation._continue._cache_size() == before  # another threshold is no other program


def _after_three(count, logits, token):
    return count + 1, count + 1 == 3


def test_ones_own_rule_goes_on_in_pieces_and_in_rows_that_are_taken(given):
    rule = Halting(_after_three, jnp.zeros((), jnp.int32))
    options = {"sampling": Sampling(1.0)}
    made = generate_tokens(*given, max_new_tokens=NEW, halting=rule, **options)
    assert made.num_generated.tolist() == [3] * 4 and made.halted.all() and not made.running.any()
    assert made.halting.state.tolist() == [3] * 4
    state = generation.start_generation(*given, capacity=NEW, halting=rule, **options)
    state = continue_generation(*given[:2], state, until=2, **options)
    state = continue_generation(*given[:2], take_rows(given[0], state, jnp.array([2, 0])), until=NEW, **options)
    assert state.num_generated.tolist() == [3, 3] and state.halted.all()
    np.testing.assert_array_equal(state.tokens[0, :3], made.tokens[2, :3])


def test_a_stop_token_is_no_halt(given):
    rule = Halting(_after_three, jnp.zeros((), jnp.int32))
    free = generate_tokens(*given, max_new_tokens=NEW)
    third = int(free.tokens[1, 2])
    made = generate_tokens(*given, max_new_tokens=NEW, halting=rule, stop_tokens=(third,))
    assert int(made.num_generated[1]) <= 3 and not bool(made.halted[1])


def test_texts_say_that_they_were_halted():
    rule = Halting(_after_three, jnp.zeros((), jnp.int32))
    answers = generate(tiny_text.model(), "a cat", max_new_tokens=NEW, halting=rule, num_samples=2)
    assert {(answer.finish, len(answer.tokens)) for answer in answers} <= {("halted", 3), ("stop", 2), ("stop", 1)}
    assert any(answer.finish == "halted" for answer in answers)


def test_the_vote_is_that_of_a_loop_over_the_traces_and_enough_of_it_ends_the_work():
    def first_letter(text):
        return text.strip()[:1] or None

    options = {"warm_up": 4, "window": WINDOW, "max_new_tokens": NEW, "batch_size": 4, "sampling": Sampling(1.5)}
    found = confidence.think_in_traces(
        tiny_text.model(), "a cat", first_letter, num_traces=12, kept=0.5, enough=1.0, **options
    )
    assert len(found.traces) in (4, 8, 12) and found.num_tokens == sum(len(one.tokens) for one in found.traces)
    lowest = []
    for trace in found.traces:
        token = -trace.alternatives.log_probs.mean(1)
        groups = [token[t : t + WINDOW].mean() for t in range(len(token) - WINDOW + 1)]
        lowest.append(min(groups) if groups else token.mean())
    np.testing.assert_allclose(found.confidences, lowest, rtol=1e-5)
    assert found.threshold == pytest.approx(np.quantile(lowest[:4], 0.5), rel=1e-5)
    weights = {}
    for trace, weight in zip(found.traces, lowest):
        assert (trace.finish == "halted") <= (len(trace.tokens) >= WINDOW and weight < found.threshold)
        if trace.finish != "halted" and (letter := first_letter(trace.text)):
            weights[letter] = weights.get(letter, 0.0) + weight
    assert found.answer == max(weights, key=weights.get)
    assert found.share == pytest.approx(max(weights.values()) / sum(weights.values()), rel=1e-5)
    assert any(trace.finish == "halted" for trace in found.traces[4:])
    short = confidence.think_in_traces(
        tiny_text.model(), "a cat", first_letter, num_traces=12, kept=0.5, enough=0.0, **options
    )
    assert [one.text for one in short.traces] == [one.text for one in found.traces[:4]]


def test_a_window_that_no_trace_would_fill_is_an_error():
    with pytest.raises(ValueError, match="window is 13, max_new_tokens 12: no trace would ever be stopped"):
        confidence.think_in_traces(tiny_text.model(), "a cat", str.strip, window=13, max_new_tokens=12)
