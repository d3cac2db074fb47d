"""Time series: probabilistic forecasts, gap filling and synthesis, zero-shot or fine-tuned."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.backbone import PRIORS, HistoryEncoder, TargetDenoiser
from domains.timeseries.data import read
from domains.timeseries.forecast import Forecast, Forecasts
from domains.timeseries.model import TimeSeriesModel
from domains.timeseries.recipes import RECIPES, TimeSeriesRecipe
from zoo.domain import Domain, EvaluateRequest, SampleRequest, Split, option
from zoo.engine.denoiser import NetworkDenoiser
from zoo.engine.path import PATHS
from zoo.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from domains.timeseries.training.dataset import Windows

REPLAYED = 2_000  # synthetic series beside a user's data

__all__ = ["Forecast", "Forecasts", "TimeSeriesModel", "domain"]


@dataclass(frozen=True, kw_only=True)
class ForecastRequest(SampleRequest):
    """With --data a forecast of every series in it; without, unconditional series."""

    n: int = option(100, "How many sample paths.")
    horizon: int = option(24, "Steps to forecast; the length of unconditional series.")
    freq: str | None = option(None, "Step between stamps, such as h, D or MS. [default: from the stamps]")
    timestamp: str | None = option(None, "Column of the stamps. [default: found]")
    target: str | None = option(None, "Column to forecast. [default: all]")
    item_id: str | None = option(None, "Column that tells series apart. [default: item_id, if there is one]")
    paths: bool = option(False, "Write the sample paths to --out instead of mean and quantiles.")


@dataclass(frozen=True, kw_only=True)
class BacktestRequest(EvaluateRequest):
    """With --data a backtest on its last steps; without, the protocols of the literature (needs ZOO_DATA)."""

    horizon: int = option(24, "Steps of each forecast.")
    windows: int = option(5, "How many forecasts at the end of each series.")
    n: int = option(100, "How many sample paths.")
    freq: str | None = option(None, "Step between stamps. [default: from the stamps]")
    timestamp: str | None = option(None, "Column of the stamps. [default: found]")
    target: str | None = option(None, "Column to forecast. [default: all]")
    item_id: str | None = option(None, "Column that tells series apart. [default: item_id, if there is one]")


class TimeSeries(Domain):
    """The domain object; see `zoo.domain.Domain` for the contract."""

    name = "timeseries"
    recipes = RECIPES
    recipe_class = TimeSeriesRecipe
    model_class = TimeSeriesModel
    sample_request = ForecastRequest
    evaluate_request = BacktestRequest

    def denoiser(self, recipe: TimeSeriesRecipe) -> NetworkDenoiser:
        return NetworkDenoiser(
            TargetDenoiser(recipe.network),
            PATHS[recipe.path](),
            recipe.scaling,
            recipe.objective,
            encoder=HistoryEncoder(recipe.network),
            colour=PRIORS[recipe.prior],
        )

    def dataset(
        self, source: Any, split: Split, recipe: TimeSeriesRecipe, adapter: TimeSeriesAdapter | None = None
    ) -> "Windows":
        # imported here: it brings scipy, which only training needs
        from domains.timeseries.training.dataset import Windows, pool_of, synthetic_pool

        adapter = adapter or TimeSeriesAdapter()
        if source is None:
            from domains.timeseries.training import corpus

            return Windows(corpus.pools(split, recipe.jobs.synthetic), recipe.jobs, adapter, corpus.SOURCES)
        replay = recipe.jobs.replay
        pools = [
            replace(pool_of(read(source), split), share=1 - replay),
            synthetic_pool(split, replay, REPLAYED),
        ]
        return Windows(pools, recipe.jobs, adapter)

    def adapter(self, recipe: TimeSeriesRecipe, dataset: "Windows") -> TimeSeriesAdapter:
        # many data sets have no common unit: pretrained, unconditional samples have mean 0, deviation 1
        from domains.timeseries.training.dataset import statistics

        return TimeSeriesAdapter() if dataset.sources else statistics(dataset.pools[0])

    def adapter_from(self, state: dict[str, Any]) -> TimeSeriesAdapter:
        adapter = TimeSeriesAdapter(**{name: float(state[name]) for name in ("level", "spread")})
        if len(state) != 2 or not math.isfinite(adapter.level) or not 0 < adapter.spread < math.inf:
            raise ValueError(f"level and a positive spread, both finite, are wanted, not {state}")
        return adapter

    def example(self) -> pd.DataFrame:
        """Four weeks of two hourly channels with a daily cycle."""
        hours = np.arange(24 * 28)
        rng = np.random.default_rng(0)
        load = 100 + 20 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 2, len(hours))
        price = 30 + 0.2 * load + rng.normal(0, 1, len(hours)).cumsum() * 0.1
        index = pd.date_range("2024-01-01", periods=len(hours), freq="h", name="timestamp")
        return pd.DataFrame({"load": load, "price": price}, index=index)

    def sample(self, model: TimeSeriesModel, request: ForecastRequest) -> list[Path]:
        if request.data is None:
            if request.plot is not None:
                raise OptionError("--plot needs --data: unconditional series have no history to draw")
            drawn = model.sample(
                request.n, request.horizon, steps=request.steps, sampler=request.sampler,
                guidance=request.guidance, seed=request.seed,
            )  # fmt: skip
            frame = pd.DataFrame(drawn[..., 0].T, columns=[f"sample{i}" for i in range(request.n)])
            frame.to_csv(request.out, index_label="step")
            return [request.out] if request.out else []
        if request.guidance is not None:
            raise OptionError("--guidance means nothing here: a forecast has its history as its condition")
        made = model.forecast(
            request.data,
            request.horizon,
            request.n,
            freq=request.freq,
            timestamp=request.timestamp,
            target=request.target,
            item_id=request.item_id,
            seed=request.seed,
            steps=request.steps,
            sampler=request.sampler,
        )
        files = []
        if request.out is not None:
            (made.paths_frame() if request.paths else made.to_frame()).to_csv(request.out, index=False)
            files.append(request.out)
        if request.plot is not None:
            made.plot(request.plot)
            files.append(request.plot)
        return files

    def evaluate(self, model: TimeSeriesModel, request: BacktestRequest) -> pd.DataFrame:
        if request.data is not None:
            return model.backtest(
                request.data,
                request.horizon,
                request.windows,
                n=request.n,
                seed=request.seed,
                freq=request.freq,
                timestamp=request.timestamp,
                target=request.target,
                item_id=request.item_id,
            )
        from domains.timeseries.evaluation.backtest import evaluate_protocol, protocols

        tables = [evaluate_protocol(model, one, request.n, request.seed) for one in protocols().values()]
        return pd.concat(tables, ignore_index=True)

    def demo(self, model: TimeSeriesModel, folder: Path) -> list[Path]:
        """Forecasts two years of El Niño sea-surface temperatures from the 40 before; shows what happened.

        The data come with statsmodels.
        """
        try:
            from statsmodels.datasets import elnino
        except ImportError as error:
            raise MissingExtraError("statsmodels", "timeseries") from error
        years: pd.DataFrame = elnino.load_pandas().data  # type: ignore[assignment]  # statsmodels says None
        months = years.set_index("YEAR").stack()
        index = pd.date_range("1950-01-01", periods=len(months), freq="MS", name="timestamp")
        series = pd.Series(months.to_numpy(), index=index, name="sea-surface temperature [°C]")
        horizon = 24
        made = model.forecast(series[:-horizon], horizon, n=200, seed=0)
        table, picture = folder / "elnino.csv", folder / "elnino.png"
        frame = made.to_frame()
        frame["observed"] = series.to_numpy()[-horizon:]
        frame.to_csv(table, index=False)
        made.plot(picture, truth=series[-horizon:])
        scores = folder / "elnino-backtest.csv"
        model.backtest(series, horizon, windows=5).to_csv(scores, index=False)
        return [picture, table, scores]


domain = TimeSeries()
