import math

import pytest
import torch
from scipy import special, stats

from tests.engine.exact import Exact, Wrapped, gaussian
from zoo.engine import (
    PATHS,
    SCALINGS,
    Batch,
    Beta,
    Linear,
    LogitNormal,
    LogNormal,
    NetworkDenoiser,
    Objective,
    Uniform,
    loss_by_level,
)

N = 20_000


def draw(law, path_name: str = "linear") -> torch.Tensor:
    t = Objective(time=law).draw(N, PATHS[path_name](), torch.Generator().manual_seed(0))
    assert t.shape == (N,) and t.min() > 0 and t.max() < 1
    return t.double()


def distance(t: torch.Tensor, cdf) -> float:
    """Kolmogorov–Smirnov distance of the draws from a law."""
    return stats.kstest(t.numpy(), cdf).statistic


@pytest.mark.parametrize("path_name", sorted(PATHS))
@pytest.mark.parametrize("law", [Uniform(), LogitNormal(-0.8, 0.7), Beta(1.5, 1.0), Beta(0.9, 4.0)])
def test_laws_in_t(law, path_name):
    cdf = {
        "uniform": lambda t: t,
        "logit-normal": lambda t: stats.norm.cdf((special.logit(t) + 0.8) / 0.7),
        "beta": lambda t: stats.beta.cdf(t, getattr(law, "a", 1), getattr(law, "b", 1)),
    }[law.kind]
    assert distance(draw(law, path_name), cdf) < 2e-3


@pytest.mark.parametrize("path_name", sorted(PATHS))
def test_the_edm_law_is_a_law_of_sigma_on_every_path(path_name):
    t = draw(LogNormal(-1.2, 1.2), path_name)
    log_sigma = -PATHS[path_name]().log_snr(t)
    assert distance(log_sigma, stats.norm(-1.2, 1.2).cdf) < 2e-3


def test_shift_moves_times_toward_the_noise_and_keeps_odds():
    """t/(1 − t) is multiplied by the shift."""
    t = draw(Uniform(shift=3.0))
    assert distance(t, lambda t: (t / (1 - t) / 3) / (1 + t / (1 - t) / 3)) < 2e-3


def test_draws_are_stratified_and_differ_from_batch_to_batch():
    objective, generator = Objective(), torch.Generator().manual_seed(0)
    t = objective.draw(64, Linear(), generator)
    assert sorted((t * 64).floor().tolist()) == list(range(64))
    assert not torch.equal(t, objective.draw(64, Linear(), generator))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Objective(weight="snr"), "unknown weight 'snr'"),  # type: ignore[arg-type]
        (lambda: Objective(repeats=0), "repeats is 0"),
        (lambda: Objective(time=Uniform(shift=0.0)), "shift"),
    ],
)
def test_bad_objectives_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_loss_by_level_of_a_gaussian_is_the_posterior_variance():
    """min E‖x̂ − x‖² = v σ²/(α² v + σ²) for data of variance v."""
    path, v = Linear(), 0.25
    exact = gaussian(path)
    denoiser = NetworkDenoiser(Wrapped(exact, SCALINGS["x0"], path), path, "x0", Objective())
    batches = [Batch(exact.draw(4000, seed), {}) for seed in range(5)]
    levels = [0.1, 0.5, 0.9]
    losses = loss_by_level(denoiser, batches, torch.Generator().manual_seed(0), levels)
    assert list(losses) == levels
    for t, loss in losses.items():
        assert math.isclose(loss, v * t**2 / ((1 - t) ** 2 * v + t**2), rel_tol=0.03)


def test_loss_by_level_shows_where_a_model_is_weak():
    """A denoiser that is wrong about the mean is worst where the data are least known."""
    path = Linear()
    data, wrong = gaussian(path), gaussian(path, mean=1.0)
    batches = [Batch(data.draw(4000, 0), {})]
    excess = {}
    for level in (0.2, 0.8):
        right, off = (
            loss_by_level(_denoiser(exact, path), batches, torch.Generator().manual_seed(0), [level])[level]
            for exact in (data, wrong)
        )
        excess[level] = off / right
    assert excess[0.8] > 1.5 * excess[0.2] > 1.5


def _denoiser(exact: Exact, path: Linear) -> NetworkDenoiser:
    return NetworkDenoiser(Wrapped(exact, SCALINGS["x0"], path), path, "x0", Objective())


def test_loss_by_level_needs_data():
    with pytest.raises(ValueError, match="no batches"):
        loss_by_level(_denoiser(gaussian(Linear()), Linear()), [], torch.Generator(), [0.5])
