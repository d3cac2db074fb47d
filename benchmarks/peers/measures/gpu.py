"""Training on a GPU in bfloat16, compiled: samples/s, memory, and the share of the peak of matrix products.

The loss is compiled as a whole, ours and the peers' alike; around what of it cannot be, PyTorch breaks the
graph. Launches overlap within a block of steps, as they do in training.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.common import gflop, seconds, told
from benchmarks.peers.contestants.interface import TASKS as SHAPES
from benchmarks.peers.contestants.interface import Contestant, parameters
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, absent, rounds, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, number, ratios, spread

TASKS, PEERS = ("base U-Net, 3x32x32", "base DiT, 3x32x32"), (OURS, "diffusers")
DEVICE = "cuda"
BATCH, WARM = 256, 10
BLOCKS, STEPS = 5, 10  # blocks that are timed, and steps of each
SIDE, PRODUCTS = 8192, 20  # of the matrices whose product is the peak


def measure(
    contestant: Contestant, task: str, batch: int, warm: int, blocks: int, steps: int, side: int
) -> dict[str, Any]:
    """Parameters, GFLOP a sample and GiB; samples/s, their share of the peak, and the peak; the device.

    `failed` says why the loss is not compiled; "" if it is.
    """
    torch.manual_seed(0)
    made = contestant.trainings[task]()
    made.network.to(DEVICE, memory_format=made.memory_format)  # pyright: ignore[reportCallIssue]
    x = torch.randn(batch, *SHAPES[task], device=DEVICE).to(memory_format=made.memory_format)
    optimizer = torch.optim.AdamW(made.network.parameters(), lr=1e-4, fused=True)

    def learn(loss: Callable[[Tensor], Tensor], items: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16):
            error = loss(items)
        error.backward()

    def several(loss: Callable[[Tensor], Tensor], count: int) -> None:
        for _ in range(count):
            learn(loss, x)
            optimizer.step()

    work = gflop(lambda: learn(made.loss, x[:1]))
    loss, failed = torch.compile(made.loss), ""
    try:
        several(loss, 1)
    except Exception as error:  # told, and timed as it is
        loss, failed = made.loss, told(error)
    several(loss, warm)
    torch.cuda.reset_peak_memory_stats()
    spent = [seconds(lambda: several(loss, steps), torch.cuda.synchronize) for _ in range(blocks)]
    gib = torch.cuda.max_memory_allocated() / 2**30
    rate, peak = batch * steps / median(spent), _peak(side)
    return {
        "parameters": parameters(made.network),
        "gflop": work,
        "gib": gib,
        "rate": rate,
        "share": work * 1e9 * rate / peak,
        "peak": peak,
        "device": torch.cuda.get_device_name(),
        "failed": failed,
    }


def _peak(side: int) -> float:
    """FLOP/s of a product of square matrices in bfloat16."""
    a, b = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    spent = [seconds(lambda: a @ b, torch.cuda.synchronize) for _ in range(PRODUCTS)]
    return 2 * side**3 / median(spent)


def jobs(plan: Plan) -> list[Job]:
    names = ("batch", "warm", "blocks", "steps", "side")
    size = dict(
        zip(names, (2, 0, 1, 1, 64) if plan.check else (BATCH, WARM, BLOCKS, STEPS, SIDE), strict=True)
    )
    return [
        worker("gpu", peer, task, plan.threads, gpu=True, task=task, **size)
        for task in TASKS
        for peer in PEERS
    ]


def section(outcomes: Outcomes) -> Section:
    rows, targets, failures, devices = [], [], [], []
    for task in TASKS:
        compiled = {}  # the rates of those that are
        for peer in PEERS:
            if absent(outcomes, [peer], task):
                continue
            one = outcomes[peer, task].results[0]
            each = {of: rounds(outcomes, peer, task, of) for of in ("rate", "gib", "share", "peak")}
            if one["failed"]:
                failures.append(f"{peer}, {task}, compiling: {one['failed']}")
            else:
                compiled[peer] = each["rate"]
            devices.append(one["device"])
            rows.append(
                [
                    task,
                    peer if peer in compiled else f"{peer}, not compiled",
                    f"{one['parameters'] / 1e6:.1f}M",
                    number(one["gflop"]),
                    spread(each["rate"]),
                    spread(each["gib"]),
                    spread(each["share"], 100),
                    spread(each["peak"], 1e-12),
                ]
            )
        what = f"training on a GPU, {task}: samples/s, ours to diffusers, both compiled"
        of_both = ratios(*(compiled.get(peer, []) for peer in PEERS))
        targets.append(Target(what, of_both, 1.2, at_most=False))
    head = (
        "network",
        "library",
        "parameters",
        "GFLOP a sample",
        "samples/s",
        "GiB at the peak",
        "% of the peak of products",
        "that peak, TFLOP/s",
    )
    about = (
        f"{', '.join(dict.fromkeys(devices)) or 'no GPU'}; a network under its loss, no library's training "
        "loop; parameters are equal, GFLOP are not (see Training); bfloat16 (autocast), the whole loss under "
        f"torch.compile, fused AdamW, batches of {BATCH}; diffusers' U-Net is in channels_last, as ours "
        "is. GFLOP are those of the forward and the backward pass. A process gives the median of "
        f"{BLOCKS} blocks of {STEPS} steps; the peak is a product of {SIDE}² matrices."
    )
    return Section("GPU", about, [Table(head, rows)], targets, failures)


def lacking() -> str:
    return "" if torch.cuda.is_available() else "CUDA is not there"


PART = Part(jobs, section, skipped=lacking)
