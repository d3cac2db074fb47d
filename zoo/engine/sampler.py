"""Samplers: from noise to data along a Gaussian path, given a denoiser.

With u = α/σ, the probability-flow ODE is d(x/σ)/du = x̂, whatever the path. Over a step from t to s
its solution is

    x_s = a x_t + b x̄,    a = σ_s/σ_t,    b = α_s − α_t a,    x̄ = ∫ x̂ du / ∫ du,

so that a deterministic sampler is a choice of x̄, a weighted mean of the estimates at hand:

    euler      x̂ at t: Euler's method = DDIM
    heun       the mean of x̂ at both ends                                  second order, two evaluations
    dpmpp2m    x̂ extrapolated linearly in λ from the step before           second order
    adams2/3   the integral of the polynomial through the last estimates   second/third order

Those of one evaluation a step are `multistep` with a rule of `zoo.engine.rules`, which weighs the estimates.
adams predicts and corrects: once x̂ is known at the predicted end of a step, the step is taken again with
that estimate among the others, at no further evaluation.

Noise is put in as in `GaussianPath.step`, by η in [0, 1]. In the limit of small steps, that is the SDE

    dx = [v − (w/2) ∇ ln p] dt + √w dW (backward in time),    w = 2 η² σ² |dλ/dt|,

which has the marginals of the ODE for every η; its x̄ is weighted by d(u^(1 + η²)). "ddpm" is euler and
"sde" is adams2 for η = 1. "churn" is heun, where each step first raises the noise by a factor and then
evaluates the network at the raised point and the raised level.

A sampler is a stateless generator function that yields the state after every step; the last is the
sample. Callers own the loop, and with it logging, early stops and snapshots.

References: Song et al. 2021 (DDIM); Karras et al. 2022 (EDM), algorithms 1 and 2. `zoo.engine.rules` names
those of dpmpp2m and adams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.engine import schedule
from zoo.engine.denoiser import Denoiser, repeat
from zoo.engine.noise import NoiseSource
from zoo.engine.path import GaussianPath
from zoo.engine.rules import Rule, constant, linear_in_log_snr, polynomial_in_angle

Noise = Callable[[], Tensor]


class Sampler(Protocol):
    """Yields the state after every step from x at times[0] down to times[-1].

    Args:
        denoiser: estimates the data; its path is followed.
        x: the state at times[0], with shape `(B, *)`.
        times: falling times on the CPU with shape `(steps + 1,)`, or `(steps + 1, B)` for each sample's own.
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
        noise: Noise | None = None,
    ) -> Iterator[Tensor]: ...


def _gaussian(denoiser: Denoiser) -> GaussianPath:
    if not isinstance(denoiser.path, GaussianPath):
        raise TypeError(f"this sampler follows a Gaussian path, not {type(denoiser.path).__name__}")
    return denoiser.path


def _source(noise: Noise | None) -> Noise:
    if noise is None:
        raise ValueError("a stochastic sampler draws noise: pass noise, a function that returns it like x")
    return noise


Weights = Sequence[Sequence[Tensor | float]]  # of the terms of every step


def _numbers(table: Tensor, dtype: torch.dtype) -> Weights:
    """Numbers of every step, `(steps, k)`, for an x of this type.

    With them a sum takes fewer passes over memory than with tensors. The first of a step multiplies, which is
    twice as fast for a small x where it is a tensor of no dimensions.
    """
    table = table.to("cpu", dtype)
    return [[first, *row[1:]] for first, row in zip(table[:, 0].unbind(), table.tolist(), strict=True)]


def _weights(table: Tensor, x: Tensor) -> Weights:
    """`_numbers`, or of each sample's own, `(steps, k, B)`, tensors that broadcast against x."""
    if table.ndim == 2:
        return _numbers(table, x.dtype)
    shaped = table.to(x).reshape(*table.shape, *(1,) * (x.ndim - 1))
    return [list(row.unbind()) for row in shaped.unbind()]


def _moments(times: Tensor, x: Tensor) -> list[Tensor]:
    """Split times, `(steps,)` or `(steps, B)`, into one t of shape `(B,)` a step."""
    return list(times.to(x).reshape(len(times), -1).expand(-1, len(x)).unbind())


def _check(times: Tensor, x: Tensor) -> None:
    if times.shape not in ((len(times),), (len(times), len(x))) or len(times) < 2:
        raise ValueError(
            f"times must be of shape (steps + 1,) or (steps + 1, {len(x)}), not {tuple(times.shape)}"
        )
    if not (times[1:] < times[:-1]).all():
        raise ValueError("times must fall from step to step")


def _pin(x: Tensor, mask: Tensor | None, known: Tensor | None) -> Tensor:
    """x with the given values where mask is False."""
    return x if mask is None or known is None else torch.where(mask, x, known)


def _sum(weights: Sequence[Tensor | float], terms: Sequence[Tensor]) -> Tensor:
    """Σ weights · terms, over the terms that there are."""
    total = weights[0] * terms[0]
    for weight, term in zip(weights[1:], terms[1:], strict=False):
        if isinstance(weight, Tensor):
            total.addcmul_(weight, term)
        else:
            total.add_(term, alpha=weight)
    return total


def multistep(
    denoiser: Denoiser,
    x: Tensor,
    times: Tensor,
    *,
    cond: dict[str, Tensor],
    mask: Tensor | None = None,
    known: Tensor | None = None,
    noise: Noise | None = None,
    rule: Rule,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """x_s = a x_t + b Σ_j w_j x̂_j + c z, with one evaluation a step.

    The weights w come from the rule: those that predict and, once x̂ is known at s, those that correct.
    """
    _check(times, x)
    draw = _source(noise) if eta > 0 else None
    path = _gaussian(denoiser)
    predict, correct, kicks = _steps(path, times, rule, eta, x)
    start, kick, estimates = x, None, []
    x = _pin(x, mask, known)
    for i, t in enumerate(_moments(times[:-1], x)):
        estimates = [denoiser(x, t, cond, mask), *estimates[: len(predict[i]) - 2]]
        if correct and i > 0:
            x = _sum(correct[i - 1], [start, *estimates])
            x = x if kick is None else x + kick
        start = x
        x = _sum(predict[i], [start, *estimates])
        if draw is not None:
            kick = kicks[i][0] * draw()
            x = x + kick
        x = _pin(x, mask, known)
        yield x


def _steps(path: GaussianPath, times: Tensor, rule: Rule, eta: float, x: Tensor) -> tuple[Weights, ...]:
    """`_tables` for x."""
    if times.ndim == 1:
        return _known_steps(path, tuple(times.tolist()), rule, eta, x.dtype)
    return tuple(_weights(table, x) for table in _tables(path, times, rule, eta))


def _tables(path: GaussianPath, times: Tensor, rule: Rule, eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of each step, the weights of the state and the estimates, to predict and to correct; of the noise."""
    a, b, c = path.transition(times[:-1], times[1:], eta)
    predict, correct = (
        torch.cat([a[: len(w), None], b[: len(w), None] * w], 1) for w in rule(path, times, eta)
    )
    return predict, correct, c[:, None]


@lru_cache(256)  # they take longer than a small network, and a policy asks for the same ones all the time
@torch.inference_mode(False)  # what is kept must serve outside that mode as well
def _known_steps(
    path: GaussianPath, times: tuple[float, ...], rule: Rule, eta: float, dtype: torch.dtype
) -> tuple[Weights, ...]:
    """Those of `_tables`, of times that are the same for all; for an x of this type."""
    tables = _tables(path, torch.tensor(times, dtype=torch.float64, device="cpu"), rule, eta)
    return tuple(_numbers(table, dtype) for table in tables)


def heun(
    denoiser: Denoiser,
    x: Tensor,
    times: Tensor,
    *,
    cond: dict[str, Tensor],
    mask: Tensor | None = None,
    known: Tensor | None = None,
    noise: Noise | None = None,
    churn: float = 0.0,
) -> Iterator[Tensor]:
    """Heun's method, of second order, with two evaluations a step but one in the last.

    With churn > 0, each step first raises σ/α by the factor 1 + min(churn/steps, √2 − 1), at most to the
    level of t = 1 (EDM's stochastic sampler, algorithm 2).
    """
    _check(times, x)
    path = _gaussian(denoiser)
    if churn > 0:
        draw = _source(noise)
        gain = min(churn / (len(times) - 1), 2**0.5 - 1)
        raised = path.time(path.log_snr(times[:-1]) - math.log1p(gain)).clamp(max=1)
        lift = _weights(torch.stack(path.raising(times[:-1], raised), 1), x)
        step = _weights(torch.stack(path.transition(raised, times[1:])[:2], 1), x)
    else:
        draw, raised, lift = None, times[:-1], []
        step = _steps(path, times, constant, 0.0, x)[0]
    at, ahead = _moments(raised, x), _moments(times[1:], x)
    x = _pin(x, mask, known)
    for i, t in enumerate(at):
        if draw is not None:
            x = _pin(_sum(lift[i], [x, draw()]), mask, known)
        x_hat = denoiser(x, t, cond, mask)
        x = _pin(_sum(step[i], [x, x_hat]), mask, known)
        if i < len(at) - 1:  # the mean of both estimates, from where the first one has led
            more, half = denoiser(x, ahead[i], cond, mask) - x_hat, step[i][1] / 2
            end = x.addcmul(half, more) if isinstance(half, Tensor) else x.add(more, alpha=half)
            x = _pin(end, mask, known)
        yield x


def consistency(
    denoiser: Denoiser,
    x: Tensor,
    times: Tensor,
    *,
    cond: dict[str, Tensor],
    mask: Tensor | None = None,
    known: Tensor | None = None,
    noise: Noise | None = None,
) -> Iterator[Tensor]:
    """Takes each estimate for the end and noises it anew to the next level (Song et al. 2023, algorithm 1).

    For denoisers that `zoo.engine.fewstep` has taught; with one step, it is euler.
    """
    _check(times, x)
    path = _gaussian(denoiser)
    x = _pin(x, mask, known)
    moments = _moments(times, x)
    for i, t in enumerate(moments[:-1]):
        x = denoiser(x, t, cond, mask)
        if i < len(moments) - 2:
            x = path.corrupt(x, moments[i + 1], _source(noise)())
        x = _pin(x, mask, known)
        yield x


euler = partial(multistep, rule=constant)
dpmpp2m = partial(multistep, rule=linear_in_log_snr)
adams2 = partial(multistep, rule=partial(polynomial_in_angle, order=2))
adams3 = partial(multistep, rule=partial(polynomial_in_angle, order=3))

SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "ddpm": partial(euler, eta=1.0),
    "heun": heun,
    "churn": partial(heun, churn=40.0),
    "dpmpp2m": dpmpp2m,
    "adams2": adams2,
    "adams3": adams3,
    "sde": partial(adams2, eta=1.0),
    "consistency": consistency,
}


@dataclass(frozen=True)
class Samples:
    """x of shape `(n, *shape)`, and the number of network evaluations that each member took."""

    x: Tensor
    evaluations: float


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    members: NoiseSource,
    shape: Sequence[int],
    *,
    cond: dict[str, Tensor] | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
    steps: int = 16,
    sampler: str = "adams2",
    grid: str | Tensor = "logistic",
    start: Tensor | None = None,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw one sample of the given shape for every member.

    Args:
        cond: raw conditions that lead with B0, a divisor of the number of members n; member i has
            condition i // (n/B0). They are encoded once.
        mask: True where x is to be generated; leads with 1, B0 or n and broadcasts to `(n, *shape)`.
        known: values where mask is False, in the same form; kept exactly. None: zeros.
        grid: a kind of grid, or the times themselves (then their number decides on the steps).
        start: data to begin with in place of pure noise, in the form of `known`: they are noised as far as
            `strength` says, and what is left of the grid is taken from there (Meng et al. 2022, SDEdit).
        strength: share of noise in that mixture, σ/(α + σ), in (0, 1).
        progress: called with (steps done, steps) after every step.

    Errors: ValueError for unknown names, steps < 1 and shapes that do not fit.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: choose from {', '.join(SAMPLERS)}")
    if known is not None and mask is None:
        raise ValueError("known values need a mask: False where they are given, True where to generate")
    times = schedule.grid(_gaussian(denoiser), steps, grid) if isinstance(grid, str) else grid.double().cpu()
    n = len(members)
    device = next((p.device for p in denoiser.parameters()), torch.device("cpu"))

    def noise() -> Tensor:
        return denoiser.colour(members.normal(shape).to(device))

    encoded = denoiser.encode(cond or {}, mask).repeat(n)
    if start is None:
        x = denoiser.path.prior(noise())
    else:
        times = schedule.remaining(_gaussian(denoiser), times, strength)
        begin = encoded.standardise(repeat(start.to(device), n))
        x = denoiser.path.corrupt(begin, times[:1].to(begin).expand(n), noise())
    if mask is not None:
        mask = repeat(mask, n)
        known = torch.zeros_like(x) if known is None else repeat(known.to(x), n)
    given = None if known is None else encoded.standardise(known)

    rows = 0

    def count(module: nn.Module, args: tuple, output: Tensor) -> None:
        nonlocal rows
        rows += len(output)

    run = SAMPLERS[sampler](denoiser, x, times, cond=encoded.cond, mask=mask, known=given, noise=noise)
    hooks = [leaf.register_forward_hook(count) for leaf in denoiser.leaves()]
    try:
        for done, x in enumerate(run, start=1):  # noqa: B007 (the last x is the sample)
            if progress is not None:
                progress(done, len(times) - 1)
    finally:
        for hook in hooks:
            hook.remove()
    return Samples(_pin(encoded.restore(x), mask, known), rows / n)
