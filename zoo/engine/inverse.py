"""Back from data: estimates that agree with what was measured of them, and the noise that they come from.

A measurement y = A x leaves the part of x that A does not see. Putting A⁺y in the place of A⁺A x̂ at every
step makes samples agree with it exactly, whatever the sampler, and leaves the rest to the model.

The probability-flow ODE, walked the other way, leads from data to their noise.

References: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model",
eq. 13; Song et al. 2021, "Score-based generative modeling through SDEs", section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from zoo.engine.denoiser import Denoiser, Encoded
from zoo.engine.path import GaussianPath, expand


class Measured(Denoiser):
    """A denoiser whose estimates agree with a measurement.

    Args:
        denoiser: the one that is asked; without an encoder that standardises x.
        agree: x̂ to the nearest x̂ that agrees: x̂ + A⁺(y − A x̂).
    """

    def __init__(self, denoiser: Denoiser, agree: Callable[[Tensor], Tensor]):
        super().__init__()
        self.denoiser, self.path, self.agree = denoiser, denoiser.path, agree

    def colour(self, noise: Tensor) -> Tensor:
        return self.denoiser.colour(noise)

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return self.denoiser.encode(cond, mask)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return self.agree(self.denoiser(x_t, t, cond, mask))


@torch.no_grad()
def noise_of(denoiser: Denoiser, x: Tensor, times: Tensor, cond: dict[str, Tensor]) -> Tensor:
    """The unit noise from which the ODE leads to data x, by Heun's method: d(x/σ)/d(α/σ) = x̂.

    Args:
        denoiser: on a Gaussian path; without an encoder that standardises x.
        x: data, (B, *).
        times: of a sampler, from 1 to 0; they are walked backwards, the first step from next to 0.
        cond: encoded conditions.
    """
    path = denoiser.path
    if not isinstance(path, GaussianPath):
        raise TypeError(f"there is no such ODE on the path {type(path).__name__}")
    rising = times.flip(0).to(x).clone()
    rising[0] = rising[1] * 1e-3
    moments = [t.expand(len(x)) for t in rising]
    x = path.scales(expand(moments[0], x))[0] * x  # so near to the data, the noise is not seen
    x_hat = denoiser(x, moments[0], cond)
    for t, s in pairwise(moments):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = path.scales(expand(t, x)), path.scales(expand(s, x))
        ratio = sigma_s / sigma_t
        gain = alpha_s - alpha_t * ratio
        ahead = denoiser(ratio * x + gain * x_hat, s, cond)
        x = ratio * x + gain * (x_hat + ahead) / 2
        x_hat = denoiser(x, s, cond)
    return x / path.scales(expand(moments[-1], x))[1]
