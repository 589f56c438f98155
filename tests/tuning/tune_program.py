"""`jaxuq` as a program of its own that says on standard output what it does, and waits, so that it can be killed there.

python -m tests.tuning.tune_program DELAY ARGUMENTS... [then ARGUMENTS...], where DELAY is what a step and a score wait,
in seconds; what comes after `then` is another command for the same process, which need not be started twice.
"""

import sys
import time

from jaxuq.cli import main
from jaxuq.cli.tune import _Display


def slow(delay):
    training, scored = _Display._training, _Display._scored

    def say(text):
        print(text, flush=True)
        time.sleep(delay)

    def slow_training(self, name, progress):
        training(self, name, progress)
        say(f"step {name}: {progress.step} of {progress.num_steps}")

    def slow_scored(self, method, seed, part, scores):
        scored(self, method, seed, part, scores)
        say(f"scored {method}, {seed}")

    _Display._training, _Display._scored = slow_training, slow_scored


if __name__ == "__main__":
    slow(float(sys.argv[1]))
    given = sys.argv[2:]
    while given:
        end = given.index("then") if "then" in given else len(given)
        print("next", flush=True)
        main(given[:end])
        given = given[end + 1 :]
