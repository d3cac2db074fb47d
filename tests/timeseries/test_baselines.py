"""Floors: known answers on made series, the published figures on real ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from domains.timeseries.data import read
from domains.timeseries.evaluation import baselines, metrics, protocols
from domains.timeseries.evaluation.backtest import backtest, each
from domains.timeseries.evaluation.baselines import (
    FLOORS,
    IMPUTERS,
    fit_ridge,
    random_walk,
    ridge,
    seasonal_naive,
)
from domains.timeseries.evaluation.protocols import PROTOCOLS
from zoo.errors import DataError

FOLDER = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(
    not (FOLDER / "timeseries").is_dir(),
    reason="no real data: set ZOO_DATA to the folder that holds timeseries/",
)


def test_seasonal_naive_repeats_the_season():
    paths = seasonal_naive(np.arange(8.0)[:, None], 5, 3, 0, 4)
    np.testing.assert_array_equal(paths[..., 0], [[4, 5, 6, 7, 4]] * 3)


def test_random_walk_spreads_as_the_root_and_keeps_channels_together():
    steps = np.random.default_rng(0).normal(size=(4000, 1)) * [1.0, -2.0]
    paths = random_walk(steps.cumsum(axis=0), 16, 4000, 0, 1)
    spread = paths.std(axis=0)
    assert spread[15, 0] / spread[0, 0] == pytest.approx(4, rel=0.05)
    moves = paths - steps.sum(axis=0)
    np.testing.assert_allclose(moves[..., 1], -2 * moves[..., 0], atol=1e-8)


def test_ridge_continues_what_is_linear_in_its_past():
    time = np.arange(400.0)
    wave = np.stack(
        [np.sin(2 * np.pi * time / 24) + 0.01 * time, 1e6 * np.cos(2 * np.pi * time / 17)], axis=1
    )
    paths = ridge(wave[:-30], 30, 20, 0, 24)
    assert np.abs(paths - wave[-30:]).max(axis=(0, 1))[0] < 0.05
    assert np.abs(paths - wave[-30:]).max(axis=(0, 1))[1] < 0.05e6


def test_ridge_of_a_noisy_series_is_calibrated():
    noise = np.random.default_rng(0).normal(size=(2000, 6))
    series = read(noise)
    table = backtest(None, series, horizon=12, windows=6).set_index(["forecaster", "score"])["value"]
    assert table["ridge", "coverage 80"] == pytest.approx(0.8, abs=0.08)
    assert table["ridge", "CRPS"] < 0.65 < table["random walk", "CRPS"]


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize(
    "history", [[5.0], [5.0, 5.0, 5.0], [1e-9, 2e-9] * 30, [1e12] * 100, [np.nan, 3.0] * 30]
)
def test_floors_are_finite_on_awkward_histories(name: str, history: list[float]):
    paths = FLOORS[name](np.array(history)[:, None], 7, 5, 0, 24)
    assert paths.shape == (5, 7, 1) and np.isfinite(paths).all()
    assert np.abs(paths).max() <= 20 * np.nanmax(np.abs(history))


@pytest.mark.parametrize("name", FLOORS)
def test_floors_depend_on_the_seed_alone(name: str):
    history = np.random.default_rng(0).normal(size=(200, 2)).cumsum(axis=0)
    first, again, other = (FLOORS[name](history, 10, 8, seed, 24) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert name == "seasonal naive" or not np.array_equal(first, other)


def test_imputers_keep_what_is_known_and_know_their_shapes():
    time = np.arange(240.0)
    season = np.sin(2 * np.pi * time / 24)
    truth = np.stack([0.1 * time, season, 0.1 * time + season], axis=1)
    given = truth.copy()
    given[100:124] = np.nan
    errors = {}
    for name, imputer in IMPUTERS.items():
        filled = imputer(given, 24)
        np.testing.assert_array_equal(filled[:100], truth[:100])
        errors[name] = np.abs(filled - truth)[100:124].max(axis=0)
    assert errors["linear"][0] < 1e-9  # a line is a line
    assert errors["seasonal"].max() < 1e-9  # and so is each hour's own course
    assert errors["deseasonalised"].max() < 0.35 and errors["linear"][1] > 0.9


def test_backtest_windows_end_with_the_series_and_do_not_overlap():
    seen = []

    class Spy:
        def forecast_arrays(self, histories, horizon, n=100, seed=0, period=1):
            seen.extend(histories)
            return np.zeros((len(histories), n, horizon, 1))

    table = backtest(Spy(), read({"a": list(range(100)), "b": list(range(50))}), horizon=10, windows=3, n=4)
    assert [len(history) for history in seen] == [70, 80, 90, 20, 30, 40]
    assert set(table["forecaster"]) == {"model", *FLOORS}
    truth = np.concatenate([np.arange(70, 100), np.arange(20, 50)])
    row = table[(table["forecaster"] == "model") & (table["score"] == "MAE")].iloc[0]
    assert row["value"] == pytest.approx(truth.mean())
    with pytest.raises(DataError, match="fewer windows"):
        backtest(None, read([1, 2, 3]), horizon=2, windows=2)


def test_no_data_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(DataError, match="set ZOO_DATA"):
        protocols.data_folder()
    with pytest.raises(DataError, match="no such folder"):
        protocols.data_folder(tmp_path)


@real
@pytest.mark.parametrize(
    ("name", "period", "score", "published"),
    [
        ("ett", 24, "wQL", 0.12209),
        ("ett-long", 24, "wQL", 0.1362),
        ("m4", 24, "wQL", 0.04831),
        ("exchange", 5, "wQL", 0.01075),
        ("exchange-last", 5, "wQL", 0.01298),
        ("exchange", 1, "CRPS-sum", 0.0062),
    ],
)
def test_naive_figures_are_the_published_ones(name: str, period: int, score: str, published: float):
    protocol = PROTOCOLS[name](FOLDER)
    paths = each(seasonal_naive, period)(protocol.histories, protocol.horizon, 1, 0)
    top, bottom = metrics.SCORES[score](paths, protocol.truth)
    digits = len(str(published)) - 2
    assert round(top.sum() / bottom.sum(), digits) == published


@real
def test_random_walk_on_exchange():
    protocol = PROTOCOLS["exchange"](FOLDER)
    paths = each(random_walk, 5)(protocol.histories, 30, 500, 0)
    assert 0.0069 < metrics.wql(paths, protocol.truth) < 0.0079
    top, bottom = metrics.crps_sum_parts(paths, protocol.truth)
    assert 0.0046 < top.sum() / bottom.sum() < 0.0054


@real
def test_pooled_ridge_on_ett():
    protocol = PROTOCOLS["ett"](FOLDER)
    fitted = each(fit_ridge(protocol.train, 24), 24)
    values = [metrics.wql(fitted(protocol.histories, 24, 100, seed), protocol.truth) for seed in range(5)]
    assert np.mean(values) == pytest.approx(0.0814, abs=0.003)


@real
def test_validation_windows_and_training_series_end_before_the_test():
    """By value: nothing of a test truth is in a validation window or training series of its data set."""
    for kind, first in (("ett", protocols.ETT_VALIDATION), ("exchange", protocols.EXCHANGE_TRAIN)):
        validation, test = PROTOCOLS[f"{kind}-validation"](FOLDER), PROTOCOLS[kind](FOLDER)
        assert max(len(w.history) + len(w.truth) for w in validation.windows) <= first
        assert min(len(w.history) for w in test.windows) >= first
        starts = min(len(w.history) for w in validation.windows)
        assert max(len(series) for series in validation.train) <= starts
        assert max(len(series) for series in test.train) <= first
    late = PROTOCOLS["ett-late-validation"](FOLDER).windows
    assert min(len(w.history) for w in late) >= protocols.ETT_TEST
    first = min(len(w.history) for w in PROTOCOLS["ett-long"](FOLDER).windows)
    assert max(len(w.history) + len(w.truth) for w in late) <= first
    for early, late in zip(
        PROTOCOLS["m4-validation"](FOLDER).windows, PROTOCOLS["m4"](FOLDER).windows, strict=True
    ):
        np.testing.assert_array_equal(np.concatenate([early.history, early.truth]), late.history)


@real
@pytest.mark.parametrize("kind", ["points", "blocks"])
def test_imputation_hides_a_fifth(kind: str):
    truth, missing, period = protocols.imputation(kind, FOLDER)
    assert missing.mean() == pytest.approx(0.2, abs=0.01) and truth.shape == (2880, 7)
    if kind == "blocks":
        edges = np.flatnonzero(np.diff(np.pad(missing[:, 0].astype(int), 1)))
        assert (np.diff(edges)[::2] % 24 == 0).all()
    errors = {name: np.abs(f(np.where(missing, np.nan, truth), period) - truth)[missing].mean()
              for name, f in baselines.IMPUTERS.items()}  # fmt: skip
    assert min(errors, key=errors.__getitem__) == ("deseasonalised" if kind == "points" else "seasonal")
