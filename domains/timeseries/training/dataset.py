"""Training windows, cut at random from series and from the synthetic generator."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.data import TimeSeries
from domains.timeseries.local import GAPS, RECORD, Local, fit
from domains.timeseries.recipes import Jobs
from domains.timeseries.ridge import LAGS, linear
from domains.timeseries.training.synthetic import generate
from domains.timeseries.window import CONTEXT, INSIDE, RIGHT, SHORTEST, TARGET, WIDTH
from zoo.domain import Dataset, Split
from zoo.engine.denoiser import Batch
from zoo.errors import DataError
from zoo.manifest import Source

SYNTHETIC_LENGTH, CHANNELS = 1024, 4
FITS = 8  # local models along a series, at most
EXTREME = 20.0  # targets farther from the origin than this many scales are left out of the loss


class Fits(NamedTuple):
    """Local models of one series, each fitted to what lies before a row: see `domains.timeseries.local`."""

    rows: np.ndarray  # (fits,), rising
    weights: np.ndarray  # (fits, LAGS, TARGET), half precision
    records: np.ndarray  # (fits, RECORD)


@dataclass(frozen=True, eq=False)
class Pool:
    """Series that are alike. Targets of windows lie between rows start and stop; what lies before is context.

    Attributes:
        name: for messages.
        series: each of shape `(T,)`, NaN where missing.
        spans: (start, stop) for each.
        share: weight of the pool in the mixture of real windows.
        periods: the season that the calendar tells for each, in steps; empty: it tells none.
    """

    name: str
    series: tuple[np.ndarray, ...]
    spans: tuple[tuple[int, int], ...]
    share: float = 1.0
    periods: tuple[int, ...] = ()
    # shared by a copy with another share, which saves fitting again
    _made: dict[int, Fits] = field(default_factory=dict, repr=False)

    def fits(self, pick: int) -> Fits:
        """Local models of one series, made when they are first asked for."""
        if pick not in self._made:
            self._made[pick] = _fits(self.series[pick], *self.spans[pick])
        return self._made[pick]


def _fits(series: np.ndarray, start: int, stop: int) -> Fits:
    """Local models fitted at FITS rows or fewer, as far as windows between start and stop need them."""
    rows = np.arange(CONTEXT, stop - TARGET + 1, max(CONTEXT, stop // FITS))
    rows = rows[max(np.searchsorted(rows, start, "right") - 1, 0) :]
    made = [fit(series[:row].astype(float)) for row in rows]
    weights = np.zeros((len(rows), LAGS, TARGET), np.float16)
    for place, (one, _) in zip(weights, made, strict=True):
        place[:] = one
    records = np.array([record for _, record in made], np.float32).reshape(-1, RECORD)
    return Fits(rows, weights, records)


def pool_of(series: Sequence[TimeSeries], split: Split) -> Pool:
    """The channels of a user's series.

    Validation targets are the last fifth of each; training windows end before it.

    Raises:
        DataError: if no series is long enough to learn from.
    """
    usable = [one for one in series if len(one) >= 2 * SHORTEST]
    if not usable:
        longest = max(len(one) for one in series)
        raise DataError(
            f"training needs a series of {2 * SHORTEST} steps or more; the longest here has {longest}"
        )
    channels, spans, periods = [], [], []
    for one in usable:
        cut = 4 * len(one) // 5
        for column in one.values.T:
            channels.append(column)
            periods.append(one.period)
            spans.append((SHORTEST, cut) if split == "train" else (cut, len(one)))
    return Pool("data", tuple(channels), tuple(spans), periods=tuple(periods))


def statistics(pool: Pool) -> TimeSeriesAdapter:
    """An adapter with the statistics of a pool's series before the ends of their spans."""
    parts = [
        series[:stop][np.isfinite(series[:stop])]
        for series, (_, stop) in zip(pool.series, pool.spans, strict=True)
    ]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise DataError("the training data hold no value at all")
    spread = float(np.median([part.std() for part in parts]))
    return TimeSeriesAdapter(float(np.median([part.mean() for part in parts])), spread or 1.0)


def synthetic_pool(split: Split, share: float, count: int) -> Pool:
    """`count` series of the generator, the same in every run; the two splits have nothing in common."""
    seed = 0 if split == "train" else 1
    series = generate(count // CHANNELS, CHANNELS, SYNTHETIC_LENGTH, seed).flatten(0, 1).numpy()
    return Pool("synthetic", tuple(series), ((SHORTEST, SYNTHETIC_LENGTH),) * len(series), share)


class Windows(Dataset):
    """Windows of one channel: `x` and mask (B, 1, TARGET); the conditions are those of `HistoryEncoder`."""

    def __init__(
        self, pools: Sequence[Pool], jobs: Jobs, adapter: TimeSeriesAdapter, sources: tuple[Source, ...] = ()
    ):
        self.pools, self.jobs, self.adapter, self.sources = tuple(pools), jobs, adapter, sources
        shares = np.array([pool.share for pool in self.pools])
        self.shares = shares / shares.sum()

    def __len__(self) -> int:
        return sum(stop - start for pool in self.pools for start, stop in pool.spans)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        raw = np.full((size, WIDTH), np.nan)
        local, record = np.full((size, TARGET), np.nan), np.zeros((size, RECORD), np.float32)
        period = np.ones((size, 1), np.int64)
        for row in zip(raw, local, record, period, strict=True):
            self._cut(rng, *row)
        mirrored = rng.random(size) < self.jobs.mirrored
        raw[mirrored] *= -1
        local[mirrored] *= -1
        mixed = rng.random(size) < self.jobs.mixed
        weight = rng.uniform(0.1, 0.9, (mixed.sum(), 1)).astype(np.float32)
        partner = rng.permutation(size)[: mixed.sum()]
        joined = np.concatenate([raw, local], -1)  # what is linear in the window mixes as the window does
        joined = weight * _standardised(joined[mixed]) + (1 - weight) * _standardised(joined[partner])
        raw[mixed], local[mixed] = joined[:, :WIDTH], joined[:, WIDTH:]
        record[mixed] = weight * record[mixed] + (1 - weight) * record[partner]
        period[mixed] = np.where(period[mixed] == period[partner], period[mixed], 1)
        period[rng.random(size) > self.jobs.told] = 1
        hidden, alone = self._hide(rng, raw)
        unconditional = hidden.all(-1)
        own = self.adapter.encode(np.where(hidden, np.nan, raw))
        x = own.units.encode(np.where(np.isfinite(raw), raw, own.units.origin))[..., INSIDE]
        x[unconditional] = _standardised(raw[unconditional, INSIDE])
        usable = np.isfinite(raw[..., INSIDE]) & (np.abs(x) < EXTREME)
        wanted = hidden[..., INSIDE] & usable
        x = np.where(usable, x, np.float32(0))
        without = alone[:, None] | np.isnan(local).any(-1, keepdims=True)
        local = np.where(without, np.float32(0), own.units.encode(local))
        cond = {
            "values": own.values,
            "known": own.known,
            "local": local,
            "period": period,
            "record": np.where(without, np.float32(0), record),
        }
        one_channel = {name: torch.from_numpy(value)[:, None] for name, value in cond.items()}
        return Batch(torch.from_numpy(x)[:, None], one_channel, torch.from_numpy(wanted)[:, None])

    def _cut(
        self,
        rng: np.random.Generator,
        row: np.ndarray,
        local: np.ndarray,
        record: np.ndarray,
        period: np.ndarray,
    ) -> None:
        """Fills a window from a random place of a random series, and what is known about it."""
        pool = self.pools[rng.choice(len(self.pools), p=self.shares)]
        pick = int(rng.integers(len(pool.series)))
        series, (start, stop), fits = pool.series[pick], pool.spans[pick], pool.fits(pick)
        first = int(rng.integers(start, max(stop - TARGET, start) + 1))
        if pool.periods:
            period[:] = pool.periods[pick]
        # what lies to the right of the target is context too, as far as the span allows
        part = series[max(first - CONTEXT, 0) : min(first + TARGET + RIGHT, stop)]
        before = min(first, CONTEXT)
        row[CONTEXT - before : CONTEXT - before + len(part)] = part
        latest = int(np.searchsorted(fits.rows, first, "right")) - 1
        if latest >= 0 and np.isfinite(series[first - LAGS : first]).any():
            past = linear(series[first - LAGS : first, None]).T
            model = Local(fits.weights[latest][None, None].astype(float), fits.records[latest][None, None])
            local[:] = model.forecast(past[None])[0, 0]
            record[:] = fits.records[latest]

    def _hide(self, rng: np.random.Generator, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True where a window's values are hidden from the network, one job a window: (size, WIDTH).

        And for which windows the local model is left out: (size,).
        """
        size, jobs = len(raw), self.jobs
        hidden = np.zeros(raw.shape, bool)
        job = rng.choice(
            4,
            size,
            p=[1 - jobs.gap - jobs.points - jobs.unconditional, jobs.gap, jobs.points, jobs.unconditional],
        )
        forecast, gap, points = job == 0, job == 1, job == 2
        hidden[forecast, CONTEXT:] = True
        step = np.arange(WIDTH)
        length = np.exp(rng.uniform(np.log(SHORTEST), np.log(CONTEXT), size))
        short = forecast & (rng.random(size) < jobs.short)
        hidden[short] |= step < CONTEXT - length[short, None]
        spoiled = forecast & (rng.random(size) < jobs.missing)
        hidden[spoiled] |= (rng.random((spoiled.sum(), WIDTH)) < rng.uniform(0, 0.4, (spoiled.sum(), 1))) & (
            step != CONTEXT - 1
        )
        start = rng.integers(0, TARGET - 2, (gap.sum(), 1))
        inside = step - CONTEXT
        hidden[gap] = (
            (inside >= start)
            & (inside < start + rng.integers(2, TARGET + 1, start.shape))
            & (inside < TARGET)
        )
        other = gap & (rng.random(size) < 0.5)
        every, run = (rng.integers(*bounds, (other.sum(), 1)) for bounds in ((48, 240), (2, 48)))
        outside = (inside < 0) | (inside >= TARGET)
        hidden[other] |= ((step + rng.integers(240, size=every.shape)) % every < run) & outside
        hidden[points] = rng.random((points.sum(), WIDTH)) < rng.uniform(0.05, 0.6, (points.sum(), 1))
        hidden[job == 3] = True
        gappy = spoiled & (hidden[:, :CONTEXT].mean(-1) > GAPS)
        return hidden, ~forecast | short | gappy | (rng.random(size) < jobs.alone)


def _standardised(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1 over what is known of their first WIDTH steps.

    Constant rows are 0.
    """
    seen = np.isfinite(x) & (np.arange(x.shape[-1]) < WIDTH)
    filled = np.where(seen, x, 0.0)
    count = np.maximum(seen.sum(-1, keepdims=True), 1)
    centred = x - filled.sum(-1, keepdims=True) / count
    std = np.sqrt(np.where(seen, centred**2, 0.0).sum(-1, keepdims=True) / count)
    varies = std > 1e-6 * np.abs(filled).max(-1, keepdims=True)
    return (centred / np.where(varies, std, np.inf)).astype(np.float32)
