"""The optimiser: which parameters Muon trains, and what its step is."""

import pytest
import torch
from torch import nn

from zoo.domain import Training
from zoo.errors import TrainingError
from zoo.optimizer import Muon, Optimizer


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


def test_muon_steps_as_the_one_of_torch_bit_for_bit():
    torch.manual_seed(0)
    weights = [torch.randn(shape) for shape in ((12, 5), (5, 12))]
    ours, theirs = ([nn.Parameter(w.clone()) for w in weights] for _ in range(2))
    rate, decay = 0.01, 0.1
    muon = Muon(ours, rate, decay)
    torchs = torch.optim.Muon(theirs, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = q.grad = torch.randn_like(p)
        muon.step()
        torchs.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)


def test_a_kernel_is_a_matrix_with_a_row_an_output():
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(3, 8, 2, bias=False), nn.Linear(12, 8, bias=False)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.view(8, 12))
    gradient = torch.randn(8, 12)
    for module in (conv, linear):
        module.weight.grad = gradient.view_as(module.weight)
        optimizer = Optimizer(module, Training(muon=("weight",)))
        optimizer.step(0.01)
        optimizer.zero_grad()
        assert module.weight.grad is None
    torch.testing.assert_close(conv.weight.view(8, 12), linear.weight)


def test_without_muon_all_is_adamw():
    changed, rate = steps(())
    assert all(torch.allclose(change.abs(), torch.tensor(rate)) for change in changed.values())


def test_a_name_without_a_matrix_is_refused():
    with pytest.raises(TrainingError, match="muon names 'encoder'"):
        steps(("embed", "encoder"))
