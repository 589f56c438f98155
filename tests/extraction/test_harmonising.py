"""POLAR: the worked numbers, what its optimum must be, and a risk that knows who is wrong without gold labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jaxuq.extraction import fit_harmoniser, harmonised, pareto_loss, span_risk

KINDS = ("linear", "square", "norm", "max")
H = np.array([0.7, 0.2, 0.1])


def test_the_worked_numbers():
    """h = (.7, .2, .1), votes 0, 0, 1."""

    def loss(logits, kind):
        return pareto_loss(-jax.nn.log_softmax(logits)[jnp.array([0, 0, 1])], kind)

    logits = jnp.log(jnp.asarray(H, jnp.float32))
    for kind, expected in zip(KINDS, (0.774263, 0.599483, 0.562210, 0.536479)):
        assert float(loss(logits, kind)) == pytest.approx(expected, abs=2e-6)
    gradient = jax.grad(loss)
    np.testing.assert_allclose(gradient(logits, "linear"), [0.033333, -0.133333, 0.1], atol=1e-6)
    np.testing.assert_allclose(gradient(logits, "square"), [0.051618, -0.206470, 0.154853], atol=1e-6)
    risks = [float(span_risk(jnp.asarray(H)[None], jnp.array([label]))) for label in (0, 1)]
    np.testing.assert_allclose(risks, [0.3, 0.8], atol=1e-6)


def test_who_abstains_has_no_say(unchecked):
    losses = jnp.array([[0.5, jnp.nan], [jnp.inf, jnp.inf]])
    where = jnp.array([[True, False], [False, False]])
    for kind in KINDS:
        found = pareto_loss(losses, kind, where=where)
        np.testing.assert_allclose(found, [0.0625 if kind == "square" else 0.25, 0.0], atol=1e-7)
        assert jnp.isfinite(jax.grad(lambda one, kind=kind: pareto_loss(one, kind, where=where).sum())(losses)).all()
    with pytest.raises(ValueError, match="kind is 'sum'; expected one of linear, square, norm, max"):
        pareto_loss(losses, "sum")


@pytest.mark.parametrize("kind", KINDS)
def test_one_source_is_copied_and_two_that_contradict_each_other_are_halved(kind):
    vectors, each = jnp.eye(3)[jnp.array([0, 1, 2] * 4)], jnp.arange(12)
    fit = jax.jit(fit_harmoniser, static_argnames=("num_labels", "num_examples", "kind", "weight_decay", "num_steps"))
    said = jnp.array([0, 1, 2] * 4)
    long = {"weight_decay": 0.0, "num_steps": 1000}
    copied = harmonised(fit(vectors, said[:, None], each, 3, num_examples=12, kind=kind, **long), vectors)
    assert float(span_risk(copied[:, None], said[:, None]).max()) < 0.05
    both = jnp.stack([jnp.zeros(12, int), jnp.ones(12, int)], axis=1)
    halved = harmonised(fit(vectors, both, each, 2, num_examples=12, kind=kind), vectors)
    np.testing.assert_allclose(halved, 0.5, atol=0.02)


def test_the_loss_of_a_text_is_the_mean_over_the_words_of_which_a_source_speaks():
    """The objective by loops over examples, sources and words, from the harmoniser's own probabilities."""
    rng = np.random.default_rng(0)
    vectors, votes = rng.normal(size=(9, 4)), rng.integers(-1, 3, (9, 3))
    examples = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])

    def objective(probabilities):
        values = []
        for example in range(3):
            losses = []
            for source in range(3):
                spoken = [t for t in range(9) if examples[t] == example and votes[t, source] >= 0]
                losses.append(np.mean([-np.log(probabilities[t, votes[t, source]]) for t in spoken]) if spoken else 0.0)
            values.append((sum(losses) / 3) ** 2)
        return np.mean(values)

    arrays = jnp.asarray(vectors, jnp.float32), jnp.asarray(votes), jnp.asarray(examples)
    found = fit_harmoniser(*arrays, 3, num_examples=3, weight_decay=0.0, num_steps=1500, learning_rate=0.05)
    best = objective(np.asarray(harmonised(found, arrays[0]), np.float64))
    for _ in range(20):  # no neighbour is better
        moved = found._replace(weight=found.weight + 0.05 * rng.normal(size=found.weight.shape).astype(np.float32))
        assert objective(np.asarray(harmonised(moved, arrays[0]), np.float64)) > best - 1e-5


def test_the_risk_of_a_span_is_that_of_all_its_words():
    probabilities = jnp.array([[[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]]])
    found = span_risk(probabilities, jnp.array([[1, 1, -1]]), where=jnp.array([[True, True, False]]))
    assert float(found[0]) == pytest.approx(0.28)
    assert float(span_risk(probabilities, jnp.zeros((1, 3), int), where=jnp.zeros((1, 3), bool))[0]) == 0.0


def test_it_finds_the_wrong_answers_without_a_gold_label():
    """Two classes that vectors tell apart; the model errs at random in a fifth, three functions in a third."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 600)
    vectors = rng.normal(size=(600, 5)) + 2 * truth[:, None]

    def noisy(share):
        return np.where(rng.random(600) < share, 1 - truth, truth)

    answers = noisy(0.2)
    votes = np.stack([answers, *(np.where(rng.random(600) < 0.5, noisy(0.33), -1) for _ in range(3))], axis=1)
    arrays = jnp.asarray(vectors, jnp.float32), jnp.asarray(votes), jnp.arange(600)
    for kind in ("linear", "square"):
        taught = fit_harmoniser(*arrays, 2, num_examples=600, kind=kind)
        risk = span_risk(harmonised(taught, arrays[0])[:, None], jnp.asarray(answers)[:, None])
        assert roc_auc_score(answers != truth, risk) > 0.95
