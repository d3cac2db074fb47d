"""Units, features and training windows: closed forms and properties."""

import importlib

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.data import read
from domains.timeseries.features import interpolations, roughness, seasonal_forecasts, seasons
from domains.timeseries.recipes import Jobs
from domains.timeseries.training.corpus import coarser
from domains.timeseries.training.dataset import Windows, pool_of
from domains.timeseries.window import CONTEXT, INSIDE, SHORTEST, TARGET, WIDTH, units
from zoo.errors import DataError


def window_of(history: np.ndarray) -> np.ndarray:
    raw = np.full(WIDTH, np.nan)
    raw[CONTEXT - len(history) : CONTEXT] = history
    return raw


@settings(deadline=None, max_examples=30)
@given(
    exponent=st.integers(-9, 12),
    level=st.floats(-100, 100),
    sign=st.sampled_from([-1.0, 1.0]),
    length=st.integers(2, CONTEXT),
    seed=st.integers(0, 100),
)
def test_units_do_not_see_magnitude_or_level(exponent, level, sign, length, seed):
    history = np.random.default_rng(seed).normal(size=length)
    scale = sign * 10.0**exponent
    plain = TimeSeriesAdapter().encode(window_of(history))
    moved = TimeSeriesAdapter().encode(window_of(scale * (history + level)))
    np.testing.assert_allclose(sign * moved.values, plain.values, atol=2e-5 * (1 + abs(level)))
    assert moved.values[plain.known].std() == pytest.approx(1, abs=1e-3)
    assert moved.values[CONTEXT - 1] == 0


def test_decode_undoes_encode_and_keeps_gaps():
    raw = window_of(np.random.default_rng(0).normal(50, 3, 100))
    raw[CONTEXT - 7] = np.nan
    adapter = TimeSeriesAdapter()
    np.testing.assert_allclose(adapter.decode(adapter.encode(raw)), raw, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1.0, 1e12, 1e250])
def test_a_constant_window_has_a_millionth_of_its_size_as_its_scale(size):
    own = units(window_of(np.full(40, size)), np.isfinite(window_of(np.full(40, size))))
    assert own.origin[0] == size
    assert own.scale[0] == pytest.approx(1e-6 * size)


def test_a_small_variation_on_a_large_level_keeps_its_scale():
    raw = window_of(1e9 + np.random.default_rng(0).normal(0, 10, 300))
    assert units(raw, np.isfinite(raw)).scale[0] == pytest.approx(10, rel=0.2)


def test_statistics_are_those_of_the_users_series():
    values = np.random.default_rng(0).normal(100, 5, 200)
    values[180:] = 1e6  # in the validation part
    domain = importlib.import_module("domains.timeseries").domain
    recipe = domain.recipes["timeseries-flow"]
    found = domain.adapter(recipe, domain.dataset(values, "train", recipe))
    assert found.level == pytest.approx(100, abs=1)
    assert found.spread == pytest.approx(5, rel=0.2)


def known_window(history: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    scaled = TimeSeriesAdapter().encode(window_of(history)[None])
    return torch.from_numpy(scaled.values), torch.from_numpy(scaled.known)


UNTOLD = torch.tensor([1])


@pytest.mark.parametrize("period", [4, 7, 12, 24, 52, 168])
def test_seasons_finds_the_period_of_a_noisy_cycle(period):
    step = np.arange(CONTEXT)
    shape = np.random.default_rng(period).normal(size=period)
    lags, strength = seasons(
        *known_window(shape[step % period] + 0.01 * step + np.random.default_rng(0).normal(0, 0.1, CONTEXT)),
        UNTOLD,
    )
    assert lags[0, 0] % period == 0  # noise can lift a multiple above the period itself
    assert strength[0, 0] > 0.8


def test_seasons_prefers_the_week_where_days_differ():
    step = np.arange(CONTEXT)
    lags, _ = seasons(*known_window(np.sin(2 * np.pi * step / 24) * (1 + 0.8 * (step // 24 % 7 < 5))), UNTOLD)
    assert lags[0, 0] == 168


def test_seasons_believes_the_calendar_where_the_context_shows_it_twice():
    noise = np.random.default_rng(0).normal(size=CONTEXT)
    lags, strength = seasons(*known_window(noise), torch.tensor([24]))
    assert lags[0, 0] == 24
    assert abs(strength[0, 0]) < 0.2
    assert seasons(*known_window(noise[-40:]), torch.tensor([24]))[0][0, 0] < 24
    assert seasons(*known_window(noise), torch.tensor([365]))[0][0, 0] < 257


def test_seasons_ignores_trends_and_short_histories():
    lags, _ = seasons(*known_window(np.arange(300.0)), UNTOLD)
    assert lags[0].tolist() == [1, 1]
    lags, _ = seasons(*known_window(np.array([1.0, 5.0, 1.0])), UNTOLD)
    assert lags[0].tolist() == [1, 1]


def test_seasonal_forecasts_repeat_the_season_exactly():
    season = np.random.default_rng(0).normal(size=12)
    values, known = known_window(np.tile(season, 10))
    forecasts, errors = seasonal_forecasts(values, known, torch.tensor([[12, 12]]))
    ahead = values[0, CONTEXT - 12 : CONTEXT].tile(6)[:TARGET]
    for forecast in forecasts[0]:
        torch.testing.assert_close(forecast, ahead)
    assert errors.max() < 1e-5


def test_seasonal_forecasts_leave_out_what_is_not_known():
    values, known = known_window(np.concatenate([np.full(12, 1.0), np.full(12, 3.0), np.full(12, 5.0)]))
    known[0, CONTEXT - 12 : CONTEXT] = False
    latest, mean = seasonal_forecasts(values, known, torch.tensor([[12]]))[0][0]
    assert latest.abs().max() == 0  # the last season is not known
    torch.testing.assert_close(mean[0], values[0, CONTEXT - 36 : CONTEXT - 12].mean())


def test_roughness_of_a_straight_line_is_its_slope():
    values, known = known_window(np.arange(float(CONTEXT)))
    slope = values[0, CONTEXT - 1] - values[0, CONTEXT - 2]
    torch.testing.assert_close(roughness(values, known)[0, :4], slope * torch.tensor([1.0, 1.0, 2.0, 8.0]))


def windows(split="train", length=400, **jobs) -> Windows:
    """A counting series whose last fifth, the validation part, is negative."""
    values = np.arange(1.0, length + 1)
    values[4 * length // 5 :] *= -1
    return Windows(
        [pool_of(read(values), split)], Jobs(**{"mirrored": 0, "mixed": 0, **jobs}), TimeSeriesAdapter()
    )


def test_training_windows_never_reach_into_the_validation_part():
    batch = windows(unconditional=0).batch(500, torch.Generator().manual_seed(0))
    known, values = batch.cond["known"], batch.cond["values"]
    steps = values.diff(dim=-1)[known[..., 1:] & known[..., :-1]]
    assert (steps > 0).all()  # across the edge the series falls
    wanted = batch.mask[..., 1:] & batch.mask[..., :-1]
    assert (batch.x.diff(dim=-1)[wanted] > 0).all()


def test_validation_targets_lie_in_the_validation_part():
    batch = windows("validation", gap=0, points=0, unconditional=0, missing=0).batch(
        200, torch.Generator().manual_seed(0)
    )
    assert (batch.x[batch.mask] < 0).all()


def test_batches_are_a_function_of_the_generator():
    first, again = (windows().batch(64, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.cond["values"], again.cond["values"])


@pytest.mark.parametrize("job", ["gap", "points", "unconditional"])
def test_each_job_hides_what_it_says(job):
    shares = {"gap": 0.0, "points": 0.0, "unconditional": 0.0, job: 1.0}
    batch = windows(length=5000, **shares).batch(100, torch.Generator().manual_seed(0))
    known = batch.cond["known"]
    assert not (batch.mask & known[..., INSIDE]).any()
    hidden = ~known[..., INSIDE]
    if job == "unconditional":
        assert not known.any()
        assert batch.x.mean(-1).abs().max() < 1e-3
    if job == "gap":  # one run of hidden steps
        edges = hidden.int().diff(dim=-1, prepend=torch.zeros(100, 1, 1), append=torch.zeros(100, 1, 1))
        assert (edges.abs().sum(-1) == 2).all()
    if job == "points":
        assert 0.2 < hidden.float().mean() < 0.45


def test_half_of_the_gaps_have_others_around_them():
    batch = windows(length=5000, gap=1.0, points=0, unconditional=0).batch(
        200, torch.Generator().manual_seed(0)
    )
    left = batch.cond["known"][:, 0, :CONTEXT]
    began = left.int().cummax(-1).values.bool()  # shorter histories begin later: that is no gap
    others = (began & ~left).any(-1)
    assert 0.35 < others.float().mean() < 0.55  # a few are too near an end to hold one


@pytest.mark.parametrize(("told", "low", "high"), [(1.0, 24, 24), (0.0, 1, 1), (0.5, 1, 24)])
def test_windows_are_told_the_season_of_their_calendar(told, low, high):
    series = pd.Series(np.arange(2000.0), pd.date_range("2024", periods=2000, freq="h"))
    jobs = Jobs(mixed=0, told=told)
    batch = Windows([pool_of(read(series), "train")], jobs, TimeSeriesAdapter()).batch(
        100, torch.Generator().manual_seed(0)
    )
    assert batch.cond["period"].shape == (100, 1, 1)
    assert (batch.cond["period"].min(), batch.cond["period"].max()) == (low, high)


def test_series_too_short_to_learn_from_are_refused():
    with pytest.raises(DataError, match="32 steps or more; the longest here has 10"):
        pool_of(read(list(range(10))), "train")


def test_coarser_series_are_thinned_out_or_averaged():
    values = np.arange(9000.0)[:, None]
    pool = coarser("line", values, "train", 6000, 7500, 1.0, 144, strides=(1, 3))
    plain, thinned, averaged = pool.series
    assert plain[:3].tolist() == [0, 1, 2]
    assert thinned[:3].tolist() == [0, 3, 6]
    assert averaged[:3].tolist() == [1, 4, 7]
    assert pool.periods == (144, 48, 48)
    assert pool.spans == ((SHORTEST, 6000), (SHORTEST, 2000), (SHORTEST, 2000))


def test_interpolations_are_exact_for_a_season_and_for_a_line():
    season = np.random.default_rng(0).normal(size=24)
    series = 50 + np.tile(season, 24)[:544]
    raw = np.full(WIDTH, np.nan)
    raw[:544] = series
    raw[CONTEXT + 4 : CONTEXT + 20] = np.nan
    scaled = TimeSeriesAdapter().encode(raw[None])
    values, known = torch.from_numpy(scaled.values), torch.from_numpy(scaled.known)
    between, seasonal, _, line = scaled.units.decode(
        interpolations(values, known, torch.tensor([[24, 1]]))[0].numpy()
    )
    gap = slice(4, 20)
    np.testing.assert_allclose(between[gap], series[CONTEXT:][gap], atol=1e-5)
    np.testing.assert_allclose(seasonal[gap], series[CONTEXT:][gap], atol=1e-5)
    straight = np.interp(np.arange(516, 532), [515, 532], series[[515, 532]])
    np.testing.assert_allclose(line[gap], straight, atol=1e-4)
