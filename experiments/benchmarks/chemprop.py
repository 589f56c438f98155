"""A D-MPNN's training epoch and inference on ESOL at batch 64: jaxuq's beside chemprop's, in turn, in one run.

    python experiments/benchmarks/chemprop.py --chemprop-python PYTHON [--rounds 7]

PYTHON is an interpreter with `chemprop>=2` and PyTorch, in an environment of its own. Both train the same network
(318,301 parameters, no dropout, Adam, squared error) on all 1,128 molecules, and both have their graphs made and kept
beforehand: chemprop with its own loader over cached graphs in a plain loop, without Lightning, which is the fastest way
to run it; jaxuq with the training and prediction of its benchmark. Compiling is done before, and its time told.
Timings of a busy machine are noisy: contestants take turns, and the ratio is the median over rounds, with its range.
"""

import argparse
import json
import statistics
import subprocess
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxuq
from jaxuq.molecules import load_molecules, molecular_graphs
from jaxuq.networks import DMPNN, apply_function
from jaxuq.posterior import predict
from jaxuq.training import minibatch_training

BATCH = 64
CHEMPROP = """
import json, sys, time, torch
from chemprop import data, models, nn
given = json.loads(sys.stdin.readline())
points = [data.MoleculeDatapoint.from_smi(one, y=[label]) for one, label in zip(given["smiles"], given["labels"])]
dataset = data.MoleculeDataset(points)
dataset.cache = True
model = models.MPNN(nn.BondMessagePassing(), nn.NormAggregation(), nn.RegressionFFN())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
training = data.build_dataloader(dataset, batch_size=given["batch"])
inference = data.build_dataloader(dataset, batch_size=given["batch"], shuffle=False)

def epoch():
    model.train()
    for batch in training:
        optimizer.zero_grad()
        ((model.predictor.train_step(model.fingerprint(batch.bmg)) - batch.Y) ** 2).mean().backward()
        optimizer.step()

def infer():
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch.bmg) for batch in inference])

epoch(), infer()
size = sum(parameter.numel() for parameter in model.parameters())
print(json.dumps({"parameters": size, "threads": torch.get_num_threads()}), flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    {"epoch": epoch, "infer": infer}[line.strip()]()
    print(json.dumps(time.perf_counter() - began), flush=True)
"""


class Theirs:
    """Chemprop in its own interpreter, which waits while the other works."""

    def __init__(self, python: str, smiles: list[str], labels: list[float]):
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([python, "-c", CHEMPROP], text=True, **pipes)
        self.about = self._ask(json.dumps({"smiles": smiles, "labels": labels, "batch": BATCH}))

    def _ask(self, line: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the other interpreter ended: has it chemprop 2 and PyTorch?")
        return json.loads(answer)

    def seconds(self, what: str) -> float:
        """Of an epoch or an inference."""
        return self._ask(what)


class Ours:
    """Jaxuq, compiled."""

    def __init__(self, smiles: list[str], labels: list[float]):
        graphs = molecular_graphs(smiles, "chemprop", hydrogens=False)
        self.rows = {"inputs": jax.tree.map(jnp.asarray, graphs), "labels": jnp.asarray(labels, jnp.float32)[:, None]}
        module = DMPNN(1)
        apply_fn = apply_function(module)

        def loss(params: Any, batch: Any, where: Any, rng_key: Any) -> Any:
            errors = (apply_fn(params, batch["inputs"]) - batch["labels"]) ** 2
            return jnp.where(where[:, None], errors, 0.0).sum() / where.sum()

        training = minibatch_training(loss, optax.adam(1e-3), batch_size=BATCH)
        example = jax.tree.map(lambda leaf: leaf[:1], self.rows["inputs"])
        params = jax.jit(module.init)(jax.random.key(0), example)["params"]
        self.state = training.init(jax.random.key(1), params)
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))

        def infer(params: Any, inputs: Any) -> Any:
            samples = jax.tree.map(lambda leaf: leaf[None], params)
            return predict(apply_fn, samples, inputs, batch_size=BATCH)

        began = time.perf_counter()
        self.run = jax.jit(lambda state, rows: training.run(state, rows, None, num_epochs=1)[0])
        self.run = self.run.lower(self.state, self.rows).compile()
        self.infer = jax.jit(infer).lower(params, self.rows["inputs"]).compile()
        self.compiled = time.perf_counter() - began
        self.seconds("epoch"), self.seconds("infer")

    def seconds(self, what: str) -> float:
        """Of an epoch or an inference."""
        began = time.perf_counter()
        if what == "epoch":
            self.state = jax.block_until_ready(self.run(self.state, self.rows))
        else:
            jax.block_until_ready(self.infer(self.state.params, self.rows["inputs"]))
        return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chemprop-python", required=True, help="an interpreter that has chemprop 2")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    data = load_molecules("esol")
    labels = np.asarray(data.labels, np.float64)[:, 0]
    labels = ((labels - labels.mean()) / labels.std()).tolist()
    ours, theirs = Ours(list(data.smiles), labels), Theirs(options.chemprop_python, list(data.smiles), labels)
    print(
        f"{ours.parameters:,} and {theirs.about['parameters']:,} parameters, {theirs.about['threads']} threads of torch"
    )
    print(f"jaxuq compiled both programs in {ours.compiled:.1f} s, once\n")
    print("| | jaxuq (s) | chemprop (s) | chemprop / jaxuq, median (range) |\n|---|---|---|---|")
    for what, title in (("epoch", "training epoch"), ("infer", "inference")):
        rounds = [(ours.seconds(what), theirs.seconds(what)) for _ in range(options.rounds)]
        ratios = sorted(b / a for a, b in rounds)
        medians = " | ".join(f"{statistics.median(column):.3f}" for column in zip(*rounds))
        print(
            f"| {title} | {medians} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # for all that is timed here
    main()
