"""Estimates that agree with what was measured: denoisers made of denoisers, for linear inverse problems.

A measurement y = A x leaves the part of x that A does not see. Putting A⁺y in the place of A⁺A x̂ at every
step makes samples agree with it exactly, whatever the sampler, and leaves the rest to the model.

Reference: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model", eq. 13.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from zoo.engine.denoiser import Denoiser, Encoded


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
