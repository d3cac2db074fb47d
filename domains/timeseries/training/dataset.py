"""Training windows, cut at random from series and from the synthetic generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.data import TimeSeries
from domains.timeseries.recipes import Jobs
from domains.timeseries.training.synthetic import generate
from domains.timeseries.window import CONTEXT, RIGHT, SHORTEST, TARGET, WIDTH
from zoo.domain import Dataset, Split
from zoo.engine.denoiser import Batch
from zoo.errors import DataError
from zoo.manifest import Source

SYNTHETIC_LENGTH, CHANNELS = 1024, 4
EXTREME = 20.0  # targets farther from the origin than this many scales are left out of the loss


@dataclass(frozen=True, eq=False)
class Pool:
    """Series that are alike. Targets of windows lie between rows start and stop; what lies before is context.

    Attributes:
        name: for messages.
        series: each of shape `(T,)`, NaN where missing.
        spans: (start, stop) for each.
        share: weight of the pool in the mixture of real windows.
        strides: steps between the rows that a window takes; above 1, it is averaged or thinned out.
    """

    name: str
    series: tuple[np.ndarray, ...]
    spans: tuple[tuple[int, int], ...]
    share: float = 1.0
    strides: tuple[int, ...] = (1,)


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
    channels, spans = [], []
    for one in usable:
        cut = 4 * len(one) // 5
        for column in one.values.T:
            channels.append(column)
            spans.append((SHORTEST, cut) if split == "train" else (cut, len(one)))
    return Pool("data", tuple(channels), tuple(spans))


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
    """Windows of one channel: `x` and mask (B, 1, TARGET), conditions `values` and `known` (B, 1, WIDTH)."""

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
        for row in raw:
            self._cut(rng, row)
        mirrored = rng.random(size) < self.jobs.mirrored
        raw[mirrored] *= -1
        mixed = rng.random(size) < self.jobs.mixed
        weight = rng.uniform(0.1, 0.9, (mixed.sum(), 1)).astype(np.float32)
        partner = rng.permutation(size)[: mixed.sum()]
        raw[mixed] = weight * _standardised(raw[mixed]) + (1 - weight) * _standardised(raw[partner])
        hidden = self._hide(rng, raw)
        unconditional = hidden.all(-1)
        own = self.adapter.encode(np.where(hidden, np.nan, raw))
        target = slice(CONTEXT, CONTEXT + TARGET)
        x = own.units.encode(np.where(np.isfinite(raw), raw, own.units.origin))[..., target]
        x[unconditional] = _standardised(raw[unconditional, target])
        usable = np.isfinite(raw[..., target]) & (np.abs(x) < EXTREME)
        wanted = hidden[..., target] & usable
        x = np.where(usable, x, np.float32(0))
        cond = {
            "values": torch.from_numpy(own.values)[:, None],
            "known": torch.from_numpy(own.known)[:, None],
        }
        return Batch(torch.from_numpy(x)[:, None], cond, torch.from_numpy(wanted)[:, None])

    def _cut(self, rng: np.random.Generator, row: np.ndarray) -> None:
        """Fills a window from a random place of a random series."""
        pool = self.pools[rng.choice(len(self.pools), p=self.shares)]
        pick = int(rng.integers(len(pool.series)))
        series, (start, stop) = pool.series[pick], pool.spans[pick]
        stride = int(rng.choice(pool.strides))
        first = int(rng.integers(start, max(stop - stride * TARGET, start) + 1))
        part = series[max(first - CONTEXT * stride, 0) : min(first + TARGET * stride, stop)]
        before = min(first, CONTEXT * stride) // stride
        part = part[min(first, CONTEXT * stride) - before * stride :]
        if stride > 1:
            part = part[: len(part) // stride * stride].reshape(-1, stride)
            part = part.mean(1) if rng.random() < 0.5 else part[:, 0]
        # what lies to the right of the target is context too, as far as the span allows
        right = series[first + TARGET * stride : min(first + (TARGET + RIGHT) * stride, stop) : stride]
        if stride == 1:
            part = np.concatenate([part, right])
        row[CONTEXT - before : CONTEXT - before + len(part)] = part

    def _hide(self, rng: np.random.Generator, raw: np.ndarray) -> np.ndarray:
        """True where a window's values are hidden from the network: one job a window."""
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
        hidden[points] = rng.random((points.sum(), WIDTH)) < rng.uniform(0.05, 0.6, (points.sum(), 1))
        hidden[job == 3] = True
        return hidden


def _standardised(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1 over what is not NaN; constant rows are 0."""
    seen = np.isfinite(x)
    filled = np.where(seen, x, 0.0)
    count = np.maximum(seen.sum(-1, keepdims=True), 1)
    centred = x - filled.sum(-1, keepdims=True) / count
    std = np.sqrt(np.where(seen, centred**2, 0.0).sum(-1, keepdims=True) / count)
    varies = std > 1e-6 * np.abs(filled).max(-1, keepdims=True)
    return (centred / np.where(varies, std, np.inf)).astype(np.float32)
