"""How cost grows: exponents of processor time and of memory in each size that a user can raise, beside their theory.

    python experiments/benchmarks/growth.py [--repeats 5] [--write]

Every job is compiled at four sizes, each twice the one before. Time is the least processor time of the repeats, less
what an eighth of the smallest size takes (what does not grow); memory is what the compiler says that the program holds
besides its arguments, temporaries and results, which has no noise. The exponent is the slope of a line through the
logarithms. `--write` puts the table into `growth.md` beside this script.
"""

import argparse
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxuq

PAGE = pathlib.Path(__file__).with_suffix(".md")
HEAD = """\
# How cost grows

Made by `python experiments/benchmarks/growth.py --write`. Four sizes, each twice the one before; processor time without
what does not grow, memory as the compiler says it (temporaries and results). Exponents are slopes of the logarithms.

"""


class Job(NamedTuple):
    """Something whose size can be raised.

    Attributes:
        name: what is done, and which size is raised.
        make: `make(size) -> function, arguments`.
        sizes: smallest first.
        theory: exponents of time and memory that are expected.
    """

    name: str
    make: Callable[[int], tuple[Callable[..., Any], tuple[Any, ...]]]
    sizes: tuple[int, ...]
    theory: tuple[str, str]


@functools.cache
def decoder() -> tuple[Any, Any]:
    """A decoder of four layers, 256 wide, and its parameters."""
    from jaxuq.networks import Decoder, DecoderConfig

    module = Decoder(DecoderConfig(4096, 256, 688, num_layers=4, num_heads=4, num_kv_heads=4, head_dim=64))
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
    return module, variables


def scoring(tokens: int) -> tuple[Callable, tuple]:
    """Log-probabilities, entropies and hidden states of one text."""
    from jaxuq.language import score_tokens

    module, variables = decoder()
    text = jnp.arange(tokens, dtype=jnp.int32)[None] % 4096
    return lambda params, text: score_tokens(module, params, text), (variables, text)


def generating(tokens: int) -> tuple[Callable, tuple]:
    """An answer after 16 tokens."""
    from jaxuq.language import generate_tokens

    module, variables = decoder()
    given = (jnp.ones((1, 16), jnp.int32), jnp.array([16]), jax.random.split(jax.random.key(1), 1))
    return functools.partial(generate_tokens, module, max_new_tokens=tokens), (variables, *given)


def forecasting(samples: int) -> tuple[Callable, tuple]:
    """The forecast of a network with many posterior samples, for 2,048 rows."""
    from jaxuq.posterior import predict_forecast

    def apply(params: Any, x: jax.Array, *, rng_key: Any = None) -> jax.Array:
        return (jnp.tanh(x @ params["a"]) @ params["b"])[:, None, :]

    keys = jax.random.split(jax.random.key(0))
    shapes = {"a": (samples, 64, 256), "b": (samples, 256, 2)}
    params = {name: jax.random.normal(key, shape) / 8 for key, (name, shape) in zip(keys, shapes.items())}
    return lambda params, x: predict_forecast(apply, params, x, "gaussian"), (params, jnp.ones((2048, 64)))


def smoothing(sequences: int, tokens: int) -> tuple[Callable, tuple]:
    """Smoothed marginals of a chain with 17 labels."""
    from jaxuq.tagging import smoothed_marginals

    chain = jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (18, 17)))
    evidence = jax.random.normal(jax.random.key(1), (sequences, tokens, 17))
    return smoothed_marginals, (chain[0], chain[1:], evidence)


def gradients(examples: int) -> tuple[Callable, tuple]:
    """Gradients of the adapters, one an example of 64 tokens."""
    from jaxuq.experts import example_gradients
    from jaxuq.language import TokenBatch, init_adapters
    from jaxuq.networks import LoraConfig

    module, variables = decoder()
    adapted = module.clone(lora=LoraConfig(rank=4))
    lora = init_adapters(jax.random.key(0), adapted, variables["params"])
    shape = (examples, 64)
    positions = jnp.broadcast_to(jnp.arange(64, dtype=jnp.int32), shape)
    number = jnp.broadcast_to(jnp.arange(examples, dtype=jnp.int32)[:, None], shape)
    batch = TokenBatch(jnp.ones(shape, jnp.int32), positions, number, jnp.ones(shape, bool))
    return functools.partial(example_gradients, adapted), (variables["params"], lora, batch)


def resampling(rows: int, resamples: int) -> tuple[Callable, tuple]:
    """The interval of an AUROC."""
    from jaxuq.metrics import area_under_roc, bootstrap

    scores = jax.random.uniform(jax.random.key(0), (rows,))
    labels = (scores > jax.random.uniform(jax.random.key(1), (rows,))).astype(jnp.int32)

    def metric(scores: jax.Array, labels: jax.Array, **counted: Any) -> jax.Array:
        return area_under_roc(scores, labels, **counted)

    def run(key: jax.Array, *arrays: jax.Array) -> Any:
        return bootstrap(key, metric, *arrays, num_resamples=resamples, as_weights=True)

    return run, (jax.random.key(2), scores, labels)


JOBS = (
    Job("score a text: its tokens", scoring, (256, 512, 1024, 2048), ("1 to 2", "1")),
    Job("generate: new tokens", generating, (64, 128, 256, 512), ("1 to 2", "1")),
    Job("forecast: posterior samples", forecasting, (8, 16, 32, 64), ("1", "0")),
    Job(
        "smooth chains: sequences of 64 tokens",
        functools.partial(smoothing, tokens=64),
        (64, 128, 256, 512),
        ("1", "1"),
    ),
    Job("smooth chains: tokens of 16 sequences", lambda n: smoothing(16, n), (256, 512, 1024, 2048), ("1", "1")),
    Job("adapter gradients: examples", gradients, (2, 4, 8, 16), ("1", "1")),
    Job(
        "interval of an AUROC: rows, 64 resamples", lambda n: resampling(n, 64), (4096, 8192, 16384, 32768), ("1", "1")
    ),
    Job(
        "interval of an AUROC: resamples of 2,048 rows",
        lambda n: resampling(2048, n),
        (128, 256, 512, 1024),
        ("1", "0"),
    ),
)


def measure(job: Job, size: int, repeats: int) -> tuple[float, float]:
    """Processor seconds and mebibytes."""
    function, arguments = job.make(size)
    compiled = jax.jit(function).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        jax.block_until_ready(compiled(*arguments))
        taken.append(time.process_time() - began)
    found = compiled.memory_analysis()
    return min(taken), (found.temp_size_in_bytes + found.output_size_in_bytes) / 2**20


def slope(sizes: tuple[int, ...], values: np.ndarray) -> float:
    """Of the line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name} beside this script")
    options = parser.parse_args()
    lines = [
        "| job | sizes | processor s | exponent | theory | MiB | exponent | theory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for job in JOBS:
        rest = measure(job, max(job.sizes[0] // 8, 1), options.repeats)[0]
        seconds, memory = map(np.array, zip(*(measure(job, size, options.repeats) for size in job.sizes)))
        lines.append(
            f"| {job.name} | {job.sizes[0]:,} to {job.sizes[-1]:,} | {seconds[0]:.3f} to {seconds[-1]:.3f} | "
            f"{slope(job.sizes, seconds - rest):.2f} | {job.theory[0]} | {memory[0]:.1f} to {memory[-1]:.1f} | "
            f"{slope(job.sizes, memory):.2f} | {job.theory[1]} |"
        )
        print(lines[-1], flush=True)
    if options.write:
        old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        kept = old[old.index("\n## What it says") :] if "\n## What it says" in old else ""
        PAGE.write_text(HEAD + "\n".join(lines) + "\n" + kept, encoding="utf-8")


if __name__ == "__main__":
    jaxuq.use_huge_pages()
    main()
