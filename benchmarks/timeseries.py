"""Every figure of docs/timeseries.md, recomputed.

    ZOO_DATA=... python benchmarks/timeseries.py [--model REF] [PART ...]

Parts: forecasts, imputation, evaluations, speed, finetune (about ten minutes). Default: all of them. The
floors come from benchmarks/timeseries_floors.py.
"""

import argparse
import statistics
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import zoo
from domains.timeseries.evaluation import baselines, metrics, protocols
from domains.timeseries.evaluation.backtest import floors
from domains.timeseries.local import Local, local_models
from domains.timeseries.model import TimeSeriesModel
from zoo import checkpoint
from zoo.manifest import Metric

SHOWN = ["wQL", "CRPS-sum", "coverage 50", "coverage 80", "coverage 95", "spread-skill", "MASE"]
TESTS = ("ett", "ett-long", "m4", "exchange", "exchange-last")
VALIDATION = ("ett-validation", "ett-late-validation", "m4-validation", "exchange-validation")
SEEDS = 3
SOLVERS = (("heun", 32), ("heun", 8), ("adams2", 8), ("adams2", 16), ("adams3", 16), ("euler", 16))


@cache
def fitted(name: str) -> tuple[protocols.Protocol, Local]:
    """A protocol and the local models of its histories: the same for every model, seed and sampler."""
    protocol = protocols.PROTOCOLS[name](None)
    return protocol, local_models(protocol.histories)


def scores(model: TimeSeriesModel, name: str, seed: int = 0, **how) -> pd.DataFrame:
    protocol, local = fitted(name)
    paths = model.forecast_arrays(
        protocol.histories, protocol.horizon, 100, seed, protocol.period, local=local, **how
    )
    return metrics.score(paths, protocol.truth, protocol.scale)


def forecasts(model: TimeSeriesModel) -> None:
    """Means over SEEDS sets of 100 paths; the interval is over windows, of the first set."""
    for name in VALIDATION + TESTS:
        tables = [scores(model, name, seed) for seed in range(SEEDS)]
        row = pd.concat([table["value"] for table in tables], axis=1).mean(axis=1)[SHOWN]
        low, high = tables[0].loc["wQL", ["low", "high"]]
        print(
            f"{name:20}",
            "  ".join(f"{k} {v:.4f}" for k, v in row.items()),
            f" wQL interval {low:.4f} .. {high:.4f}",
        )


def imputation(model: TimeSeriesModel, n: int = 100) -> None:
    for validation in (True, False):
        for kind in ("points", "blocks"):
            truth, missing, period = protocols.imputation(kind, validation=validation)
            given = np.where(missing, np.nan, truth)
            index = pd.date_range("2017-10-24", periods=len(truth), freq="h", name="timestamp")
            made = model.completions(pd.DataFrame(given, index=index).rename(columns=str), n)
            hidden = missing[None]
            top, bottom = metrics.crps_parts(
                np.where(hidden, made.paths, 0.0)[None], np.where(missing, truth, np.nan)[None]
            )
            simple = {
                name: np.abs(imputer(given, period) - truth)[missing].mean()
                for name, imputer in baselines.IMPUTERS.items()
            }
            crps = top.sum() / bottom.sum()
            gain = 1 - crps / min(simple.values())
            shown = "  ".join(f"{name} {value:.4f}" for name, value in simple.items())
            rows = "validation" if validation else "test"
            print(f"imputation, {rows}, {kind:7} CRPS {crps:.4f}  {shown}  {gain:.0%} below the better floor")


def evaluations(model: TimeSeriesModel) -> None:
    """wQL on validation windows by sampler and number of network evaluations."""
    for name in VALIDATION:
        for sampler, steps in SOLVERS:
            count = 2 * steps - 1 if sampler == "heun" else steps
            table = scores(model, name, sampler=sampler, steps=steps)["value"]
            shown = f"wQL {table['wQL']:.4f}  80 % {table['coverage 80']:.3f}"
            print(f"{name:20} {sampler:7} {count:3} evaluations  {shown}")


def speed(model: TimeSeriesModel) -> None:
    for length in (512, 8000):
        history = 10 + np.sin(np.arange(length) / 24 * 2 * np.pi)
        model.forecast(history, 48, 100)
        seconds = []
        for _ in range(10):
            start = time.perf_counter()
            model.forecast(history, 48, 100)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        print(
            f"100 paths of 48 after {length} steps, {torch.get_num_threads()} threads: median {middle:.3f} s"
        )


def finetune(model: TimeSeriesModel) -> None:
    """On rows 0 .. 8640 of ETTh1 and ETTh2, which the pretraining saw; then on all before the test windows.

    The last fifth of the rows that are given is held out.
    """
    for title, rows in (
        ("the training split", 5 * protocols.ETT_TRAIN // 4),
        ("all before", protocols.ETT_DAYS[0]),
    ):
        hours = pd.date_range("2016-07-01", periods=rows, freq="h", name="timestamp")
        data = {
            item: pd.DataFrame(protocols.load_ett(item)[:rows], hours).rename(columns=str)
            for item in ("etth1", "etth2")
        }
        start = time.perf_counter()
        tuned = zoo.finetune(model, data)
        minutes, best = (time.perf_counter() - start) / 60, tuned.provenance.steps
        print(f"fine-tuned on {title} in {minutes:.1f} minutes, best at step {best}: {tuned.metrics[0]}")
        for name in ("ett", "ett-long"):
            for kind, one in (("zero-shot", model), ("fine-tuned", tuned)):
                tables = [scores(one, name, seed)["value"] for seed in range(SEEDS)]
                mean = pd.concat(tables, axis=1).mean(axis=1)
                print(
                    f"{name:20} {kind:10} wQL {mean['wQL']:.4f}  80 % {mean['coverage 80']:.3f}", flush=True
                )


HEADLINES = (
    ("wQL, M4 hourly, 48 steps", "m4", "wQL", "pooled ridge"),
    ("wQL, ETTh, last 24 hours", "ett", "wQL", "pooled ridge"),
    ("wQL, ETTh, 30 x 24 hours", "ett-long", "wQL", "pooled ridge"),
    ("wQL, Exchange, 5 x 30 days", "exchange", "wQL", "random walk"),
    ("CRPS-sum, Exchange, 5 x 30 days", "exchange", "CRPS-sum", "random walk"),
)


def ship(model: TimeSeriesModel, folder: str) -> None:
    """Saves the model in half precision, its figures beside those of the floors in its card."""
    found = []
    for title, name, score, floor in HEADLINES:
        protocol = protocols.PROTOCOLS[name](None)
        values = [scores(model, name, seed)["value"][score] for seed in range(SEEDS)]
        paths = floors(protocol)[floor](protocol.histories, protocol.horizon, SEEDS * 100, 0)
        parts = np.split(paths, SEEDS, axis=1)
        baseline = [metrics.score(part, protocol.truth, resamples=2)["value"][score] for part in parts]
        found.append(Metric(title, float(np.mean(values)), float(np.mean(baseline)), floor))
        print(found[-1], flush=True)
    model.metrics = tuple(found)
    checkpoint.write(Path(folder), model.pack(ref=model.name, precision="float16"))


PARTS = {part.__name__: part for part in (forecasts, imputation, evaluations, speed, finetune)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--model", default="timeseries-flow")
    parser.add_argument("--ship", metavar="FOLDER", help="save the model there with its figures, and stop")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    loaded = zoo.load(chosen.model, device="cpu")
    if chosen.ship is not None:
        ship(loaded, chosen.ship)
    else:
        for part in chosen.parts or PARTS:
            PARTS[part](loaded)
