"""Grids: the times that a sampler visits, from 1 (noise) to 0 (data).

    uniform    uniform in the path's own t
    shifted    t ← s t/(1 + (s − 1) t), s = 3: more steps near the noise (Esser et al. 2024)
    logsnr     uniform in λ = ln(α/σ)
    rho        uniform in (σ/α)^(1/ρ), ρ = 7 (Karras et al. 2022, eq. 5)
    logistic   λ at the quantiles of a logistic law of mean 0.6 and scale 1.25: fine where data of unit
               variance take their shape, and reaching over the whole line, so that no end need be cut off

"logsnr" and "rho" need a finite range: where the path has none, σ/α = 80 and 0.002 stand for its ends.
All but the first two give the same noise levels on every path.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.engine.objective import shifted
from zoo.engine.path import GaussianPath

SHIFT, RHO = 3.0, 7.0
LOGISTIC_MEAN, LOGISTIC_SCALE = 0.6, 1.25
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0

GRIDS = ("uniform", "shifted", "logsnr", "rho", "logistic")


def grid(path: GaussianPath, steps: int, kind: str = "logistic") -> Tensor:
    """Falling times from 1 to 0, of shape `(steps + 1,)`, in float64 on the CPU.

    Errors: ValueError if steps < 1 or the kind is unknown.

    >>> from zoo.engine import Linear
    >>> grid(Linear(), 4, "uniform").tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}, but a sampler takes at least one step")
    u = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    if kind == "uniform":
        return u
    if kind == "shifted":
        return shifted(u, SHIFT)
    # −∞ and ∞ on most paths
    noise, data = path.log_snr(torch.tensor([1.0, 0.0], dtype=torch.float64)).tolist()
    low, high = max(noise, -math.log(SIGMA_MAX)), min(data, -math.log(SIGMA_MIN))
    if kind == "logsnr":
        log_snr = high + u * (low - high)
    elif kind == "rho":
        a, b = math.exp(-high / RHO), math.exp(-low / RHO)
        log_snr = -RHO * torch.log(a + u * (b - a))
    elif kind == "logistic":
        a, b = (torch.sigmoid((LOGISTIC_MEAN - torch.tensor(end)) / LOGISTIC_SCALE) for end in (data, noise))
        log_snr = LOGISTIC_MEAN - LOGISTIC_SCALE * torch.logit(a + u * (b - a))
    else:
        raise ValueError(f"unknown grid {kind!r}: choose from {', '.join(GRIDS)}")
    times = path.time(log_snr)
    times[0], times[-1] = 1, 0
    return times


def remaining(path: GaussianPath, times: Tensor, strength: float) -> Tensor:
    """The times of a grid from where the share of noise, σ/(α + σ), is `strength`; that time comes first.

    Errors: ValueError if the strength is not in (0, 1), or beyond the noise that the path ends in.

    >>> from zoo.engine import Linear
    >>> remaining(Linear(), grid(Linear(), 4, "uniform"), 0.6).tolist()
    [0.6, 0.5, 0.25, 0.0]
    """
    if not 0 < strength < 1:
        raise ValueError(f"strength is {strength}, but a start in the middle needs one in (0, 1)")
    begin = path.time(torch.tensor([math.log(1 / strength - 1)], dtype=torch.float64))
    if not 0 < begin.item() <= 1:
        raise ValueError(f"strength {strength} lies beyond the ends of the path {type(path).__name__}")
    return torch.cat([begin.round(decimals=12), times[times < begin]])
