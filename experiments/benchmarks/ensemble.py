"""Ten members trained together against one, one after another, and a plain PyTorch loop of the same network.

    python experiments/benchmarks/ensemble.py [--members 10] [--dataset esol]

Prints seconds and ratios. Timings of one machine on one day are noisy: read the ratios. Each jaxuq row is measured in a
process of its own, so that compilation counts; the features are computed once, before any clock starts. PyTorch is
measured if it is installed (`make parity`).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import jaxuq


def load(dataset: str):
    """Features and standardised labels of the training and validation parts."""
    from jaxuq.molecules import load_dataset, rdkit_descriptors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = load_dataset(dataset)
        features = [rdkit_descriptors(part.smiles) for part in split]
    mean, scale = split.train.labels.mean(), split.train.labels.std()
    labels = [((part.labels - mean) / scale).astype(np.float32) for part in split]
    return features[0], labels[0], features[1], labels[1]


def measure_jaxuq(members: int, strategy: str, dataset: str) -> dict[str, float]:
    """Train `members` networks of `jaxuq muben`, clock from before compilation to the trained parameters."""
    import jax

    from jaxuq.parallel import use_cpu_cores

    if strategy == "shard_map":
        use_cpu_cores(len(os.sched_getaffinity(0)))
    jax.config.update("jax_enable_compilation_cache", False)
    from jaxuq.molecules import load_dataset
    from jaxuq.molecules.muben import MubenConfiguration, make_backbone
    from jaxuq.molecules.muben.heads import likelihood_head
    from jaxuq.molecules.muben.problem import make_problem
    from jaxuq.molecules.muben.setting import Setting
    from jaxuq.molecules.muben.trainings import train_networks
    from jaxuq.training import fit

    backbone = make_backbone("dnn", MubenConfiguration(dataset=dataset))
    problem = make_problem(load_dataset(dataset), backbone)
    epochs: list[int] = []

    def run(name, training, state, num_epochs):
        fitted = fit(training, state, problem.train, problem.valid, num_epochs=num_epochs, strategy=strategy)
        epochs.extend(np.asarray(fitted.state.epoch).tolist())
        return fitted

    setting = Setting(
        problem, backbone.network, backbone.recipe, samples=30, frozen_backbone=False, muben=False, fit=run
    )
    began = time.perf_counter()
    trained = train_networks(setting, "network", likelihood_head("regression"), [0], members)
    jax.block_until_ready(trained.params)
    return {"seconds": time.perf_counter() - began, "epochs": float(sum(epochs))}


def measure_torch(members: int, dataset: str) -> dict[str, float]:
    """The same network, loss, optimiser and early stopping as a plain PyTorch loop, one member after another."""
    import torch

    train_x, train_y, valid_x, valid_y = (torch.from_numpy(array) for array in load(dataset))
    began, epochs = time.perf_counter(), 0
    for member in range(members):
        torch.manual_seed(member)
        layers: list[torch.nn.Module] = []
        for inputs in (200, *(128,) * 8):
            layers += [torch.nn.Linear(inputs, 128), torch.nn.ReLU(), torch.nn.Dropout(0.1)]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(128, 2))
        for layer in network:
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.constant_(layer.bias, 0.01)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, weight_decay=0.01)
        best, since = float("inf"), 0
        for _ in range(400):
            epochs += 1
            network.train()
            for rows in torch.randperm(len(train_x)).split(256):
                outputs = network(train_x[rows])
                variance = torch.nn.functional.softplus(outputs[:, 1:]) + 1e-6
                loss = torch.nn.functional.gaussian_nll_loss(outputs[:, :1], train_y[rows], variance)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                score = float((network(valid_x)[:, :1] - valid_y).square().mean().sqrt())
            best, since = (score, 0) if score <= best else (best, since + 1)
            if since > 50:
                break
    return {"seconds": time.perf_counter() - began, "epochs": float(epochs)}


def in_own_process(*arguments: object) -> dict[str, float]:
    """Run one measurement in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "result.json"
        command = [sys.executable, __file__, "--measure", *map(str, arguments), "--write", str(output)]
        subprocess.run(command, check=True)
        return json.loads(output.read_text())


def main() -> None:
    """Measure each row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--dataset", default="esol", help="a regression data set")
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "MEMBERS", "DATASET"), help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, members, dataset = options.measure
        measured = (
            measure_torch(int(members), dataset) if kind == "torch" else measure_jaxuq(int(members), kind, dataset)
        )
        pathlib.Path(options.write).write_text(json.dumps(measured))
        return

    load(options.dataset)  # features go to the cache
    rows = [
        ("one member", "map", 1),
        (f"{options.members} members together, devices side by side", "shard_map", options.members),
        (f"{options.members} members, one after another", "map", options.members),
        (f"{options.members} members in one batch (vmap)", "vmap", options.members),
    ]
    try:
        import torch  # noqa: F401

        rows.append((f"{options.members} members, plain PyTorch loop", "torch", options.members))
    except ImportError:
        print("PyTorch is not installed: its row is left out (`make parity` measures it)")
    results = {label: in_own_process(kind, members, options.dataset) for label, kind, members in rows}
    base = results["one member"]["seconds"]
    together = results[rows[1][0]]["seconds"]
    print(f"{'':<46}{'seconds':>9}{'epochs':>8}{'/ one':>8}{'/ together':>12}")
    for label, row in results.items():
        seconds = row["seconds"]
        print(f"{label:<46}{seconds:>9.1f}{row['epochs']:>8.0f}{seconds / base:>8.2f}{seconds / together:>12.2f}")
    print("seconds include compilation; epochs are summed over members, each of which stops early by itself")


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
