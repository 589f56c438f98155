"""How far is each approximate posterior from the exact one, and does that matter for the score?

    python experiments/posterior/distance.py                      # ESOL and BBBP, a quarter of an hour on two cores
    python experiments/posterior/distance.py --datasets esol --figure distance.png

A network is trained on a scaffold split; its last hidden layer gives features, and the last layer alone is inferred:
there NUTS is exact. Every method starts from the same mode, under the same prior, and sees the same data; its samples
are compared with those of NUTS at the test molecules by `jaxuq.posterior.distance_to_truth`, and scored. The row `NUTS,
another chain` is what two sets of exact samples differ by: nothing nearer can be told apart.
"""

import argparse
import pathlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxuq.molecules import load_molecules
from jaxuq.molecules.fitted import MoleculeRecipe, divide_molecules, fit_molecules, represent_molecules
from jaxuq.posterior import (
    Method,
    bbp,
    cyclical_sgld,
    dense,
    distance_to_truth,
    ensemble,
    laplace,
    nuts,
    predict,
    psgld,
    sghmc,
    sgld,
    sgnht,
    summarise,
    swag,
)
from jaxuq.posterior.likelihood import total_log_prob
from jaxuq.posterior.likelihoods import likelihood_of

SAMPLES = 400
PRIOR_SCALE = 1.0
KEY = jax.random.key(0)


def last_layer(dataset: str) -> dict[str, Any]:
    """Features of a trained network, labels in standard units, and the parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load_molecules(dataset)
    rows = divide_molecules(data.smiles, "scaffold", fractions=(0.8, 0.1, 0.05, 0.05))
    model = fit_molecules(KEY, data, rows, MoleculeRecipe(members=1, width=64, depth=3))
    features = represent_molecules(model, data.smiles).features
    test = np.concatenate([rows.calibrate, rows.test])
    scale = features[rows.train].std(axis=0)
    features = features[:, scale > 1e-6] / scale[scale > 1e-6]  # units that never fire are left out
    labels = data.labels[:, :1]
    if data.task_type == "regression":
        labels = (labels - labels[rows.train].mean()) / labels[rows.train].std()
    known = [part[data.mask[part, 0]] for part in (rows.train, test)]
    arrays = [(jnp.asarray(features[part]), jnp.asarray(labels[part], jnp.float32)) for part in known]
    return {
        "train": arrays[0],
        "test": arrays[1],
        "likelihood": "gaussian" if data.task_type == "regression" else "bernoulli",
    }


class Layer:
    """The last layer: its outputs, its loss, its mode."""

    def __init__(self, found: dict[str, Any]):
        self.likelihood = found["likelihood"]
        self.x, self.y = found["train"]
        outputs = 2 if self.likelihood == "gaussian" else 1
        start = {"kernel": jnp.zeros((self.x.shape[1], outputs)), "bias": jnp.zeros(outputs)}
        self.size = sum(leaf.size for leaf in jax.tree.leaves(start))
        self.mode = self.descend(start)
        flat, self.unravel = ravel_pytree(self.mode)
        hessian = jax.hessian(lambda values: self.potential(self.unravel(values)))(flat)
        self.steepest = float(jnp.linalg.eigvalsh(hessian)[-1])
        slopes = jax.lax.map(lambda key: ravel_pytree(self.slope(key)(self.mode))[0], jax.random.split(KEY, 50))
        scaled = (jnp.mean(slopes**2, axis=0) ** 0.5 + 1.0) ** -0.5  # as pSGLD sees its coordinates
        self.steepest_scaled = float(jnp.linalg.eigvalsh(scaled[:, None] * hessian * scaled[None])[-1])

    def apply(self, params: Any, x: Any, *, rng_key: Any = None) -> Any:
        """Outputs as `summarise` reads them."""
        outputs = dense(params, x)
        return outputs[:, None] if self.likelihood == "gaussian" else outputs

    def loss(self, params: Any, x: Any, y: Any) -> Any:
        """Summed negative log likelihood."""
        return -total_log_prob(likelihood_of(self.likelihood), self.apply(params, x), y)

    def slope(self, key: Any) -> Callable[[Any], Any]:
        """The gradient of the loss, estimated from 128 rows."""
        count = len(self.y)
        rows = jax.random.choice(key, count, (128,))
        return jax.grad(lambda params: count / 128 * self.loss(params, self.x[rows], self.y[rows]))

    def potential(self, params: Any) -> Any:
        """The loss and the prior's part."""
        squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
        return self.loss(params, self.x, self.y) + squares / (2 * PRIOR_SCALE**2)

    def descend(self, start: Any) -> Any:
        """The mode, by L-BFGS."""
        solver = optax.lbfgs()

        def step(carry: Any, _: None) -> Any:
            params, state = carry
            value, gradient = optax.value_and_grad_from_state(self.potential)(params, state=state)
            updates, state = solver.update(gradient, state, params, value=value, grad=gradient, value_fn=self.potential)
            return (optax.apply_updates(params, updates), state), value

        (params, _), _ = jax.jit(lambda: jax.lax.scan(step, (start, solver.init(start)), None, length=500))()
        return params


def observe(layer: Layer, method: Method, steps: int) -> Any:
    """Samples of a method that observes gradients, of batches of 128."""

    def step(state: Any, number: Any) -> Any:
        key = jax.random.fold_in(KEY, number)
        return method.update(jax.random.fold_in(key, 1), state, layer.slope(key)), None

    run = jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(steps))[0])
    return method.sample(jax.random.fold_in(KEY, 7), run(method.init(KEY, layer.mode)), SAMPLES)


def snapshots(layer: Layer, method: Method, count: int = 20) -> Any:
    """Samples of SWAG: snapshots of SGD from the mode, one an epoch."""
    rate = 0.5 / layer.steepest
    rows = len(layer.y)

    def epoch(carry: Any, key: Any) -> Any:
        params, state = carry

        def step(params: Any, batch: Any) -> Any:
            slope = jax.grad(lambda p: rows / 128 * layer.loss(p, layer.x[batch], layer.y[batch]))(params)
            return jax.tree.map(lambda p, g: p - rate * (g + p / PRIOR_SCALE**2), params, slope), None

        order = jax.random.permutation(key, rows)[: rows // 128 * 128].reshape(-1, 128)
        params, _ = jax.lax.scan(step, params, order)
        return (params, method.update(key, state, params)), None

    start = (layer.mode, method.init(KEY, layer.mode))
    (_, state), _ = jax.jit(lambda: jax.lax.scan(epoch, start, jax.random.split(KEY, count)))()
    return method.sample(jax.random.fold_in(KEY, 7), state, SAMPLES)


def curved(layer: Layer, structure: str) -> Any:
    """Samples of Laplace."""
    method = laplace(layer.likelihood, structure, prior_precision=1 / PRIOR_SCALE**2, linearised=False)
    state = method.update(KEY, method.init(KEY, layer.mode), layer.apply, layer.x, layer.y)
    return method.sample(jax.random.fold_in(KEY, 7), state, SAMPLES)


def starts(layer: Layer) -> Any:
    """Ten layers from ten starts: the mode is one, and so they agree."""
    method = ensemble(10)
    state = method.init(KEY, layer.mode)
    for member in range(10):
        key = jax.random.fold_in(KEY, member)
        begin = jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape), layer.mode)
        state = method.update(key, state, layer.descend(begin))
    return method.sample(KEY, state, 10)


def approximations(layer: Layer) -> dict[str, Callable[[], Any]]:
    """By name, what draws samples."""
    step, steps, keep = 0.1 / layer.steepest, 40_000, {"prior_scale": PRIOR_SCALE, "capacity": SAMPLES}
    chain = keep | {"burn_in": 8000, "thinning": 80}
    return {
        "NUTS, another chain": lambda: exact(layer, 1),
        "Laplace, full": lambda: curved(layer, "full"),
        "Laplace, Kronecker": lambda: curved(layer, "kronecker"),
        "Laplace, diagonal": lambda: curved(layer, "diagonal"),
        "Bayes by backprop": lambda: observe(layer, bbp(PRIOR_SCALE, optimizer=optax.adam(3e-3)), 10_000),
        "SGLD": lambda: observe(layer, sgld(step, **chain), steps),
        "pSGLD": lambda: observe(layer, psgld(0.1 / layer.steepest_scaled, decay=0.999, damping=1.0, **chain), steps),
        "SGHMC": lambda: observe(layer, sghmc(step, **chain), steps),
        "SGNHT": lambda: observe(layer, sgnht(step**0.5, **chain), steps),
        "cyclical SGLD": lambda: observe(
            layer,
            cyclical_sgld(
                10 * step, num_steps=steps, num_cycles=4, samples_per_cycle=SAMPLES // 4, prior_scale=PRIOR_SCALE
            ),
            steps,
        ),
        "SWAG": lambda: snapshots(layer, swag(20)),
        "ensemble of layers": lambda: starts(layer),
    }


def exact(layer: Layer, chain: int) -> Any:
    """Samples of NUTS."""
    return nuts(
        jax.random.fold_in(KEY, chain), layer.apply, layer.mode, layer.x, layer.y, layer.likelihood,
        prior_scale=PRIOR_SCALE, num_samples=SAMPLES, num_warmup=400,
    )  # fmt: skip


def score(likelihood: str, outputs: Any, y: Any) -> float:
    """Mean negative log likelihood of the test labels under the forecast."""
    forecast: Any = summarise(outputs, likelihood)
    if likelihood == "bernoulli":
        log_odds = forecast.logits
        return float(jnp.mean(jnp.logaddexp(0.0, jnp.where(y == 1, -log_odds, log_odds))))
    spread = forecast.total
    return float(jnp.mean(0.5 * (jnp.log(2 * jnp.pi * spread) + (y - forecast.mean) ** 2 / spread)))


def main() -> None:
    """Print a table for each data set, and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=["esol", "bbbp"])
    parser.add_argument("--figure", type=pathlib.Path)
    options = parser.parse_args()
    drawn = {}
    for dataset in options.datasets:
        found = last_layer(dataset)
        layer, (test_x, test_y) = Layer(found), found["test"]
        outputs = partial(predict, layer.apply)
        truth = outputs(exact(layer, 0), test_x)
        mode = jax.tree.map(lambda leaf: leaf[None], layer.mode)
        print(f"\n{dataset}: {layer.size} parameters, {len(layer.y)} molecules, {len(test_y)} to be forecast")
        print(
            f"NLL of NUTS {score(layer.likelihood, truth, test_y):.4f}, of the mode "
            f"{score(layer.likelihood, outputs(mode, test_x), test_y):.4f}; an interval that holds 0.9 is right\n"
        )
        print("| method | Wasserstein | KL, nats | interval holds | NLL | seconds |\n|---|---|---|---|---|---|")
        rows = []
        for name, draw in approximations(layer).items():
            began = time.perf_counter()
            samples = jax.block_until_ready(draw())
            seconds = time.perf_counter() - began
            ours = outputs(samples, test_x)
            gap = distance_to_truth(KEY, ours, truth, layer.likelihood)
            nll = score(layer.likelihood, ours, test_y)
            rows.append((name, float(gap.wasserstein), nll))
            values = f"{gap.wasserstein:.3f} | {gap.divergence:.4f} | {gap.coverage:.3f} | {nll:.4f} | {seconds:.1f}"
            print(f"| {name} | {values} |", flush=True)
        drawn[dataset] = rows
    if options.figure is not None:
        draw_figure(drawn, options.figure)


def draw_figure(drawn: dict[str, list[tuple[str, float, float]]], path: pathlib.Path) -> None:
    """Distance against score, a panel a data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(drawn), figsize=(6 * len(drawn), 4.5), squeeze=False, layout="constrained")
    for axis, (dataset, rows) in zip(axes[0], drawn.items()):
        for number, (name, distance, nll) in enumerate(rows):
            axis.plot(distance, nll, "osD^vPX*"[number % 8], color=f"C{number % 10}", label=name)
        axis.set(title=dataset, xlabel="sliced Wasserstein distance to NUTS", ylabel="test NLL, nats", xscale="log")
    axes[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
