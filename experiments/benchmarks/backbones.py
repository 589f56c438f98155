"""Time of the molecular backbones: training steps, inference and featurisation, on 128 molecules of BBBP.

    JAXUQ_DATA=... python experiments/benchmarks/backbones.py --backbones gin dmpnn dnn morgan
    PYTHONPATH=. /path/to/torch/python experiments/benchmarks/backbones.py --torch    # torch_geometric's GIN

Each figure is the smallest of several repetitions after compilation, so that other work on the machine disturbs it
least. Featurisation is timed without its cache, with one process and with two.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

MOLECULES = 128
REPETITIONS = 7


def fastest(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def measure(name: str, smiles: list[str]) -> str:
    """One line of the table for a backbone of jaxuq."""
    import jax
    import jax.numpy as jnp

    from jaxuq.molecules.muben import BACKBONES, MubenConfiguration, recipe_optimizer
    from jaxuq.networks import apply_function

    backbone = BACKBONES[name](MubenConfiguration())
    # The whole part is featurised, as in a run, so that a batch's padding is that of the data set.
    inputs = backbone.featurise(smiles, None)
    rows = np.random.default_rng(0).permutation(len(smiles))[:MOLECULES]
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[rows]), inputs)
    module = backbone.network(1)
    params = jax.jit(module.init)(jax.random.key(0), jax.tree.map(lambda leaf: leaf[:1], batch))["params"]
    apply_fn, optimizer = apply_function(module), recipe_optimizer(backbone.recipe, len(smiles))
    labels = jnp.asarray(rows % 2, jnp.float32)[:, None]

    def loss_fn(params, rng_key):
        logits = apply_fn(params, batch, rng_key=rng_key)
        return jnp.mean(jnp.logaddexp(0.0, logits) - labels * logits)

    @jax.jit
    def step(params, state, rng_key):
        gradients = jax.grad(loss_fn)(params, rng_key)
        updates, state = optimizer.update(gradients, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    state, key = optimizer.init(params), jax.random.key(1)
    infer = jax.jit(apply_fn)
    jax.block_until_ready((step(params, state, key), infer(params, batch)))
    training = fastest(lambda: jax.block_until_ready(step(params, state, key)))
    inference = fastest(lambda: jax.block_until_ready(infer(params, batch)))
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return f"| {name} | {size:,} | {1e3 * training:.1f} | {MOLECULES / inference:,.0f} |"


def featurisation(smiles: list[str]) -> list[str]:
    """Molecules a second by features and processes."""
    from jaxuq.molecules import molecular_graphs, morgan_fingerprints, rdkit_descriptors

    kinds = {"graphs": molecular_graphs, "descriptors": rdkit_descriptors, "fingerprints": morgan_fingerprints}
    lines = []
    for name, function in kinds.items():
        rates = []
        for workers in (1, 2):
            began = time.perf_counter()
            function(smiles, workers=workers, cache=False)
            rates.append(f"{len(smiles) / (time.perf_counter() - began):,.0f}")
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return lines


def measure_torch(smiles: list[str]) -> str:
    """torch_geometric's GIN on the same molecules as one batch without padding."""
    import torch
    from torch_geometric.nn import GIN, global_add_pool

    from jaxuq.molecules import molecular_graphs

    rows = np.random.default_rng(0).permutation(len(smiles))[:MOLECULES]
    graphs = molecular_graphs([smiles[row] for row in rows])
    first = np.cumsum(graphs.num_atoms) - graphs.num_atoms
    numbers = np.concatenate([graphs.atoms[i, :n] for i, n in enumerate(graphs.num_atoms)]).astype(np.int64)
    sources = [graphs.sources[i, :n].astype(np.int64) + first[i] for i, n in enumerate(graphs.num_edges)]
    targets = [edges.reshape(-1, 2)[:, ::-1].reshape(-1) for edges in sources]
    edges = torch.from_numpy(np.stack([np.concatenate(sources), np.concatenate(targets)]))
    molecule = torch.from_numpy(np.repeat(np.arange(MOLECULES), graphs.num_atoms))
    embedding, gin = torch.nn.Embedding(100, 128), GIN(128, 128, 5, 128, dropout=0.1, jk="cat")
    module = torch.nn.ModuleList([embedding, gin, torch.nn.Linear(128, 1)])
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    labels, numbers = torch.from_numpy(rows % 2).float()[:, None], torch.from_numpy(numbers)

    def logits():
        return module[2](global_add_pool(gin(embedding(numbers), edges), molecule, MOLECULES))

    def step():
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits(), labels).backward()
        optimizer.step()

    def infer():
        with torch.no_grad():
            logits()

    training = fastest(step)
    module.eval()
    size = sum(parameter.numel() for parameter in module.parameters())
    return f"| gin, torch_geometric | {size:,} | {1e3 * training:.1f} | {MOLECULES / fastest(infer):,.0f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["gin", "dmpnn", "dnn", "morgan"])
    parser.add_argument("--torch", action="store_true", help="torch_geometric's GIN instead")
    parser.add_argument("--features", action="store_true", help="time featurisation too")
    arguments = parser.parse_args()
    from jaxuq.molecules import load_dataset

    smiles = list(load_dataset("bbbp").train.smiles)
    print("| backbone | parameters | training step (ms) | inference (molecules/s) |\n|---|---|---|---|")
    for name in () if arguments.torch else arguments.backbones:
        print(measure(name, smiles), flush=True)
    if arguments.torch:
        print(measure_torch(smiles))
    if arguments.features:
        print("\n| features | one process (molecules/s) | two |\n|---|---|---|")
        print("\n".join(featurisation(smiles)))


if __name__ == "__main__":
    main()
