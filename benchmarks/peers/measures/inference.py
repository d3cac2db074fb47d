"""Models at work; policies and forecasters beside those of peers of about equally many parameters.

The policies and Chronos-Bolt have random weights, our other models those that are shipped: the time is that
of any weights.
"""

from __future__ import annotations

import warnings
from statistics import median
from typing import Any

import torch

from benchmarks.peers.common import seconds
from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, rounds, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, spread

# who does what
TASKS = {
    "a chunk of actions, as published": (OURS, "lerobot"),
    "a chunk of actions, as published, compiled": (OURS,),
    "a chunk of actions, 10 first-order steps": (OURS, "lerobot"),
    "a forecast of 1 series": (OURS, "chronos"),
    "a forecast of 1 series, compiled": (OURS,),
    "forecasts of 32 series": (OURS, "chronos"),
    "16 images": (OURS,),
    "16 images, compiled": (OURS,),
    "a backbone of 64 residues": (OURS,),
    "a backbone of 64 residues, compiled": (OURS,),
}
CALLS = 10


def measure(contestant: Contestant, task: str, calls: int) -> dict[str, Any]:
    """Parameters, and milliseconds of a call (the median)."""
    torch.manual_seed(0)
    # what is not compiled must not be timed as if it were
    warnings.filterwarnings("error", "drawing goes on without torch.compile")
    made = contestant.inferences[task]()
    spent = [seconds(made.run) for _ in range(1 + calls)][1:]  # the first one compiles, for one
    return {"parameters": made.parameters, "ms": 1e3 * median(spent)}


def jobs(plan: Plan) -> list[Job]:
    calls = 1 if plan.check else CALLS
    return [
        worker("inference", peer, task, plan.threads, task=task, calls=calls)
        for task, peers in TASKS.items()
        for peer in peers
    ]


def section(outcomes: Outcomes) -> Section:
    rows = []
    for (peer, task), outcome in outcomes.items():
        if outcome.results:
            size = f"{outcome.results[0]['parameters'] / 1e6:.2f}M"
            rows.append([task, peer, size, spread(rounds(outcomes, peer, task, "ms"))])
    about = (
        "A chunk is 16 actions of 2 values by a 1-D U-Net; as published, LeRobot takes 100 steps (DDPM) and "
        "ours 5. A forecast is 64 steps from 512: nine quantiles by Chronos-Bolt, 100 paths by ours. Images "
        "are of 28x28 pixels, in 20 steps, guided; a backbone is drawn in 20 steps in place of 200. What is "
        "compiled is ours, by `model.compile()`, before it is timed. Medians of "
        f"{CALLS} calls of a process; policies and Chronos-Bolt have random weights."
    )
    return Section("Inference", about, [Table(("task", "library", "parameters", "ms"), rows)])


PART = Part(jobs, section)
