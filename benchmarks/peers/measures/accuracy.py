"""How far samplers end from where the ODE leads, on Gaussian mixtures with their exact denoisers.

The error of a start is its root mean square distance, over dimensions, from where the ODE takes the noise
that the sampler itself begins with. Of stochastic ones, the sliced 2-Wasserstein distance to true samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.peers.common import told
from benchmarks.peers.contestants.interface import Contestant, Solver
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, absent, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.mixture import Mixture, sliced_w2
from benchmarks.peers.report import Section, Table, Target, number

PEERS = ("diffusers", "k_diffusion", "flow_matching", "smalldiffusion", "torchcfm")
DIMS, SEEDS, EVALUATIONS = (2, 16), (0, 11, 12), (5, 10, 20, 50)
SHOWN = SEEDS[0]  # the mixture whose tables are shown
STARTS, DRAWN = 512, 16_384
# of Runge–Kutta 4; the error of the reference, by 6,000 steps on these six mixtures, is below 1e-9
STEPS = 1000
MEASURES = ("RMSE", "median", "sliced W2")
NONE = float("inf")  # a sampler that does without so few evaluations
Errors = dict[str, list[float]]  # sampler -> its error at each number of evaluations


@torch.no_grad()
def measure(
    contestant: Contestant, dim: int, seed: int, starts: int, drawn: int, steps: int
) -> dict[str, Any]:
    """The errors by measure; "floor" is that of true samples, "failed" has what samplers say that fail.

    Without any drawn, stochastic samplers are left out.
    """
    mixture = Mixture(dim, seed=seed)
    z = torch.randn(starts, dim, generator=torch.Generator().manual_seed(7))
    ends: dict[Any, torch.Tensor] = {}

    def distances(solver: Solver) -> list[tuple[float, float]]:
        """RMSE and median at each number of evaluations."""
        errors = []
        for n in EVALUATIONS:
            x, start, calls = _solved(solver, mixture, z, n)
            if start not in ends:
                ends[start] = mixture.ode_end(z, start, steps)
            error = (x.double() - ends[start]).square().mean(1)
            found = error.mean().sqrt().item(), error.median().sqrt().item()
            errors.append(found if calls <= n else (NONE, NONE))
        return errors

    out: dict[str, Any] = {name: {} for name in (*MEASURES, "failed")}
    for name, solver in contestant.deterministic.items():
        try:
            out["RMSE"][name], out["median"][name] = (list(x) for x in zip(*distances(solver), strict=True))
        except Exception as error:  # the other samplers of the library go on
            out["failed"][name] = told(error)
    if not drawn:
        return out
    true, noise = mixture.draw(drawn, 11), torch.Generator().manual_seed(8)
    z = torch.randn(drawn, dim, generator=noise)
    for name, solver in contestant.stochastic.items():
        torch.manual_seed(3)
        try:
            made = [_solved(solver, mixture, z, n) for n in EVALUATIONS]
        except Exception as error:
            out["failed"][name] = told(error)
            continue
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
    starts, drawn, steps = (8, 64, 10) if plan.check else (STARTS, DRAWN, STEPS)
    return [
        worker(
            "accuracy", peer, _name(dim, seed), 1, once=True,
            dim=dim, seed=seed, starts=starts, drawn=drawn if seed == SHOWN else 0, steps=steps,
        )
        for dim in DIMS
        for seed in SEEDS
        for peer in (OURS, *PEERS)
    ]  # fmt: skip


def _name(dim: int, seed: int) -> str:
    return f"{dim}-D, mixture {seed}"


def section(outcomes: Outcomes) -> Section:
    tables, targets, failures, floors = [], [], [], []
    for name, shown in ((_name(dim, seed), seed == SHOWN) for dim in DIMS for seed in SEEDS):
        found = {
            peer: outcomes[peer, name].results[0]
            for peer in (OURS, *PEERS)
            if not absent(outcomes, [peer], name)
        }
        failed = {
            f"{peer} {sampler}": error
            for peer, result in found.items()
            for sampler, error in result["failed"].items()
        }
        failures += [f"{sampler}, {name}: {error}" for sampler, error in failed.items()]
        missing = [*absent(outcomes, PEERS, name), *(one for one in failed if not one.startswith(OURS))]
        for of in MEASURES:
            own: Errors = found.get(OURS, {}).get(of, {})
            others: Errors = {
                f"{peer} {sampler}": errors
                for peer, result in found.items()
                if peer != OURS
                for sampler, errors in result[of].items()
            }
            if shown:
                tables.append(_table(f"{name}, {of}", own, others))
            if of != "sliced W2":
                targets.append(_target(f"{name}, {of}", own, others, missing))
        if shown and OURS in found:
            floors.append(f"{number(found[OURS]['floor'])} ({name})")
    about = (
        "Mixtures of eight Gaussians with their exact denoisers, data of standard deviation 0.5, "
        f"{STARTS} starts; tables of mixture {SHOWN} (the seed), targets of {', '.join(map(str, SEEDS))}. "
        "The two parameters of our grid were chosen with the first in sight, the others had no part in any "
        "choice; peers have the grids that they offer. "
        f"Error against the ODE (Runge–Kutta 4, {STEPS:,} steps, whose own error is below 1e-9) from the "
        "sampler's own start: root mean square and median over starts. The best is picked anew in every "
        f"cell. Sliced W2 of stochastic samplers: {DRAWN:,} samples to as many true ones; two true sets are "
        f"{', '.join(floors) or '–'} apart."
    )
    return Section("Error of samplers at equal numbers of evaluations", about, tables, targets, failures)


def _table(title: str, own: Errors, others: Errors) -> Table:
    rows = [[name, *map(number, errors)] for name, errors in own.items()]
    rows.append(["**our best**", *(f"**{number(error)}**" for error, _ in _best(own))])
    theirs = (f"{number(error)} ({name})" for error, name in _best(others))
    rows.append([f"best of {len(others)} samplers of peers", *theirs])
    return Table((title, *map(str, EVALUATIONS)), rows)


def _target(of: str, own: Errors, others: Errors, missing: list[str]) -> Target:
    values = ()
    if own and others:
        values = tuple((a / b,) for (a, _), (b, _) in zip(_best(own), _best(others), strict=True))
    at = ", ".join(map(str, EVALUATIONS))
    what = f"error of samplers, {of}, at {at} evaluations: ours to the best peer"
    return Target(what, values, 1.0, missing=missing)


def _best(errors: Mapping[str, list[float]]) -> list[tuple[float, str]]:
    """At each number of evaluations the lowest error, and whose it is."""
    return [
        min(((e[i], name) for name, e in errors.items() if not math.isnan(e[i])), default=(NONE, "–"))
        for i in range(len(EVALUATIONS))
    ]


PART = Part(jobs, section)
