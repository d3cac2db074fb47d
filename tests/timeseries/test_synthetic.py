"""The synthetic generator: reproducible, finite, and each family has the property it is there for."""

import numpy as np
import pytest
import torch

from domains.timeseries.training import processes, synthetic
from domains.timeseries.training.synthetic import FAMILIES, LONGEST_LAG, generate


def autocorrelation(x: np.ndarray, lag: int) -> np.ndarray:
    x = x - x.mean(1, keepdims=True)
    return (x[:, lag:] * x[:, :-lag]).mean(1) / x.var(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves only what a distorting family adds: its plain series is zero, units and rounding are off."""
    monkeypatch.setattr(synthetic, "_plain", lambda rng, n, length: np.zeros((n, length), np.float32))
    monkeypatch.setattr(synthetic, "place", lambda rng, x: x)


def test_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = generate(16, 3, 100, 7)
    torch.manual_seed(2)
    assert torch.equal(first, generate(16, 3, 100, 7))
    assert not torch.equal(first, generate(16, 3, 100, 8))


def test_a_torch_generator_moves_on_and_resumes():
    generator = torch.Generator().manual_seed(3)
    generate(4, 1, 64, generator)
    state = generator.get_state()
    second = generate(4, 1, 64, generator)
    third = generate(4, 1, 64, generator)
    generator.set_state(state)
    assert torch.equal(second, generate(4, 1, 64, generator))
    assert not torch.equal(second, third)


@pytest.mark.parametrize(("groups", "channels", "length"), [(300, 1, 16), (100, 5, 300), (1, 2, 1200)])
def test_finite_float32_of_moderate_size(groups: int, channels: int, length: int):
    x = generate(groups, channels, length, 0)
    assert x.shape == (groups, channels, length)
    assert x.dtype == torch.float32
    assert x.isfinite().all()
    assert x.abs().max() < 1e5


def test_series_are_rarely_constant():
    x = generate(1000, 1, 600, 0)
    assert (x.std(-1) == 0).float().mean() < 0.01


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_alone(name: str, rng: np.random.Generator):
    family, _ = FAMILIES[name]
    assert all(np.isfinite(family(rng, n, length)).all() for n, length in [(1, 16), (7, 50), (20, 577)])
    x = family(rng, 2, 400)
    assert (
        np.unique(
            np.round((x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-9), 3), axis=0
        ).shape[0]
        == 2
    )


def test_shares_sum_to_one_and_weights_choose():
    assert sum(share for _, share in FAMILIES.values()) == pytest.approx(1)
    x = generate(40, 1, 200, 0, weights={"counts": 2.0, "intermittent": 0.0})
    assert torch.equal(x, x.round())
    with pytest.raises(ValueError, match=r"\['tides'\].*'solar'"):
        generate(1, 1, 64, 0, weights={"tides": 1.0})


@pytest.mark.parametrize(("radius", "angle"), [(0.9, 0.4), (0.99, 2.0)])
def test_autoregression_has_the_impulse_response_of_its_poles(radius: float, angle: float):
    impulse = np.zeros((1, 60))
    impulse[0, 0] = 1
    response = processes.autoregress(impulse, np.array([2 * radius * np.cos(angle)]), np.array([radius**2]))
    k = np.arange(60)
    np.testing.assert_allclose(response[0], radius**k * np.sin((k + 1) * angle) / np.sin(angle), atol=1e-9)


def test_coloured_noise_decays_with_its_correlation_time(rng: np.random.Generator):
    x = processes.coloured(rng, 200, 4000, np.full((200, 1), 20.0))
    for lag in (5, 20, 40):
        assert autocorrelation(x, lag).mean() == pytest.approx(np.exp(-lag / 20), abs=0.04)


def test_circulant_embedding_has_the_given_covariance(rng: np.random.Generator):
    k = np.exp(-((np.arange(401, dtype=np.float32) / 5) ** 2) / 2) * np.cos(
        np.arange(401, dtype=np.float32) / 3
    )
    x = processes.stationary(rng, np.tile(2 * k, (2000, 1)))
    assert x.shape == (2000, 400)
    for lag in (0, 1, 3, 9, 30):
        assert (x[:, lag:] * x[:, : 400 - lag]).mean() == pytest.approx(2 * k[lag], abs=0.03)


def test_cycles_repeat_after_their_period(rng: np.random.Generator):
    shapes, period = processes.shapes(rng, 100), np.array([[4.0], [12.0], [24.0], [52.5]] * 25)
    x = processes.repeat(rng, shapes, period, 1200)
    for i, m in enumerate(period[:, 0]):
        whole = int(10 * m)
        assert np.corrcoef(x[i, :-whole], x[i, whole:])[0, 1] > 0.98


def test_hourly_load_repeats_daily_like_the_real_ones(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
):
    """ETTh and M4 hourly have a median autocorrelation at 24 of .5 to .9, and of .9 to .96 at 1."""
    monkeypatch.setattr(synthetic, "DAYS", (24,))
    x = synthetic.load(rng, 400, 1000)
    assert (autocorrelation(x, 24) > autocorrelation(x, 17)).mean() > 0.85
    assert 0.5 < np.median(autocorrelation(x, 24)) < 0.95
    assert 0.85 < np.median(autocorrelation(x, 1)) < 0.97


def test_seasonal_runs_from_nearly_deterministic_to_mostly_noise(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "CALENDARS", np.array([(24, 168)]))
    x = synthetic.seasonal(rng, 400, 24 * 7 * 6)
    error = np.abs(x[:, 168:] - x[:, :-168]).mean(1) / np.abs(x - x.mean(1, keepdims=True)).mean(1)
    assert (error < 0.1).mean() > 0.08
    assert (error > 0.8).mean() > 0.15


def test_solar_is_zero_at_night_only(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator):
    monkeypatch.setattr(synthetic, "DAYS", (24,))
    x = synthetic.solar(rng, 50, 240).reshape(50, 10, 24)
    dark = x == 0
    assert (x >= 0).all()
    assert ((dark.sum(2) >= 7) & (dark.sum(2) <= 17)).all()
    assert (dark == dark[:, :1]).mean() > 0.99


def test_variance_of_a_random_walk_grows_with_the_horizon(rng: np.random.Generator):
    x = synthetic.random_walk(rng, 400, 1200)
    growth = (x[:, 16:] - x[:, :-16]).var(1) / np.diff(x, axis=1).var(1)
    assert 13 < np.median(growth) < 19
    moves = np.diff(x, axis=1)
    kurtosis = ((moves - moves.mean(1, keepdims=True)) ** 4).mean(1) / moves.var(1) ** 2
    assert np.median(kurtosis) > 4  # exchange rates: 6 to 20; a Gaussian: 3


def test_counts_are_counts_and_demand_is_intermittent(rng: np.random.Generator):
    x = synthetic.counts(rng, 100, 500)
    assert (x >= 0).all() and (x == np.round(x)).all()
    assert np.median(x.var(1) / x.mean(1)) > 1.2  # overdispersed
    x = synthetic.intermittent(rng, 200, 500)
    zeros = (x == 0).mean(1)
    assert (x >= 0).all()
    assert 0.6 < np.median(zeros) < 0.98
    assert zeros.min() > 0.45


@pytest.mark.usefixtures("flat")
def test_breaks_are_few(rng: np.random.Generator):
    bends = np.abs(np.diff(synthetic.breaks(rng, 200, 500), n=2, axis=1)) > 1e-3
    assert bends.sum(1).max() <= 9
    assert (bends.sum(1) > 0).mean() > 0.5


@pytest.mark.usefixtures("flat")
def test_outliers_are_rare_and_large(rng: np.random.Generator):
    x = synthetic.outliers(rng, 300, 500)
    assert np.median((x != 0).mean(1)) < 0.05
    assert np.median(np.abs(x).max(1)) > 2


def test_bounded_stays_in_a_range_and_switching_stays_on_levels(rng: np.random.Generator):
    x = synthetic.bounded(rng, 200, 500)
    assert (x >= 0).all()
    assert ((x == x.min(1, keepdims=True)).mean(1) > 0.02).mean() > 0.2  # clipped at the floor
    idle = (np.diff(synthetic.switching(rng, 200, 500), axis=1) == 0).mean(1)
    assert 0.3 < (idle > 0.75).mean() < 0.7  # the others carry noise


def test_mixed_channels_share_latents(rng: np.random.Generator):
    x = rng.standard_normal((300, 3, 500 + LONGEST_LAG)).astype(np.float32)
    best = []
    for a, b, _ in synthetic.mixed(rng, x):
        best.append(max(abs(np.corrcoef(a[48 + d : 452 + d], b[48:452])[0, 1]) for d in range(-48, 49)))
    assert np.quantile(best, 0.8) > 0.85
    assert np.median(best) > 0.5  # the largest of 97 correlations of independent noise: about 0.15


def test_one_channel_follows_its_cause(rng: np.random.Generator):
    """The effect is at least half cause, bent and at a lag of 0 to 48, and the cause stays as it was."""
    x = rng.standard_normal((60, 2, 400 + LONGEST_LAG)).astype(np.float32)
    lags = set()
    for given, pair in zip(x, synthetic.driven(rng, x), strict=True):
        cause = (given[1] - given[1].mean()) / given[1].std()
        place = int(np.abs(pair[1] - cause[LONGEST_LAG:]).max() < 1e-3)
        np.testing.assert_allclose(pair[place], cause[LONGEST_LAG:], atol=1e-3)
        bent = (cause, np.abs(cause), np.maximum(cause, 0))
        starts = LONGEST_LAG - np.arange(LONGEST_LAG + 1)
        fit = np.array([[np.corrcoef(f[s : s + 400], pair[1 - place])[0, 1] for f in bent] for s in starts])
        assert np.abs(fit).max() > 0.6
        lags.add(int(np.abs(fit).max(1).argmax()))
    assert 0 in lags
    assert len(lags) > 10
