"""The pure step: its loss against brute force, packing against single rows, accumulation against one batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.language import (
    BatchPlan,
    FinetuneConfig,
    Instruction,
    TokenBatch,
    cross_entropy,
    finetune_step,
    hidden_gradient,
    init_finetuning,
    learning_rate_schedule,
    make_batch,
    make_optimizer,
    map_logits,
    response_loss,
)
from jaxuq.networks import Decoder, DecoderConfig
from tests.language.tiny_decoder import CONFIG, base_params, decoder_with, logits_of, moved_adapters

LENGTHS = (6, 4, 9, 3)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return [
        Instruction(rng.integers(0, CONFIG.vocab_size, n).astype(np.int32), np.arange(n) >= n // 2) for n in LENGTHS
    ]


DECODER = decoder_with()


@functools.partial(jax.jit, static_argnames="token_loss")
def _loss_and_gradient(lora, params, batch, **options):
    def loss(lora):
        return response_loss(DECODER, {"params": params, "lora": lora}, batch, **options)

    (total, count), gradient = jax.value_and_grad(loss, has_aux=True)(lora)
    return total, count, gradient


def _brute_force(data, lora):
    """Log-softmax of all logits, one example at a time."""
    total = 0.0
    for example in data:
        logits = np.asarray(logits_of(DECODER, base_params(), lora, jnp.asarray(example.tokens)[None])[0], np.float64)
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        total -= sum(log_probs[t - 1, example.tokens[t]] for t in np.flatnonzero(example.response) if t)
    return total


def test_packed_rows_give_the_sum_over_single_rows(data):
    """Loss and gradients, and the loss equals a sum over the vocabulary in float64."""
    params, lora = base_params(), moved_adapters(DECODER, base_params())
    packed = make_batch(data, BatchPlan(((2, 1), (3, 0)), 14), batch_size=3)
    single = make_batch(data, BatchPlan(((0,), (1,), (2,), (3,)), 14), batch_size=4)
    results = [_loss_and_gradient(lora, params, batch) for batch in (packed, single)]
    assert int(results[0][1]) == int(results[1][1]) == sum(n - n // 2 for n in LENGTHS)
    np.testing.assert_allclose(results[0][0], _brute_force(data, lora), rtol=1e-4)
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for one, other in zip(jax.tree.leaves(results[0][2]), jax.tree.leaves(results[1][2])):
        np.testing.assert_allclose(one, other, atol=2e-4 * float(np.abs(other).max()))
        assert np.abs(other).max() > 0


def test_a_loss_may_look_its_examples_up(data):
    weights = jnp.array([0.0, 0.0, 1.0, 0.0])
    lora = moved_adapters(DECODER, base_params())

    def weighted(logits, tokens, examples):
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, tokens)
        return losses * weights[jnp.clip(examples, 0, 3)]

    packed = make_batch(data, BatchPlan(((2, 1), (3, 0)), 14), batch_size=2)
    total, *_ = _loss_and_gradient(lora, base_params(), packed, token_loss=weighted)
    np.testing.assert_allclose(total, _brute_force(data[2:3], lora), rtol=1e-4)


def test_logits_of_a_whole_text_are_never_held():
    """Gradient included: far less temporary memory than one array [batch, time, vocabulary]."""
    config = DecoderConfig(20_000, 8, 8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8, tied=True)
    decoder = Decoder(config)
    shape = (2, 512)
    batch = TokenBatch(*(jax.ShapeDtypeStruct(shape, jnp.int32),) * 3, jax.ShapeDtypeStruct(shape, bool))
    params = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]

    def loss(params, batch):
        return response_loss(decoder, {"params": params}, batch)[0]

    memory = jax.jit(jax.grad(loss)).lower(params, batch).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.75 * 4 * 2 * 512 * 20_000


def test_blocks_do_not_change_the_function():
    hidden = jax.random.normal(jax.random.key(0), (2, 7, CONFIG.hidden_size))
    targets = jnp.arange(14).reshape(2, 7)
    variables = {"params": base_params()}

    def total(hidden, max_logits):
        losses = map_logits(
            optax.losses.softmax_cross_entropy_with_integer_labels, DECODER, variables, hidden, targets,
            max_logits=max_logits,
        )  # fmt: skip
        return jnp.sum(losses * targets.astype(jnp.float32))

    run = jax.jit(jax.value_and_grad(total), static_argnums=1)
    for one, other in zip(run(hidden, 240), run(hidden, 10**6)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_at_the_hidden_states_is_that_of_the_mapped_losses(masked):
    hidden = jax.random.normal(jax.random.key(0), (2, 7, CONFIG.hidden_size))
    targets = jnp.arange(14).reshape(2, 7)
    where = targets % 3 != 1 if masked else None
    given = (cross_entropy, DECODER, {"params": base_params()})

    @jax.jit
    def both(hidden):
        mapped = jax.grad(lambda hidden: map_logits(*given, hidden, targets, where=where).sum())(hidden)
        return mapped, hidden_gradient(*given, hidden, targets, where=where, max_logits=240)

    expected, ours = both(hidden)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert np.any(np.abs(expected) > 1e-2)


def _quadratic(weight, frozen, batch, rng_key):
    values, where = batch
    return jnp.sum(jnp.where(where, (weight - values) ** 2, 0.0)), jnp.sum(where)


def test_micro_batches_of_unequal_size_give_the_step_of_one_batch():
    values, where = jnp.arange(6.0).reshape(3, 2), jnp.array([[True, True], [True, False], [False, False]])
    optimizer = make_optimizer(FinetuneConfig(learning_rate=0.1, warmup=0.0), 10)
    state = init_finetuning(jnp.ones(()), optimizer)
    small = finetune_step(state, None, (values, where), None, loss=_quadratic, optimizer=optimizer)
    large = finetune_step(
        state, None, (values.reshape(1, 6), where.reshape(1, 6)), None, loss=_quadratic, optimizer=optimizer
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), small, large)
    assert float(small[1].loss) == pytest.approx((1 + 0 + 1) / 3) and float(small[1].tokens) == 3


def test_a_step_that_is_not_finite_changes_nothing():
    optimizer = make_optimizer(FinetuneConfig(), 10)
    state = init_finetuning(jnp.ones(()), optimizer)
    bad = (jnp.array([[jnp.inf]]), jnp.array([[True]]))
    after, report = finetune_step(state, None, bad, None, loss=_quadratic, optimizer=optimizer)
    assert not report.applied and int(after.step) == 1
    jax.tree.map(np.testing.assert_array_equal, after[1:], state[1:])


def test_the_optimizer_is_adamw_by_the_book():
    """Three steps of the published algorithm, with the gradient cut and the rate rising and falling."""
    config = FinetuneConfig(
        learning_rate=0.3, warmup=0.4, weight_decay=0.1, beta1=0.8, beta2=0.95, epsilon=1e-3, max_gradient_norm=2.0
    )
    optimizer = make_optimizer(config, 5)
    rates = [0.15, 0.3, 0.3, 0.2, 0.1]
    np.testing.assert_allclose([learning_rate_schedule(config, 5)(i) for i in range(5)], rates, rtol=1e-6)
    weight, moment, square = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    params = jnp.asarray(weight, jnp.float32)
    state = optimizer.init(params)
    for step, gradient in enumerate(np.array([[3.0, 4.0], [0.5, -1.0], [0.1, 0.2]])):
        with jax.numpy_dtype_promotion("standard"):  # optax
            updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        cut = gradient * min(1.0, 2.0 / np.linalg.norm(gradient))
        moment, square = 0.8 * moment + 0.2 * cut, 0.95 * square + 0.05 * cut**2
        corrected = moment / (1 - 0.8 ** (step + 1)), square / (1 - 0.95 ** (step + 1))
        weight = weight - rates[step] * (corrected[0] / (np.sqrt(corrected[1]) + 1e-3) + 0.1 * weight)
        np.testing.assert_allclose(params, weight, rtol=1e-5)
    constant = learning_rate_schedule(FinetuneConfig(learning_rate=1.0, warmup=0.0, decay=False), 5)
    assert [float(constant(step)) for step in (0, 4)] == [1.0, 1.0]


def test_dropout_follows_the_key_and_the_step(data):
    decoder = decoder_with(dropout=0.5)
    params, lora = base_params(), moved_adapters(decoder, base_params())
    batch = make_batch(data, BatchPlan(((0, 1),), 12), batch_size=1)
    optimizer = optax.sgd(0.0)

    def loss(lora, params, batch, rng_key):
        return response_loss(decoder, {"params": params, "lora": lora}, batch, rng_key=rng_key)

    @jax.jit
    def losses(state, key):
        batches = jax.tree.map(lambda x: jnp.stack([x, x]), batch)
        state, first = finetune_step(state, params, batches, key, loss=loss, optimizer=optimizer)
        _, second = finetune_step(state, params, batches, key, loss=loss, optimizer=optimizer)
        return first.loss, second.loss

    state = init_finetuning(lora, optimizer)
    first, again, other = (losses(state, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len({float(value) for value in (*first, *other)}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 8, "micro_batch_size": 3}, "batch_size 8 is no multiple of micro_batch_size 3"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"warmup": 2.0}, "warmup is"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig(**options)
