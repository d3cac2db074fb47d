"""Guidance: denoisers made of denoisers, which push the estimate away from a worse one.

    x̂ = x̂_bad + w (x̂_good − x̂_bad)

w = 1 leaves the good estimate as it is, w > 1 trades diversity for fidelity. Outside an interval
of times, only the good denoiser is asked, which costs nothing and keeps diversity
(Kynkäänniemi et al. 2024).

References: Ho & Salimans 2022, "Classifier-free diffusion guidance"; Karras et al. 2024, "Guiding a
diffusion model with a bad version of itself".
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.engine.denoiser import Denoiser, Encoded, repeat
from zoo.engine.path import expand

GOOD, BAD = "good/", "bad/"  # mark the encoded conditions of either estimate, also where guides are nested


def _join(good: Encoded, bad: Encoded) -> Encoded:
    """Both encoded conditions in one; they must standardise alike, for x_t to mean the same to both."""
    for a, b in ((good.loc, bad.loc), (good.scale, bad.scale)):
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        if not torch.allclose(*torch.broadcast_tensors(a, b.to(a))):
            raise ValueError(
                "the two sides of guidance standardise x differently (loc and scale of their encoders): "
                "their estimates cannot be combined"
            )
    cond = {prefix + name: v for prefix, side in ((GOOD, good), (BAD, bad)) for name, v in side.cond.items()}
    return Encoded(cond, good.loc, good.scale)


def _side(cond: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in cond.items() if name.startswith(prefix)}


def _inside(t: Tensor, interval: tuple[float, float]) -> Tensor | None:
    """Which times to guide at; None: all, so that nobody needs to wait for a GPU to ask."""
    return None if interval == (0, 1) else (interval[0] <= t) & (t <= interval[1])


def _extrapolate(good: Tensor, bad: Tensor, weight: float, inside: Tensor | None) -> Tensor:
    guided = torch.lerp(bad, good, weight)
    return guided if inside is None else torch.where(expand(inside, good), guided, good)


def _check(interval: tuple[float, float]) -> None:
    if not 0 <= interval[0] < interval[1] <= 1:
        raise ValueError(f"the interval of guidance is {interval}, but needs 0 <= low < high <= 1")


class ClassifierFree(Denoiser):
    """Guide away from the unconditional estimate of the same denoiser, for t in an interval.

    Args:
        denoiser: trained with and without its conditions.
        weight: w; 1 is the conditional estimate, 0 the unconditional one.
        null: raw conditions that stand for "none", each leading with 1; they replace those of the same name.
        interval: times t between which to guide; both estimates are made in one call there.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        weight: float,
        null: dict[str, Tensor],
        interval: tuple[float, float] = (0.0, 1.0),
    ):
        super().__init__()
        _check(interval)
        self.denoiser, self.path = denoiser, denoiser.path
        self.weight, self.null, self.interval = weight, null, interval

    def colour(self, noise: Tensor) -> Tensor:
        return self.denoiser.colour(noise)

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        if missing := self.null.keys() - cond.keys():
            raise ValueError(f"guidance replaces the conditions {sorted(missing)}, but they are not given")
        null = {name: repeat(value.to(cond[name]), len(cond[name])) for name, value in self.null.items()}
        return _join(self.denoiser.encode(cond, mask), self.denoiser.encode(cond | null, mask))

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        good, bad = _side(cond, GOOD), _side(cond, BAD)
        inside = _inside(t, self.interval)
        if inside is not None and not inside.any():
            return self.denoiser(x_t, t, good, mask)
        n = len(x_t)
        both = {name: torch.cat([repeat(good[name], n), repeat(bad[name], n)]) for name in good}
        masks = None if mask is None else torch.cat([repeat(mask, n)] * 2)
        alike = n == 1 or t.stride(0) == 0  # one time for all stays one for all
        times = t[:1].expand(2 * n) if alike else torch.cat([t, t])
        x_hat, x_null = self.denoiser(torch.cat([x_t, x_t]), times, both, masks).chunk(2)
        return _extrapolate(x_hat, x_null, self.weight, inside)


class Autoguidance(Denoiser):
    """Guide away from a worse denoiser (smaller, or an earlier snapshot), for t in an interval.

    Args:
        denoiser: the good one.
        guide: the worse one, on the same path, under the same conditions.
        weight: w; 1 is the good estimate.
        interval: times t between which to guide.
    """

    def __init__(
        self, denoiser: Denoiser, guide: Denoiser, weight: float, interval: tuple[float, float] = (0.0, 1.0)
    ):
        super().__init__()
        _check(interval)
        if denoiser.path != guide.path:
            raise ValueError(f"both denoisers must be on one path, not {denoiser.path} and {guide.path}")
        self.denoiser, self.guide, self.path = denoiser, guide, denoiser.path
        self.weight, self.interval = weight, interval

    def colour(self, noise: Tensor) -> Tensor:
        return self.denoiser.colour(noise)

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return _join(self.denoiser.encode(cond, mask), self.guide.encode(cond, mask))

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        good, bad = _side(cond, GOOD), _side(cond, BAD)
        x_hat = self.denoiser(x_t, t, good, mask)
        inside = _inside(t, self.interval)
        if inside is not None and not inside.any():
            return x_hat
        return _extrapolate(x_hat, self.guide(x_t, t, bad, mask), self.weight, inside)
