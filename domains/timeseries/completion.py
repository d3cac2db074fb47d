"""Filling in the unknown: from arrays with NaN to sample paths, target by target.

Arrays here are (items, channels, steps), float64, NaN where unknown; paths are (items, n, channels, steps).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from domains.timeseries.joint import ChannelNoise, correlation
from domains.timeseries.local import RECORD, Local
from domains.timeseries.ridge import LAGS, linear
from domains.timeseries.window import CONTEXT, INSIDE, RIGHT, SHORTEST, TARGET, WIDTH
from zoo.engine.noise import Members
from zoo.model import Model

ROWS = 16_384  # paths that are denoised at once: bounds the memory
FIRST = 20  # paths whose medians stand in other gaps
LEFT = slice(0, CONTEXT)

# windows (items, C, WIDTH), noise, local models (items, C) or None -> (items · n, C, TARGET)
Draw = Callable[[np.ndarray, ChannelNoise, Local | None], np.ndarray]


def drawer(
    model: Model,
    period: int,
    *,
    steps: int | None = None,
    sampler: str | None = None,
    positive: np.ndarray | None = None,
) -> Draw:
    """Draws the targets of windows with the model; known values stay as they are.

    Args:
        model, steps, sampler: as in `Model.draw`.
        period: the season that the calendar tells, in steps; 1 if it tells none.
        positive: for each channel, whether negative values become 0.
    """

    def draw(raw: np.ndarray, noise: ChannelNoise, local: Local | None) -> np.ndarray:
        window = model.adapter.encode(raw)
        values, known = torch.from_numpy(window.values), torch.from_numpy(window.known)
        guess, record = (np.zeros((*raw.shape[:2], size), np.float32) for size in (TARGET, RECORD))
        if local is not None:
            guess = window.units.encode(local.forecast(_complete(raw[..., LEFT])[..., -LAGS:]))
            guess[~window.known[..., LEFT].any(-1)] = 0  # as in training, where nothing is known
            record = np.repeat(local.record, len(raw) // len(local.record), 0)
        samples = model.draw(
            noise,
            (raw.shape[1], TARGET),
            cond={
                "values": values,
                "known": known,
                "local": torch.from_numpy(guess),
                "record": torch.from_numpy(record),
                "period": torch.full((*raw.shape[:2], 1), period),
            },
            mask=~known[..., INSIDE],
            known=values[..., INSIDE],
            steps=steps,
            sampler=sampler,
        )
        n = len(noise) // len(raw)
        drawn = (
            np.repeat(window.units.origin, n, 0)
            + np.repeat(window.units.scale, n, 0) * samples.x.cpu().double().numpy()
        )
        if positive is not None:
            drawn = np.where(positive[:, None], drawn.clip(min=0), drawn)
        return np.where(np.repeat(window.known[..., INSIDE], n, 0), np.repeat(raw[..., INSIDE], n, 0), drawn)

    return draw


def factors_of(histories: np.ndarray, period: int) -> torch.Tensor:
    """Cholesky factors (items, C, C) of the correlations of the channels' innovations."""
    factors = np.stack([np.linalg.cholesky(correlation(history.T, period)) for history in histories])
    return torch.from_numpy(factors).float()


def continued(
    draw: Draw,
    histories: np.ndarray,
    horizon: int,
    n: int,
    seeds: Sequence[int],
    local: Local,
    period: int = 1,
) -> np.ndarray:
    """n paths of `horizon` steps after each history; later targets follow their own path's past.

    Every history has a seed of its own, so that its paths do not depend on the others, and a local model a
    channel.
    """
    chunk = max(ROWS // (n * histories.shape[1]), 1)
    parts = []
    for first in range(0, len(histories), chunk):
        part = histories[first : first + chunk]
        members = [Members(seed, range(n)) for seed in seeds[first : first + chunk]]
        noise = ChannelNoise(members, factors_of(part, period))
        own = Local(*(value[first : first + chunk] for value in local))
        parts.append(_roll(draw, part, horizon, noise, own))
    return np.concatenate(parts)


def _roll(draw: Draw, histories: np.ndarray, horizon: int, noise: ChannelNoise, local: Local) -> np.ndarray:
    items, channels, _ = histories.shape
    n = len(noise) // items
    past, drawn = _last(lengthened(histories), CONTEXT), []
    while sum(part.shape[-1] for part in drawn) < horizon:
        window = np.full((len(past), channels, WIDTH), np.nan)
        window[..., LEFT] = past
        drawn.append(draw(window, noise, local))
        past = _last(np.concatenate([np.repeat(past, len(noise) // len(past), 0), drawn[-1]], -1), CONTEXT)
    return np.concatenate(drawn, -1)[..., :horizon].reshape(items, n, channels, horizon)


def lengthened(histories: np.ndarray) -> np.ndarray:
    """Histories of at least SHORTEST steps: a shorter one is preceded by its first known value.

    The network was never trained on shorter ones, and left alone it forecasts the next step wildly. On
    validation windows cut to 3, 6 and 10 steps this is better than the mirror image or than nothing.
    """
    long = _last(histories, max(histories.shape[-1], SHORTEST))
    for channel in long.reshape(-1, long.shape[-1]):
        known = np.flatnonzero(np.isfinite(channel))
        if len(known) and (first := int(known[0])) > len(channel) - SHORTEST:
            channel[-SHORTEST:first] = channel[first]
    return long


def _complete(past: np.ndarray) -> np.ndarray:
    """Pasts (*, steps) without NaN: interpolated in time."""
    if not np.isnan(past).any():
        return past
    return linear(past.reshape(-1, past.shape[-1]).T).T.reshape(past.shape)


def _last(x: np.ndarray, steps: int) -> np.ndarray:
    """The last steps, with NaN before them where there are too few."""
    x = x[..., -steps:]
    return np.pad(x, ((0, 0),) * (x.ndim - 1) + ((steps - x.shape[-1], 0),), constant_values=np.nan)


def filled(draw: Draw, values: np.ndarray, n: int, seed: int, period: int = 1) -> np.ndarray:
    """n completions (n, C, T) of one series (C, T).

    Twice, with the same noise: the second time every target sees in the gaps around it the medians of
    FIRST paths. Path i depends on the seed, i and the data alone.
    """
    factors = factors_of(values[None], period)
    first = _both_ways(draw, values, values, FIRST, seed, factors)
    return _both_ways(draw, values, np.median(first, 0), n, seed, factors)


def _both_ways(
    draw: Draw, values: np.ndarray, around: np.ndarray, n: int, seed: int, factors: torch.Tensor
) -> np.ndarray:
    """Every second path is drawn backwards in time: a window sees far to its left, and less to its right."""
    paths = np.empty((n, *values.shape))
    for way, members in ((1, range(0, n, 2)), (-1, range(1, n, 2))):
        if members:
            made = _one_way(draw, values[:, ::way], around[:, ::way], members, seed, factors)
            paths[members.start :: 2] = made[..., ::way]
    return paths


def _one_way(
    draw: Draw,
    values: np.ndarray,
    around: np.ndarray,
    members: Sequence[int],
    seed: int,
    factors: torch.Tensor,
) -> np.ndarray:
    """The paths of these members, target after target in the order of time.

    What lies before the first known value of a channel is filled backwards instead.
    """
    lead = int(np.isfinite(values).argmax(1).max())  # the first step at which every channel has begun
    if lead <= RIGHT:
        return _fill(draw, values, around, _targets(values, 0), members, seed, factors)
    paths = _fill(draw, values, around, _targets(values, lead), members, seed, factors)
    head = slice(0, lead + CONTEXT)
    backwards, beside = values[:, head][:, ::-1], around[:, head][:, ::-1]
    made = _fill(draw, backwards, beside, _targets(backwards, 0), members, seed, factors)
    paths[..., :lead] = made[..., ::-1][..., :lead]
    return paths


def _fill(
    draw: Draw,
    values: np.ndarray,
    around: np.ndarray,
    targets: tuple[list[int], list[int]],
    members: Sequence[int],
    seed: int,
    factors: torch.Tensor,
) -> np.ndarray:
    """Draws targets (see `_targets`) with what is told around them (see `_window`).

    Every target has noise of its own, a function of the seed, the member and its place. Targets that cut one
    gap in pieces are filled one after the other, each path on its own past; all others at once.
    """
    heads, followers = targets
    n, channels = len(members), len(values)
    paths = np.repeat(values[None], n, 0)
    chunk = max(ROWS // (n * channels), 1)
    for first in range(0, len(heads), chunk):
        starts = heads[first : first + chunk]
        windows = np.stack([_window(values, around, start) for start in starts])
        streams = [Members((seed << 32) + start, members) for start in starts]
        noise = ChannelNoise(streams, factors.expand(len(starts), -1, -1))
        blocks = draw(windows, noise, None).reshape(len(starts), n, channels, TARGET)
        for start, block in zip(starts, blocks, strict=True):
            _paste(paths, start, block)
    for start in followers:
        window = np.repeat(_window(values, around, start)[None], n, 0)
        seen = paths[..., max(start - CONTEXT, 0) : start]
        window[..., CONTEXT - seen.shape[-1] : CONTEXT] = seen
        # each path is an item with a past of its own, and has one member
        alone = [Members((seed << 32) + start, [i]) for i in members]
        block = draw(window, ChannelNoise(alone, factors.expand(n, -1, -1)), None)
        _paste(paths, start, block)
    return paths


def _window(values: np.ndarray, around: np.ndarray, start: int) -> np.ndarray:
    """The window (C, WIDTH) of the target at a step, with what is told around it in other gaps.

    A gap that goes on beyond the target, on either side, stays unknown: its median would make the target
    too sure.
    """
    pad = ((0, 0), (max(CONTEXT - start, 0), max(start + TARGET + RIGHT - values.shape[-1], 0)))
    inside = slice(max(start - CONTEXT, 0), start + TARGET + RIGHT)
    window = np.pad(values[:, inside], pad, constant_values=np.nan)
    told = np.pad(around[:, inside], pad, constant_values=np.nan)
    told[:, INSIDE] = window[:, INSIDE]
    for beyond in (slice(INSIDE.stop - 1, None), slice(INSIDE.start, None, -1)):
        goes_on = np.logical_and.accumulate(np.isnan(window[:, beyond]), 1)
        told[:, beyond][goes_on] = np.nan
    return told


def _targets(values: np.ndarray, begin: int) -> tuple[list[int], list[int]]:
    """First steps of the targets that cover the gaps of (C, T) from a step on.

    Returns:
        Those that can be filled at once, and those that go on with a gap in which the target before them
        ends.
    """
    holes = np.flatnonzero(np.isnan(values).any(0))
    holes = holes[holes >= begin]
    heads, followers = [], []
    end = position = 0
    while position < len(holes):
        start = int(holes[position])
        goes_on = end == start > 0 and np.isnan(values[:, start - 1 : start + 1]).all(1).any()
        (followers if goes_on else heads).append(start)
        end = start + TARGET
        position = int(np.searchsorted(holes, end))
    return heads, followers


def _paste(paths: np.ndarray, start: int, block: np.ndarray) -> None:
    stop = min(start + TARGET, paths.shape[-1])
    paths[..., start:stop] = block[..., : stop - start]
