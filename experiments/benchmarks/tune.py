"""What a fine-tuning step costs with each loss, beside the plain one: time, and memory by the compiler's figures.

    python experiments/benchmarks/tune.py [--model smollm2] [--rows 2] [--length 128] [--repeats 5]

Steps of all losses take turns and the best of the repeats counts, since other work on a machine only ever adds time.
Compilation is left out. Memory is the temporary memory of the compiled step; beside it stands what logits of the whole
batch would take once in float32, which no step may hold twice.
"""

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxuq
from jaxuq.language import (
    FinetuneConfig,
    TokenBatch,
    finetune_step,
    init_adapters,
    init_finetuning,
    load_model,
    make_optimizer,
    response_loss,
)
from jaxuq.networks import LoraConfig
from jaxuq.tuning import LOSSES, token_loss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()

    model = load_model(options.model, scan=True)
    config = FinetuneConfig(LoraConfig(rank=8), batch_size=options.rows, max_length=options.length)
    decoder = model.decoder.clone(lora=config.adapters)
    lora = jax.jit(lambda key, params: init_adapters(key, decoder, params))(jax.random.key(0), model.params)
    optimizer = make_optimizer(config, 100)
    shape = (1, options.rows, options.length)
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, decoder.config.vocab_size, shape), jnp.int32)
    positions = jnp.broadcast_to(jnp.arange(options.length, dtype=jnp.int32), shape)
    batch = TokenBatch(tokens, positions, jnp.zeros(shape, jnp.int32), positions >= options.length // 2)

    steps, memory = {}, {}
    for name in LOSSES:
        own = token_loss(name, sample_smoothing=jnp.full(1, 0.1), sample_weights=jnp.ones(1))

        def loss(trained, params, batch, rng_key, own=own):
            variables = {"params": params, "lora": trained}
            return response_loss(decoder, variables, batch, rng_key=rng_key, token_loss=own)

        step = jax.jit(functools.partial(finetune_step, loss=loss, optimizer=optimizer))
        state = init_finetuning(lora, optimizer)
        compiled = step.lower(state, model.params, batch, None).compile()
        steps[name] = functools.partial(compiled, state, model.params, batch, None)
        analysis = compiled.memory_analysis()
        memory[name] = None if analysis is None else analysis.temp_size_in_bytes / 2**20
        jax.block_until_ready(steps[name]())
    seconds = {name: float("inf") for name in steps}
    for _ in range(options.repeats):
        for name, step in steps.items():
            began = time.perf_counter()
            jax.block_until_ready(step())
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    whole = options.rows * options.length * decoder.config.vocab_size * 4 / 2**20
    print(f"{options.rows} rows of {options.length} tokens; logits of all of them in float32: {whole:.0f} MiB")
    print(f"{'loss':20}{'seconds':>10}{'to plain':>10}{'MiB':>8}")
    for name, value in seconds.items():
        size = "" if memory[name] is None else f"{memory[name]:.0f}"
        print(f"{name:20}{value:10.3f}{value / seconds['plain']:10.3f}{size:>8}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"seconds": seconds, "mib": memory, "logits_mib": whole}, file, indent=2)


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
