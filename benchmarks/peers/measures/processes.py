"""Training by two processes (gloo) against one: the same losses, and more items a second."""

from __future__ import annotations

import os
from statistics import median
from typing import Any

from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, rounds, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratios, spread

PARTS, WARM = 2, 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PARTS}")
ONE, WHOLE, TWO = "1 process, its share", "1 process, the whole batch", "2 processes, the whole batch"
LAUNCH = {WHOLE: (), TWO: TORCHRUN}
LOSSES = {WHOLE: "losses of 1 process", TWO: "losses of 2 processes"}  # of a longer training, done once
OWN, STEPS = 32, 10  # items of a process, and steps, where rates are measured
OWN_ONCE, STEPS_ONCE = 8, 100  # where losses are compared


def measure(contestant: Contestant, batch: int, parts: int, steps: int) -> dict[str, Any]:
    """The loss of every step, and items a second (the median) in those after the first few."""
    losses, spent = contestant.train(batch, parts, steps)
    return {"losses": losses, "rate": batch / median(spent[min(WARM, steps - 1) :])}


def jobs(plan: Plan) -> list[Job]:
    own, steps, own_once, steps_once = (2, 1, 2, 2) if plan.check else (OWN, STEPS, OWN_ONCE, STEPS_ONCE)

    def job(name: str, launch: tuple[str, ...], parts: int, own: int, steps: int, once: bool = False) -> Job:
        size = {"batch": parts * own, "parts": parts, "steps": steps}
        return worker("processes", OURS, name, 1, before=launch, once=once, **size)

    return [
        *(job(LOSSES[of], launch, PARTS, own_once, steps_once, once=True) for of, launch in LAUNCH.items()),
        job(ONE, (), 1, own, steps),
        *(job(of, launch, PARTS, own, steps) for of, launch in LAUNCH.items()),
    ]


def section(outcomes: Outcomes) -> Section:
    rates = {name: rounds(outcomes, OURS, name, "rate") for name in (ONE, WHOLE, TWO)}
    one, two = (rounds(outcomes, OURS, name, "losses") for name in LOSSES.values())
    gap = []
    if one and two:
        gap = [[max(abs(a - b) / abs(a) for a, b in zip(one[0], two[0], strict=True))]]
    targets = [
        Target(
            f"2 processes against 1: relative difference of the losses, over {STEPS_ONCE} steps",
            gap,
            1e-5,
            unit="",
        ),
        Target(
            "2 processes against 1: samples/s at equal batches of a process",
            ratios(rates[TWO], rates[ONE]),
            1.7,
            at_most=False,
        ),
    ]
    rows = [[name, spread(each)] for name, each in rates.items() if each]
    about = (
        f"A U-Net of 1.8M parameters on 3x32x32, one thread a process. Rates: {OWN} items a process. Losses: "
        f"{OWN_ONCE} items a process, the largest difference of {STEPS_ONCE} steps."
    )
    return Section("Several processes", about, [Table(("trained by", "samples/s"), rows)], targets)


def lacking() -> str:
    cores = os.cpu_count() or 1
    return "" if cores >= PARTS else f"this machine has {cores} core, and each process needs one"


PART = Part(jobs, section, skipped=lacking)
