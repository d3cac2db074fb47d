"""Starting in the middle, and agreeing with measurements, where the answers are known."""

import pytest
import torch
from torch.nn import functional as F

from tests.engine.exact import Exact, gaussian, mixture
from zoo.engine import PATHS, Linear, Members, grid, sample
from zoo.engine.inverse import Measured, noise_of
from zoo.engine.schedule import remaining


@pytest.mark.parametrize("path_name", PATHS)
@pytest.mark.parametrize("strength", [0.2, 0.7])
def test_a_start_is_noised_and_drawn_anew(path_name, strength):
    """For Gaussian data the ODE keeps every quantile: an end is linear in its beginning."""
    path, std = PATHS[path_name](), 0.5
    denoiser = gaussian(path, 0.0, std)
    members = Members(0, range(2000))
    start = torch.full((1, 2), 0.8)
    ends = sample(denoiser, members, (2,), start=start, strength=strength, steps=60, sampler="heun").x
    alpha, sigma = path.scales(remaining(path, grid(path, 60), strength)[:1])
    spread = (alpha**2 * std**2 + sigma**2).sqrt()  # of x_t
    torch.testing.assert_close(ends.mean(), (alpha * 0.8 / spread * std).float()[0], atol=0.02, rtol=0)
    torch.testing.assert_close(ends.std(), (sigma / spread * std).float()[0], atol=0.02, rtol=0)


def test_strength_is_the_share_of_noise_on_every_path():
    for name, make in PATHS.items():
        path = make()
        times = remaining(path, grid(path, 20), 0.4)
        alpha, sigma = path.scales(times[:1])
        assert (sigma / (alpha + sigma)).item() == pytest.approx(0.4), name
        assert times[-1] == 0 and (times.diff() < 0).all()
    for strength in (0.0, 1.0, -1.0, 0.999):
        with pytest.raises(ValueError, match="strength"):
            remaining(PATHS["ve"](), grid(PATHS["ve"](), 20), strength)


@pytest.mark.parametrize("path_name", PATHS)
def test_the_noise_of_a_sample_is_the_one_that_it_was_drawn_from(path_name):
    path = PATHS[path_name]()
    denoiser, members = mixture(path), Members(0, range(200))
    noise = Members(0, range(200)).normal((2,)).double()
    x = sample(denoiser, members, (2,), steps=200, sampler="heun").x
    found = noise_of(denoiser, x.double(), grid(path, 200), {})
    assert (found - noise).abs().median() < 0.01
    assert (found - noise).pow(2).mean().sqrt() < 0.05


@pytest.mark.parametrize("sampler", ["euler", "heun", "adams2", "sde"])
def test_samples_agree_with_a_measurement_and_are_else_free(sampler):
    """Two pixels, independent and standard normal, whose mean is given: their difference stays normal."""
    denoiser = Exact(Linear(), torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    y = torch.full((1, 1, 1, 1), 0.7)

    def agree(x):
        flat = x.view(-1, 1, 1, 2)
        return (flat + F.interpolate(y - F.avg_pool2d(flat, (1, 2)), scale_factor=(1.0, 2.0))).view(x.shape)

    x = sample(Measured(denoiser, agree), Members(0, range(3000)), (2,), steps=64, sampler=sampler).x
    torch.testing.assert_close(x.mean(1), torch.full((3000,), 0.7))
    difference = x[:, 0] - x[:, 1]
    assert difference.mean().abs() < 0.1
    assert difference.std() == pytest.approx(2**0.5, rel=0.06)
