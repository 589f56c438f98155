"""A small fine-tuning run, for tests that start it as a program of its own and kill it.

python -m tests.language.finetune_run FOLDER CHECKPOINTS [DELAY]
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.language import FinetuneConfig, Instruction, LanguageModel, finetune
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig

CONFIG = DecoderConfig(40, 16, 24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4, max_positions=64)
TUNING = FinetuneConfig(
    LoraConfig(rank=2, alpha=8.0, dropout=0.1), epochs=3, batch_size=8, micro_batch_size=4, max_length=16,
    learning_rate=0.1, packed=False,
)  # fmt: skip


def tiny_model():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(Decoder(CONFIG).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(
            np.ones(leaf.shape) if path[-1].key == "scale" else 0.4 * rng.normal(size=leaf.shape), jnp.float32
        ),
        shapes,
    )
    return LanguageModel(Decoder(CONFIG), params, tokenizer=None, name="tiny")  # pyright: ignore


def examples(count=50):
    """Any question, and an answer that says whether its number is even."""
    made = []
    for number in range(count):
        first = number % 38
        made.append(Instruction(np.array([first, 39, 2 + first % 2, 5]), np.array([False, False, True, True])))
    return made


def main(folder, checkpoints, delay):
    def slowly(progress):
        print(progress.step, flush=True)
        time.sleep(float(delay))

    tuned = finetune(
        jax.random.key(1), tiny_model(), examples(), TUNING, checkpoint=checkpoints, checkpoint_steps=2,
        on_progress=slowly,
    )  # fmt: skip
    leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tuned.model.lora))}
    np.savez(f"{folder}/result.npz", loss=tuned.history.loss, **leaves)


if __name__ == "__main__":
    main(*sys.argv[1:])
