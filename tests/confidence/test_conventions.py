"""Where UQAC's released code does otherwise than the text: the table says which function has which convention."""

import inspect
import re

import jax.numpy as jnp
import numpy as np

from jaxuq import confidence
from jaxuq.confidence.text import options
from jaxuq.confidence.text.measuring import reading_fields
from jaxuq.confidence.text.passes import Texts
from jaxuq.confidence.text.reading import Reading
from jaxuq.confidence.text.token_quantities import token_quantities

LOGITS = jnp.log(jnp.array([[0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02]]))


def test_the_table_names_what_there_is():
    rows = [line.split("|")[2] for line in options.__doc__.splitlines() if line.startswith("| ")][1:]
    named = [found for row in rows for found in re.findall(r"`(\w+)\((\w+)=\)`", row)]
    assert len(rows) == 16 and len(named) == 12
    for function, argument in named:
        assert argument in inspect.signature(getattr(confidence, function)).parameters, function
    assert all("not followed" in row or "`" in row for row in rows)
    own = {name for name in confidence.__all__ if inspect.isfunction(getattr(confidence, name))}
    kinds = {name: inspect.signature(getattr(confidence, name)).parameters.get("convention") for name in own}
    published = {name for name, one in kinds.items() if one is not None and "published" in str(one.annotation)}
    assert published - {"eigen_score", "attention_chain"} == {name for name, kind in named if kind == "convention"} - {
        "ChainOptions"
    }


def test_tokens_outside_the_five_likeliest_are_read_as_the_likeliest():
    tokens = jnp.array([5])
    text, published = (token_quantities(LOGITS, tokens, convention=name) for name in ("text", "published"))
    np.testing.assert_allclose(np.exp([text.said[0], published.said[0]]), [0.05, 0.3], rtol=1e-5)
    np.testing.assert_allclose(np.exp([text.log_probs[0], published.log_probs[0]]), 0.05, rtol=1e-5)
    p = np.exp(np.asarray(LOGITS[0], np.float64))
    np.testing.assert_allclose(text.entropies[0], -(p * np.log(p)).sum(), rtol=1e-5)
    np.testing.assert_allclose(published.entropies[0], -(p[:5] * np.log(p[:5])).sum(), rtol=1e-5)


def test_the_first_token_of_a_response_counts_for_nothing_in_the_released_code():
    flags = jnp.zeros((1, 6), bool)
    texts = Texts(jnp.zeros((1, 6), jnp.int32), jnp.array([5]), jnp.array([2]), flags, flags)
    nothing = jnp.zeros((1, 6))
    reading = Reading(nothing, nothing, nothing, {}, nothing)
    counted = [
        reading_fields(texts, reading, answered=jnp.zeros(1, bool), published=published)["response"][0].tolist()
        for published in (False, True)
    ]
    assert counted == [[False, False, True, True, True, False], [False, False, False, True, True, False]]
