"""Reading and writing text with SmolLM2-135M in float32: jaxuq against transformers with PyTorch, on this machine.

    python experiments/benchmarks/decode.py [--torch-python PYTHON] [--repeats 3] [--new-tokens 64]

Prints milliseconds, tokens a second, memory, and ratios. Every measurement has a process of its own; the two libraries
take turns, and the best of the repeats counts, since other work on a machine only ever adds time. Compilation is left
out of prefill and decode, and is a row of its own. PyTorch needs an interpreter with torch and transformers.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

PROMPT = 256
BATCHES = (1, 8)


def prompts(batch: int, vocabulary: int) -> np.ndarray:
    """The same random tokens for both."""
    return np.random.default_rng(0).integers(100, vocabulary, (batch, PROMPT)).astype(np.int32)


def measure_jaxuq(folder: str, new_tokens: int) -> dict[str, float]:
    """Load, read 256 tokens, write greedily; with log-probability and entropy of every token."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_compilation_cache", False)
    from jaxuq.language import GREEDY, continue_generation, load_model, start_generation

    began = time.perf_counter()
    model = load_model(folder)
    jax.block_until_ready(model.params)
    measured = {"load": time.perf_counter() - began, "compile": 0.0}
    for batch in BATCHES:
        tokens = jnp.asarray(prompts(batch, model.decoder.config.vocab_size))
        arguments = (tokens, jnp.full(batch, PROMPT), jax.random.split(jax.random.key(0), batch))

        def start(arguments=arguments):
            state = start_generation(
                model.decoder, model.variables, *arguments, capacity=new_tokens + 1, sampling=GREEDY
            )
            return jax.block_until_ready(state)

        def write(state):
            return jax.block_until_ready(
                continue_generation(model.decoder, model.variables, state, until=new_tokens + 1, sampling=GREEDY)
            )

        began = time.perf_counter()
        state = start()
        state = continue_generation(model.decoder, model.variables, state, until=2, sampling=GREEDY)
        jax.block_until_ready(state)
        measured["compile"] += time.perf_counter() - began
        began = time.perf_counter()
        state = start()
        measured[f"prefill {batch}"] = time.perf_counter() - began
        began = time.perf_counter()
        write(state)
        measured[f"decode {batch}"] = (time.perf_counter() - began) / new_tokens
    return measured


def measure_torch(folder: str, new_tokens: int) -> dict[str, float]:
    """The same with transformers' model and cache, the loop written out so that nothing but the model is measured."""
    import torch
    from transformers import AutoModelForCausalLM

    began = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    measured = {"load": time.perf_counter() - began}
    for batch in BATCHES:
        tokens = torch.from_numpy(prompts(batch, model.config.vocab_size)).long()
        with torch.inference_mode():
            model(tokens[:, :16], use_cache=True, logits_to_keep=1)  # warm
            began = time.perf_counter()
            output = model(tokens, use_cache=True, logits_to_keep=1)
            chosen = output.logits[:, -1].argmax(-1, keepdim=True)
            measured[f"prefill {batch}"] = time.perf_counter() - began
            began = time.perf_counter()
            for _ in range(new_tokens):
                output = model(chosen, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1)
                chosen = output.logits[:, -1].argmax(-1, keepdim=True)
            measured[f"decode {batch}"] = (time.perf_counter() - began) / new_tokens
    return measured


def in_own_process(python: str, kind: str, folder: str, new_tokens: int) -> dict[str, float]:
    """One measurement in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as temporary:
        output = pathlib.Path(temporary) / "result.json"
        command = [python, __file__, "--measure", kind, folder, str(new_tokens), "--write", str(output)]
        subprocess.run(command, check=True)
        return json.loads(output.read_text())


def prepare(name: str, folder: pathlib.Path) -> None:
    """Both read the same folder of safetensors."""
    code = f"from jaxuq.language import load_model, save_model; save_model({str(folder)!r}, load_model({name!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def has_torch(python: str) -> bool:
    """Whether an interpreter can measure PyTorch."""
    return subprocess.run([python, "-c", "import torch, transformers"], capture_output=True).returncode == 0


def main() -> None:
    """Measure both in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with torch and transformers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "FOLDER", "TOKENS"), help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, folder, new_tokens = options.measure
        measured = {"jaxuq": measure_jaxuq, "torch": measure_torch}[kind](folder, int(new_tokens))
        measured["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        pathlib.Path(options.write).write_text(json.dumps(measured))
        return

    interpreters = {"jaxuq": sys.executable}
    if has_torch(options.torch_python):
        interpreters["torch"] = options.torch_python
    else:
        print(f"{options.torch_python} has no torch and transformers: jaxuq alone is measured")
    best: dict[str, dict[str, float]] = {kind: {} for kind in interpreters}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "model"
        prepare(options.model, folder)
        for repeat in range(options.repeats):
            kinds = list(interpreters) if repeat % 2 == 0 else list(interpreters)[::-1]
            for kind in kinds:
                measured = in_own_process(interpreters[kind], kind, str(folder), options.new_tokens)
                best[kind] = {name: min(value, best[kind].get(name, value)) for name, value in measured.items()}
    rows = [
        ("load, s", "load", 1.0),
        *((f"prefill of {batch} x {PROMPT} tokens, ms", f"prefill {batch}", 1e3) for batch in BATCHES),
        *((f"decode of {batch} rows, ms a step", f"decode {batch}", 1e3) for batch in BATCHES),
        ("peak memory, GiB", "memory", 1.0),
        ("compilation, all of it, s", "compile", 1.0),
    ]
    print(f"{options.model}, float32, {os.cpu_count()} cores, best of {options.repeats} processes in turns")
    print(f"{'':<36}" + "".join(f"{kind:>12}" for kind in best) + (f"{'torch / jaxuq':>16}" if len(best) > 1 else ""))
    for label, name, scale in rows:
        values = [best[kind].get(name) for kind in best]
        line = f"{label:<36}" + "".join(
            f"{'-' if value is None else format(value * scale, '.2f'):>12}" for value in values
        )
        if len(best) > 1 and None not in values:
            line += f"{values[1] / values[0]:>16.2f}"
        print(line)
    for batch in BATCHES:
        rates = ", ".join(f"{kind} {batch / best[kind][f'decode {batch}']:.1f}" for kind in best)
        print(f"tokens a second at batch {batch}: {rates}")


if __name__ == "__main__":
    if "--measure" not in sys.argv:  # an interpreter for PyTorch need not have jaxuq
        import jaxuq

        jaxuq.use_huge_pages()  # for both of them
    main()
