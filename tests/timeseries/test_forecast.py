"""The forecast object: what is read off the paths, its frame, and its pictures."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from domains.timeseries.data import future_index, read
from domains.timeseries.forecast import Forecast, Forecasts
from domains.timeseries.plots import coverage_chart, fan_chart, rank_histogram
from zoo.errors import DataError, OptionError


def forecast(item: str | None = None, channels: int = 2, horizon: int = 3) -> Forecast:
    index = pd.date_range("2024-01-31", periods=40, freq="ME")
    values = np.random.default_rng(0).normal(size=(40, channels))
    source = pd.DataFrame(values, index, [f"c{c}" for c in range(channels)])
    (history,) = read(source if item is None else {item: source})
    paths = np.arange(11.0)[:, None, None] + 100 * np.arange(horizon)[:, None] + 1000 * np.arange(channels)
    return Forecast(paths, future_index(history, horizon), history, seed=7)


def test_summaries_are_over_paths():
    made = forecast()
    expected = 5 + 100 * np.arange(3)[:, None] + 1000 * np.arange(2)
    np.testing.assert_allclose(made.mean, expected)
    np.testing.assert_allclose(made.median, expected)
    np.testing.assert_allclose(made.quantile(0.9), expected + 4)
    np.testing.assert_allclose(made.quantile([0.1, 0.9]), [expected - 4, expected + 4])
    with pytest.raises(DataError, match="between 0 and 1"):
        made.quantile(90)


def test_frame_is_tidy_and_stamped():
    frame = forecast().to_frame([0.1, 0.95])
    assert list(frame.columns) == ["timestamp", "channel", "mean", "q0.1", "q0.95"]
    assert frame["timestamp"].drop_duplicates().tolist() == list(
        pd.to_datetime(["2027-05-31", "2027-06-30", "2027-07-31"])
    )
    row = frame[(frame["timestamp"] == "2027-06-30") & (frame["channel"] == "c1")].iloc[0]
    assert (row["mean"], row["q0.1"], row["q0.95"]) == pytest.approx((1105, 1101, 1109.5))


def test_paths_frame_holds_every_path():
    frame = forecast().paths_frame()
    assert frame.shape == (6, 13)
    np.testing.assert_array_equal(frame[frame["channel"] == "c0"]["path3"], [3, 103, 203])


def test_several_items():
    several = Forecasts({"a": forecast("a"), "b": forecast("b", channels=1)})
    assert list(several) == ["a", "b"] and several["b"].names == ("c0",)
    frame = several.to_frame()
    assert frame.groupby("item_id").size().to_dict() == {"a": 6, "b": 3}
    assert len(several.paths_frame()) == 9


def test_paths_must_fit_stamps():
    made = forecast()
    with pytest.raises(DataError, match="do not fit"):
        Forecast(made.paths[:, :2], made.index, made.history)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plots_are_written_without_touching_pyplot(suffix: str, tmp_path: Path):
    backend = matplotlib.rcParams["backend"]
    path = tmp_path / "new" / f"fan.{suffix}"
    figure = forecast().plot(path)
    assert path.stat().st_size > 5000 and len(figure.axes) == 2
    assert matplotlib.rcParams["backend"] == backend


def test_fan_chart_shows_history_then_paths_then_nothing_else():
    (axis,) = forecast(channels=1).plot().axes
    history = next(line for line in axis.get_lines() if line.get_label() == "history")
    median = next(line for line in axis.get_lines() if line.get_label() == "median")
    np.testing.assert_allclose(np.asarray(median.get_ydata())[1:], [5, 105, 205])
    # the fan starts at the last value
    assert np.asarray(median.get_ydata())[0] == np.asarray(history.get_ydata())[-1]
    assert len(axis.collections) == 3


def test_fan_chart_of_filled_gaps_starts_no_fan():
    made = forecast(channels=1)
    filled = Forecast(np.zeros((4, 40, 1)), made.history.index, made.history)
    median = next(line for line in filled.plot().axes[0].get_lines() if line.get_label() == "median")
    assert len(np.asarray(median.get_ydata())) == 40


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path: Path):
    with pytest.raises(OptionError, match="xyz"):
        forecast().plot(tmp_path / "fan.xyz")


def test_many_panels_are_limited():
    assert len(fan_chart([forecast(channels=4)] * 3).axes) == 6


def test_calibration_charts_draw_what_they_say():
    rng = np.random.default_rng(0)
    paths, truth = rng.normal(size=(300, 60, 4, 1)), rng.normal(size=(300, 4, 1))
    heights = [bar.get_height() for bar in rank_histogram(paths, truth, bins=10).axes[0].patches]
    assert np.mean(heights) == pytest.approx(1) and np.abs(np.array(heights) - 1).max() < 0.35
    line = coverage_chart(paths, truth).axes[0].get_lines()[1]
    np.testing.assert_allclose(line.get_xdata(), line.get_ydata(), atol=0.05)
