"""Averages of the weights over training, with power-function profiles.

An average of relative width w at step n weighs the weights of step i ≤ n by p(i) ∝ i^γ, where γ follows
from w, the standard deviation of the profile over its length:

    w² = (γ + 1) / ((γ + 2)² (γ + 3)).

Unlike an exponential average, it forgets the start of training at any length. It is kept up by
θ̄ ← β_n θ̄ + (1 − β_n) θ with β_n = (1 − 1/n)^(γ + 1). From snapshots of two widths, taken now and then,
the average of any other width is rebuilt afterwards: the combination of their profiles that is nearest,
in least squares, to the profile wanted.

Reference: Karras et al. 2024, "Analyzing and improving the training dynamics of
diffusion models", section 3 and appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def exponent(width: float) -> float:
    """γ of the profile with the given relative width, in (0, 0.28].

    >>> round(exponent(0.10), 2), round(exponent(0.05), 2)
    (6.94, 16.97)
    """
    if not 0 < width <= 0.28:
        raise ValueError(f"the relative width of a weight average must lie in (0, 0.28], not {width}")
    low, high = 0.0, 2 / width  # the width falls in γ, and is below 1/γ
    for _ in range(100):
        gamma = (low + high) / 2
        too_wide = (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) > width**2
        low, high = (gamma, high) if too_wide else (low, gamma)
    return (low + high) / 2


@dataclass(frozen=True)
class Snapshot:
    """The average of one width at one step: entries of a module's `state_dict`."""

    step: int
    width: float
    weights: dict[str, Tensor]


class PowerEMA:
    """Keeps up averages of a module's weights, one a width. What is not floating point is copied."""

    def __init__(self, module: nn.Module, widths: Sequence[float] = (0.05, 0.10)):
        self.module = module
        self.exponents = {width: exponent(width) for width in widths}
        start = module.state_dict()
        self.averages = {width: {k: v.detach().clone() for k, v in start.items()} for width in widths}
        self.step = 0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the module's weights after the given training step, which counts from 1."""
        if step != self.step + 1:
            raise ValueError(f"step {step} does not follow step {self.step}, the last one in the average")
        weights = self.module.state_dict()
        real = [name for name, value in weights.items() if value.is_floating_point()]
        for width, average in self.averages.items():
            rest = 1 - (1 - 1 / step) ** (self.exponents[width] + 1)
            # all at once: a call for each of hundreds of small weights takes longer than the arithmetic
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage] (as torch.optim does)
                [average[name] for name in real], [weights[name] for name in real], rest
            )
            for name in weights.keys() - real:
                average[name].copy_(weights[name])
        self.step = step

    def snapshots(self) -> list[Snapshot]:
        """Copies of the averages as they stand, one a width: for `reconstruct`."""
        return [
            Snapshot(self.step, width, {k: v.clone() for k, v in average.items()})
            for width, average in self.averages.items()
        ]

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as flat tensors: `step` and `<width>/<name>`."""
        flat = {f"{width}/{k}": v for width, average in self.averages.items() for k, v in average.items()}
        return {"step": torch.tensor(self.step), **flat}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from `state_dict`. Errors: ValueError if its widths or names are not these."""
        mine = self.state_dict()
        if odd := mine.keys() ^ state.keys():
            raise ValueError(f"the saved average does not fit this one: {', '.join(sorted(odd)[:3])}, ...")
        self.step = int(state["step"])
        for name, value in mine.items():
            if name != "step":
                value.copy_(state[name])


def _overlap(a: tuple[int, float], b: tuple[int, float]) -> float:
    """∫ p_a p_b of the profiles p = (γ + 1) i^γ / n^(γ + 1) on [0, n], for (n, γ) each."""
    (n, gamma), (m, delta) = sorted((a, b))
    return (gamma + 1) * (delta + 1) / (gamma + delta + 1) * (n / m) ** delta / m


def reconstruct(snapshots: Sequence[Snapshot], width: float) -> dict[str, Tensor]:
    """The average of the given width at the last step of the snapshots, rebuilt from them (appendix C.2).

    Entries that are not floating point are those of the last snapshot.
    """
    if not snapshots:
        raise ValueError("no snapshots: nothing to rebuild an average from")
    last = max(snapshots, key=lambda s: s.step)
    profiles = [(s.step, exponent(s.width)) for s in snapshots]
    wanted = (last.step, exponent(width))
    a = torch.tensor([[_overlap(p, q) for q in profiles] for p in profiles], dtype=torch.float64)
    b = torch.tensor([[_overlap(p, wanted)] for p in profiles], dtype=torch.float64)
    c = torch.linalg.lstsq(a, b, driver="gelsd").solution.flatten()
    c = (c / c.sum()).tolist()
    rebuilt = {}
    for name, value in last.weights.items():
        if value.is_floating_point():
            total = sum(c_i * s.weights[name].double() for c_i, s in zip(c, snapshots, strict=True))
            value = torch.as_tensor(total).to(value)
        rebuilt[name] = value.clone()
    return rebuilt
