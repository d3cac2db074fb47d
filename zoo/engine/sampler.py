"""Samplers: from noise to data along a path, given a denoiser.

A sampler is a stateless generator function that yields the state after every step; the last is the sample. Callers own
the loop, and with it logging, early stops and snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from zoo.engine import schedule
from zoo.engine.denoiser import Denoiser, repeat
from zoo.engine.noise import Members


class Sampler(Protocol):
    """Yields the state after every step from x at times[0] down to times[-1].

    Args:
        denoiser: estimates the data; its path is followed.
        x: the state at times[0], with shape `(B, *)`.
        times: falling times with shape `(steps + 1,)`, or `(steps + 1, B)` for times of each sample's own.
        cond: encoded conditions.
        mask: True where x is to be generated; broadcasts to x.
        known: values of x where mask is False; they are kept exactly.
        noise: draws unit noise of the shape of x; the stochastic samplers need it.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        x: Tensor,
        times: Tensor,
        *,
        cond: dict[str, Tensor],
        mask: Tensor | None = None,
        known: Tensor | None = None,
        noise: Callable[[], Tensor] | None = None,
    ) -> Iterator[Tensor]: ...


def rows(table: Tensor, x: Tensor) -> list[Tensor]:
    """Split per-step numbers, `(steps,)` or `(steps, B)`, into tensors that broadcast against x."""
    return list(table.to(x).reshape(len(table), -1, *(1,) * (x.ndim - 1)).unbind())


def moments(times: Tensor, x: Tensor) -> list[Tensor]:
    """Split times, `(steps,)` or `(steps, B)`, into one t of shape `(B,)` a step."""
    return list(times.to(x).reshape(len(times), -1).expand(-1, len(x)).unbind())


def pin(x: Tensor, mask: Tensor | None, known: Tensor | None) -> Tensor:
    """x with the given values where mask is False."""
    return x if mask is None or known is None else torch.where(mask, x, known)


def euler(denoiser, x, times, *, cond, mask=None, known=None, noise=None, eta=0.0):
    """Euler's method = DDIM; eta in (0, 1] adds noise, eta = 1 is DDPM. One evaluation a step."""
    x = pin(x, mask, known)
    a, b, c = (rows(k, x) for k in denoiser.path.transition(times[:-1], times[1:], eta))
    for i, t in enumerate(moments(times[:-1], x)):
        x = torch.addcmul(a[i] * x, b[i], denoiser(x, t, cond, mask))
        if eta > 0:
            x = torch.addcmul(x, c[i], noise())
        x = pin(x, mask, known)
        yield x


def heun(denoiser, x, times, *, cond, mask=None, known=None, noise=None):
    """Heun's method, of second order: a step with the mean of x̂ at both its ends. Two evaluations a step, one in the last."""
    x = pin(x, mask, known)
    a, b, _ = (rows(k, x) for k in denoiser.path.transition(times[:-1], times[1:]))
    t = moments(times, x)
    for i in range(len(times) - 1):
        x_hat = denoiser(x, t[i], cond, mask)
        if i < len(times) - 2:
            ahead = pin(torch.addcmul(a[i] * x, b[i], x_hat), mask, known)
            x_hat = (x_hat + denoiser(ahead, t[i + 1], cond, mask)) / 2
        x = pin(torch.addcmul(a[i] * x, b[i], x_hat), mask, known)
        yield x


SAMPLERS: dict[str, Sampler] = {"euler": euler, "heun": heun}


@dataclass(frozen=True)
class Samples:
    """x of shape `(n, *shape)`, and the number of network evaluations that each member took."""

    x: Tensor
    evaluations: float


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    members: Members,
    shape: tuple[int, ...],
    *,
    cond: dict[str, Tensor] | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
    steps: int = 16,
    sampler: str = "heun",
    grid: str = "uniform",
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw one sample of the given shape for every member.

    Args:
        cond: raw conditions that lead with B0, a divisor of the number of members n; member i has condition i // (n/B0).
            They are encoded once.
        mask: True where x is to be generated; leads with 1, B0 or n and broadcasts to `(n, *shape)`.
        known: values where mask is False, in the same form; kept exactly. None: zeros.
        progress: called with (steps done, steps) after every step.

    Errors: ValueError for unknown names, steps < 1 and shapes that do not fit.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: choose from {', '.join(SAMPLERS)}")
    n = len(members)
    times = schedule.grid(denoiser.path, steps, grid)
    device = next((p.device for p in denoiser.parameters()), torch.device("cpu"))

    def noise() -> Tensor:
        return members.normal(shape).to(device)

    encoded = denoiser.encode(cond or {}, mask).repeat(n)
    x = denoiser.path.prior(noise())
    if mask is not None:
        mask = repeat(mask, n)
        known = torch.zeros_like(x) if known is None else repeat(known.to(x), n)
    z_known = None if known is None else encoded.standardise(known)
    evaluations = 0
    for done, x in enumerate(
        SAMPLERS[sampler](denoiser, x, times, cond=encoded.cond, mask=mask, known=z_known, noise=noise), start=1
    ):
        if progress is not None:
            progress(done, steps)
    return Samples(pin(encoded.restore(x), mask, known), evaluations)
