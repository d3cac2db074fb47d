"""What a sampler costs a step beyond the function that it runs around, which is x/2 here.

For some samplers that function is a denoiser, which estimates the data; for others it is a network, which
predicts noise or a velocity, and the sampler has to make of it what it needs. Each is compared with those
around the same. Ours run around both.

Set-up: the grid of times is there before, and what a peer sets up in a call of its own (`Loop.reset`) is not
timed. Ours set up tables of weights within the time; what they keep of an earlier run is there already, as
the first run is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import torch

from benchmarks.peers.common import seconds, told
from benchmarks.peers.contestants.interface import (
    DENOISER,
    FIRST,
    NETWORK,
    SECOND,
    SECOND_TWO,
    STOCHASTIC,
    THIRD,
    Contestant,
    Loop,
    half,
)
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, absent, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, against, best, spread

KINDS = (FIRST, SECOND, SECOND_TWO, THIRD, STOCHASTIC)
# who has samplers of a kind, around what
PEERS = {
    (DENOISER, FIRST): ("k_diffusion",),
    (DENOISER, SECOND): ("k_diffusion",),
    (DENOISER, SECOND_TWO): ("k_diffusion",),
    (DENOISER, THIRD): ("k_diffusion",),
    (NETWORK, FIRST): ("diffusers", "flow_matching", "smalldiffusion", "torchcfm", "lucidrains"),
    (NETWORK, SECOND): ("diffusers",),
    (NETWORK, SECOND_TWO): ("diffusers", "flow_matching", "torchcfm"),
    (NETWORK, THIRD): ("diffusers",),
}
ALL = (OURS, *dict.fromkeys(peer for peers in PEERS.values() for peer in peers))
# Memory that is freed stays with the process: else, the faults of getting it back outweigh what is timed, and
# how many there are is an accident of the order in which tensors come and go.
KEPT = {f"MALLOC_{name}": str(2**30) for name in ("TRIM_THRESHOLD_", "MMAP_THRESHOLD_", "TOP_PAD_")}
# name -> shape, steps, runs a process
CASES = {"1x16": ((1, 16), 1000, 3), "64x3x32x32": ((64, 3, 32, 32), 50, 7)}


@torch.no_grad()
def measure(contestant: Contestant, shape: list[int], steps: int, repeats: int) -> dict[str, Any]:
    """Of every sampler what it is, and microseconds a step, or its `error`."""
    x = torch.randn(shape)
    return {
        "samplers": {
            name: {"kind": loop.kind, "predicts": loop.predicts, **_timed(loop, x, steps, repeats)}
            for name, loop in contestant.loops(tuple(shape), steps).items()
        }
    }


def _timed(loop: Loop, x: torch.Tensor, steps: int, repeats: int) -> dict[str, Any]:
    """Medians over runs of microseconds a step: `loop`, and `beyond` the function. Or the `error`."""

    def function() -> None:
        for _ in range(steps * loop.calls):
            half(x)

    loops, beyond = [], []
    try:
        for _ in range(1 + repeats):
            loop.reset()
            own, bare = seconds(lambda: loop.run(x)), seconds(function)
            loops.append(1e6 * own / steps)
            beyond.append(1e6 * (own - bare) / steps)
    except Exception as error:  # the other samplers of the library go on
        return {"error": told(error)}
    # the first one does what is done once
    return {"loop": median(loops[1:]), "beyond": median(beyond[1:])}


def jobs(plan: Plan) -> list[Job]:
    return [
        worker(
            "overhead", peer, case, plan.threads, environment=KEPT,
            shape=shape, steps=2 if plan.check else steps, repeats=1 if plan.check else repeats,
        )
        for case, (shape, steps, repeats) in CASES.items()
        for peer in ALL
    ]  # fmt: skip


Key = tuple[str, str, str, str]  # what it runs around, kind, library, sampler
Found = dict[Key, dict[str, list[float]]]  # the rounds of "beyond" and "loop"


def section(outcomes: Outcomes) -> Section:
    tables, targets, failures = [], [], []
    for case, (_, steps, _) in CASES.items():
        found, failed = _found(outcomes, case)
        failures += [f"{peer}, {case}, {sampler}: {error}" for (*_, peer, sampler), error in failed.items()]
        rows = [
            [f"a {predicts}", kind, peer, sampler, *(spread(rounds[of]) for of in ("beyond", "loop"))]
            for (predicts, kind, peer, sampler), rounds in sorted(found.items(), key=_place)
        ]
        head = ("around", "kind", "library", "sampler", "µs a step beyond it", "µs a step in all")
        tables.append(Table(head, rows, f"**{case}, {steps} steps**"))
        targets += [
            _target(found, failed, case, at, absent(outcomes, peers, case)) for at, peers in PEERS.items()
        ]
    about = (
        "On the CPU, without gradients. Samplers run around x/2, which stands for a denoiser (an estimate of "
        "the data) or for a network (which predicts noise or a velocity), as each library has it; ours run "
        "around both, by a `Denoiser` and by `NetworkDenoiser`, which also scales what the network sees, "
        "as peers leave to the network or to a wrapper of it. Not timed: the grid of times, where it is "
        "handed over (flow_matching, torchdiffeq and lucidrains make it in the call, and lucidrains its "
        "noise); what peers set up in a call of its own (`set_timesteps`); what the first run of a process "
        "leaves in a cache, as ours do with tables of weights. Freed memory stays with the process. A "
        "library has one process a case and round, which gives the median of its runs of each sampler. A "
        "target compares our fastest sampler of a kind with the fastest peer; stochastic ones have none."
    )
    return Section("Time of samplers", about, tables, targets, failures)


def _place(row: tuple[Key, dict[str, list[float]]]) -> tuple[str, int, float]:
    (predicts, kind, _, _), rounds = row
    return predicts, KINDS.index(kind), median(rounds["beyond"])


def _found(outcomes: Outcomes, case: str) -> tuple[Found, dict[Key, str]]:
    """The rounds of the samplers that ran in all of them, and the errors of the others."""
    found, failed = Found(), {}
    for (peer, name), outcome in outcomes.items():
        for result in outcome.results if name == case else ():
            for sampler, one in result["samplers"].items():
                at = (one["predicts"], one["kind"], peer, sampler)
                if "error" in one:
                    failed[at] = one["error"]
                    continue
                rounds = found.setdefault(at, {"loop": [], "beyond": []})
                for of, values in rounds.items():
                    values.append(one[of])
    return {at: rounds for at, rounds in found.items() if at not in failed}, failed


def _target(
    found: Found, failed: Mapping[Key, str], case: str, at: tuple[str, str], missing: list[str]
) -> Target:
    predicts, kind = at
    beyond = {key: rounds["beyond"] for key, rounds in found.items() if key[:2] == at}
    ours = {key: rounds for key, rounds in beyond.items() if key[2] == OURS}
    peers = {key: rounds for key, rounds in beyond.items() if key[2] != OURS}
    lost = [f"{peer} {sampler}" for (*of, peer, sampler) in failed if tuple(of) == at and peer != OURS]
    what = f"sampler's own time a step, {case}, {kind}, around a {predicts}: ours to the fastest peer"
    return against(what, best(ours, lowest=True), peers, 1.0, missing=missing + lost)


PART = Part(jobs, section)
