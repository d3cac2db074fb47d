"""Grids: the times that a sampler visits."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.engine.objective import shifted
from zoo.engine.path import GaussianPath


def grid(path: GaussianPath, steps: int, kind: str = "uniform") -> Tensor:
    """Falling times from 1 to 0, of shape `(steps + 1,)` and in float64, on the CPU."""
    if steps < 1:
        raise ValueError(f"steps is {steps}, but a sampler takes at least one step")
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    if kind == "uniform":
        return t
    if kind == "shifted":
        return shifted(t, 3.0)
    raise ValueError(f"unknown grid {kind!r}")
