"""The optimiser: which parameters Muon trains, and what its step is."""

import pytest
import torch
from torch import nn

from zoo.domain import Training
from zoo.errors import TrainingError
from zoo.optimizer import Optimizer


def steps(muon: tuple[str, ...]) -> tuple[dict[str, torch.Tensor], float]:
    """The change of every parameter in one step without decay, for gradients that prefer one direction."""
    torch.manual_seed(0)
    module = nn.ModuleDict({"embed": nn.Linear(24, 12), "out": nn.Linear(12, 4)})
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for p in module.parameters():
        p.grad = torch.randn_like(p)
        if p.ndim == 2:
            p.grad *= torch.logspace(0, -1, p.shape[1])
    optimizer = Optimizer(module, Training(weight_decay=0.0, muon=muon))
    optimizer.step(rate := 0.01)
    return {name: p.detach() - before[name] for name, p in module.named_parameters()}, rate


def test_muon_moves_a_matrix_alike_in_all_directions_as_far_as_adamw_would():
    changed, rate = steps(("embed",))
    strengths = torch.linalg.svdvals(changed["embed.weight"]) / (0.2 * rate * 24**0.5)
    assert 0.6 < strengths.min() < strengths.max() < 1.3  # five Newton-Schulz steps come as near to 1 as this
    for name in ("embed.bias", "out.weight", "out.bias"):  # the first step of Adam is the rate
        torch.testing.assert_close(changed[name].abs(), torch.full_like(changed[name], rate))


def test_without_muon_all_is_adamw():
    changed, rate = steps(())
    assert all(torch.allclose(change.abs(), torch.tensor(rate)) for change in changed.values())


def test_a_name_without_a_matrix_is_refused():
    with pytest.raises(TrainingError, match="muon names 'encoder'"):
        steps(("embed", "encoder"))
