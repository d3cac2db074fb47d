import math

import pytest
import torch

from zoo.engine import PATHS, Linear, VarianceExploding, expand

SHAPE = (5, 3, 4, 4)
T = torch.tensor([0.05, 0.3, 0.5, 0.8, 1.0], dtype=torch.float64)


@pytest.fixture(params=sorted(PATHS))
def path(request):
    return PATHS[request.param]()


def normal(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_expand_refuses_a_time_that_does_not_fit():
    with pytest.raises(ValueError, match=r"t has shape \(3,\)"):
        expand(torch.zeros(3), torch.zeros(2, 3))


def test_log_snr_falls_and_time_inverts_it(path):
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    log_snr = path.log_snr(t)
    assert (log_snr.diff() < 0).all()
    torch.testing.assert_close(path.time(log_snr), t)


def test_ends(path):
    alpha, sigma = path.scales(torch.tensor([0.0, 1.0], dtype=torch.float64))
    expected = ([1, 1], [0.002, 80]) if isinstance(path, VarianceExploding) else ([1, 0], [0, 1])
    torch.testing.assert_close(torch.stack([alpha, sigma]), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_alpha_is_exactly_zero_in_pure_noise(name):
    """Even in float32, so that a denoiser that divides by α is found out."""
    assert PATHS[name]().scales(torch.ones(1))[0].item() == 0


def test_a_step_with_the_true_data_follows_the_path(path):
    x, noise, s = normal(0), normal(1), T / 2
    x_s = path.step(path.corrupt(x, T, noise), x, T, s)
    torch.testing.assert_close(x_s, path.corrupt(x, s, noise))


def test_a_step_to_zero_lands_on_the_estimate(path):
    x, x_hat = normal(0), normal(1)
    for eta in (0.0, 1.0):
        landed = path.step(x, x_hat, T, torch.zeros_like(T), eta=eta, noise=normal(2))
        torch.testing.assert_close(landed, x_hat)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_steps_keep_the_marginals(path, eta):
    """x_t = α_t x + σ_t ε goes to mean α_s x and variance σ_s², whatever eta."""
    s = T / 3
    a, b, c = path.transition(T, s, eta)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = path.scales(T), path.scales(s)
    torch.testing.assert_close(a * alpha_t + b, alpha_s)
    torch.testing.assert_close((a * sigma_t) ** 2 + c**2, sigma_s**2)


def test_eta_one_is_the_ddpm_posterior():
    """q(x_s | x_t, x) by Bayes' rule from q(x_t | x_s) and q(x_s | x) (Ho et al. 2020, eq. 6-7)."""
    path, t, s = PATHS["cosine"](), torch.tensor([0.7]).double(), torch.tensor([0.6]).double()
    (alpha_t, sigma_t), (alpha_s, sigma_s) = path.scales(t), path.scales(s)
    forward = alpha_t / alpha_s
    variance_forward = sigma_t**2 - (forward * sigma_s) ** 2
    variance = 1 / (1 / sigma_s**2 + forward**2 / variance_forward)
    a, b, c = path.transition(t, s, eta=1.0)
    torch.testing.assert_close(c**2, variance)
    torch.testing.assert_close(a, variance * forward / variance_forward)
    torch.testing.assert_close(b, variance * alpha_s / sigma_s**2)


def test_raising_the_noise_keeps_the_marginals(path):
    t = T[:-1]
    s = (t + 1) / 2
    a, c = path.raising(t, s)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = path.scales(t), path.scales(s)
    torch.testing.assert_close(a * alpha_t, alpha_s)
    torch.testing.assert_close((a * sigma_t) ** 2 + c**2, sigma_s**2)


def test_prior_is_the_noise_at_its_level(path):
    noise = normal(0)
    torch.testing.assert_close(
        path.prior(noise), path.corrupt(torch.zeros_like(noise), torch.ones(5).double(), noise)
    )


@pytest.mark.parametrize("eta", [-0.1, 1.5, math.nan])
def test_eta_outside_its_range_is_refused(eta):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        Linear().transition(T, T / 2, eta)


def test_a_stochastic_step_asks_for_noise():
    with pytest.raises(ValueError, match="pass noise"):
        Linear().step(normal(0), normal(1), T, T / 2, eta=0.5)


@pytest.mark.parametrize("kwargs", [{"sigma_min": 0.0}, {"sigma_min": 90.0}, {"rho": -1.0}])
def test_a_ve_path_checks_its_range(kwargs):
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        VarianceExploding(**kwargs)
