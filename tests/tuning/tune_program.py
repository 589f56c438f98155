"""`jaxuq` as a program of its own that says on standard output what it does, and waits, so that it can be killed there.

python -m tests.tuning.tune_program DELAY ARGUMENTS... [then ARGUMENTS...], where DELAY is what a step and a score wait,
in seconds; what comes after `then` is another command for the same process, which need not be started twice.
"""

import sys
import time

from jaxuq.cli import main
from jaxuq.cli.display import Display


def slow(delay):
    shown, scored = Display._show, Display._scored

    def say(text):
        print(text, flush=True)
        time.sleep(delay)

    def slow_show(self, step, done, total, said):
        shown(self, step, done, total, said)
        say(f"step {step.removeprefix('tune ')}: {done} of {total}")

    def slow_scored(self, cell, scores):
        scored(self, cell, scores)
        say(f"scored {cell}")

    Display._show, Display._scored = slow_show, slow_scored


if __name__ == "__main__":
    slow(float(sys.argv[1]))
    given = sys.argv[2:]
    while given:
        end = given.index("then") if "then" in given else len(given)
        print("next", flush=True)
        main(given[:end])
        given = given[end + 1 :]
