"""The tables of README.md: what jobs on 8 and on 64 H200s will hold, send and take at least; nothing runs.

python experiments/scale/plans.py 8     # Llama 3 8B, 8 devices
python experiments/scale/plans.py 64    # Llama 3 70B, 64 devices; ten minutes on two cores
"""

import sys

from jaxuq.parallel import use_cpu_cores

PLANS = {
    8: ("llama3-8b", "data=8", ("confidence", "features", "experts", "tune", "ensemble"), 64),
    64: ("llama3-70b", "data=8,tensor=8", ("confidence", "features", "tune"), 128),
}
TOKENS = 2048


def main(devices: int) -> None:
    """Print one row a program."""
    use_cpu_cores(devices)
    from jaxuq.planning import plan_job

    model, mesh, jobs, rows = PLANS[devices]
    print(f"{model}, {mesh}, {rows} rows of {TOKENS} tokens, GiB a device\n")
    print("| job | program | weights | cache | captured | adapters | temporaries | in all | sent | PFLOP | at least | "
          "largest batch | 1,000 rows |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for job in jobs:
        plan = plan_job(model, job, mesh, rows=rows, tokens=TOKENS)
        for stage in plan.stages:
            kinds = ("weights", "cache", "captured", "adapters", "temporaries")
            held = " | ".join(f"{stage.held.get(kind, 0) / 2**30:.2f}" for kind in kinds)
            whole = (f"{plan.largest_rows}", f"{1000 * plan.seconds / rows:.1f} s")
            print(
                f"| {job} | {stage.name} | {held} | {stage.bytes / 2**30:.1f} | "
                f"{stage.program.bytes_sent / 2**30:.2f} | {stage.flops / 1e15:.3g} | "
                f"{1000 * stage.seconds:.3g} ms ({stage.bound}) | {' | '.join(whole)} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]))
