"""Policies and forecasters at work, on random weights of about equal number."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, spread

# who does what
TASKS = {
    "a chunk of actions, as published": (OURS, "lerobot"),
    "a chunk of actions, 10 first-order steps": (OURS, "lerobot"),
    "a forecast of 1 series": (OURS, "chronos"),
    "forecasts of 32 series": (OURS, "chronos"),
}
CALLS = 20


def measure(contestant: Contestant, task: str, calls: int) -> dict[str, Any]:
    """Parameters, and milliseconds of every call."""
    torch.manual_seed(0)
    made, spent = contestant.inferences[task](), []
    for _ in range(calls + 1):
        start = time.perf_counter()
        made.run()
        spent.append(1e3 * (time.perf_counter() - start))
    return {"parameters": made.parameters, "ms": spent[1:]}  # the first one does what is done once


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
            each = [ms for one in outcome.results for ms in one["ms"]]
            rows.append([task, peer, f"{outcome.results[0]['parameters'] / 1e6:.2f}M", spread(each)])
    about = (
        "A chunk is 16 actions of 2 values by a 1-D U-Net; as published, LeRobot takes 100 steps (DDPM) and "
        "ours 5. A forecast is 64 steps from 512: nine quantiles by Chronos-Bolt, 100 paths by ours."
    )
    return Section("Inference", about, [Table(("task", "library", "parameters", "ms"), rows)])


PART = Part(jobs, section)
