"""The optimiser of a training run: AdamW, and Muon for the matrices that the recipe names.

Muon (Jordan et al. 2024) makes the update of a matrix orthogonal, so that it moves in all directions alike.
That pays where inputs are strongly correlated, as the steps of a time series are. Its updates are scaled
to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2): one learning rate
and one weight decay serve both.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo import parallel
from zoo.domain import Training
from zoo.errors import TrainingError

# on many tensors in one call, as torch.optim does it: for small ones, calls take longer than arithmetic
add_: Any = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
lerp: Any = torch._foreach_lerp  # pyright: ignore[reportPrivateImportUsage]
lerp_: Any = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
mul_: Any = torch._foreach_mul_  # pyright: ignore[reportPrivateImportUsage]
MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)  # of a Newton-Schulz step, by Jordan et al.: steep at 0


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About U Vᵀ of matrices U S Vᵀ, (K, m, n), in bfloat16: singular values near 1, by Newton-Schulz."""
    a, b, c = QUINTIC
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """The steps of `torch.optim.Muon`, for matrices that may be sharded.

    Momentum and weights stay sharded; what is made orthogonal must be whole, and is put together once a step.
    Matrices of one shape are made so together: a network has many, and each takes fifteen small products.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] (no closure)
        for group in self.param_groups:
            rate, decay = group["lr"], group["weight_decay"]
            alike: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                gradients = [one.grad for one in matrices if one.grad is not None]
                momenta = [self._momentum(matrix) for matrix in matrices]
                lerp_(momenta, gradients, 1 - MOMENTUM)
                ahead = [parallel.whole(one) for one in lerp(gradients, momenta, MOMENTUM)]  # Nesterov's
                updates = orthogonal(torch.stack(ahead))
                pairs = zip(updates.to(matrices[0].dtype), matrices, strict=True)
                mul_(matrices, 1 - rate * decay)
                alpha = -rate * (0.2 * max(shape) ** 0.5)
                add_(matrices, [parallel.like(update, matrix) for update, matrix in pairs], alpha=alpha)

    def _momentum(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


class Optimizer:
    """Trains the parameters of a module that require a gradient.

    Raises:
        TrainingError: if a part named in `training.muon` is in the name of no matrix.
    """

    def __init__(self, module: nn.Module, training: Training) -> None:
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        of_part = {part: {name for name in named if part in name} for part in training.muon}
        orthogonal = {name for names in of_part.values() for name in names if named[name].ndim >= 2}
        for part, names in of_part.items():
            if not names & orthogonal:
                raise TrainingError(
                    f"the recipe's muon names {part!r}, but no matrix of the network is called so"
                )
        matrices = [p for name, p in named.items() if p.ndim >= 2 and name not in orthogonal]
        others = [p for p in named.values() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=training.lr, betas=training.betas, fused=True)
        ]
        # Muon knows matrices alone: a kernel (out, in, height, width) is one with a row an output.
        self.flat = {p: p.detach().view(len(p), -1) for name, p in named.items() if name in orthogonal}
        if orthogonal:
            self.parts.append(Muon(self.flat.values(), training.lr, training.weight_decay))

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)
        for p in self.flat:
            p.grad = None

    def step(self, rate: float) -> None:
        """One step with this learning rate."""
        for p, matrix in self.flat.items():
            matrix.grad = None if p.grad is None else p.grad.view_as(matrix)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continues from a `state_dict` of whole tensors, however the parameters are sharded."""
        for part, saved in zip(self.parts, states, strict=True):
            parameters = [p for group in part.param_groups for p in group["params"]]
            moments = {
                i: {
                    key: value if key == "step" else parallel.like(value, parameters[i])
                    for key, value in of_one.items()
                }
                for i, of_one in saved["state"].items()
            }
            part.load_state_dict(saved | {"state": moments})
