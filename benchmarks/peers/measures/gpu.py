"""Training on a GPU in bfloat16, compiled: samples/s, and the share of the peak of matrix products."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.contestants.interface import TASKS as SHAPES
from benchmarks.peers.contestants.interface import Contestant, parameters
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratio, spread

TASKS, PEERS = ("base U-Net, 3x32x32", "base DiT, 3x32x32"), (OURS, "diffusers")
BATCH, STEPS, WARM = 256, 30, 10
SIDE = 8192  # of the matrices


def measure(
    contestant: Contestant, task: str, batch: int, steps: int, warm: int, side: int
) -> dict[str, Any]:
    """Parameters, samples/s of every step, and its share of the peak."""
    torch.manual_seed(0)
    made, x = contestant.trainings[task](), torch.randn(batch, *SHAPES[task], device="cuda")
    made.network.to("cuda")
    optimizer = torch.optim.AdamW(made.network.parameters(), lr=1e-4, fused=True)

    def loss() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return made.loss(x)

    with FlopCounterMode(display=False) as flops:
        loss().backward()
    made.network.compile()
    rates = []
    for _ in range(warm + steps):
        rates.append(batch / _seconds(lambda: _step(loss, optimizer)))
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    peak = 2 * side**3 / median(_seconds(lambda: a @ b) for _ in range(warm + steps))
    shares = [flops.get_total_flops() / batch * rate / peak for rate in rates[warm:]]
    return {
        "parameters": parameters(made.network),
        "rate": rates[warm:],
        "share": shares,
        "tflops": peak / 1e12,
    }


def _step(loss: Any, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


def _seconds(run: Any) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def jobs(plan: Plan) -> list[Job]:
    size = {"batch": 2, "steps": 1, "warm": 0, "side": 64} if plan.check else {
        "batch": BATCH, "steps": STEPS, "warm": WARM, "side": SIDE
    }  # fmt: skip
    return [
        worker("gpu", peer, task, plan.threads, gpu=True, task=task, **size)
        for task in TASKS
        for peer in PEERS
    ]


def section(outcomes: Outcomes) -> Section:
    rows, targets = [], []
    for task in TASKS:
        rates = {}
        for peer in PEERS:
            results = outcomes[peer, task].results if (peer, task) in outcomes else []
            if not results:
                continue
            each = {name: [value for one in results for value in one[name]] for name in ("rate", "share")}
            rates[peer] = median(each["rate"])
            size, peak = f"{results[0]['parameters'] / 1e6:.1f}M", spread([one["tflops"] for one in results])
            rows.append([task, peer, size, spread(each["rate"]), spread(each["share"], 100), peak])
        what = f"training on a GPU, {task}: samples/s, ours to diffusers compiled"
        targets.append(Target(what, ratio(rates.get(OURS), rates.get("diffusers")), 1.2, at_most=False))
    head = ("network", "library", "parameters", "samples/s", "% of the peak", "measured peak, TFLOP/s")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    about = (
        f"{device}; bfloat16 (autocast), torch.compile, batches of {BATCH}; the peak is a product of {SIDE}²."
    )
    return Section("GPU", about, [Table(head, rows)], targets)


def lacking() -> str:
    return "" if torch.cuda.is_available() else "CUDA is not there"


PART = Part(jobs, section, skipped=lacking)
