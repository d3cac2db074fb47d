"""The local model: exact on what is linear, blind to units, absent where it has nothing to say."""

import numpy as np
import pytest
import torch

from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.data import read
from domains.timeseries.local import fit, local_models
from domains.timeseries.recipes import Jobs
from domains.timeseries.ridge import LAGS
from domains.timeseries.training.dataset import Windows, pool_of
from domains.timeseries.window import CONTEXT, TARGET


def cycle(length: int, noise: float = 0.0) -> np.ndarray:
    steps = np.arange(length)
    rng = np.random.default_rng(0)
    return np.sin(2 * np.pi * steps / 24) + np.cos(2 * np.pi * steps / 168) + rng.normal(0, noise, length)


def forecast(history: np.ndarray) -> np.ndarray:
    return local_models([history[:, None]]).forecast(history[None, None, -LAGS:])[0, 0]


def test_what_is_linear_in_its_past_is_continued():
    series = cycle(1200)
    np.testing.assert_allclose(forecast(series[:-TARGET]), series[-TARGET:], atol=0.05)


@pytest.mark.parametrize(("scale", "level"), [(1e-9, 0.0), (1e250, 0.0), (-3.0, 40.0)])
def test_forecasts_follow_units_and_level(scale, level):
    series = cycle(900, noise=0.3)
    np.testing.assert_allclose(
        forecast(scale * series + level), scale * forecast(series) + level, rtol=1e-4, atol=1e-4 * abs(scale)
    )


def test_it_learns_what_the_network_cannot_read_in_one_window():
    """An echo after 300 steps: thousands of steps show it, the last CONTEXT alone do not."""
    noise = np.random.default_rng(1).normal(size=8300)
    series = noise[300:] + 0.8 * noise[:-300]
    echo = LAGS - 300 + np.arange(TARGET)
    found, missed = (np.abs(fit(part)[0]).argmax(0) == echo for part in (series, series[-CONTEXT:]))
    assert found.mean() > 0.9
    assert missed.mean() < 0.1


@pytest.mark.parametrize(
    "history",
    [
        cycle(CONTEXT - 1),
        np.concatenate([np.full(3000, np.nan), cycle(CONTEXT - 1)]),
        np.where(np.arange(3000) % 7, np.nan, cycle(3000)),
        np.full(2000, 7.0),
    ],
    ids=["short", "begins late", "mostly missing", "constant"],
)
def test_where_it_has_nothing_to_say_there_is_no_model(history):
    weights, record = fit(history)
    assert not weights.any()
    assert not record.any()


def test_a_random_walk_is_forecast_near_its_last_value():
    walk = np.random.default_rng(3).normal(size=3000).cumsum() + 1e6
    assert fit(walk)[1][0] > -0.05  # it may seem to be a little predictable
    np.testing.assert_allclose(forecast(walk), walk[-1], atol=2)


def test_training_windows_see_fits_to_what_came_before_them_alone():
    """Windows that end before row 3400 do not notice what comes after it."""
    series = cycle(4000, noise=0.1)
    jobs = Jobs(mirrored=0, mixed=0, gap=0, points=0, unconditional=0, missing=0, short=0, alone=0)

    def batch(values: np.ndarray):
        pool = pool_of(read(values), "validation")
        return Windows([pool], jobs, TimeSeriesAdapter()).batch(200, torch.Generator().manual_seed(0))

    other = series.copy()
    other[3400:] = np.random.default_rng(5).normal(0, 50, 600)
    first, second = batch(series), batch(other)
    early = (first.cond["values"] == second.cond["values"]).all(-1) & (first.x == second.x).all(-1)
    assert 20 < early.sum() < 200
    assert (first.cond["record"][..., 0] < -1).all()  # all have a model
    for name in ("local", "record"):
        assert torch.equal(first.cond[name][early[:, 0]], second.cond[name][early[:, 0]])
    assert (first.cond["local"] - first.x).abs().mean() < 0.3
