"""Time of the molecular backbones on 128 molecules of BBBP, beside PyTorch's of the same layers where there is one.

    JAXUQ_DATA=... python experiments/benchmarks/backbones.py --backbones gin dmpnn dnn morgan
    JAXUQ_DATA=... python experiments/benchmarks/backbones.py --backbones unimol torchmdnet grover --features

Training steps and inference after compilation, in turn with torch_geometric's GIN and unimol_tools' Uni-Mol where those
are installed; each figure is the smallest of several repetitions, so that other work on the machine disturbs it least.
Featurisation is timed without its cache, with one process and with two.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxuq
from jaxuq.molecules import (
    generate_conformers,
    load_dataset,
    molecular_graphs,
    morgan_fingerprints,
    rdkit_descriptors,
)
from jaxuq.molecules.muben import MubenConfiguration, make_backbone, recipe_optimizer
from jaxuq.networks import apply_function

MOLECULES = 128
FEW = ("unimol", "torchmdnet")  # conformers of the whole part would take minutes


class Contender(NamedTuple):
    """A network ready to be timed: functions that return when the work is done."""

    name: str
    size: int
    step: Callable[[], object]
    infer: Callable[[], object]


def ours(name: str, smiles: list[str]) -> tuple[Contender, Any]:
    """A backbone of jaxuq, and the batch that it reads."""
    backbone = make_backbone(name, MubenConfiguration(from_scratch=True))
    rows = np.random.default_rng(0).permutation(len(smiles))[:MOLECULES]
    if name in FEW:
        smiles, rows = [smiles[row] for row in rows], np.arange(MOLECULES)
    # Where possible the whole part is featurised, as in a run, so that a batch's padding is that of the data set.
    inputs = backbone.featurise(smiles, None)
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[rows]), inputs)
    module = backbone.network(1)
    params = jax.jit(module.init)(jax.random.key(0), jax.tree.map(lambda leaf: leaf[:1], batch))["params"]
    training, inference = apply_function(module, method=backbone.branches and "branches"), apply_function(module)
    optimizer = recipe_optimizer(backbone.recipe, len(smiles))
    labels = jnp.asarray(rows % 2, jnp.float32)[:, None]

    def loss_fn(params, rng_key):
        logits = training(params, batch, rng_key=rng_key)
        return jnp.mean(jnp.logaddexp(0.0, logits) - labels * logits)

    @jax.jit
    def step(params, state, rng_key):
        gradients = jax.grad(loss_fn)(params, rng_key)
        updates, state = optimizer.update(gradients, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    state, key, infer = optimizer.init(params), jax.random.key(1), jax.jit(inference)
    # Training draws one of Uni-Mol's structures a molecule; inference is timed with one as well, like the rival's.
    single = batch._replace(coordinates=batch.coordinates[:, 0]) if name == "unimol" else batch
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Contender(
        name,
        size,
        lambda: jax.block_until_ready(step(params, state, key)),
        lambda: jax.block_until_ready(infer(params, single)),
    ), batch


def in_torch(name: str, module: Any, logits: Callable[[], Any]) -> Contender:
    """A PyTorch module and its forward pass on the batch."""
    import torch

    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    labels = torch.arange(MOLECULES).remainder(2).float()[:, None]

    def step():
        module.train()
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits(), labels).backward()
        optimizer.step()

    def infer():
        module.eval()
        with torch.no_grad():
            return logits()

    return Contender(name, sum(parameter.numel() for parameter in module.parameters()), step, infer)


def geometric_gin(batch: Any) -> Contender:
    """torch_geometric's GIN on the same molecules as one batch without padding."""
    import torch
    from torch_geometric.nn import GIN, global_add_pool

    graphs = jax.tree.map(np.asarray, batch)
    first = np.cumsum(graphs.num_atoms) - graphs.num_atoms
    numbers = np.concatenate([graphs.atoms[i, :n] for i, n in enumerate(graphs.num_atoms)]).astype(np.int64)
    sources = [graphs.sources[i, :n].astype(np.int64) + first[i] for i, n in enumerate(graphs.num_edges)]
    targets = [edges.reshape(-1, 2)[:, ::-1].reshape(-1) for edges in sources]
    edges = torch.from_numpy(np.stack([np.concatenate(sources), np.concatenate(targets)]))
    molecule = torch.from_numpy(np.repeat(np.arange(MOLECULES), graphs.num_atoms))
    embedding, gin = torch.nn.Embedding(100, 128), GIN(128, 128, 5, 128, dropout=0.1, jk="cat")
    module = torch.nn.ModuleList([embedding, gin, torch.nn.Linear(128, 1)])
    atoms = torch.from_numpy(numbers)
    return in_torch(
        "gin, torch_geometric",
        module,
        lambda: module[2](global_add_pool(gin(embedding(atoms), edges), molecule, MOLECULES)),
    )


def unimol_tools(batch: Any) -> Contender:
    """unimol_tools' model with random weights, on the first conformers; distances and pair types are given."""
    import torch
    from unimol_tools.models.unimol import UniMolModel

    class Untrained(UniMolModel):
        def load_pretrained_weights(self, path, strict=False):
            """Keep the initial weights; there is no file."""

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{token} 1\n" for token in ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *map(str, range(26))])
        file.flush()
        module = Untrained(output_dim=1, remove_hs=True, pretrained_model_path="", pretrained_dict_path=file.name)
    tokens = torch.from_numpy(np.array(batch.tokens, np.int64))
    places = torch.from_numpy(np.array(batch.coordinates[:, 0]))
    pairs = tokens[:, :, None] * len(module.dictionary) + tokens[:, None, :]
    distances = torch.cdist(places, places)
    return in_torch("unimol, unimol_tools", module, lambda: module(tokens, distances, places, pairs))


RIVALS = {"gin": ("torch_geometric", geometric_gin), "unimol": ("unimol_tools", unimol_tools)}


def seconds(contenders: list[Contender], repetitions: int) -> np.ndarray:
    """Of a training step and an inference of each contender, in turn; the smallest of the repetitions."""
    taken = np.empty((repetitions + 1, len(contenders), 2))  # the first compiles
    for repetition in taken:
        for row, contender in zip(repetition, contenders):
            for column, function in enumerate((contender.step, contender.infer)):
                began = time.perf_counter()
                function()
                row[column] = time.perf_counter() - began
    return taken[1:].min(0)


def lines(name: str, smiles: list[str], repetitions: int) -> list[str]:
    """Rows of the table for one backbone; a rival's ratios are how many times as fast jaxuq is."""
    contender, batch = ours(name, smiles)
    contenders = [contender]
    package, rival = RIVALS.get(name, ("", None))
    if rival is not None and importlib.util.find_spec(package):
        contenders.append(rival(batch))
    taken = seconds(contenders, repetitions)
    return [
        f"| {one.name} | {one.size:,} | {1e3 * step:.1f} ({step / taken[0, 0]:.2f}) "
        f"| {MOLECULES / infer:,.0f} ({infer / taken[0, 1]:.2f}) |"
        for one, (step, infer) in zip(contenders, taken)
    ]


def featurisation(smiles: list[str]) -> list[str]:
    """Molecules a second by features and processes."""
    kinds = {"graphs": molecular_graphs, "descriptors": rdkit_descriptors, "fingerprints": morgan_fingerprints}
    kinds["ten conformers"] = generate_conformers
    rows = []
    for name, function in kinds.items():
        rates, taken = [], smiles[:MOLECULES] if function is generate_conformers else smiles
        for workers in (1, 2):
            began = time.perf_counter()
            function(taken, workers=workers, cache=False)
            rate = len(taken) / (time.perf_counter() - began)
            rates.append(f"{rate:,.{0 if rate >= 10 else 1}f}")
        rows.append(f"| {name} | {' | '.join(rates)} |")
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["gin", "dmpnn", "dnn", "morgan"])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--features", action="store_true", help="time featurisation too")
    arguments = parser.parse_args()
    smiles = list(load_dataset("bbbp").train.smiles)
    print("In brackets: seconds of this row over seconds of jaxuq's.\n")
    print("| backbone | parameters | training step (ms) | inference (molecules/s) |\n|---|---|---|---|")
    for name in arguments.backbones:
        print("\n".join(lines(name, smiles, arguments.repetitions)), flush=True)
    if arguments.features:
        print("\n| features | one process (molecules/s) | two |\n|---|---|---|")
        print("\n".join(featurisation(smiles)))


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
