"""Peak memory of predicting with 30 posterior samples on 100,000 rows, with and without the sample axis.

    python experiments/benchmarks/memory.py [--rows 100000] [--samples 30]

`predict` returns every sample's outputs, `[samples, rows, ...]`; `predict_forecast` keeps running moments. Printed are
the temporary memory and the outputs of the compiled program, as the compiler reports them, each in its own process.
"""

import argparse
import json
import subprocess
import sys


def measure(kind: str, num_samples: int, rows: int) -> dict[str, float]:
    """Compile and run one prediction of the DNN; sizes in MiB."""
    import jax
    import jax.numpy as jnp

    from jaxuq.networks import DNN, apply_function
    from jaxuq.posterior import predict, predict_forecast

    network = DNN(num_outputs=2)
    apply_fn = apply_function(network)
    keys = jax.random.split(jax.random.key(0), num_samples)
    samples = jax.vmap(lambda key: network.init(key, jnp.zeros((1, 200)))["params"])(keys)
    inputs = jax.block_until_ready(jax.random.uniform(jax.random.key(1), (rows, 200)))

    def forecast(samples, inputs):
        def outputs_fn(params, x):
            return apply_fn(params, x)[:, None, :]  # one task, two outputs

        if kind == "predict":
            return predict(outputs_fn, samples, inputs, batch_size=4096, sample_chunk=1)
        return predict_forecast(outputs_fn, samples, inputs, "gaussian", batch_size=4096)

    compiled = jax.jit(forecast).lower(samples, inputs).compile()
    memory = compiled.memory_analysis()
    jax.block_until_ready(compiled(samples, inputs))
    return {
        "temporary": memory.temp_size_in_bytes / 2**20,
        "outputs": memory.output_size_in_bytes / 2**20,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "SAMPLES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, samples = options.measure
        print(json.dumps(measure(kind, int(samples), options.rows)))
        return
    print(f"{options.rows:,} rows, MiB")
    print(f"{'':<34}{'temporary':>11}{'outputs':>9}{'together':>10}")
    cells = [("predict", 1), ("predict", options.samples)]
    cells += [("predict_forecast", number) for number in (1, options.samples, 4 * options.samples)]
    for kind, samples in cells:
        command = [sys.executable, __file__, "--rows", str(options.rows), "--measure", kind, str(samples)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        together = row["temporary"] + row["outputs"]
        label = f"{kind}, {samples} sample{'s' if samples > 1 else ''}"
        print(f"{label:<34}{row['temporary']:>11.1f}{row['outputs']:>9.1f}{together:>10.1f}")


if __name__ == "__main__":
    main()
