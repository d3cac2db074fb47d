"""Filling in the unknown: from arrays with NaN to sample paths, target by target.

Arrays here are (items, channels, steps), float64, NaN where unknown; paths are (items, n, channels, steps).
"""

from collections.abc import Callable

import numpy as np
import torch

from domains.timeseries.joint import ChannelNoise, correlation
from domains.timeseries.window import CONTEXT, RIGHT, TARGET, WIDTH
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


def noise_for(histories: np.ndarray, n: int, seed: int, period: int) -> ChannelNoise:
    """Noise for n paths of each history, correlated across channels as its innovations are."""
    factors = np.stack([np.linalg.cholesky(correlation(history.T, period)) for history in histories])
    return ChannelNoise(Members(seed, range(n)), torch.from_numpy(factors).float())


def continued(
    draw: Draw, histories: np.ndarray, horizon: int, n: int, seed: int, period: int = 1
) -> np.ndarray:
    """n paths of `horizon` steps after each history; later targets follow their own path's past."""
    chunk = max(ROWS // (n * histories.shape[1]), 1)
    parts = [
        _roll(draw, part, horizon, noise_for(part, n, seed, period))
        for part in (histories[i : i + chunk] for i in range(0, len(histories), chunk))
    ]
    return np.concatenate(parts)


def _roll(draw: Draw, histories: np.ndarray, horizon: int, noise: ChannelNoise) -> np.ndarray:
    items, channels, _ = histories.shape
    n = len(noise) // items
    past, drawn = _last(histories, CONTEXT), []
    while sum(part.shape[-1] for part in drawn) < horizon:
        window = np.full((len(past), channels, WIDTH), np.nan)
        window[..., LEFT] = past
        drawn.append(draw(window, noise))
        past = _last(np.concatenate([np.repeat(past, len(noise) // len(past), 0), drawn[-1]], -1), CONTEXT)
    return np.concatenate(drawn, -1)[..., :horizon].reshape(items, n, channels, horizon)


def _last(x: np.ndarray, steps: int) -> np.ndarray:
    """The last steps, with NaN before them where there are too few."""
    x = x[..., -steps:]
    return np.pad(x, ((0, 0),) * (x.ndim - 1) + ((steps - x.shape[-1], 0),), constant_values=np.nan)


def filled(draw: Draw, values: np.ndarray, n: int, seed: int, period: int = 1) -> np.ndarray:
    """n completions (n, C, T) of one series (C, T).

    Gaps that are farther apart than a window are filled independently; one longer than a target is
    filled target by target, each path on its own past.
    """
    channels = len(values)
    paths = np.repeat(values[None], n, 0)
    holes = np.flatnonzero(np.isnan(values).any(0))
    chains: list[list[int]] = []
    position = 0
    while position < len(holes):
        start = int(holes[position])
        position = int(np.searchsorted(holes, start + TARGET))
        contiguous = (
            chains
            and chains[-1][-1] + TARGET == start
            and np.isnan(values[:, [start - 1, start]]).all(1).any()
        )
        (chains[-1].append(start) if contiguous else chains.append([start]))
    padded = np.pad(values, ((0, 0), (CONTEXT, TARGET + RIGHT)), constant_values=np.nan)
    per_chunk = max(ROWS // (n * channels), 1)
    for first in range(0, len(chains), per_chunk):
        group = chains[first : first + per_chunk]
        noise = noise_for(np.repeat(values[None], len(group), 0), n, seed, period)
        window = np.stack([padded[:, chain[0] : chain[0] + WIDTH] for chain in group])
        drawn = draw(window, noise).reshape(len(group), n, channels, TARGET)
        for chain, block in zip(group, drawn, strict=True):
            _paste(paths, chain[0], block)
    for chain in chains:
        noise = noise_for(values[None], n, seed, period)
        noise.normal((channels, TARGET))  # the first target's
        for start in chain[1:]:
            window = np.full((n, channels, WIDTH), np.nan)
            seen = paths[..., max(start - CONTEXT, 0) : start]
            window[..., CONTEXT - seen.shape[-1] : CONTEXT] = seen
            window[..., CONTEXT:] = padded[:, start + CONTEXT : start + WIDTH]
            _paste(paths, start, draw(window, noise))
    return paths


def _paste(paths: np.ndarray, start: int, block: np.ndarray) -> None:
    stop = min(start + TARGET, paths.shape[-1])
    paths[..., start:stop] = block[..., : stop - start]
