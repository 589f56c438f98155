"""What a stranger adds to a run of tuning from outside the package: losses, posteriors, uncertainties, acquisitions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import JaxuqError, tuning
from jaxuq._entries import Entry
from jaxuq.language import stack_adapters
from jaxuq.questions import Question
from jaxuq.study import Listener, read_arrays
from tests.tuning.tiny import word_model, write_questions


def my_cross_entropy(logits, tokens, examples):
    right = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return jax.scipy.special.logsumexp(logits, axis=-1) - right


def my_point(rng_key, tuned):
    return stack_adapters([tuned.members[0], tuned.members[0]]), {"twice": 2.0}


def my_entropy(pool):
    p = jnp.exp(pool.log_probs).mean(0)
    return -(p * jnp.log(p)).sum(-1)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    data = write_questions(folder / "letters.jsonl", [(a, b) for a in "abcdefg" for b in "abcd"])
    return tuning.TuneConfiguration(
        model="tiny", data=str(data), loss=("plain",), posterior=("none",), samples=2, epochs=1, learning_rate=0.03,
        max_length=16, rank=2, options=3, uncertainty="column", output=folder / "run",
    )  # fmt: skip


def _forecasts(folder, method):
    arrays = read_arrays(folder.predictions / f"{method}-0.npz")
    return arrays[f"{folder.record['methods'] and 'letters'}/log_probs"], arrays


@pytest.fixture(scope="module")
def run(configuration):
    steps = []
    listener = Listener(progress=lambda step, *rest: steps.append(step.removeprefix("tune ")))

    def run(**given):
        steps.clear()
        folder = tuning.run_tuning(configuration, model=word_model(), listener=listener, **given)
        return folder, set(steps)

    return run


def test_a_loss_and_a_posterior_of_ones_own_are_rows_beside_the_others(run):
    folder, tuned = run(losses={"mine": my_cross_entropy}, posteriors={"point": my_point})
    assert folder.record["methods"] == ["base", "plain", "point", "mine"] and tuned == {"plain, seed 0", "mine, seed 0"}
    plain, _ = _forecasts(folder, "plain")
    np.testing.assert_allclose(_forecasts(folder, "mine")[0], plain, atol=1e-5)  # the same loss, written anew
    point, arrays = _forecasts(folder, "point")
    np.testing.assert_allclose(point, plain, atol=1e-6)
    assert arrays["twice"] == 2 and np.abs(arrays["letters/epistemic"]).max() < 1e-6
    assert np.abs(plain - _forecasts(folder, "base")[0]).max() > 1e-3


@pytest.mark.long
def test_changed_code_is_tuned_with_again_and_the_same_code_is_not(run):
    def doubled(logits, tokens, examples):
        return 2 * my_cross_entropy(logits, tokens, examples)

    run(losses={"mine": my_cross_entropy}, posteriors={"point": my_point})
    first, _ = _forecasts(run(losses={"mine": doubled}, posteriors={"point": my_point})[0], "mine")
    folder, tuned = run(losses={"mine": lambda logits, tokens, examples: -my_cross_entropy(logits, tokens, examples)},
                        posteriors={"point": my_point})  # fmt: skip
    assert tuned == {"mine, seed 0"}
    assert np.abs(_forecasts(folder, "mine")[0] - first).max() > 1e-3
    assert run(losses={"mine": doubled}, posteriors={"point": my_point})[1] == set()  # kept from before


def test_an_uncertainty_of_ones_own_smooths_each_sample(configuration, tmp_path):
    seen = []

    def lengths(samples):
        seen.append(len(samples.records))
        return [len(one.tokens) + number for number, one in enumerate(samples.examples)]

    def ual_like(settings):
        seen.append(np.asarray(settings.sample_smoothing))
        return my_cross_entropy

    folder = tuning.run_tuning(
        dataclasses.replace(configuration, loss=("mine",), output=tmp_path / "run"), model=word_model(),
        losses={"mine": Entry("mine", "Mine", {"make": ual_like}, needs=("uncertainty",))},
        uncertainties={"lengths": lengths},
    )  # fmt: skip
    assert folder.record["configuration"]["uncertainty"] == "lengths" and folder.record["methods"] == ["base", "mine"]
    count, smoothing = seen
    assert len(smoothing) == count and (np.diff(smoothing) > 0).all() and smoothing.mean() == pytest.approx(0.1)


@pytest.mark.parametrize("given", [my_entropy, Entry("x", "X", {"score": my_entropy})])
def test_an_acquisition_of_ones_own_chooses_as_its_scores_say(given):
    log_probs = jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (3, 20, 4)))
    where = np.arange(20) % 3 > 0
    expected = tuning.choose_questions(jax.random.key(1), "entropy", log_probs, 6, where=where)
    found = tuning.choose_questions(jax.random.key(1), given, log_probs, 6, where=where)
    assert found.tolist() == expected.tolist() and where[found].all()
    unknown = tuning.choose_questions(
        jax.random.key(1), lambda pool: jnp.full(20, jnp.nan).at[7].set(0.0), log_probs, 3, where=where
    )
    assert unknown.tolist() == [7]  # what has no score is not chosen
    with pytest.raises(JaxuqError, match=r"scores of shape \(3,\) for 20 questions"):
        tuning.choose_questions(jax.random.key(1), lambda pool: jnp.zeros(3), log_probs, 3, where=where)


def test_a_way_of_asking_of_ones_own_is_clipped_and_checked():
    records = [
        Question(name, f"what is {name}", (name,), category="c", prompt=f"what is {name}", reply=f" {name}")
        for name in ("red", "green", "blue")
    ]
    asked = tuning.encode_questions(word_model().tokenizer, records, num_options=3, max_length=16)
    arguments = word_model(), {}, records, asked, [one.reply for one in records]
    assert tuning.asked_confidence(lambda *asked: [0.5, 2.0, -1.0], *arguments).tolist() == [0.5, 1.0, 0.0]
    with pytest.raises(JaxuqError, match=r"confidences of shape \(1,\) for 3 answers"):
        tuning.asked_confidence(lambda *asked: [0.5], *arguments)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"losses": {"plain": my_cross_entropy}}, "there is a loss 'plain' already"),
        ({"losses": {"mine": "plain"}}, "expected an Entry or a function"),
        ({"losses": {"mine": 3}}, "a loss is 3; expected a name"),
        ({"losses": {"../mine": my_cross_entropy}}, "letters, digits"),
        ({"losses": {"base": my_cross_entropy}}, "the name of another row"),
        ({"losses": {"laplace": my_cross_entropy}}, "the name of another row"),
        ({"uncertainties": {"one": len, "two": len}}, "sources of uncertainty one, two"),
        ({"acquisitions": {"mine": my_entropy}, "ways": {"mine": len}}, "are two runs"),
    ],
)
def test_what_cannot_be_given_is_refused_before_anything_is_written(configuration, tmp_path, given, said):
    with pytest.raises(JaxuqError, match=said):
        tuning.run_tuning(dataclasses.replace(configuration, output=tmp_path / "run"), model=word_model(), **given)
    assert not (tmp_path / "run").exists()


def test_a_given_judge_needs_no_address(configuration):
    from jaxuq.tuning.configuration import normalised

    asked = dataclasses.replace(configuration, loss=("ual",), uncertainty="judge")
    with pytest.raises(tuning.TuningError, match="needs --judge"):
        normalised(asked)
    assert normalised(asked, tuning.make_choices(judge=lambda prompts: prompts)).uncertainty == "judge"
