"""Questions, options, uncertainties and losses: what is read, what is refused, and what padding must not do."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq.losses import ual_loss, uncertainty_smoothing
from jaxuq.questions import Question, QuestionError
from jaxuq.tuning import preparation
from tests.language.words import tokenizer

RECORDS = [
    Question(f"q{number}", letter, (colour,), category="colours", prompt=f"what is {letter}", reply=f" {colour}")
    for number, (letter, colour) in enumerate(zip("abcd", ("red", "green", "blue", "yes")))
]


def test_facts_are_divided_by_category_and_seed_alone():
    split, again, other = (tuning.load_split("facts", seed=seed) for seed in (0, 0, 1))
    ids = {one.id for one in split.train}
    assert split == again and ids != {one.id for one in other.train}
    assert not ids & {one.id for one in split.test} and {one.category for one in split.shifted} == {
        "arithmetic", "two-steps"
    }  # fmt: skip
    assert {one.category for one in split.train} == {one.category for one in split.test}
    assert len(split.train) + len(split.test) + len(split.shifted) == 308


def test_a_file_costs_its_bad_lines_only(tmp_path):
    lines = [
        {"question": "2+2?", "choices": ["3", "4"], "answer": "B", "uncertainty": 0.5},
        {"question": "2+3?", "choices": ["5", "4"], "answer": 0},
        {"question": "one?", "answer": "two", "uncertainty": -1},
        {"question": "", "answer": "x"},
        {"question": "a?", "choices": ["3", "4"], "answer": "7"},
        {"question": "b?", "answer": 5},
        {"question": "c?", "answer": "yes"},
    ]
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\nno json\n")
    split = tuning.load_split(str(file))
    found = {one.id: one for one in split.train + split.test}
    assert set(found) == {"line-1", "line-2", "line-6", "line-7"} and split.name == "own"
    assert found["line-1"].reply == " B" and found["line-1"].wrong == (" A",) and found["line-1"].uncertainty == 0.5
    assert found["line-2"].reply == " A" and "A. 5" in found["line-2"].prompt
    assert [place for place, _ in split.rejected] == [f"own.jsonl, line {n}" for n in (3, 4, 5, 8)]
    with pytest.raises(QuestionError, match="neither a file nor a known set"):
        tuning.load_split(str(tmp_path / "none.jsonl"))


def test_options_differ_in_their_token_and_hold_the_answer_once():
    found = tuning.encode_questions(tokenizer(), RECORDS, num_options=3)
    assert found.rejected == [] and found.prompts.options.shape == (4, 3)
    for row, one in enumerate(RECORDS):
        assert len(set(found.prompts.options[row].tolist())) == 3
        assert found.options[row][found.labels[row]] == one.reply
    assert found.prompts.lengths.tolist() == [3, 3, 3, 3]
    alone = Question("alone", "e", category="none of its kind", prompt="what is e", reply=" no")
    again = tuning.encode_questions(tokenizer(), [*RECORDS, alone], num_options=3)
    np.testing.assert_array_equal(again.prompts.options, found.prompts.options)
    assert again.rejected[0][0] == "alone" and "no other answer" in again.rejected[0][1]
    with pytest.raises(tuning.TuningError, match="none of the 1"):
        tuning.encode_questions(tokenizer(), [alone])


def test_training_examples_learn_the_answer_and_its_end():
    (example,) = tuning.training_examples(tokenizer(), RECORDS[:1])
    assert [tokenizer().decode([token]) for token in example.tokens] == ["what", "is", "a", "red", "<end>"]
    assert example.response.tolist() == [False, False, False, True, True]


def test_nonsense_of_a_judge_is_counted_and_gets_the_mean():
    replies = iter(["10", "no idea", "", "50 %"])
    found = tuning.judged_uncertainty(lambda prompts: [next(replies) for _ in prompts], RECORDS)
    assert found.known.tolist() == [True, False, False, True] and "2 of 4 replies" in found.notes[0]
    smoothing = uncertainty_smoothing(jnp.asarray(found.values), where=jnp.asarray(found.known))
    np.testing.assert_allclose(smoothing, [0.1 / 3, 0.1, 0.1, 0.5 / 3], rtol=1e-5)
    with pytest.raises(tuning.TuningError, match="no number from 0 to 100 in 4"):
        tuning.judged_uncertainty(lambda prompts: ["?"] * len(prompts), RECORDS)


def test_columns_missing_and_constant():
    with pytest.raises(tuning.TuningError, match="no sample has an `uncertainty`"):
        tuning.column_uncertainty(RECORDS)
    found = tuning.column_uncertainty([one._replace(uncertainty=0.4) for one in RECORDS])
    assert "plain label smoothing" in found.notes[0]


@jax.jit
def _both_losses(logits, tokens, smoothing, where):
    """UAL through tokens with examples' weights, as `finetune` computes it, and through whole samples."""
    lengths = where.sum(1, dtype=jnp.float32)
    loss = tuning.token_loss("ual", sample_smoothing=smoothing, sample_weights=lengths.mean() / lengths)
    numbers = jnp.broadcast_to(jnp.arange(len(tokens))[:, None], tokens.shape)
    each = jnp.where(where, loss(logits, tokens, numbers), 0.0)
    return each.sum() / where.sum(dtype=jnp.float32), ual_loss(logits, tokens, smoothing, where=where).mean()


def test_ual_token_by_token_is_ual_of_samples(rng):
    logits = jnp.asarray(rng.normal(size=(3, 4, 6)), jnp.float32)
    tokens = jnp.asarray(rng.integers(0, 6, (3, 4)))
    where = jnp.arange(4)[None] < jnp.array([[1], [4], [2]])
    one, other = _both_losses(logits, tokens, jnp.array([0.02, 0.1, 0.3]), where)
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("name", tuning.LOSSES)
def test_weights_of_samples_are_factors_on_their_tokens(rng, name):
    logits = jnp.asarray(rng.normal(size=(2, 3, 6)), jnp.float32)
    tokens, examples = jnp.asarray(rng.integers(0, 6, (2, 3))), jnp.array([[0, 1, 1], [2, 2, -1]])
    given = {"sample_smoothing": jnp.array([0.1, 0.2, 0.0])} if name == "ual" else {}
    plain = tuning.token_loss(name, **given)
    weighted = tuning.token_loss(name, **given, sample_weights=jnp.array([0.0, 0.5, 2.5]))
    if name == "scheduled-smoothing":
        plain, weighted = plain.at(0.3), weighted.at(0.3)
    factors = jnp.array([[0.0, 0.5, 0.5], [2.5, 2.5, 0.0]])
    np.testing.assert_allclose(weighted(logits, tokens, examples), plain(logits, tokens, examples) * factors, rtol=1e-6)


def test_weights_are_those_of_the_data_or_refused():
    weights = preparation.sample_weights(
        [one._replace(weight=float(n)) for n, one in enumerate(RECORDS)], tuning.TuneConfiguration()
    )
    np.testing.assert_allclose(weights, [0, 2 / 3, 4 / 3, 2], rtol=1e-6)
    assert preparation.sample_weights(RECORDS, tuning.TuneConfiguration(teach=("sure",))) is None
    for options, records, said in (
        (
            {"acquire": ("bald",)},
            [RECORDS[0], RECORDS[1]._replace(weight=2.0)],
            "--acquire does not go with a `weight`",
        ),
        ({}, [one._replace(weight=0.0) for one in RECORDS], "0 on every line"),
    ):
        with pytest.raises(tuning.TuningError, match=said):
            preparation.sample_weights(records, tuning.TuneConfiguration(**options))


def test_equal_uncertainty_is_label_smoothing(rng):
    logits = jnp.asarray(rng.normal(size=(2, 3, 6)), jnp.float32)
    tokens, examples = jnp.asarray(rng.integers(0, 6, (2, 3))), jnp.array([[0, 1, 2], [2, 1, 0]])
    same = tuning.token_loss("ual", sample_smoothing=uncertainty_smoothing(jnp.full(3, 7.0)))
    plain = tuning.token_loss("label-smoothing", smoothing=0.1)
    np.testing.assert_allclose(same(logits, tokens, examples), plain(logits, tokens, examples), rtol=1e-5)


def test_pruning_meets_its_ratio_and_drops_the_extremes(rng):
    error, entropy = (jnp.asarray(rng.normal(size=400), jnp.float32) for _ in range(2))
    found = jax.jit(lambda a, b: tuning.prune_samples(a, b, 0.7))(error, entropy)
    assert 0.66 < float(found.keep.mean()) <= 0.7
    assert not bool(found.keep[jnp.argmax(jnp.minimum(error, entropy))])
    assert not bool(found.keep[jnp.argmin(jnp.maximum(error, entropy))])
    assert bool(found.keep[jnp.isin(found.quadrant, jnp.array([1, 3]))].all())


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("digits", [1, 8])  # with ties, and without
def test_samples_are_pruned_at_the_least_margin_that_leaves_few_enough(rng, ratio, digits):
    prune = jax.jit(lambda error, entropy: tuning.prune_samples(error, entropy, ratio).keep)
    for count in (2, 3, 8, 25):
        error, entropy = rng.normal(size=(2, 10, count)).round(digits).astype(np.float32)
        for one, other in zip(error, entropy):
            margins = [0.0, *(min((place + 1e-6) / (count - 1), 0.5) for place in range(count))]
            for margin in margins:
                (low, down), (high, up) = (
                    np.quantile(np.float64((one, other)), at, axis=1) for at in (margin, 1 - margin)
                )
                keep = ~((one > high) & (other > up)) & ~((one < low) & (other < down))
                if keep.sum() <= ratio * count * (1 + 1e-9):
                    break
            np.testing.assert_array_equal(prune(one, other), keep)


def test_silhouette_is_its_definition(rng):
    points, clusters = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    points[:5, 0], clusters[19] = np.nan, 3
    where = np.arange(20) >= 5
    found = jax.jit(lambda p: tuning.silhouette(p, jnp.asarray(clusters), 5, where=jnp.asarray(where)))(points)
    kept, own = points[5:], clusters[5:]
    distances = np.linalg.norm(kept[:, None] - kept[None], axis=-1)
    for i in range(15):
        means = {c: distances[i, (own == c) & (np.arange(15) != i)].mean() for c in set(own) if (own == c).sum() > 1}
        means |= {3: distances[i, own == 3].mean()}
        a, b = means[own[i]], min(value for c, value in means.items() if c != own[i])
        expected = 0.0 if own[i] == 3 else (b - a) / max(a, b)
        assert float(found[5 + i]) == pytest.approx(expected, abs=1e-5)
    assert np.isnan(found[:5]).all()


@pytest.mark.parametrize("shape", [(30, 4), (12, 40)])
def test_a_probe_is_at_the_minimum_of_its_loss(rng, shape):
    """Both ways of solving: the gradient of the penalised likelihood vanishes, and masked answers do not count."""
    x, y = rng.normal(size=shape).astype(np.float32), (rng.random(shape[0]) < 0.4).astype(np.int32)
    where = np.arange(shape[0]) != 3
    x[3] = np.nan
    probe = jax.jit(lambda x: tuning.fit_linear_probe(x, jnp.asarray(y), penalty=2.0, where=jnp.asarray(where)))(x)
    np.testing.assert_allclose(probe.mean, x[where].mean(0), atol=1e-5)
    standard = (x[where] - x[where].mean(0)) / x[where].std(0)
    p = 1 / (1 + np.exp(-(standard @ np.asarray(probe.weights) + float(probe.bias))))
    np.testing.assert_allclose(standard.T @ (p - y[where]) + 2.0 * np.asarray(probe.weights), 0, atol=5e-3)
    np.testing.assert_allclose((p - y[where]).sum() + 1e-3 * float(probe.bias), 0, atol=5e-3)


def test_a_state_that_never_changes_and_the_unit_of_states_are_nothing(rng):
    """A coordinate of 0.1 in all states has no deviation but rounding, by which the next state must not be divided."""
    x, y = rng.normal(size=(60, 3)), jnp.asarray((rng.random(60) < 0.4).astype(np.int32))

    def confidence(states, new):
        probe = tuning.fit_linear_probe(jnp.asarray(states, jnp.float32), y)
        return np.asarray(tuning.probe_confidence(probe, jnp.asarray(new, jnp.float32)))

    alone = confidence(x, x)
    for value in (0.1, 0.3, -1e5):
        same, moved = (np.insert(x, 1, one, axis=1) for one in (value, 1.001 * value))
        np.testing.assert_allclose(confidence(same, same), alone, atol=1e-4)
        if abs(value) < 1:
            np.testing.assert_allclose(confidence(same, moved), alone, atol=1e-3)
    for unit in (1e-25, 1e25):
        np.testing.assert_allclose(confidence(unit * x, unit * x), alone, atol=1e-4)


def test_refusals_need_both_kinds_of_grades():
    with pytest.raises(tuning.TuningError, match="all 4 answers are right"):
        tuning.refusal_records(RECORDS, [True] * 4)
    made = tuning.refusal_records(RECORDS, [True, False, True, False])
    assert [one.reply for one in made] == [" sure.", " unsure.", " sure.", " unsure."]
    assert made[0].prompt.startswith("what is a red.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": ("plane",)}, "--loss plane: choose among plain"),
        ({"posterior": ()}, "--posterior is empty"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"posterior": ("dropout",), "dropout": 0.0}, "--dropout must be above 0"),
        ({"loss": ("ual",), "uncertainty": "judge"}, "needs --judge"),
        ({"seeds": 0}, "--seeds is 0"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(options, said, tmp_path):
    with pytest.raises(tuning.TuningError, match=said):
        tuning.run_tuning(tuning.TuneConfiguration(output=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_a_posterior_before_tuning_is_refused():
    from tests.language.finetune_run import tiny_model

    found = tuning.encode_questions(tokenizer(), RECORDS)
    with pytest.raises(ValueError, match="tune it before"):
        tuning.fit_adapter_laplace(tiny_model(), found.prompts, found.labels)
