"""Gradients of single examples from one backward pass equal those of one example at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxuq.experts import AdapterCheckpoint, example_gradients, gradient_tokens, precondition
from jaxuq.language import Instruction, TokenBatch, response_loss
from jaxuq.networks import CapabilityError, Decoder
from tests.experts.tiny import BATCH, CONFIG, DECODER, checkpoint, lora, params


@jax.jit
def compute(batch):
    return {
        reduction: example_gradients(DECODER, params(), lora(), batch, reduction=reduction)
        for reduction in ("mean", "sum")
    }


@functools.cache
def gradients():
    return jax.tree.map(np.asarray, compute(BATCH))


@functools.cache
def one_at_a_time(row):
    """Sum of the losses and number of tokens by `response_loss`, and its gradient, of a row without padding."""
    length = int((BATCH.positions[row] >= 0).sum())
    single = TokenBatch(*(jnp.asarray(part)[row : row + 1, :length] for part in BATCH))

    def loss(adapters):
        return response_loss(DECODER, {"params": params(), "lora": adapters}, single)

    (_, count), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(lora())
    return int(count), jax.tree.map(np.asarray, gradient)


def _flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_is_its_own_gradient(row):
    count, expected = one_at_a_time(row)
    assert count > 0
    for reduction, divisor in (("sum", 1), ("mean", count)):
        ours = _flat(jax.tree.map(lambda leaf: leaf[row], gradients()[reduction]))
        expected_flat = _flat(expected) / divisor
        assert np.linalg.norm(ours - expected_flat) < 1e-5 * np.linalg.norm(expected_flat)
        assert np.linalg.norm(expected_flat) > 1e-3


def test_a_row_with_nothing_to_predict_is_zero():
    assert int((BATCH.positions[6] >= 0).sum()) == 1
    assert not np.any(_flat(jax.tree.map(lambda leaf: leaf[6], gradients()["mean"])))


def test_what_follows_the_instruction_may_be_cut_off():
    rng = np.random.default_rng(5)
    whole = Instruction(rng.integers(0, CONFIG.vocab_size, 6).astype(np.int32), np.arange(6) >= 4)
    cut = gradient_tokens(whole)
    assert cut.tokens.tolist() == whole.tokens[:4].tolist() and cut.response.tolist() == [False] + 3 * [True]
    batch = TokenBatch(*(np.array(part) for part in BATCH))
    batch.tokens[:2], batch.where[0], batch.where[1] = whole.tokens, ~whole.response, np.pad(cut.response, (0, 2))
    batch.positions[0], batch.positions[1] = np.arange(6), [0, 1, 2, 3, -1, -1]
    both = compute(jax.tree.map(jnp.asarray, batch))["mean"]
    one, other = (_flat(jax.tree.map(lambda leaf, row=row: leaf[row], both)) for row in (0, 1))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_tokens_of_turns_and_of_truncated_examples():
    turns = Instruction(np.arange(8), np.array([0, 0, 1, 1, 0, 0, 1, 1], bool))
    assert gradient_tokens(turns).response.tolist() == [False, True, False, False, True, True]
    assert gradient_tokens(turns, "response").response.tolist() == [False, False, True, True, False, False, True, True]
    assert gradient_tokens(turns, "all", max_length=3).response.tolist() == [False, True, True]
    short = gradient_tokens(turns, "response", max_length=2)
    assert short.tokens.size == 0 and short.truncated
    assert gradient_tokens(Instruction(np.array([4]), np.array([False]))).tokens.size == 0
    with pytest.raises(ValueError, match="no choice of tokens 'answer'; there are: all, instruction, response"):
        gradient_tokens(turns, "answer")


def test_no_array_has_a_base_kernel_for_every_row():
    """Temporary memory of 64 rows stays below 64 copies of the parameters by far."""
    config = CONFIG.__class__(23, 256, 256, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4)
    decoder = Decoder(config, lora=DECODER.lora)
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    batch = TokenBatch(*(jax.ShapeDtypeStruct((64, 4), dtype) for dtype in (jnp.int32,) * 3 + (bool,)))
    program = jax.jit(lambda params, lora, batch: example_gradients(decoder, params, lora, batch))
    memory = program.lower(shapes["params"], shapes["lora"], batch).compile().memory_analysis()
    size = 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert memory.temp_size_in_bytes < 16 * size


def test_adam_by_hand_and_as_the_published_code():
    numbers = [[0.2, -0.1, 0.4, 0.0], [0.1, 0.1, -0.2, 0.05], [0.01, 0.04, 0.09, 0.0001]]
    gradient, first, second = (jnp.array(row) for row in numbers)
    state = AdapterCheckpoint(None, first, second, count=9, learning_rate=1.0)
    expected = [0.168256, 0.061299, -0.071460, 0.689696]
    np.testing.assert_allclose(precondition(gradient[None], state)[0], expected, rtol=2e-5)
    less = precondition(gradient[None], state._replace(learning_rate=5.0), convention="less")[0]
    np.testing.assert_allclose(less, [1.098353, 0.400150, -0.466485, 4.502026], rtol=2e-5)


def test_preconditioning_is_a_step_of_optax(rng):
    state = checkpoint(2)
    steps = jax.tree.map(lambda leaf: jnp.asarray(0.1 * rng.normal(size=(3, *leaf.shape)), jnp.float32), state.lora)
    ours = jax.jit(lambda steps: precondition(steps, state))(steps)
    optimizer = optax.scale_by_adam()
    for row in range(3):
        inner = optimizer.init(state.lora)._replace(count=state.count, mu=state.first_moment, nu=state.second_moment)
        with jax.numpy_dtype_promotion("standard"):
            expected, _ = optimizer.update(jax.tree.map(lambda leaf, row=row: leaf[row], steps), inner)
        one = jax.tree.map(lambda leaf, row=row: leaf[row], ours)
        np.testing.assert_allclose(_flat(one), state.learning_rate * _flat(expected), rtol=2e-5, atol=1e-9)


def test_a_checkpoint_without_optimiser_state_is_refused():
    bare, steps = checkpoint(1)._replace(first_moment=None, second_moment=None), {"a": jnp.ones((2, 3))}
    with pytest.raises(ValueError, match=r"no optimiser state.*load_adapter_checkpoints"):
        precondition(steps, bare)
    other = checkpoint(1)._replace(second_moment={"layers": {"query": {"a": jnp.ones(3)}}})
    with pytest.raises(ValueError, match="the optimiser's moments"):
        precondition(steps, other)
    with pytest.raises(ValueError, match="no convention of preconditioning 'adam'"):
        precondition(steps, checkpoint(1), convention="adam")
    with pytest.raises(ValueError, match="no reduction 'max'"):
        example_gradients(DECODER, params(), lora(), BATCH, reduction="max")
    with pytest.raises(CapabilityError, match="this decoder has no adapters"):
        example_gradients(DECODER.clone(lora=None), params(), lora(), BATCH)
