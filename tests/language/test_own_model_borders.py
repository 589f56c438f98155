"""A model or a loss of the user's that gives something else than it is to give: one error that says what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq.experts import example_gradients
from jaxuq.language import (
    GREEDY,
    FinetuneConfig,
    Instruction,
    LanguageModel,
    Sampling,
    TokenBatch,
    finetune,
    finetune_step,
    generate,
    generate_tokens,
    hidden_gradient,
    init_finetuning,
    make_optimizer,
    map_logits,
    response_log_probs,
    response_loss,
    score,
    score_tokens,
    start_generation,
)
from jaxuq.networks import CapabilityError, Model
from jaxuq.tuning import AnswerPrompts, answer_logits, token_loss
from tests.language.finetune_run import tiny_model
from tests.language.words import tokenizer

VOCAB, WIDTH = 7, 4
TOKENS = jnp.array([[1, 2, 3]])
PARAMS = jnp.ones((VOCAB, WIDTH))
BATCH = TokenBatch(TOKENS, jnp.array([[0, 1, 2]]), jnp.zeros_like(TOKENS), TOKENS > 1)
PROMPTS = AnswerPrompts(np.array([[1, 2]]), np.array([2]), np.array([[3, 4]]), np.ones((1, 2), bool))


def _hidden(params, tokens):
    return jnp.take(params, tokens, axis=0)


def _model(read=None, logits=None, **more):
    def usual(params, tokens, positions, cache=None):
        return _hidden(params, tokens), cache, None

    return Model(
        read or usual, logits or (lambda params, hidden: hidden @ params.T), lambda params, rows, slots: {}, VOCAB,
        join=lambda params, trained: params + trained, **more,
    )  # fmt: skip


USES = {
    "score_tokens": lambda model: score_tokens(model, PARAMS, TOKENS),
    "generate_tokens": lambda model: generate_tokens(
        model, PARAMS, TOKENS, jnp.array([3]), jax.random.split(jax.random.key(0), 1), max_new_tokens=2
    ),
    "response_loss": lambda model: response_loss(model, PARAMS, BATCH),
    "response_log_probs": lambda model: response_log_probs(model, PARAMS, BATCH),
    "example_gradients": lambda model: example_gradients(model, PARAMS, jnp.zeros_like(PARAMS), BATCH),
    "answer_logits": lambda model: answer_logits(model, PARAMS, PROMPTS),
}
WRONG_READS = {
    r"`read` returns one \S*Tracer|`read` returns one Array": lambda params, tokens, positions, cache=None: _hidden(
        params, tokens
    ),
    "`read` returns 2 values": lambda params, tokens, positions, cache=None: (_hidden(params, tokens), cache),
    r"hidden states of shape \(\d, 4\) for tokens": lambda params, tokens, positions, cache=None: (
        _hidden(params, tokens)[:, 0], cache, None,
    ),
    r"hidden states of shape \(\d, \d, 4\) for tokens": lambda params, tokens, positions, cache=None: (
        _hidden(params, tokens)[:, :-1], cache, None,
    ),
    "hidden states as NoneType": lambda params, tokens, positions, cache=None: (None, cache, None),
    r"cannot be called as read\(params, tokens, positions": lambda params, tokens: None,
    r"queries of shape \(4,\)": lambda params, tokens, positions, cache=None: (
        _hidden(params, tokens), cache, jnp.zeros(4),
    ),
}  # fmt: skip
WRONG_LOGITS = {
    r"gives an array of shape \(7,\)": lambda params, hidden: (hidden @ params.T).reshape(-1, VOCAB)[0],
    "5 numbers where vocab_size is 7": lambda params, hidden: (hidden @ params.T)[..., :5],
    r"gives an array of shape \(\)": lambda params, hidden: jnp.sum(hidden @ params.T),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("said", WRONG_READS)
def test_a_read_that_gives_something_else_is_named(said, use):
    with pytest.raises(CapabilityError, match=said):
        USES[use](_model(read=WRONG_READS[said]))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("said", WRONG_LOGITS)
def test_logits_of_something_else_are_named(said, use):
    with pytest.raises(CapabilityError, match=said):
        USES[use](_model(logits=WRONG_LOGITS[said]))


@pytest.mark.parametrize("use", USES)
def test_a_model_that_keeps_its_promise_passes(use):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(USES[use](_model())) if leaf.dtype == jnp.float32)


def test_a_cache_that_is_lost_is_named():
    with pytest.raises(CapabilityError, match="was given a cache and returns None"):
        USES["generate_tokens"](_model(read=lambda params, tokens, positions, cache=None: (
            _hidden(params, tokens), None, None)))  # fmt: skip


def test_a_read_without_a_cache_scores():
    """As long as nothing generates, `read` need not take one."""
    made = _model(read=lambda params, tokens, positions: (_hidden(params, tokens), None, None))
    assert USES["score_tokens"](made).log_probs.shape == (1, 3)
    with pytest.raises(CapabilityError, match=r"cannot be called as read.*cache"):
        USES["generate_tokens"](made)


def _scalar(logits, tokens, examples):
    return jnp.mean(logits)


def _rows(logits, tokens, examples):
    return jnp.mean(logits, axis=(1, 2))


@pytest.mark.parametrize("loss", [_scalar, _rows])
def test_a_loss_that_is_not_of_each_token_is_named(loss):
    model = tiny_model()
    data = [Instruction(np.array([1, 2, 3]), np.array([False, True, True]))]
    said = rf"`{loss.__name__}` gives an array of shape \(.*for logits of shape .*one value for each token"
    config = FinetuneConfig(epochs=1, batch_size=1, max_length=8)
    with pytest.raises(jaxuq.JaxuqError, match=said):
        finetune(jax.random.key(0), model, data, config, token_loss=loss)
    hidden = jnp.ones((1, 3, WIDTH))
    for function in (map_logits, hidden_gradient):
        with pytest.raises(jaxuq.JaxuqError, match=said):
            function(loss, _model(), PARAMS, hidden, TOKENS, TOKENS)
    weighted = token_loss(loss, sample_weights=jnp.ones(2))
    with pytest.raises(jaxuq.JaxuqError, match=said):
        weighted(jnp.ones((1, 3, VOCAB)), TOKENS, jnp.zeros_like(TOKENS))


@pytest.mark.parametrize("given", [jnp.zeros(()), (jnp.zeros(2), jnp.ones(())), (jnp.zeros(()),) * 3, None])
def test_a_loss_of_a_batch_is_a_sum_and_a_count(given):
    optimizer = make_optimizer(FinetuneConfig(), 3)
    state = init_finetuning(jnp.zeros(3), optimizer)
    with pytest.raises(jaxuq.JaxuqError, match=r"expected \(sum, count\), two scalars"):
        finetune_step(state, None, jnp.ones((1, 2)), None, loss=lambda *_: given, optimizer=optimizer)


@pytest.fixture(scope="module")
def talker():
    return LanguageModel(tiny_model().decoder, tiny_model().params, tokenizer(), "tiny")


def test_a_text_model_says_what_is_wrong_with_its_arguments(talker):
    for options, said in (
        ({"prompts": None}, "prompts is None; expected text"),
        ({"prompts": 3}, r"prompts is 3 \(int\)"),
        ({"prompts": ""}, "the prompt is empty"),
        ({"prompts": ["a", None]}, r"prompts\[1\] is None; expected .*text"),
        ({"sampling": None}, "sampling is None; expected a `jaxuq.language.Sampling`"),
        ({"sampling": 0.7}, "sampling is 0.7"),
        ({"rng_key": None}, "rng_key is None; expected a key"),
        ({"rng_key": jax.random.PRNGKey(0)}, r"rng_key is .*uint32\[2\]"),
        ({"rng_key": 1.5}, "rng_key is 1.5"),
        ({"stop": 3}, "stop is 3"),
        ({"model": "smollm2"}, "model is 'smollm2'; expected a `jaxuq.language.LanguageModel`, as `load_model` gives"),
        ({"model": talker._replace(tokenizer=None)}, "tokenizer is None; expected a tokenizer of transformers"),
        ({"on_token": "print"}, "on_token is 'print'; expected a function"),
    ):
        given = {"model": talker, "prompts": "a", "max_new_tokens": 1, "sampling": GREEDY} | options
        with pytest.raises(jaxuq.JaxuqError, match=said):
            generate(**given)
    for responses in (None, 3, [None], [[None]], [["a"]], {"a": 1}):
        with pytest.raises(jaxuq.JaxuqError, match=r"responses(\[0\])* is .*; expected "):
            score(talker, "a", responses)
    assert generate(talker, [], max_new_tokens=1) == [] and score(talker, [], []) == []


def test_an_old_key_is_no_key_of_a_row(talker):
    with pytest.raises(jaxuq.JaxuqError, match=r"rng_keys is .*expected a key"):
        start_generation(
            talker.decoder, talker.variables, TOKENS, jnp.array([3]), jnp.zeros((1, 2), jnp.uint32), capacity=2,
            sampling=Sampling(1.0),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("attention", {"keys": 1}, "`attention` of the model is dict; expected Attention or None"),
        ("rows", 3, "`rows` of the model is int; expected CacheRows or None"),
        ("logits", None, "`logits` of the model is NoneType; expected a function"),
        ("join", "join", "`join` of the model is str; expected a function or None"),
        ("vocab_size", None, "`vocab_size` of the model is NoneType; expected int"),
        ("options", ["segments"], "`options` of the model is list; expected tuple"),
        ("options", (["segments"],), "`options` of the model cannot be hashed"),
    ],
)
def test_what_a_model_consists_of_is_compared(field, value, said):
    with pytest.raises(CapabilityError, match=said):
        score_tokens(_model()._replace(**{field: value}), PARAMS, TOKENS)
