"""Synthetic series for pretraining a zero-shot forecaster.

Each family is a pure function `(rng, n, length) -> (n, length)`, vectorised over its n series;
`FAMILIES` gives its share. `generate` draws from the mixture and joins the series into groups of
channels: independent, mixed from shared latents (often a common random walk: cointegration),
or one driven by the others.

References:
    Ansari et al., Chronos (2024), section 4.2: Gaussian processes with composed kernels.
    Dooley et al., ForecastPFN (2023): trend, seasonality and noise with the periods of calendars.
    Hyndman et al., Forecasting with Exponential Smoothing (2008): state-space families.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.random import Generator
from scipy.signal import lfilter

from domains.timeseries.training.processes import (
    CALENDARS,
    autoregress,
    chance,
    coloured,
    exponentiate,
    heavy,
    log_uniform,
    meander,
    normal,
    periods,
    place,
    repeat,
    seasons,
    shapes,
    stationary,
    steps,
    trend,
    uniform,
    unit,
)

# Steps in a day for hourly, half-hourly, 15-minute and 10-minute data.
DAYS = (24, 24, 24, 24, 48, 96, 144)
LONGEST_LAG = 48  # steps by which one channel may follow another


def gaussian_process(rng: Generator, n: int, length: int) -> np.ndarray:
    """Sums and products of RBF, Matern, rational quadratic and periodic kernels, plus noise and a line."""
    lag = steps(length + 1)

    def kernel() -> np.ndarray:
        d = lag / log_uniform(rng, n, 2, length)
        alpha = log_uniform(rng, n, 0.3, 3)
        period = periods(rng, n, length)[0]
        kinds = (
            np.exp(-(d**2) / 2),
            np.exp(-d),
            (1 + 1.732 * d) * np.exp(-1.732 * d),
            (1 + d**2 / (2 * alpha)) ** -alpha,
            np.exp(-2 * (np.sin(np.pi * lag / period) / alpha) ** 2),
        )
        return np.stack(kinds)[rng.choice(5, size=n, p=(0.15, 0.15, 0.15, 0.15, 0.4)), np.arange(n)]

    first, second, weight = kernel(), kernel(), uniform(rng, n, 0.1, 0.9)
    k = np.where(chance(rng, n, 0.5), first * second, weight * first + (1 - weight) * second)
    k[:, :1] += 1e-4 + log_uniform(rng, n, 1e-4, 0.3, 0.5)
    line = log_uniform(rng, n, 0.5, 4, 0.3) * np.sign(normal(rng, n)) * (steps(length) / length)
    return place(rng, unit(stationary(rng, k)) + line)


def seasonal(rng: Generator, n: int, length: int) -> np.ndarray:
    """Seasons, trend and coloured noise, added or multiplied, from almost deterministic to mostly noise."""
    x = seasons(rng, n, length) + log_uniform(rng, n, 0.1, 3, 0.7) * trend(rng, n, length)
    x = x + log_uniform(rng, n, 0.003, 1.5) * coloured(rng, n, length, log_uniform(rng, n, 0.1, 50))
    return place(rng, exponentiate(rng, x, 0.3))


def load(rng: Generator, n: int, length: int) -> np.ndarray:
    """Daily profiles, other ones on weekends, on a level that persists for days: electricity, traffic."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    weekday, weekend = shapes(rng, 2 * n)[:, ::7].reshape(2, n, 1, -1)
    change = log_uniform(rng, n, 0.1, 1, 0.5)[..., None]
    week = weekday + log_uniform(rng, n, 0.003, 0.2)[..., None] * normal(rng, n, 7)[..., None]
    week[:, 5:] = week[:, 5:] * (1 - 0.6 * change) + change * (0.3 * weekend - 1.5)
    profile = repeat(rng, week.reshape(n, -1), 7 * day, length)
    swing = coloured(rng, n, length, day * log_uniform(rng, n, 0.5, 10), day / 4)
    level = coloured(rng, n, length, day * log_uniform(rng, n, 0.3, 15), day * log_uniform(rng, n, 0.01, 0.3))
    noise = coloured(rng, n, length, log_uniform(rng, n, 0.1, 6))
    noise = noise * np.exp(log_uniform(rng, n, 0.1, 0.7, 0.5) * profile)  # busy hours are also the noisy ones
    x = profile * np.exp(log_uniform(rng, n, 0.02, 0.5, 0.7) * swing) + log_uniform(rng, n, 0.02, 2) * level
    x = (
        x
        + log_uniform(rng, n, 0.003, 1) * noise
        + log_uniform(rng, n, 0.05, 2, 0.5) * meander(rng, n, length)
    )
    x = x + log_uniform(rng, n, 0.1, 2, 0.3) * trend(rng, n, length)
    return place(rng, exponentiate(rng, x, 0.4))


def weather(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth waves and a diurnal cycle of varying strength; some under a ceiling, some positive and gusty."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    x = coloured(rng, n, length, day * log_uniform(rng, n, 0.5, 6), day * log_uniform(rng, n, 0.01, 1))
    strength = np.exp(0.5 * coloured(rng, n, length, 2 * day, day / 2))
    x = x + log_uniform(rng, n, 0.1, 2, 0.7) * strength * repeat(rng, shapes(rng, n), day, length)
    x = x + log_uniform(rng, n, 0.003, 0.5, 0.5) * strength * heavy(rng, n, length)
    kind = rng.random((n, 1))
    x = np.where(kind < 0.2, np.minimum(x, 1 + 0.1 * np.tanh(x - 1)), x)
    gusts = 1 + 0.3 * np.maximum(heavy(rng, n, length), -3)
    return place(rng, np.where(kind > 0.8, np.exp(np.minimum(0.6 * x, 3)) * gusts, x))


def solar(rng: Generator, n: int, length: int) -> np.ndarray:
    """Non-negative and zero at night: the sun's height by day, dimmed by clouds that persist."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    height = np.sin(2 * np.pi * (steps(length) / day + uniform(rng, n, 0, 1))) + uniform(rng, n, -0.5, 0.5)
    clouds = coloured(rng, n, length, day * log_uniform(rng, n, 0.03, 2)) * log_uniform(rng, n, 0.1, 4)
    clear = 1 / (1 + np.exp(np.clip(clouds - 1, -20, 20)))
    return log_uniform(rng, n, 0.1, 1000) * np.maximum(height, 0) ** uniform(rng, n, 0.7, 1.8) * clear


def arma(rng: Generator, n: int, length: int) -> np.ndarray:
    """ARMA(2 or 4, 1) with real or complex poles; a fifth of them integrated once, with drift."""
    noise = heavy(rng, n, length + 301)
    x = noise[:, 1:] + uniform(rng, n, -0.9, 0.9) * chance(rng, n, 0.5) * noise[:, :-1]
    for share in (1, 0.4):
        first = (1 - log_uniform(rng, n, 0.005, 1)) * chance(rng, n, share)
        second = uniform(rng, n, -0.5, 0.8) * first
        cosine = np.cos(2 * np.pi / log_uniform(rng, n, 3, 100))
        wave = chance(rng, n, 0.5)
        x = autoregress(
            x, np.where(wave, 2 * first * cosine, first + second), first * np.where(wave, first, second)
        )
    x = unit(x[:, 300:])
    sums = unit(np.cumsum(x + 0.1 * normal(rng, n), axis=1))
    return place(rng, np.where(chance(rng, n, 0.2), sums, x))


def random_walk(rng: Generator, n: int, length: int) -> np.ndarray:
    """Arithmetic or geometric, with drift, heavy tails, changing volatility and idle steps: prices, rates."""
    volatility = coloured(rng, n, length, log_uniform(rng, n, 5, 300))
    shocks = heavy(rng, n, length) * np.exp(log_uniform(rng, n, 0.1, 1, 0.7) * volatility)
    idle = rng.random((n, length), dtype=np.float32) < log_uniform(rng, n, 0.02, 0.7, 0.3)
    walk = np.cumsum(np.where(idle, 0, shocks) + log_uniform(rng, n, 0.01, 0.1, 0.3), axis=1)
    walk = walk + log_uniform(rng, n, 0.1, 3, 0.15) * normal(rng, n, length)
    walk = np.sign(normal(rng, n)) * log_uniform(rng, n, 0.001, 0.02) * walk
    geometric = log_uniform(rng, n, 0.01, 200) * np.exp(np.clip(walk, -4, 4))
    return np.where(chance(rng, n, 0.7), geometric, place(rng, 10 * walk))


def state_space(rng: Generator, n: int, length: int) -> np.ndarray:
    """Exponential smoothing and seasonal ARIMA: level, slope and season, each with its own shocks."""
    period = CALENDARS[rng.integers(len(CALENDARS), size=n), :1].astype(int)
    memory = np.where(chance(rng, n, 0.5), 1, uniform(rng, n, 0.3, 0.98))
    shocks = log_uniform(rng, n, 0.003, 0.5) * coloured(rng, n, length, log_uniform(rng, n, 0.1, 10))
    season = repeat(rng, shapes(rng, n), period, length)
    for row, (m, rho) in enumerate(zip(period.flat, memory.flat, strict=True)):
        cycles = np.zeros((-(-length // m), m), np.float32)
        cycles.flat[:length] = shocks[row]
        season[row] += np.ravel(lfilter([1.0], [1.0, -rho], cycles, axis=0))[:length]
    slope = log_uniform(rng, n, 0.001, 0.3, 0.5) * coloured(rng, n, length, log_uniform(rng, n, 5, 500))
    level = log_uniform(rng, n, 0.003, 0.3) * np.cumsum(heavy(rng, n, length) + slope, axis=1)
    x = (
        level
        + log_uniform(rng, n, 0.1, 3, 0.75) * season
        + log_uniform(rng, n, 0.01, 1) * heavy(rng, n, length)
    )
    return place(rng, exponentiate(rng, x, 0.4))


def counts(rng: Generator, n: int, length: int) -> np.ndarray:
    """Poisson and negative binomial counts of seasonal, drifting rates from below one to a few hundred."""
    x = log_uniform(rng, n, 0.2, 1.2, 0.7) * seasons(rng, n, length) + uniform(rng, n, 0, 0.7) * meander(
        rng, n, length
    )
    x = x + uniform(rng, n, 0, 0.5) * coloured(rng, n, length, log_uniform(rng, n, 2, 100))
    rate, shape = log_uniform(rng, n, 0.5, 300) * np.exp(np.clip(x, -4, 3)), log_uniform(rng, n, 1, 30)
    gamma = rng.standard_gamma(np.broadcast_to(shape, rate.shape), dtype=np.float32) / shape
    return rng.poisson(np.where(chance(rng, n, 0.5), rate * gamma, rate)).astype(np.float32)


def intermittent(rng: Generator, n: int, length: int) -> np.ndarray:
    """Mostly zero: demands or showers that come alone or in spells, of integer or continuous size."""
    drive = coloured(rng, n, length, log_uniform(rng, n, 0.1, 20)) + log_uniform(
        rng, n, 0.2, 1, 0.5
    ) * seasons(rng, n, length)
    size = log_uniform(rng, n, 0.3, 3) * rng.standard_exponential((n, length), dtype=np.float32)
    return np.where(chance(rng, n, 0.6), np.ceil(size), size) * (unit(drive) > uniform(rng, n, 0.3, 2))


def _plain(rng: Generator, n: int, length: int) -> np.ndarray:
    """Unit-size series of the plain families, for the families that distort one."""
    plain = (seasonal, load, weather, arma, random_walk, state_space)
    choice = rng.integers(len(plain), size=n)
    x = np.empty((n, length), np.float32)
    for i in np.unique(choice):
        x[choice == i] = unit(plain[i](rng, int((choice == i).sum()), length))
    return x


def breaks(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with up to three breaks of level, slope or variance."""
    x = _plain(rng, n, length)
    for _ in range(3):
        since = np.maximum(steps(length) - uniform(rng, n, 0, 1.5 * length), 0)
        after = np.minimum(since, 1)
        kind, jump = rng.integers(3, size=(n, 1)), normal(rng, n)
        shift = jump * np.where(kind == 0, 2 * after, 4 * since / length)
        x = np.where(kind == 2, x * np.exp(0.7 * jump * after), x + shift)
    return place(rng, x)


def outliers(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with rare spikes, single or decaying, and a stretch in which the sensor hangs."""
    rare = rng.random((n, length), dtype=np.float32) < log_uniform(rng, n, 0.001, 0.02)
    side = np.where(chance(rng, n, 0.5), 1, np.sign(normal(rng, n, length)))
    spikes = rare * side * log_uniform(rng, n, 1, 5) * rng.standard_exponential((n, length), dtype=np.float32)
    decay = log_uniform(rng, n, 0.3, 0.95, 0.4)
    x = _plain(rng, n, length) + autoregress(spikes, decay, np.zeros_like(decay))
    t, start = np.arange(length), rng.integers(2 * length, size=(n, 1))
    hangs = (t > start) & (t < start + log_uniform(rng, n, 4, 60))
    return place(rng, np.take_along_axis(x, np.where(hangs, start, t), axis=1))


def bounded(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series clipped or squashed to a range that starts at 0: shares, tanks, saturated sensors."""
    x = _plain(rng, n, length) - uniform(rng, n, -2, 0.5)
    squashed = 1 / (1 + np.exp(-uniform(rng, n, 0.5, 2) * np.clip(x, -8, 8)))
    return log_uniform(rng, n, 0.1, 100) * np.where(
        chance(rng, n, 0.5), np.clip(x, 0, uniform(rng, n, 1, 4)), squashed
    )


def switching(rng: Generator, n: int, length: int) -> np.ndarray:
    """Piecewise constant: levels, often from a small set, that change at random times; some with noise."""
    changes = rng.random((n, length), dtype=np.float32) < log_uniform(rng, n, 0.005, 0.2)
    levels = np.round(normal(rng, n, length + 1) * log_uniform(rng, n, 1, 10))
    x = unit(np.take_along_axis(levels, changes.cumsum(axis=1, dtype=np.intp), axis=1))
    return place(rng, x + log_uniform(rng, n, 0.01, 0.3, 0.5) * normal(rng, n, length))


FAMILIES: dict[str, tuple[Callable[[Generator, int, int], np.ndarray], float]] = {
    "gaussian_process": (gaussian_process, 0.11),
    "seasonal": (seasonal, 0.15),
    "load": (load, 0.22),
    "weather": (weather, 0.08),
    "solar": (solar, 0.02),
    "arma": (arma, 0.06),
    "random_walk": (random_walk, 0.1),
    "state_space": (state_space, 0.1),
    "counts": (counts, 0.04),
    "intermittent": (intermittent, 0.02),
    "breaks": (breaks, 0.04),
    "outliers": (outliers, 0.03),
    "bounded": (bounded, 0.02),
    "switching": (switching, 0.01),
}


def _delay(rng: Generator, x: np.ndarray) -> np.ndarray:
    """Shifts half of the channels, each by its own lag."""
    starts = LONGEST_LAG - rng.integers(LONGEST_LAG + 1, size=x.shape[:2]) * (rng.random(x.shape[:2]) < 0.5)
    windows = np.lib.stride_tricks.sliding_window_view(x, x.shape[2] - LONGEST_LAG, axis=2)
    return windows[(*np.indices(starts.shape), starts)]


def mixed(rng: Generator, x: np.ndarray) -> np.ndarray:
    """Delayed mixes of a few latents, the first often a random walk, plus some of each channel's own."""
    groups, channels, length = x.shape
    x = unit(x)
    walks = unit(random_walk(rng, groups, length))
    latents = np.concatenate([np.where(chance(rng, groups, 0.4), walks, x[:, 0])[:, None], x[:, 1:]], axis=1)
    weights = normal(rng, groups, channels**2).reshape(groups, channels, channels)
    weights *= np.arange(channels) < rng.integers(1, channels + 1, (groups, 1, 1))
    own = log_uniform(rng, groups * channels, 0.03, 1).reshape(groups, channels, 1)
    return _delay(rng, unit(weights @ latents) + own * x)


def driven(rng: Generator, x: np.ndarray) -> np.ndarray:
    """One channel, at a random place, responds to the others, bent, delayed and summed, beside its own."""
    groups, channels, _ = x.shape
    x = unit(x)
    bend = rng.integers(3, size=(groups, channels, 1))
    causes = _delay(rng, np.where(bend == 0, x, np.where(bend == 1, np.abs(x), np.maximum(x, 0))))
    weights = normal(rng, groups, channels)[..., None]
    out = x[..., LONGEST_LAG:].copy()
    out[:, 0] = unit((weights * causes)[:, 1:].sum(1)) + log_uniform(rng, groups, 0.03, 1) * out[:, 0]
    return np.take_along_axis(out, rng.permuted(np.indices((groups, channels))[1], axis=1)[..., None], axis=1)


def generate(
    groups: int,
    channels: int,
    length: int,
    generator: torch.Generator | int,
    weights: Mapping[str, float] | None = None,
) -> torch.Tensor:
    """Draws groups of channels of synthetic series.

    Args:
        groups, channels, length: sizes of the result.
        generator: the only source of randomness: a torch generator, which moves on, or a seed.
        weights: relative shares of the families by name; those of `FAMILIES` where None.

    Returns:
        Finite float32 values in arbitrary units, with shape `(groups, channels, length)`.

    Raises:
        ValueError: for a family that does not exist.
    """
    weights = {name: share for name, (_, share) in FAMILIES.items()} if weights is None else weights
    if unknown := sorted(set(weights) - set(FAMILIES)):
        raise ValueError(f"unknown synthetic families {unknown}; choose from {sorted(FAMILIES)}")
    if isinstance(generator, torch.Generator):
        generator = int(torch.randint(2**62, (), generator=generator))
    rng = np.random.default_rng(generator)
    share = np.array(list(weights.values()))
    choice = rng.choice(len(share), size=(groups, channels), p=share / share.sum())
    alike = chance(rng, groups, 0.5)  # groups of one kind only
    choice = np.where(alike, choice[:, :1], choice)
    x = np.empty((groups, channels, length + LONGEST_LAG), np.float32)
    for i, name in enumerate(weights):
        if count := int((choice == i).sum()):
            x[choice == i] = FAMILIES[name][0](rng, count, length + LONGEST_LAG)
    out = x[..., LONGEST_LAG:].copy()
    joint = rng.random(groups) if channels > 1 else np.ones(groups)
    for join, rows in ((mixed, joint < 0.3), (driven, (joint >= 0.3) & (joint < 0.5))):
        if rows.any():
            out[rows] = join(rng, x[rows])
    return torch.from_numpy(out)
