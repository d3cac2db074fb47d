"""One step in place of many: a denoiser is taught to land where the sampler of another one does.

A consistency function f(x_t, t) is the end, at t = 0, of the probability-flow ODE through x_t (Song et al.
2023, "Consistency models", section 3). Here it is learnt straight from a solver: the teacher's sampler is
run from x_t to the end, and the squared distance of f from there is made small (as Luhman & Luhman 2021,
"Knowledge distillation in iterative generative models", do for t = 1). That costs a few evaluations of the
teacher a step, without gradient, and needs neither a schedule of step sizes nor a moving target. The network
and its scaling stay what they are, so that any Gaussian sampler runs it: `euler` with one step gives f at
t = 1, and `consistency` walks in several, from an end back to a lower noise level. What reads the conditions
is not trained: teacher and student live in the same space.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from zoo.engine import schedule
from zoo.engine.denoiser import Batch, NetworkDenoiser
from zoo.engine.sampler import SAMPLERS

FROM_NOISE = 0.5  # share of the batches that start at t = 1, where one step is all


class Consistency(NetworkDenoiser):
    """A student of a trained denoiser, with weights of its own; its `loss` makes it a consistency function.

    Its state dict is that of a plain `NetworkDenoiser`, to be loaded into one when it has learnt.

    Args:
        teacher: whose weights the student starts with; not changed.
        steps: of the teacher's sampler, from t = 1 to the end; from elsewhere, as many as are left of these.
        sampler: of the teacher, deterministic.
        grid: of the teacher's steps.
    """

    def __init__(
        self, teacher: NetworkDenoiser, steps: int = 8, sampler: str = "adams2", grid: str = "uniform"
    ) -> None:
        network, encoder = deepcopy((teacher.network, teacher.encoder))
        super().__init__(network, teacher.path, teacher.scaling, teacher.objective, encoder, teacher._colour)
        self.times, self.sampler = schedule.grid(teacher.path, steps, grid), sampler
        if self.encoder is not None:
            self.encoder.requires_grad_(False)
        # in a tuple, where modules are not looked for: it is neither trained nor stored
        self._teacher = (deepcopy(teacher).eval().requires_grad_(False),)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared distance from where the teacher lands, of shape `(B,)`; one noise level for all."""
        teacher = self._teacher[0].to(batch.x.device)
        with torch.no_grad():
            encoded = teacher.encode(batch.cond, batch.mask)
        draw = torch.rand(2, generator=generator, device=generator.device).tolist()
        start = 1.0 if draw[0] < FROM_NOISE else max(draw[1], 1e-3)
        times = torch.cat([torch.tensor([start], dtype=torch.float64), self.times[self.times < start]])
        noise = torch.randn(batch.x.shape, generator=generator, device=generator.device).to(batch.x)
        z = encoded.standardise(batch.x)
        t = z.new_full((len(z),), start)
        noise = self.colour(noise)
        z_t = self.path.prior(noise) if start == 1 else self.path.corrupt(z, t, noise)
        if batch.mask is not None:
            z_t = torch.where(batch.mask, z_t, z)
        end = z_t
        with torch.no_grad():
            walk = SAMPLERS[self.sampler](teacher, z_t, times, cond=encoded.cond, mask=batch.mask, known=z)
            for end in walk:  # noqa: B007 (the last state is the end)
                pass
        return self.mean((self(z_t, t, encoded.cond, batch.mask) - end) ** 2, batch.mask, batch.weight)
