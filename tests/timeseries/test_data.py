"""Reading: whatever the form of the data, the same series comes out; what cannot be used is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.timeseries.data import TimeSeries, future_index, read, split
from zoo.errors import DataError, OptionError

FREQUENCIES = [
    "s",
    "15min",
    "h",
    "6h",
    "D",
    "2D",
    "B",
    "W-WED",
    "MS",
    "ME",
    "BME",
    "BMS",
    "QS",
    "QE",
    "YS",
    "YE",
]


def frame(freq: str = "h", steps: int = 60, channels: int = 2, tz: str | None = None) -> pd.DataFrame:
    index = pd.date_range("2021-01-04", periods=steps, freq=freq, tz=tz, name="timestamp")
    values = np.random.default_rng(0).normal(size=(steps, channels))
    return pd.DataFrame(values, index, [f"c{c}" for c in range(channels)])


def one(source: object, **options: str) -> TimeSeries:
    (series,) = read(source, **options)
    return series


def refused(text: str, folder: Path, **options: str) -> str:
    path = folder / "my.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read(path, **options)
    message = str(error.value)
    assert "\n" not in message
    return message.replace(str(path), "my.csv")


def same(series: TimeSeries, expected: pd.DataFrame) -> None:
    np.testing.assert_array_equal(series.values, expected.to_numpy())
    assert series.names == tuple(expected.columns)
    assert list(series.index) == list(expected.index)


@pytest.mark.parametrize("tz", [None, "Europe/Paris"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_step_is_found_in_spite_of_gaps_and_continues(freq: str, tz: str | None):
    full = frame(freq, 70, 1, tz)
    keep = np.random.default_rng(1).random(60) > 0.3
    keep[[0, 59]] = True
    series = one(full.iloc[:60][keep].sample(frac=1, random_state=0))
    same(series, full.iloc[:60].where(keep[:, None]))
    assert list(future_index(series, 10)) == list(full.index[60:])


@pytest.mark.parametrize(
    ("freq", "season"),
    [("s", 3600), ("15min", 96), ("h", 24), ("D", 7), ("B", 5), ("W", 52), ("MS", 12), ("QE", 4), ("YE", 1)],
)
def test_season(freq: str, season: int):
    assert one(frame(freq, 30)).period == season
    assert one(list(range(30)), freq=freq).period == season


def test_months_keep_their_day():
    days = pd.to_datetime(["2023-01-30", "2023-03-30", "2023-05-30"])
    series = one(pd.Series([1.0, 2.0, 3.0], days))
    later = ["2023-07-30", "2023-09-30", "2023-11-30", "2024-01-30", "2024-03-30"]
    assert list(future_index(series, 5)) == list(pd.to_datetime(later))


def test_days_keep_to_the_clock_and_hours_do_not_when_clocks_change():
    days = pd.date_range("2024-03-28", "2024-03-30", freq="D", tz="Europe/Paris")  # summer time from the 31st
    assert [stamp.hour for stamp in future_index(one(pd.Series([1.0, 2.0, 3.0], days)), 3)] == [0, 0, 0]
    hours = pd.date_range("2024-03-30 22:00", periods=3, freq="h", tz="Europe/Paris")
    assert [stamp.hour for stamp in future_index(one(pd.Series([1.0, 2.0, 3.0], hours)), 3)] == [1, 3, 4]


@pytest.mark.parametrize("freq", ["M", "MS", "ME"])
def test_given_months_take_their_day_from_the_stamps(freq: str):
    assert list(future_index(one(frame("MS", 5), freq=freq), 1)) == [pd.Timestamp("2021-07-01")]


def test_a_single_stamp_needs_freq():
    single = frame("h", 1)
    with pytest.raises(DataError, match="pass freq="):
        future_index(one(single), 1)
    assert list(future_index(one(single, freq="h"), 1)) == [pd.Timestamp("2021-01-04 01:00")]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_every_form_gives_the_same_series(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Shuffled rows, repeated rows, missing values, gaps; through CSV, parquet, wide and long frames."""
    steps = data.draw(st.integers(8, 30))
    original = frame(data.draw(st.sampled_from(["h", "D", "MS"])), steps)
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=2 * steps, max_size=2 * steps)))
    original = original.mask(missing.reshape(steps, 2))
    original.iloc[[0, 1, 2, 5, -1]] = 1.0  # two steps, both ends and a Saturday are known, so the grid is
    gaps = original.dropna(how="all")
    repeated = pd.concat([gaps, gaps.head(2)]).sample(frac=1, random_state=data.draw(st.integers(0, 9)))
    long = repeated.reset_index().melt("timestamp", var_name="item_id", value_name="target")
    folder = tmp_path_factory.mktemp("forms")
    repeated.to_csv(folder / "a.csv")
    repeated.to_csv(folder / "a.csv.gz", sep=";")
    repeated.reset_index().to_parquet(folder / "a.parquet")
    for source in (repeated, repeated.reset_index(), *folder.iterdir()):
        same(one(source), original)
    by_item = {series.item: series for series in read(long)}
    for name in original.columns:
        np.testing.assert_array_equal(by_item[name].values[:, 0], original[name])


def test_arrays_and_lists_have_no_stamps():
    values = np.arange(6.0).reshape(3, 2)
    for source in (values, values.tolist(), torch.tensor(values, requires_grad=True)):
        series = one(source)
        np.testing.assert_array_equal(series.values, values)
        assert list(future_index(series, 2)) == [3, 4]
    assert one([1, 2, 3]).values.shape == (3, 1)
    assert [s.item for s in read({"a": [1, 2, 3], "b": [4.0, 5.0]})] == ["a", "b"]


def test_numbers_as_stamps():
    years = pd.DataFrame({"YEAR": [1700.0, 1701.0, 1703.0], "v": [1, 2, 3]})
    assert one(years).period == 1 and len(one(years)) == 4
    assert list(one(pd.DataFrame({"date": [20240131, 20240201], "v": [1, 2]})).index.day) == [31, 1]
    assert one(pd.DataFrame({"time": [1704067200, 1704070800], "v": [1, 2]})).index[1].hour == 1
    steps = one(pd.DataFrame({"time": [0, 5, 10, 20], "v": [1, 2, 3, 4]}))
    assert list(steps.index) == [0, 5, 10, 15, 20] and np.isnan(steps.values[3, 0])


@pytest.mark.parametrize(
    ("first", "second"),
    [("13/01/2024", "14/01/2024"), ("01/13/2024", "01/14/2024"), ("13.01.2024", "14.01.2024")],
)
def test_day_first_and_month_first(first: str, second: str):
    assert list(one(pd.DataFrame({"date": [first, second], "v": [1, 2]})).index.day) == [13, 14]


def test_day_first_is_told_from_the_even_pace():
    days = [f"01/{month:02d}/{year}" for year in (2022, 2023) for month in range(1, 13)]
    assert one(pd.DataFrame({"date": days, "v": range(24)})).period == 12


def test_numbers_written_by_to_csv_are_no_channel(tmp_path: Path):
    frame("h", 5).reset_index().to_csv(tmp_path / "a.csv")
    assert one(tmp_path / "a.csv").names == ("c0", "c1")


def test_columns_can_be_chosen():
    table = frame().assign(shop="x").reset_index().rename(columns={"timestamp": "when"})
    series = one(table, timestamp="when", target="c1", item_id="shop")
    assert (series.item, series.names) == ("x", ("c1",))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        ("date,v\n", ["no rows"]),
        ("2024-01-01,1\n2024-01-02,2\n", ["first line is data", "timestamp,a,b"]),
        ("1.5,2.5\n3,4\n", ["first line is data"]),
        ("name\nfoo\nbar\n", ["column 'name'", "'foo' in data row 1"]),
        ("date,v\n2024-01-01,1\n2024-01-02,x\n", ["column 'v'", "'x' in data row 2"]),
        ("date,v\n2024-01-01,1\n2024-01-02,inf\n", ["column 'v'", "'inf' in data row 2"]),
        ("date;v\n2024-01-01;1,5\n2024-01-02;2,5\n", ["'1,5' in data row 1", "decimal"]),
        ("date,v,w\n2024-01-01,1,\n2024-01-02,2,\n", ["column 'w'", "no value"]),
        (
            "date,v\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n",
            ["two different rows for 2024-01-02", "item_id="],
        ),
        ("date,v\n2024-01-01T00:00+01:00,1\n2024-07-01T00:00+02:00,2\n", ["UTC offsets", "utc=True"]),
        ("date,v\n2024-01-01,1\nyesterday,2\n", ["'yesterday' in data row 2", "no date"]),
        ("date,v\n,1\n2024-01-01,2\n", ["no stamp in data row 1"]),
        ("date,v\n01/02/2024,1\n01/03/2024,2\n", ["month and day"]),
        (
            "date,v\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2024-01-03 05:00,2\n",
            ["2024-01-03 05:00", "resample"],
        ),
        ("date,v\n2000-01-01 00:00:00,1\n2000-01-01 00:00:01,2\n2024-01-01,3\n", ["resample"]),
        ("item_id,date,v\na,2024-01-01,1\n,2024-01-02,2\n", ["column 'item_id'", "no item in data row 2"]),
        ("a,b\n1,2\n3,4,5\n", ["line 3"]),
    ],
)
def test_refusals_name_file_place_and_remedy(text: str, parts: list[str], tmp_path: Path):
    message = refused(text, tmp_path)
    assert message.startswith("my.csv")
    for part in parts:
        assert part in message


def test_refusals_of_options(tmp_path: Path):
    text = "date,v\n2024-01-01,1\n2024-01-02,2\n"
    assert "there are date, v" in refused(text, tmp_path, timestamp="when")
    assert "there are v" in refused(text, tmp_path, target="w")
    assert "freq='often'" in refused(text, tmp_path, freq="often")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="pass a dict"):
        read([[1], [2, 3]])
    with pytest.raises(DataError, match="cannot read NoneType"):
        read(None)


def test_split_shares_nothing_and_is_in_order():
    series = one(frame("D", 100))
    parts = split(series, 0.7, 0.2)
    assert [len(part) for part in parts] == [70, 20, 10]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), series.values)
    assert parts[0].index[-1] < parts[1].index[0] and parts[1].index[-1] < parts[2].index[0]
    assert [len(part) for part in split(series, "2021-01-14", "2021-01-24")] == [10, 10, 80]
    with pytest.raises(OptionError, match="in order"):
        split(series, "2021-02-01", "2021-01-24")
    with pytest.raises(OptionError, match="no dates"):
        split(one([1, 2, 3]), "2021-02-01")
