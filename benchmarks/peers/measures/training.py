"""Training steps: items a second, and the peak of memory. Step = loss, backward pass, AdamW; float32."""

from __future__ import annotations

import resource
import sys
import time
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.contestants.interface import TASKS, Contestant, parameters
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, number, ratio, spread

BATCH, STEPS, WARM = 64, 6, 2
# who trains what; parameters are equal within 3 %
PEERS = {
    "U-Net, 3x32x32": (OURS, "diffusers", "torchcfm", "lucidrains"),
    "U-Net, 1x28x28": (OURS, "diffusers", "torchcfm", "lucidrains"),
    "1-D U-Net, 128x4": (OURS, "diffusers", "lucidrains", "lerobot"),
    "DiT, 3x32x32": (OURS, "diffusers"),
}


def measure(contestant: Contestant, task: str, batch: int, steps: int, warm: int) -> dict[str, Any]:
    """Parameters, GFLOP of a forward pass an item, seconds of every step, and MiB at the peak."""
    torch.manual_seed(0)
    made, x = contestant.trainings[task](), torch.randn(batch, *TASKS[task])
    optimizer, seconds = torch.optim.AdamW(made.network.parameters(), lr=1e-4), []
    for _ in range(warm + steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        made.loss(x).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        made.loss(x[:1])
    return {
        "parameters": parameters(made.network),
        "gflop": flops.get_total_flops() / 1e9,
        "rate": [batch / each for each in seconds[warm:]],
        "mib": mib,
    }


def jobs(plan: Plan) -> list[Job]:
    size = (
        {"batch": 2, "steps": 1, "warm": 0} if plan.check else {"batch": BATCH, "steps": STEPS, "warm": WARM}
    )
    return [
        worker("training", peer, task, plan.threads, task=task, **size)
        for task, peers in PEERS.items()
        for peer in peers
    ]


def section(outcomes: Outcomes) -> Section:
    rows, targets = [], []
    for task, peers in PEERS.items():
        rates, peaks = {}, {}
        for peer in peers:
            results = outcomes[peer, task].results if (peer, task) in outcomes else []
            if not results:
                continue
            each, mib = [rate for one in results for rate in one["rate"]], [one["mib"] for one in results]
            rates[peer], peaks[peer] = median(each), median(mib)
            size = [f"{results[0]['parameters'] / 1e6:.3f}M", number(results[0]["gflop"])]
            rows.append([task, peer, *size, spread(each), spread(mib)])
        others = [peer for peer in rates if peer != OURS]
        fastest = max((rates[peer] for peer in others), default=None)
        leanest = min((peaks[peer] for peer in others), default=None)
        rate, peak = ratio(rates.get(OURS), fastest), ratio(peaks.get(OURS), leanest)
        targets.append(
            Target(f"training, {task}: samples/s, ours to the fastest peer", rate, 1.3, at_most=False)
        )
        targets.append(Target(f"training, {task}: peak memory, ours to the leanest peer", peak, 1.1))
    head = (
        "network",
        "library",
        "parameters",
        "forward GFLOP a sample",
        "samples/s",
        "peak MiB of the process",
    )
    about = (
        f"Batches of {BATCH}, float32; a step is loss, backward pass and AdamW. One process for each case."
    )
    return Section("Training", about, [Table(head, rows)], targets)


PART = Part(jobs, section)
