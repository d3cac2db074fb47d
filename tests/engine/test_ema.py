import pytest
import torch
from torch import nn

from zoo.engine import PowerEMA, reconstruct
from zoo.engine.ema import exponent

STEPS = 400


def walk(seed: int) -> torch.Tensor:
    """The weights of a small training: a drift with noise, of shape `(STEPS, 6)`."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(STEPS, 6, generator=generator, dtype=torch.float64)
    return torch.linspace(0, 3, STEPS, dtype=torch.float64)[:, None] + 0.3 * noise


def train(ema: PowerEMA, weights: torch.Tensor, first: int = 1, every: int = STEPS) -> list:
    snapshots = []
    for step, w in enumerate(weights, start=first):
        with torch.no_grad():
            ema.module.weight.copy_(w.view(2, 3))
        ema.update(step)
        if step % every == 0:
            snapshots += ema.snapshots()
    return snapshots


def module() -> nn.Linear:
    return nn.Linear(3, 2, bias=False, dtype=torch.float64)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_the_average_is_the_power_profile_of_its_width(width):
    ema = PowerEMA(module(), (width,))
    train(ema, torch.eye(6, dtype=torch.float64).repeat(STEPS // 6 + 1, 1)[:STEPS])
    # each of the six entries is 1 at every sixth step: together the average holds the whole profile's mass
    profile = torch.arange(1, STEPS + 1, dtype=torch.float64) ** (exponent(width) + 1)
    profile = profile.diff(prepend=torch.zeros(1, dtype=torch.float64)) / profile[-1]
    expected = torch.stack([profile[k::6].sum() for k in range(6)])
    torch.testing.assert_close(ema.averages[width]["weight"].flatten(), expected, rtol=2e-3, atol=1e-4)
    times = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
    mean = (profile * times).sum()
    assert ((profile * (times - mean) ** 2).sum().sqrt() / width - 1).abs() < 0.02


def test_another_width_is_rebuilt_from_two():
    weights = walk(0)
    kept = PowerEMA(module(), (0.05, 0.10))
    snapshots = train(kept, weights, every=STEPS // 8)
    for width in (0.03, 0.07, 0.15, 0.2):
        direct = PowerEMA(module(), (width,))
        train(direct, weights)
        goal = direct.averages[width]["weight"]
        error = (reconstruct(snapshots, width)["weight"] - goal).abs().max()
        nearest = min((kept.averages[w]["weight"] - goal).abs().max() for w in (0.05, 0.10))
        assert error < nearest / 3, (width, error, nearest)


def test_a_kept_width_is_rebuilt_exactly():
    kept = PowerEMA(module())
    snapshots = train(kept, walk(1), every=STEPS // 4)
    rebuilt = reconstruct(snapshots, 0.05)["weight"]
    torch.testing.assert_close(rebuilt, kept.averages[0.05]["weight"], rtol=1e-6, atol=1e-8)


def test_resuming_continues_bit_for_bit():
    weights = walk(2)
    whole, half, rest = (PowerEMA(module()) for _ in range(3))
    train(whole, weights)
    train(half, weights[: STEPS // 2])
    rest.load_state_dict(half.state_dict())
    train(rest, weights[STEPS // 2 :], first=STEPS // 2 + 1)
    assert all(torch.equal(a, rest.state_dict()[name]) for name, a in whole.state_dict().items())


def test_what_is_not_floating_point_is_copied():
    norm = nn.BatchNorm1d(2)
    ema = PowerEMA(norm)
    for step in (1, 2, 3):
        norm(torch.randn(4, 2))
        ema.update(step)
    assert ema.averages[0.05]["num_batches_tracked"] == 3
    assert reconstruct(ema.snapshots(), 0.07)["num_batches_tracked"] == 3


def test_bad_use_is_refused():
    ema = PowerEMA(module())
    with pytest.raises(ValueError, match="does not follow"):
        ema.update(2)
    with pytest.raises(ValueError, match="width"):
        PowerEMA(module(), (0.5,))
    with pytest.raises(ValueError, match="does not fit"):
        ema.load_state_dict(PowerEMA(module(), (0.05,)).state_dict())
    with pytest.raises(ValueError, match="no snapshots"):
        reconstruct([], 0.1)
