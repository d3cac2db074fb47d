"""How far samplers end from where the ODE leads, on Gaussian mixtures with their exact denoisers.

The error of a start is its root mean square distance, over dimensions, from where the ODE takes the noise
that the sampler itself begins with. Of stochastic ones, the sliced 2-Wasserstein distance to true samples.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from benchmarks.peers.contestants.interface import Contestant, Solver
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.mixture import Mixture, sliced_w2
from benchmarks.peers.report import Section, Table, Target, number

PEERS = (OURS, "diffusers", "k_diffusion", "flow_matching", "smalldiffusion", "torchcfm")
DIMS, EVALUATIONS = (2, 16), (5, 10, 20, 50)
STARTS, DRAWN = 512, 16_384
MEASURES = ("RMSE", "median", "sliced W2")
NONE = float("inf")  # a sampler that does without so few evaluations


@torch.no_grad()
def measure(contestant: Contestant, dim: int, starts: int, drawn: int, steps: int) -> dict[str, Any]:
    """By measure and sampler, the error at each number of evaluations; "floor" is that of true samples."""
    mixture = Mixture(dim)
    z = torch.randn(starts, dim, generator=torch.Generator().manual_seed(7))
    ends: dict[Any, torch.Tensor] = {}
    out: dict[str, Any] = {name: {} for name in MEASURES}
    for name, solver in contestant.deterministic.items():
        errors = []
        for n in EVALUATIONS:
            x, start, calls = _solved(solver, mixture, z, n)
            if start not in ends:
                ends[start] = mixture.ode_end(z, start, steps)
            error = (x.double() - ends[start]).square().mean(1)
            errors.append(
                (error.mean().sqrt().item(), error.median().sqrt().item()) if calls <= n else (NONE, NONE)
            )
        out["RMSE"][name], out["median"][name] = (list(column) for column in zip(*errors, strict=True))
    true, z = mixture.draw(drawn, 11), torch.randn(drawn, dim, generator=torch.Generator().manual_seed(8))
    for name, solver in contestant.stochastic.items():
        torch.manual_seed(3)
        made = [_solved(solver, mixture, z, n) for n in EVALUATIONS]
        out["sliced W2"][name] = [
            sliced_w2(x, true) if calls <= n else NONE
            for n, (x, _, calls) in zip(EVALUATIONS, made, strict=True)
        ]
    out["floor"] = sliced_w2(mixture.draw(drawn, 12), true)
    return out


def _solved(solver: Solver, mixture: Mixture, z: torch.Tensor, evaluations: int) -> tuple[Any, Any, int]:
    """Where a sampler ends, its start, and the evaluations that it took."""
    mixture.calls = 0
    x, start = solver(mixture, z, evaluations)
    return x, start, mixture.calls


def jobs(plan: Plan) -> list[Job]:
    size = (
        {"starts": 8, "drawn": 64, "steps": 10}
        if plan.check
        else {"starts": STARTS, "drawn": DRAWN, "steps": 3000}
    )
    return [
        worker("accuracy", peer, f"{dim}-D", 1, once=True, dim=dim, **size) for dim in DIMS for peer in PEERS
    ]


def section(outcomes: Outcomes) -> Section:
    tables, targets = [], []
    floors = ", ".join(
        f"{number(outcome.results[0]['floor'])} ({name})"
        for (peer, name), outcome in outcomes.items()
        if peer == OURS and outcome.results
    )
    for dim in DIMS:
        found = {
            peer: outcome.results[0]
            for (peer, name), outcome in outcomes.items()
            if name == f"{dim}-D" and outcome.results
        }
        for of in MEASURES:
            own = found.get(OURS, {}).get(of, {})
            others = {
                f"{peer} {name}": errors
                for peer, result in found.items()
                if peer != OURS
                for name, errors in result[of].items()
            }
            ours, theirs = _best(own), _best(others)
            rows = [[name, *map(number, errors)] for name, errors in own.items()]
            rows.append(["**our best**", *(f"**{number(error)}**" for error, _ in ours)])
            rows.append(
                [
                    f"best of {len(others)} samplers of peers",
                    *(f"{number(error)} ({name})" for error, name in theirs),
                ]
            )
            tables.append(Table((f"{dim}-D, {of}", *map(str, EVALUATIONS)), rows))
            if of != "sliced W2":
                values = (
                    tuple(a / b for (a, _), (b, _) in zip(ours, theirs, strict=True))
                    if own and others
                    else ()
                )
                at = ", ".join(map(str, EVALUATIONS))
                what = f"error of samplers, {dim}-D, {of}, at {at} evaluations: ours to the best peer"
                targets.append(Target(what, values, 1.0))
    about = (
        "Mixtures of eight Gaussians with their exact denoisers, data of standard deviation 0.5, 512 starts. "
        "Error against the ODE (Runge–Kutta 4, 3,000 steps) from the sampler's own start: root mean square "
        "and median over starts. The best is picked anew in every cell. Sliced W2 of stochastic samplers: "
        f"16,384 samples to as many true ones; two true sets are {floors or '–'} apart."
    )
    return Section("Error of samplers at equal numbers of evaluations", about, tables, targets)


def _best(errors: dict[str, list[float]]) -> list[tuple[float, str]]:
    """At each number of evaluations the lowest error, and whose it is."""
    return [
        min(((e[i], name) for name, e in errors.items() if not math.isnan(e[i])), default=(NONE, "–"))
        for i in range(len(EVALUATIONS))
    ]


PART = Part(jobs, section)
