"""Rules: how the estimates at hand weigh in a step of `zoo.engine.sampler.multistep`.

Such a step needs x̄ = ∫ x̂ du / ∫ du, u = α/σ. A rule makes it of the latest estimates, x̄ = Σ_j w_j x̂_j. For
every step it gives the weights w that predict its end, and those that correct it once x̂ is known there:

    constant               x̂ at t                                                     first order
    linear_in_log_snr      x̂ extrapolated linearly in λ from the step before          second order
    polynomial_in_angle    the integral of the polynomial through the last estimates   their number's order

The last makes an exponential Adams method that predicts and corrects. Its polynomial lives in the angle
θ = atan(σ/α): x̂ varies evenly in θ, and θ is finite at both ends of the path, so that the method starts
from pure noise and extrapolates to the data themselves. To correct, the estimate at the predicted end is
among the nodes, at no further evaluation. Where η puts noise in, the integrals are over d(u^(1 + η²)).

References: Lu et al. 2022 (DPM-Solver++); Zhao et al. 2023 (UniPC), who correct at no evaluation; Xue et al.
2023 (SA-Solver), stochastic Adams methods.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from zoo.engine.path import GaussianPath

# (path, times, η) -> the weights of the latest estimates that predict each step, and those that correct
# it (or none), of shape (steps, nodes) or (steps, nodes, B): the latest first, 0 for those not made yet
Rule = Callable[[GaussianPath, Tensor, float], tuple[Tensor, Tensor]]


def constant(path: GaussianPath, times: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """x̄ = x̂ at t."""
    weights = torch.ones_like(times[:-1]).unsqueeze(1)
    return weights, weights[:0]


def linear_in_log_snr(path: GaussianPath, times: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """x̄ = x̂ + h/(2 h_prev) (x̂ − x̂_prev), h the steps in λ (Lu et al. 2022, algorithm 2)."""
    alpha, sigma = path.landing(times)
    h = (alpha / sigma).log().diff(dim=0)
    # steps from pure noise or to the data are infinite in λ, and stay of first order
    back = torch.zeros_like(h)
    back[1:] = torch.where(h[1:].isfinite(), h[1:] / (2 * h[:-1]), 0.0)
    weights = torch.stack([1 + back, -back], 1)
    return weights, weights[:0]


def polynomial_in_angle(path: GaussianPath, times: Tensor, eta: float, order: int) -> tuple[Tensor, Tensor]:
    """x̄ = the mean under d(u^(1 + η²)) of the polynomial in θ through the latest estimates.

    They are as many as the order, fewer in the first steps. To correct, the end of the step is among them.
    """
    if order < 2:
        raise ValueError(f"order is {order}, but must be at least 2: for the first order, use euler")
    alpha, sigma = path.landing(times)
    theta = torch.atan2(sigma, alpha)
    return _adams(theta, order, 0, 1 + eta**2), _adams(theta[:-1], order, 1, 1 + eta**2)


@cache
def _gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1], from the eigenvalues of the Jacobi matrix (Golub & Welsch 1969)."""
    k = torch.arange(1, n, dtype=torch.float64)
    off = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(off.diag(1) + off.diag(-1))
    return (1 + values) / 2, vectors[0] ** 2


def _adams(theta: Tensor, order: int, ahead: int, power: float) -> Tensor:
    """The weights of x̂ at θ_{i + ahead}, θ_{i + ahead − 1}, ... for the step from θ_i to θ_{i + 1}."""
    q, gauss = _gauss_legendre(16)
    steps = len(theta) - 1
    weights = theta.new_zeros(steps, order, *theta.shape[1:])
    for nodes in range(1 + ahead, order + 1):
        first = nodes - 1 - ahead
        last = first + 1 if nodes < order else steps
        if first >= steps:
            break
        start, end = theta[first:last, ..., None], theta[first + 1 : last + 1, ..., None]
        at = torch.stack([theta[first + ahead - j : last + ahead - j] for j in range(nodes)], -1)
        # in log θ, the integrand is smooth down to the data, θ = 0, which 1e-6 stands for
        middle = start * (end / start).clamp(min=1e-6) ** q
        density = gauss * middle / torch.sin(middle) ** 2 * torch.tan(middle) ** (1 - power)
        exponents = torch.arange(nodes, dtype=theta.dtype)[:, None]
        powers = ((middle - start) / (start - end)).unsqueeze(-2) ** exponents
        moments = (density.unsqueeze(-2) * powers).sum(-1) / density.sum(-1, keepdim=True)
        vandermonde = ((at - start) / (start - end)).unsqueeze(-2) ** exponents
        weights[first:last, :nodes] = torch.linalg.solve(vandermonde, moments).movedim(-1, 1)
    return weights
