"""Training by two processes (gloo) against one: the same losses, and more items a second."""

from __future__ import annotations

import os
from statistics import median
from typing import Any

from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratio, spread

PARTS, WARM = 2, 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PARTS}")
ONE, WHOLE, TWO = "1 process, its share", "1 process, the whole batch", "2 processes, the whole batch"


def measure(contestant: Contestant, batch: int, parts: int, steps: int) -> dict[str, Any]:
    """The loss of every step, and items a second in those after the first few."""
    losses, seconds = contestant.train(batch, parts, steps)
    return {"losses": losses, "rate": [batch / each for each in seconds[min(WARM, steps - 1) :]]}


def jobs(plan: Plan) -> list[Job]:
    own, steps = (2, 1) if plan.check else (32, 10)
    both = {"batch": PARTS * own, "parts": PARTS, "steps": steps}
    return [
        worker("processes", OURS, ONE, 1, batch=own, parts=1, steps=steps),
        worker("processes", OURS, WHOLE, 1, **both),
        worker("processes", OURS, TWO, 1, before=TORCHRUN, **both),
    ]


def section(outcomes: Outcomes) -> Section:
    found = {name: outcome.results for (_, name), outcome in outcomes.items() if outcome.results}
    rates = {name: [rate for one in results for rate in one["rate"]] for name, results in found.items()}
    gap = ()
    if WHOLE in found and TWO in found:
        losses = zip(found[WHOLE][0]["losses"], found[TWO][0]["losses"], strict=True)
        gap = (max(abs(a - b) / abs(a) for a, b in losses),)
    middle = {name: median(each) for name, each in rates.items()}
    targets = [
        Target("2 processes against 1: relative difference of the losses", gap, 1e-5, unit=""),
        Target(
            "2 processes against 1: samples/s at equal batches of a process",
            ratio(middle.get(TWO), middle.get(ONE)),
            1.7,
            at_most=False,
        ),
    ]
    rows = [[name, spread(each)] for name, each in rates.items()]
    about = "A U-Net of 1.8M parameters on 3x32x32, one thread a process."
    return Section("Several processes", about, [Table(("trained by", "samples/s"), rows)], targets)


def lacking() -> str:
    cores = os.cpu_count() or 1
    return "" if cores >= PARTS else f"this machine has {cores} core, and each process needs one"


PART = Part(jobs, section, skipped=lacking)
