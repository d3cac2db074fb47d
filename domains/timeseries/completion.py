"""Filling in the unknown: from arrays with NaN to sample paths, target by target.

Arrays here are (items, channels, steps), float64, NaN where unknown; paths are (items, n, channels, steps).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from domains.timeseries.joint import ChannelNoise, correlation
from domains.timeseries.window import CONTEXT, RIGHT, SHORTEST, TARGET, WIDTH
from zoo.engine.noise import Members
from zoo.model import Model

ROWS = 16_384  # paths that are denoised at once: bounds the memory
LEFT = slice(0, CONTEXT)
INSIDE = slice(CONTEXT, CONTEXT + TARGET)

# windows (items, C, WIDTH), noise -> (items · n, C, TARGET)
Draw = Callable[[np.ndarray, ChannelNoise], np.ndarray]


def drawer(
    model: Model, *, steps: int | None = None, sampler: str | None = None, positive: np.ndarray | None = None
) -> Draw:
    """Draws the targets of windows with the model; known values stay as they are.

    Args:
        model, steps, sampler: as in `Model.draw`.
        positive: for each channel, whether negative values become 0.
    """

    def draw(raw: np.ndarray, noise: ChannelNoise) -> np.ndarray:
        window = model.adapter.encode(raw)
        values, known = torch.from_numpy(window.values), torch.from_numpy(window.known)
        samples = model.draw(
            noise,
            (raw.shape[1], TARGET),
            cond={"values": values, "known": known},
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
    draw: Draw, histories: np.ndarray, horizon: int, n: int, seeds: Sequence[int], period: int = 1
) -> np.ndarray:
    """n paths of `horizon` steps after each history; later targets follow their own path's past.

    Every history has a seed of its own, so that its paths do not depend on the others.
    """
    chunk = max(ROWS // (n * histories.shape[1]), 1)
    parts = []
    for first in range(0, len(histories), chunk):
        part = histories[first : first + chunk]
        members = [Members(seed, range(n)) for seed in seeds[first : first + chunk]]
        parts.append(_roll(draw, part, horizon, ChannelNoise(members, factors_of(part, period))))
    return np.concatenate(parts)


def _roll(draw: Draw, histories: np.ndarray, horizon: int, noise: ChannelNoise) -> np.ndarray:
    items, channels, _ = histories.shape
    n = len(noise) // items
    past, drawn = _last(lengthened(histories), CONTEXT), []
    while sum(part.shape[-1] for part in drawn) < horizon:
        window = np.full((len(past), channels, WIDTH), np.nan)
        window[..., LEFT] = past
        drawn.append(draw(window, noise))
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


def _last(x: np.ndarray, steps: int) -> np.ndarray:
    """The last steps, with NaN before them where there are too few."""
    x = x[..., -steps:]
    return np.pad(x, ((0, 0),) * (x.ndim - 1) + ((steps - x.shape[-1], 0),), constant_values=np.nan)


def filled(draw: Draw, values: np.ndarray, n: int, seed: int, period: int = 1) -> np.ndarray:
    """n completions (n, C, T) of one series (C, T).

    Every target has noise of its own, a function of the seed, the member and its place. Targets that cut one
    gap in pieces are filled one after the other, each path on its own past; all others at once. What lies
    before the first known value of a channel is filled backwards in time.
    """
    paths = np.repeat(values[None], n, 0)
    known = np.isfinite(values)
    lead = int(known.argmax(1).max())  # the first step at which every channel has begun
    if lead > RIGHT:
        backwards = values[:, : lead + CONTEXT][:, ::-1]
        paths[..., :lead] = filled_forwards(draw, backwards, n, seed, period)[..., ::-1][..., :lead]
    else:
        lead = 0
    rest = filled_forwards(draw, values, n, seed, period, start=lead)
    paths[..., lead:] = rest[..., lead:]
    return paths


def filled_forwards(
    draw: Draw, values: np.ndarray, n: int, seed: int, period: int, start: int = 0
) -> np.ndarray:
    """`filled` for the gaps from step `start` on, all in the order of time."""
    channels = len(values)
    paths = np.repeat(values[None], n, 0)
    padded = np.pad(values, ((0, 0), (CONTEXT, TARGET + RIGHT)), constant_values=np.nan)
    factors = factors_of(values[None], period)
    heads, followers = _targets(values, start)

    def noise(starts: list[int]) -> ChannelNoise:
        members = [Members((seed << 32) + start, range(n)) for start in starts]
        return ChannelNoise(members, factors.expand(len(starts), -1, -1))

    chunk = max(ROWS // (n * channels), 1)
    for first in range(0, len(heads), chunk):
        starts = heads[first : first + chunk]
        windows = np.stack([padded[:, start : start + WIDTH] for start in starts])
        blocks = draw(windows, noise(starts)).reshape(len(starts), n, channels, TARGET)
        for start, block in zip(starts, blocks, strict=True):
            _paste(paths, start, block)
    for start in followers:
        window = np.full((n, channels, WIDTH), np.nan)
        seen = paths[..., max(start - CONTEXT, 0) : start]
        window[..., CONTEXT - seen.shape[-1] : CONTEXT] = seen
        window[..., CONTEXT:] = padded[:, start + CONTEXT : start + WIDTH]
        # each path is an item with a past of its own, and has one member
        alone = [Members((seed << 32) + start, [i]) for i in range(n)]
        block = draw(window, ChannelNoise(alone, factors.expand(n, -1, -1)))
        _paste(paths, start, block)
    return paths


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
