"""Forward-backward of jaxuq against hmmlearn's C++ and dynamax's smoother, mapped over the batch.

    python experiments/benchmarks/hmm.py [--sequences 64] [--tokens 128] [--labels 37] [--functions 16]

From the observations of the labelling functions and their emission matrices to the smoothed marginals, for one
transition matrix. Prints milliseconds and ratios. Timings of one machine on one day are noisy, so the contestants take
turns in each of several rounds: read the ratios. A peer that is not installed (`pip install hmmlearn dynamax`) is left
out with a message.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxuq
from jaxuq.tagging import observation_log_evidence, smoothed_marginals


def make_problem(sequences: int, tokens: int, labels: int, functions: int) -> tuple[np.ndarray, ...]:
    """Random initial and transition probabilities, emission matrices and observations."""
    rng = np.random.default_rng(0)
    initial = np.full(labels, 1 / labels)
    transition = rng.dirichlet(np.full(labels, 0.3), labels) + 1e-6
    emission = 0.5 * rng.dirichlet(np.full(labels, 0.3), (functions, labels)) + 0.5 * np.eye(labels) + 1e-4
    observations = rng.integers(labels, size=(sequences, tokens, functions))
    transition /= transition.sum(-1, keepdims=True)
    return initial, transition, emission / emission.sum(-1, keepdims=True), observations


def hmmlearn_runs(initial, transition, emission, observations) -> dict[str, Callable]:
    """The compiled recursions that hmmlearn's `predict_proba` calls, in both its implementations."""
    from hmmlearn import _hmmc

    log_emission = np.log(emission)
    functions = np.arange(emission.shape[0])

    def evidence(sequence):
        return log_emission[functions, :, sequence].sum(1)

    def scaling():
        outputs = []
        for sequence in observations:
            log_evidence = evidence(sequence)
            likelihood = np.exp(log_evidence - log_evidence.max(1, keepdims=True))
            _, forward, scales = _hmmc.forward_scaling(initial, transition, likelihood)
            posterior = forward * _hmmc.backward_scaling(initial, transition, likelihood, scales)
            outputs.append(posterior / posterior.sum(1, keepdims=True))
        return np.stack(outputs)

    def log_space():
        outputs = []
        for sequence in observations:
            log_evidence = evidence(sequence)
            _, forward = _hmmc.forward_log(initial, transition, log_evidence)
            posterior = forward + _hmmc.backward_log(initial, transition, log_evidence)
            posterior = np.exp(posterior - posterior.max(1, keepdims=True))
            outputs.append(posterior / posterior.sum(1, keepdims=True))
        return np.stack(outputs)

    return {"hmmlearn, scaling": scaling, "hmmlearn, log (its default)": log_space}


def jaxuq_runs(initial, transition, emission, observations) -> dict[str, Callable]:
    """One compiled function from observations to marginals."""

    @jax.jit
    def run(log_initial, log_transition, log_emission, observations):
        return smoothed_marginals(log_initial, log_transition, observation_log_evidence(log_emission, observations))

    arrays = [jnp.log(jnp.asarray(a, jnp.float32)) for a in (initial, transition, emission)]
    arrays.append(jnp.asarray(observations, jnp.int32))
    return {"jaxuq": lambda: run(*arrays)}


def dynamax_runs(initial, transition, emission, observations) -> dict[str, Callable]:
    """Dynamax's smoother, mapped, from jaxuq's evidence; only its marginals are asked for, and all that it returns."""
    from dynamax.hidden_markov_model import hmm_smoother

    first, matrix = jnp.asarray(initial, jnp.float32), jnp.asarray(transition, jnp.float32)
    log_emission, observed = jnp.log(jnp.asarray(emission, jnp.float32)), jnp.asarray(observations, jnp.int32)

    @jax.jit
    def run(first, matrix, log_emission, observed):
        return jax.vmap(lambda e: hmm_smoother(first, matrix, e))(observation_log_evidence(log_emission, observed))

    @jax.jit
    def marginals(first, matrix, log_emission, observed):
        return run(first, matrix, log_emission, observed).smoothed_probs

    arrays = (first, matrix, log_emission, observed)
    return {
        "dynamax, marginals only": lambda: marginals(*arrays),
        "dynamax, as it is": lambda: run(*arrays).smoothed_probs,
    }


def main(args: argparse.Namespace) -> None:
    problem = make_problem(args.sequences, args.tokens, args.labels, args.functions)
    runs = jaxuq_runs(*problem)
    for name, make in (("hmmlearn", hmmlearn_runs), ("dynamax", dynamax_runs)):
        try:
            runs |= make(*problem)
        except ImportError as error:
            print(f"{name} is left out: {error}")

    reference = np.asarray(jax.block_until_ready(runs["jaxuq"]()))
    for name, run in runs.items():
        gap = float(np.abs(np.asarray(run()) - reference).max())
        assert gap < 1e-3, f"{name} computes something else: the marginals differ by {gap}"

    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - began)
    ours = np.array(seconds["jaxuq"])
    print(f"{args.sequences} sequences x {args.tokens} tokens, {args.labels} labels, {args.functions} functions")
    print(f"{'':28}  median ms   best ms   times jaxuq (median of rounds)")
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / ours)
        print(f"{name:28}  {1e3 * np.median(values):9.2f} {1e3 * min(values):9.2f}   {ratio:.2f}")


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--labels", type=int, default=37)
    parser.add_argument("--functions", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    main(parser.parse_args())
