"""The optimiser of a training run: AdamW, and Muon for the matrices that the recipe names.

Muon (Jordan et al. 2024) makes the update of a matrix orthogonal, so that it moves in all directions alike.
That pays where inputs are strongly correlated, as the steps of a time series are. Its updates are scaled
to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2): one learning rate
and one weight decay serve both.
"""

from typing import Any

import torch
from torch import nn

from zoo.domain import Training
from zoo.errors import TrainingError


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
            torch.optim.AdamW(groups, lr=training.lr, betas=training.betas)
        ]
        # Muon knows matrices alone: a kernel (out, in, height, width) is one with a row an output.
        self.flat = {p: p.detach().view(len(p), -1) for name, p in named.items() if name in orthogonal}
        if orthogonal:
            self.parts.append(
                torch.optim.Muon(
                    list(self.flat.values()),
                    lr=training.lr,
                    weight_decay=training.weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )

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
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
