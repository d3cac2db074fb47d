"""What `timeseries-flow` is pretrained on: training splits of public data sets, and synthetic series.

The files lie under the folder that ZOO_DATA names (`protocols.data_folder`). Validation windows end
before the test windows of every protocol start, and no training window reaches into a validation target.
"""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from domains.timeseries.evaluation.protocols import (
    ETT_TRAIN,
    ETT_VALIDATION,
    EXCHANGE_TRAIN,
    EXCHANGE_VALIDATION,
    M4_HORIZON,
    data_folder,
    load_ett,
    load_exchange,
    load_m4_hourly,
)
from domains.timeseries.training.dataset import Pool, synthetic_pool
from domains.timeseries.window import SHORTEST
from zoo.domain import Split
from zoo.manifest import Source

ETT_URL = "https://github.com/zhouhaoyi/ETDataset"
SOURCES = (
    Source("ETTh1, ETTh2 and ETTm1, first 12 months", "CC-BY-ND-4.0", ETT_URL),
    Source(
        "M4 competition, hourly, training series", "not stated", "https://github.com/Mcompetitions/M4-methods"
    ),
    Source(
        "Exchange rates 1990-2016, first 6,071 days",
        "not stated",
        "https://github.com/laiguokun/multivariate-time-series-data",
    ),
    Source("Jena weather station 2020, first 70 %", "not stated", "https://www.bgc-jena.mpg.de/wetter/"),
    Source("Synthetic series of domains/timeseries/training/synthetic.py", "Apache-2.0"),
)
WEATHER_TRAIN, WEATHER_VALIDATION = 36_887, 42_157  # 70 % and 80 % of 52,696 rows
SYNTHETIC = {"train": 24_000, "validation": 2_000}
MISSING = -9999.0  # of the Jena station


def load_weather(folder: str | Path | None = None) -> np.ndarray:
    """Jena weather station: (52696, 21) values every 10 minutes, NaN where missing."""
    archive = zipfile.ZipFile(data_folder(folder) / "weather" / "weather.zip")
    with archive, archive.open("weather/weather.csv") as file:
        frame = pd.read_csv(file, encoding="utf-8", encoding_errors="replace")
    values = frame.iloc[:, 1:].to_numpy(float)
    return np.where(values == MISSING, np.nan, values)


def pools(split: Split, synthetic: float, folder: str | Path | None = None) -> list[Pool]:
    """The series of one split, in pools with their shares of the mixture; that of the generator is given."""
    quarter_hourly = pd.read_csv(data_folder(folder) / "ettm1" / "ETTm1.csv.gz").iloc[:, 1:].to_numpy(float)
    ett = np.concatenate([load_ett("etth1", folder), load_ett("etth2", folder)], axis=1)
    made = [
        coarser("ETTh", ett, split, ETT_TRAIN, ETT_VALIDATION, 0.44, 24),
        coarser("ETTm", quarter_hourly, split, 4 * ETT_TRAIN, 4 * ETT_VALIDATION, 0.13, 96, (1, 2)),
        coarser(
            "weather", load_weather(folder), split, WEATHER_TRAIN, WEATHER_VALIDATION, 0.19, 144, (1, 3, 6)
        ),
        coarser("exchange", load_exchange(folder), split, EXCHANGE_VALIDATION, EXCHANGE_TRAIN, 0.04, 5),
    ]
    m4 = [one.train[:, 0] for one in load_m4_hourly(folder)]
    cuts = [len(one) - M4_HORIZON for one in m4]
    spans = [
        (SHORTEST, cut) if split == "train" else (cut, len(one)) for one, cut in zip(m4, cuts, strict=True)
    ]
    made.append(Pool("M4 hourly", tuple(m4), tuple(spans), 0.20, (24,) * len(m4)))
    return [
        *(replace(pool, share=(1 - synthetic) * pool.share) for pool in made),
        synthetic_pool(split, synthetic, SYNTHETIC[split]),
    ]


def coarser(
    name: str,
    values: np.ndarray,
    split: Split,
    train: int,
    validation: int,
    share: float,
    period: int,
    strides: tuple[int, ...] = (1,),
) -> Pool:
    """The channels of (T, C), with each stride above 1 thinned out and averaged too."""
    series, spans, periods = [], [], []
    for stride in strides:
        rows = len(values) // stride
        blocks = values[: rows * stride].reshape(rows, stride, -1)
        for one in (blocks[:, 0],) if stride == 1 else (blocks[:, 0], blocks.mean(1)):
            series += list(one.T)
            first, last = (
                (SHORTEST, train // stride) if split == "train" else (train // stride, validation // stride)
            )
            spans += [(first, last)] * one.shape[1]
            periods += [period // stride] * one.shape[1]
    return Pool(name, tuple(series), tuple(spans), share, tuple(periods))
