"""Seconds an example of gradient features and of projections, and the peak memory of both.

    python experiments/benchmarks/gradients.py [--model smollm2] [--tokens 128] [--batch-size 16]
    python experiments/benchmarks/gradients.py --torch-python PYTHON   # which has torch, transformers, peft, traker

Adapters of rank 8 on all linear layers. *Batched* is jaxuq's one backward pass for all rows of a batch, also with the
rows divided over a device for each core, as `jaxuq experts train` does; *one by one* the same with batches of one
row; *torch* a loop over examples with autograd in another interpreter. The projection takes random gradients of the
adapters' size; *traker* is its projector for CPUs, called once (five minutes). Every time is the best of `--repeats`;
processor time is of all cores, and tells more than wall time where the machine has other work. Memory is what the
compiler reports.
"""

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jaxuq
from jaxuq.parallel import use_cpu_cores

TORCH_LOOP = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
folder, length, count, repeats = sys.argv[1], *map(int, sys.argv[2:])
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"))
tokens = torch.randint(0, model.config.vocab_size, (count, length))
best = [float("inf")] * 2
for _ in range(repeats + 1):
    began = time.perf_counter(), time.process_time()
    for row in tokens:
        model.zero_grad()
        model(input_ids=row[None], labels=row[None]).loss.backward()
        flat = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.requires_grad])
    ended = time.perf_counter(), time.process_time()
    best = [min(a, (now - then) / count) for a, now, then in zip(best, ended, began)]
print(json.dumps(best))
"""

TRAKER = """
import json, sys, time, torch
from trak.projectors import BasicProjector, ProjectionType
rows, size, dimension = map(int, sys.argv[1:])
given = (0, ProjectionType.rademacher, torch.device("cpu"))
projector = BasicProjector(size, dimension, *given)
x = torch.randn(rows, size)
began = time.perf_counter(), time.process_time()
projector.project(x, 0)
print(json.dumps([(now - then) / rows for now, then in zip((time.perf_counter(), time.process_time()), began)]))
"""


def seconds(run: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Best wall and processor seconds of a compiled function, its first call left out."""
    import jax

    jax.block_until_ready(run())
    best = [float("inf")] * 2
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        best = [min(a, b - c) for a, b, c in zip(best, (time.perf_counter(), time.process_time()), began)]
    return best[0], best[1]


def mebibytes(compiled: Any) -> float:
    """Temporary memory and outputs of a compiled program."""
    memory = compiled.memory_analysis()
    return (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20


def random_batch(vocabulary: int, rows: int, length: int) -> Any:
    """Rows of random tokens, all of which count."""
    import numpy as np

    from jaxuq.language import TokenBatch

    tokens = np.random.default_rng(0).integers(0, vocabulary, (rows, length)).astype(np.int32)
    positions = np.tile(np.arange(length, dtype=np.int32), (rows, 1))
    examples = np.repeat(np.arange(rows, dtype=np.int32)[:, None], length, axis=1)
    return TokenBatch(tokens, positions, examples, np.ones((rows, length), bool))


def features(options: argparse.Namespace) -> dict[str, Any]:
    """Gradients of a batch, one by one, and a training step of the same rows."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    from jaxuq.experts import example_gradients
    from jaxuq.language import (
        FinetuneConfig,
        finetune_step,
        init_adapters,
        init_finetuning,
        load_model,
        make_optimizer,
        response_loss,
    )
    from jaxuq.networks import LoraConfig
    from jaxuq.networks.linear import LINEAR_LAYERS
    from jaxuq.parallel import data_mesh

    model = load_model(options.model)
    dtype = jnp.dtype(options.dtype)
    lora_config = LoraConfig(rank=8, alpha=32.0, targets=LINEAR_LAYERS)
    decoder = model.decoder.clone(lora=lora_config, dtype=dtype)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), model.params)
    lora = init_adapters(jax.random.key(0), decoder, params)
    rng = np.random.default_rng(1)
    lora = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.01 * rng.normal(size=leaf.shape), jnp.float32), lora)
    size = sum(leaf.size for leaf in jax.tree.leaves(lora))
    found: dict[str, Any] = {"adapter numbers": size}
    compute = jax.jit(functools.partial(example_gradients, decoder))
    mesh = data_mesh()
    cases = [("batched", options.batch_size, None), ("one by one", 1, None)]
    if mesh is not None:
        cases.insert(0, (f"batched, {mesh.size} devices", options.batch_size, mesh))
    for name, rows, over in cases:
        everywhere, spread = (
            (None, None) if over is None else (NamedSharding(over, P()), NamedSharding(over, P("data")))
        )
        batch = jax.device_put(random_batch(decoder.config.vocab_size, rows, options.tokens), spread)
        given = (*jax.device_put((params, lora), everywhere), batch)
        compiled = compute.lower(*given).compile()
        wall, processor = seconds(lambda run=compiled, given=given: run(*given), options.repeats)
        found[name] = {"wall": wall / rows, "processor": processor / rows, "MiB": mebibytes(compiled)}
        print(f"# {name}, {rows} rows: {found[name]}", flush=True)

    config = FinetuneConfig(lora_config, batch_size=options.batch_size)
    optimizer = make_optimizer(config, 10)

    def loss(trained, frozen, batch, rng_key):
        return response_loss(decoder, {"params": frozen, "lora": trained}, batch, rng_key=rng_key)

    batch = random_batch(decoder.config.vocab_size, options.batch_size, options.tokens)
    batches = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch)
    step = jax.jit(
        lambda state, params, batches: finetune_step(state, params, batches, None, loss=loss, optimizer=optimizer)
    )
    state = init_finetuning(lora, optimizer)
    compiled = step.lower(state, params, batches).compile()
    found["training step"] = {"MiB": mebibytes(compiled)}
    return found


def projections(options: argparse.Namespace) -> dict[str, Any]:
    """Each kind of projection of a batch of gradients."""
    import jax

    from jaxuq.experts import PROJECTIONS, project

    found = {}
    for kind in options.kinds or PROJECTIONS:
        for rows in options.project_rows:
            x = jax.random.normal(jax.random.key(0), (rows, options.size))
            compiled = jax.jit(functools.partial(project, kind=kind, dimension=options.dimension)).lower(
                jax.random.key(1), x
            )
            compiled = compiled.compile()
            wall, processor = seconds(lambda run=compiled, x=x: run(jax.random.key(1), x), options.repeats)
            found[f"{kind}, {rows} rows"] = {
                "wall": wall / rows, "processor": processor / rows, "MiB": mebibytes(compiled),
            }  # fmt: skip
            print(f"# {kind}, {rows} rows: {wall / rows:.3f} s, of processors {processor / rows:.3f} s", flush=True)
    return found


def torch_loop(options: argparse.Namespace) -> dict[str, Any]:
    """Autograd one example at a time, in another interpreter."""
    from jaxuq.language import load_model, save_model

    folder = pathlib.Path("runs") / "benchmark_gradients"
    if not (folder / "config.json").is_file():
        save_model(folder, load_model(options.model))
    return {"torch, one by one": elsewhere(options, TORCH_LOOP, folder, options.tokens, 4, options.repeats)}


def traker(options: argparse.Namespace) -> dict[str, Any]:
    """The projector that traker uses on CPUs, once, in another interpreter."""
    rows = options.project_rows[0]
    return {f"traker, {rows} rows": elsewhere(options, TRAKER, rows, options.size, options.dimension)}


def elsewhere(options: argparse.Namespace, program: str, *arguments: object) -> dict[str, float]:
    """Wall and processor seconds that a program prints in another interpreter; nothing if it cannot run there."""
    command = [options.torch_python, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.splitlines() or [f"exit status {done.returncode}"]
        print(f"# left out, for {options.torch_python} says: {said[-1]}", flush=True)
        return {}
    return dict(zip(("wall", "processor"), json.loads(done.stdout.splitlines()[-1])))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--size", type=int, default=2_442_240, help="adapter gradients of an example")
    parser.add_argument("--dimension", type=int, default=8192)
    parser.add_argument("--kinds", nargs="*", help="projections; default: all")
    parser.add_argument("--project-rows", type=int, nargs="*", default=[16])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", nargs="*", default=["features", "projections"], choices=("features", "projections"))
    parser.add_argument("--torch-python", help="an interpreter that has torch, transformers, peft and traker")
    options = parser.parse_args()
    use_cpu_cores(os.cpu_count() or 1)
    found: dict[str, Any] = {}
    if options.torch_python and "features" in options.parts:
        found |= torch_loop(options)
    if options.torch_python and "projections" in options.parts:
        found |= traker(options)
    for part in options.parts:
        found |= globals()[part](options)
    if "adapter numbers" in found:
        print(f"{found.pop('adapter numbers'):,} adapter numbers, {options.tokens} tokens, {options.dtype}")
    print(f"{'seconds an example':<28}{'wall':>10}{'processor':>11}{'MiB':>9}")
    for name, row in found.items():
        cells = [f"{row[cell]:.3f}" if cell in row else "" for cell in ("wall", "processor")]
        memory = f"{row['MiB']:.0f}" if "MiB" in row else ""
        print(f"{name:<28}{cells[0]:>10}{cells[1]:>11}{memory:>9}", flush=True)
    loop, batch = (found.get(name, {}).get("wall") for name in ("torch, one by one", "batched"))
    if loop and batch:
        print(f"torch / jaxuq, a batch on one device: {loop / batch:.2f}")
    of_rows = f", {options.project_rows[0]} rows"
    peer = found.pop(f"traker{of_rows}", {}).get("wall")
    for name, row in found.items():
        if peer and name.endswith(of_rows):
            print(f"traker / jaxuq, {name.removesuffix(of_rows)}: {peer / row['wall']:.1f}")


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    sys.exit(main())
