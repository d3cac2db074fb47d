"""Training steps: items a second, and the peak of memory. Step = loss, backward pass, AdamW; float32."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.peers.common import gflop, seconds
from benchmarks.peers.contestants.interface import TASKS, Contestant, parameters
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, absent, rounds, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, against, number, spread

BATCH, STEPS, WARM = 64, 5, 2
# what is trained, by which peers beside us; parameters are equal within 3 %
PEERS = {
    "U-Net, 3x32x32": ("diffusers", "torchcfm", "lucidrains"),
    "U-Net of the peers' shape, 3x32x32": (),
    "U-Net, 1x28x28": ("diffusers", "torchcfm", "lucidrains"),
    "1-D U-Net, 128x4": ("diffusers", "lucidrains", "lerobot"),
    "DiT, 3x32x32": ("diffusers",),
    "DiT of the peer's shape, 3x32x32": (),
}
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


def measure(contestant: Contestant, task: str, batch: int, steps: int, warm: int) -> dict[str, Any]:
    """Parameters, GFLOP of a forward pass an item, items a second (the median of steps) and MiB.

    MiB: at the peak of the process, and how many the peak of training is above what the process held before
    the first step; None if unknown.
    """
    torch.manual_seed(0)
    made = contestant.trainings[task]()
    made.network.to(memory_format=made.memory_format)  # pyright: ignore[reportCallIssue]
    x = torch.randn(batch, *TASKS[task]).to(memory_format=made.memory_format)
    optimizer = torch.optim.AdamW(made.network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        made.loss(x).backward()
        optimizer.step()

    first, held = _peak(), _held_from_now()
    spent = [seconds(step) for _ in range(warm + steps)][warm:]
    peak = _peak()
    with torch.no_grad():
        forward = gflop(lambda: made.loss(x[:1]))
    return {
        "parameters": parameters(made.network),
        "gflop": forward,
        "rate": batch / median(spent),
        "mib": max(first, peak),
        "beyond": None if held is None else max(0.0, peak - held),  # the kernel counts roughly
    }


def _peak() -> float:
    """MiB of memory that this process held at the most."""
    if STATUS.is_file():
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _held_from_now() -> float | None:
    """MiB of memory that this process holds; the peak counts anew from here. None: that cannot be had."""
    try:
        FORGET.write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(figure: str) -> float:
    """MiB, which stand there in KiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(figure))
    return int(line.split()[1]) / 2**10


def jobs(plan: Plan) -> list[Job]:
    size = (
        {"batch": 2, "steps": 1, "warm": 0} if plan.check else {"batch": BATCH, "steps": STEPS, "warm": WARM}
    )
    return [
        worker("training", peer, task, plan.threads, task=task, **size)
        for task, peers in PEERS.items()
        for peer in (OURS, *peers)
    ]


# figure -> what is claimed of it, the bound, and whether that is the most
CLAIMS = {
    "rate": ("samples/s, ours to the fastest peer", 1.3, False),
    "mib": ("peak memory, ours to the leanest peer", 1.1, True),
    "beyond": ("memory beyond that before the first step, ours to the leanest peer", 1.1, True),
}


def section(outcomes: Outcomes) -> Section:
    rows, targets = [], []
    for task, peers in PEERS.items():
        known = {
            figure: {peer: _known(outcomes, peer, task, figure) for peer in (OURS, *peers)}
            for figure in CLAIMS
        }
        for peer in (OURS, *peers):
            if absent(outcomes, [peer], task):
                continue
            one = outcomes[peer, task].results[0]
            size = [f"{one['parameters'] / 1e6:.3f}M", number(one["gflop"])]
            rows.append(
                [task, peer, *size, *(spread(of[peer]) if of[peer] else "–" for of in known.values())]
            )
        for figure, (claim, bound, at_most) in CLAIMS.items() if peers else ():
            ours, missing = known[figure].pop(OURS), absent(outcomes, peers, task)
            what = f"training, {task}: {claim}"
            targets.append(
                against(what, ours, known[figure], bound, at_most=at_most, missing=missing),
            )
    head = (
        "network",
        "library",
        "parameters",
        "forward GFLOP a sample",
        "samples/s",
        "peak MiB of the process",
        "MiB beyond those before the first step",
    )
    about = (
        f"Batches of {BATCH}, float32; a step is loss, backward pass and AdamW. One process for each case, "
        "which gives the median of its steps. What is timed is the network under its loss, not a library's "
        "training loop. Parameters are about equal, GFLOP are not: our networks spend parameters where they "
        "cost little time. The U-Nets have most of their width where the resolution is low; the DiT has four "
        "blocks, the peer five, and a wider condition. No target is about the networks of the peers' shape, "
        "which have their widths and depth and about their GFLOP: there, speed is at equal work. U-Nets of "
        "lucidrains are in channels_last, which is faster there; those of other peers gain nothing by it."
    )
    return Section("Training", about, [Table(head, rows)], targets)


def _known(outcomes: Outcomes, peer: str, task: str, figure: str) -> list[float]:
    return [value for value in rounds(outcomes, peer, task, figure) if value is not None]


PART = Part(jobs, section)
