"""What a sampler costs a step beyond its network, which is x/2 here."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks.peers.contestants.interface import (
    FIRST,
    SECOND,
    SECOND_TWO,
    STOCHASTIC,
    THIRD,
    Contestant,
    half,
)
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratio, spread

PEERS = (OURS, "diffusers", "k_diffusion", "flow_matching", "smalldiffusion", "torchcfm", "lucidrains")
# name -> shape, steps, runs a process
# Memory that is freed stays with the process: else, the faults of getting it back outweigh what is timed, and
# how many there are is an accident of the order in which tensors come and go.
KEPT = {f"MALLOC_{name}": str(2**30) for name in ("TRIM_THRESHOLD_", "MMAP_THRESHOLD_", "TOP_PAD_")}
CASES = {"1x16": ((1, 16), 1000, 3), "64x3x32x32": ((64, 3, 32, 32), 50, 12)}


@torch.no_grad()
def measure(contestant: Contestant, shape: list[int], steps: int, repeats: int) -> dict[str, Any]:
    """Of every sampler its kind and, of every run, microseconds a step: `loop`, and `beyond` the network."""
    x, out = torch.randn(shape), {}
    for name, loop in contestant.loops(tuple(shape), steps).items():

        def network(calls: int = steps * loop.calls) -> None:
            for _ in range(calls):
                half(x)

        loops, beyond = [], []
        for count in range(repeats + 1):
            loop.reset()
            own, net = _seconds(lambda loop=loop: loop.run(x)), _seconds(network)
            if count > 0:  # the first one does what is done once
                loops.append(1e6 * own / steps)
                beyond.append(1e6 * (own - net) / steps)
        out[name] = {"kind": loop.kind, "loop": loops, "beyond": beyond}
    return out


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def jobs(plan: Plan) -> list[Job]:
    return [
        worker(
            "overhead", peer, case, plan.threads, environment=KEPT,
            shape=shape, steps=2 if plan.check else steps, repeats=1 if plan.check else repeats,
        )
        for case, (shape, steps, repeats) in CASES.items()
        for peer in PEERS
    ]  # fmt: skip


def section(outcomes: Outcomes) -> Section:
    tables, targets = [], []
    for case, (_, steps, _) in CASES.items():
        found: dict[tuple[str, str, str], dict[str, list[float]]] = {}  # by kind, peer and sampler
        for (peer, name), outcome in outcomes.items():
            for result in outcome.results if name == case else ():
                for sampler, one in result.items():
                    if sampler == "wall":
                        continue
                    at = found.setdefault((one["kind"], peer, sampler), {"loop": [], "beyond": []})
                    for kind, values in at.items():
                        values += one[kind]
        rows = [
            [kind, peer, sampler, *(spread(values[of]) for of in ("beyond", "loop"))]
            for kind in (FIRST, SECOND, SECOND_TWO, THIRD, STOCHASTIC)
            for (of_kind, peer, sampler), values in sorted(
                found.items(), key=lambda at: median(at[1]["beyond"])
            )
            if of_kind == kind
        ]
        head = ("kind", "library", "sampler", "µs a step beyond the network", "µs a step in all")
        tables.append(Table(head, rows, f"**{case}, {steps} steps**"))
        for kind in (FIRST, SECOND, SECOND_TWO, THIRD):
            ours, best = (_lowest(found, kind, own) for own in (True, False))
            what = f"sampler's own time a step, {case}, {kind}: ours to the fastest peer"
            targets.append(Target(what, ratio(ours, best), 1.0))
    return Section(
        "Time of samplers",
        "The network is x/2, said as the sampler's arithmetic wants it; freed memory stays with the process.",
        tables,
        targets,
    )


def _lowest(found: dict[tuple[str, str, str], dict[str, list[float]]], kind: str, own: bool) -> float | None:
    """The lowest median of a kind, of our samplers or of all others."""
    of = [median(v["beyond"]) for (k, peer, _), v in found.items() if k == kind and (peer == OURS) == own]
    return min(of, default=None)


PART = Part(jobs, section)
