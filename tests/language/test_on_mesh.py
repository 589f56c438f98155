"""Texts answered and scored on a mesh are those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import Sampling, attention_rows, generate, score
from jaxuq.parallel import mesh_of
from tests.language.test_answers import PROMPTS, model  # noqa: F401  # a fixture

OPTIONS = {"max_new_tokens": 5, "sampling": Sampling(1.0), "num_samples": 2, "keep_queries": True}


@pytest.fixture(scope="module")
def alone(model):  # noqa: F811
    answers = generate(model, PROMPTS, **OPTIONS)
    return answers, score(model, PROMPTS, [answer.tokens for answer in answers[::2]], keep_hidden=True)


@pytest.mark.parametrize(
    "mesh",
    ["data=4,tensor=2", "fsdp=8", *(pytest.param(text, marks=pytest.mark.long) for text in
                                     ("data=8", "data=2,fsdp=2,tensor=2", "tensor=4"))],
)  # fmt: skip
def test_eight_devices_give_what_one_gives(mesh, model, alone):  # noqa: F811
    answers, scored = alone
    spread = model.on_mesh(mesh_of(mesh))
    assert dict(spread.mesh.shape) == {name: int(size) for name, size in (part.split("=") for part in mesh.split(","))}
    found = generate(spread, PROMPTS, **OPTIONS)
    for one, other in zip(found, answers, strict=True):
        assert (one.prompt, one.sample, one.text, one.finish) == (other.prompt, other.sample, other.text, other.finish)
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        np.testing.assert_allclose(one.entropies, other.entropies, atol=1e-5)
    last = jnp.array([[len(answers[0].prompt_tokens)]])
    rows = [attention_rows(model.functions, one[0].captured, last) for one in (found, answers)]
    np.testing.assert_allclose(*map(np.asarray, rows), atol=1e-5)
    given = [answer.tokens for answer in answers[::2]]
    for one, other in zip(score(model, PROMPTS, given, keep_hidden=True, mesh=mesh_of(mesh)), scored):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        np.testing.assert_allclose(one.hidden, other.hidden, atol=1e-5)


def test_what_lies_on_a_mesh_already_stays(model):  # noqa: F811
    mesh = mesh_of("data=4,tensor=2")
    spread = model.on_mesh(mesh)
    again = spread.on_mesh(mesh)
    assert all(one is other for one, other in zip(jax.tree.leaves(spread.params), jax.tree.leaves(again.params)))
    assert model.mesh is None
    assert model.on_mesh(None).mesh is None
