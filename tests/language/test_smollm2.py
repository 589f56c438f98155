"""The real model: SmolLM2-135M-Instruct from its package."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import (
    decode_tokens,
    encode_prompt,
    load_model,
    save_model,
    stop_tokens,
)

pytestmark = [pytest.mark.weights, pytest.mark.long]


@pytest.fixture(scope="module")
def model(smollm2_weights):
    return load_model("smollm2", scan=True)


@functools.partial(jax.jit, static_argnums=0)
def _next(decoder, variables, tokens, length):
    positions = jnp.where(jnp.arange(tokens.shape[0]) < length, jnp.arange(tokens.shape[0]), -1)
    hidden = decoder.apply(variables, tokens[None], positions[None]).hidden[0, length - 1]
    return decoder.apply(variables, hidden, method="logits")


def test_the_capital_of_france(model):
    tokens = encode_prompt(model.tokenizer, "What is the capital of France?")
    start = len(tokens)
    while len(tokens) < 56:
        padded = jnp.asarray(np.pad(tokens, (0, 56 - len(tokens))), jnp.int32)
        logits = _next(model.decoder, model.variables, padded, len(tokens))
        tokens.append(int(logits.argmax()))
        if tokens[-1] in stop_tokens(model):
            break
    assert decode_tokens(model.tokenizer, tokens[start:]) == "The capital of France is Paris."
    assert tokens[-1] == model.tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_gguf_and_its_conversion_agree_exactly(model, tmp_path):
    save_model(tmp_path / "folder", model)
    again = load_model(tmp_path / "folder", scan=True)
    assert again.decoder == model.decoder and stop_tokens(again) == stop_tokens(model)
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    for text in ("In 1999, 12.5% of naïve users' \n\n  code: x<|im_end|>y", "漢字 🙂"):
        tokens = encode_prompt(model.tokenizer, text)
        assert encode_prompt(again.tokenizer, text) == tokens
        assert encode_prompt(model.tokenizer, text, chat=False) == encode_prompt(again.tokenizer, text, chat=False)
        assert decode_tokens(again.tokenizer, encode_prompt(again.tokenizer, text, chat=False)) == text
