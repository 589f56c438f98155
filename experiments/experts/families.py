"""ELREA on four families of instructions whose answers contradict: do clusters find them, and what does routing gain?

    python experiments/experts/families.py [--seeds 0 1 2] [--baselines base-adapter,random-clusters,uniform-weights]

SmolLM2-135M with rank 8 on all linear layers. Each seed draws its own instructions, adapters, projection and questions
(numbers that no training instruction has). The base adapter sees the mixture once, and too shortly to master it; the
experts go on from it. Continues where it stopped; writes `runs/experts/families-<seed>` and one folder of the
evaluation.
"""

import argparse
import pathlib
import sys
import time

from jaxuq.cli.compiled import keep_compiled_programs
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, TrainConfiguration
from jaxuq.experts.pipeline.evaluation import run_evaluation
from jaxuq.experts.pipeline.training import run_training
from jaxuq.language import load_model
from jaxuq.reporting import print_report, write_report
from jaxuq.study import Listener

ROOT = pathlib.Path("runs/experts")


def training(seed: int) -> TrainConfiguration:
    """The options of a seed."""
    return TrainConfiguration(
        data="families",
        output=ROOT / f"families-{seed}",
        seed=seed,
        per_family=20,
        epochs=1,
        expert_epochs=2,
        learning_rate=1e-3,
        expert_learning_rate=5e-4,
        batch_size=2,
        max_length=64,
        dimension=1024,
        projection="hadamard",
        clusters=4,
    )


def main() -> None:
    """Train every seed, evaluate them together, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--baselines", default="base-adapter,random-clusters,uniform-weights")
    parser.add_argument("--questions", type=int, default=12, help="of each family")
    parser.add_argument("--sweeps", action="store_true", help="fewer experts and fewer numbers of the projection, too")
    options = parser.parse_args()
    keep_compiled_programs()
    began = time.monotonic()

    def told(step: str, done: int, total: int, said: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {step}: {done}/{total}", file=sys.stderr, flush=True)

    model = load_model("smollm2", scan=True)
    for seed in options.seeds:
        run_training(training(seed), model=model, listener=Listener(progress=told))
    configuration = EvaluateConfiguration(
        tuple(ROOT / f"families-{seed}" for seed in options.seeds),
        baselines=options.baselines,
        output=ROOT / "-".join(["families", *map(str, options.seeds), "evaluation"]),
        per_family=options.questions,
        top_k=(1, 2) if options.sweeps else (),
        dimension=(64, 256) if options.sweeps else (),
    )
    folder = run_evaluation(configuration, model=model, listener=Listener(progress=told)).path
    write_report(folder)
    print_report(folder)


if __name__ == "__main__":
    main()
