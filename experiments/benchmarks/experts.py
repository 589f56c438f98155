"""Decoding with several experts of SmolLM2-135M in float32 against one adapter, on this machine, batch 1.

    python experiments/benchmarks/experts.py [--members 5] [--repeats 3] [--new-tokens 32]

Prints milliseconds a token, the memory of the process beyond its interpreter, and the ratios to one adapter, whose
decoding is that of `jaxuq.language` with the adapter's low-rank products in place. Every measurement has a process of
its own; the two take turns, and the best of the repeats counts, since other work on a machine only ever adds time.
Compilation is left out. The dissertation reports 2.3 times the time and 2.4 times the memory for 4 experts and a base
adapter at batch 4 (Table D.1).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import jaxuq

PROMPT = 64


def measure(members: int, new_tokens: int, rank: int) -> dict[str, float]:
    """Seconds a token of greedy decoding, and the process's peak memory."""
    import resource

    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxuq.experts import generate_by_experts
    from jaxuq.language import GREEDY, generate_tokens, init_adapters, load_model
    from jaxuq.networks import LoraConfig
    from jaxuq.networks.linear import LINEAR_LAYERS

    model = load_model("smollm2")
    decoder = model.decoder.clone(lora=LoraConfig(rank, 4.0 * rank, targets=LINEAR_LAYERS))
    keys = jax.random.split(jax.random.key(0), members)
    experts = jax.jit(jax.vmap(lambda key: init_adapters(key, decoder, model.params)))(keys)
    experts = jax.tree.map(lambda leaf: leaf + 0.001, experts)  # B is not zero, so nothing can be left out
    tokens = jnp.asarray(np.random.default_rng(0).integers(100, 40000, (1, PROMPT)), jnp.int32)
    lengths = jnp.array([PROMPT])

    def generate(count: int) -> None:
        if members == 1:
            lora = jax.tree.map(lambda leaf: leaf[0], experts)
            variables = {"params": model.params, "lora": lora}
            found = generate_tokens(
                decoder, variables, tokens, lengths, keys[:1], max_new_tokens=count, sampling=GREEDY
            )
        else:
            weights = jnp.ones((1, members))
            found = generate_by_experts(
                decoder, model.params, experts, weights, tokens, lengths, keys[:1], max_new_tokens=count
            )
        jax.block_until_ready(found)

    seconds = {}
    for count in (1, new_tokens + 1):
        generate(count)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            generate(count)
            times.append(time.perf_counter() - began)
        seconds[count] = min(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "prompt": seconds[1],
        "token": (seconds[new_tokens + 1] - seconds[1]) / new_tokens,
        "peak": peak,
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(model.params)) / 2**20,
        "adapter": sum(leaf.nbytes for leaf in jax.tree.leaves(experts)) / members / 2**20,
    }


def in_own_process(members: int, new_tokens: int, rank: int) -> dict[str, float]:
    """One measurement in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as temporary:
        output = pathlib.Path(temporary) / "result.json"
        command = [sys.executable, __file__, "--measure", str(members), "--new-tokens", str(new_tokens)]
        subprocess.run([*command, "--rank", str(rank), "--write", str(output)], check=True)
        return json.loads(output.read_text())


def main() -> None:
    """Measure both in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        found = measure(options.measure, options.new_tokens, options.rank)
        pathlib.Path(options.write).write_text(json.dumps(found))
        return
    runs: dict[int, list[dict[str, float]]] = {1: [], options.members: []}
    for _ in range(options.repeats):
        for members, found in runs.items():
            found.append(in_own_process(members, options.new_tokens, options.rank))
    best = {members: {name: min(one[name] for one in found) for name in found[0]} for members, found in runs.items()}
    print(f"{'members':>8} {'prompt, ms':>12} {'token, ms':>12} {'peak, MiB':>12}")
    for members, found in best.items():
        print(f"{members:8d} {1e3 * found['prompt']:12.1f} {1e3 * found['token']:12.1f} {found['peak']:12.0f}")
    ratio = {name: best[options.members][name] / best[1][name] for name in best[1]}
    print(f"ratios of {options.members} members to one: prompt {ratio['prompt']:.2f}, token {ratio['token']:.2f} "
          f"(wanted: at most 2.0), memory {ratio['peak']:.2f} (wanted: at most 1.5)")  # fmt: skip
    one = best[1]
    print(f"the model has {one['parameters']:.0f} MiB of parameters, an adapter {one['adapter']:.1f} MiB")


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
