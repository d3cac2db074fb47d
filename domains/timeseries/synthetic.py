"""Synthetic series for pretraining a zero-shot forecaster.

Each family is a pure function `(rng, n, length) -> (n, length)`, vectorised over its n series; `FAMILIES`
gives its share. `generate` draws from the mixture and joins the series into groups of channels: independent,
mixed from shared latents (often a common random walk: cointegration), or one driven by the others.

References:
    Ansari et al., Chronos (2024), section 4.2: Gaussian processes with composed kernels.
    Dooley et al., ForecastPFN (2023): trend, seasonality and noise with the periods of calendars.
    Hyndman et al., Forecasting with Exponential Smoothing (2008): state-space families.
    Dietrich and Newsam (1997): stationary Gaussian processes by circulant embedding.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.random import Generator
from scipy.signal import lfilter

# Steps in a day for hourly, half-hourly, 15-minute and 10-minute data.
DAYS = (24, 24, 24, 24, 48, 96, 144)
# Cycles that occur together: hourly, 15- and 10-minute; daily, business-daily, weekly, monthly, quarterly.
FINE = ((24, 168), (24, 168), (24, 168), (96, 672), (144, 1008))
COARSE = ((7, 30.4), (7, 365.25), (5, 21), (52.18, 13), (12, 3), (12, 6), (4, 8))
CALENDARS = np.array(FINE + COARSE)
POINTS = 1008  # resolution of a tabulated cycle: a multiple of 4, 7, 12, 24, 48, 144 and 168
LONGEST_LAG = 48  # steps by which one channel may follow another


def _normal(rng: Generator, n: int, length: int = 1) -> np.ndarray:
    return rng.standard_normal((n, length), dtype=np.float32)


def _uniform(rng: Generator, n: int, low: float, high: float) -> np.ndarray:
    return rng.uniform(low, high, (n, 1)).astype(np.float32)


def _chance(rng: Generator, n: int, probability: float) -> np.ndarray:
    return rng.random((n, 1)) < probability


def _size(rng: Generator, n: int, low: float, high: float, probability: float = 1.0) -> np.ndarray:
    """Log-uniform with this probability, else 0."""
    return np.exp(_uniform(rng, n, np.log(low), np.log(high))) * _chance(rng, n, probability)


def _time(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1; constant rows become 0."""
    x = x - x.mean(-1, keepdims=True)
    return x / (x.std(-1, keepdims=True) + 1e-6)


def _exponentiate(rng: Generator, x: np.ndarray, probability: float) -> np.ndarray:
    """Makes rows multiplicative with this probability: exp of the row, at most four e-folds either way."""
    rate = np.minimum(_uniform(rng, len(x), 0.15, 0.7), 4 / np.abs(x).max(1, keepdims=True))
    return np.where(_chance(rng, len(x), probability), np.exp(rate * x), x)


def _place(rng: Generator, x: np.ndarray) -> np.ndarray:
    """Gives rows of about unit size a scale and a level, often far above it; rounds a quarter of the rows."""
    n = len(x)
    grid = _size(rng, n, 0.003, 0.15, 0.25)
    x = np.where(grid > 0, np.round(x / np.maximum(grid, 1e-3)) * grid, x)
    level = np.where(_chance(rng, n, 0.6), _size(rng, n, 1, 30), _normal(rng, n))
    return _size(rng, n, 0.01, 100) * (x + level)


def _heavy(rng: Generator, n: int, length: int) -> np.ndarray:
    """White noise, Gaussian or with tails up to about those of Student's t with 3 degrees of freedom."""
    noise = _normal(rng, n, length)
    return noise * (1 + _size(rng, n, 0.01, 0.3, 0.6) * noise**2)


def _autoregress(x: np.ndarray, total: np.ndarray, product: np.ndarray) -> np.ndarray:
    """y_t = total y_{t-1} - product y_{t-2} + x_t: sum and product (n, 1) of the two poles of each row."""
    y = np.empty_like(x)
    for row, (p, q) in enumerate(zip(total.flat, product.flat, strict=True)):
        y[row] = lfilter([1.0], [1.0, -p, q], x[row])
    return y


def _coloured(
    rng: Generator, n: int, length: int, tau: np.ndarray, smooth: np.ndarray | float = 0.1
) -> np.ndarray:
    """Noise of unit variance with correlation time tau, smoothed over `smooth` steps; both (n, 1)."""
    slow, fast = np.exp(-1 / tau), np.exp(-1 / np.maximum(smooth, 0.1)) * np.ones_like(tau)
    return _unit(_autoregress(_heavy(rng, n, length + 64), slow + fast, slow * fast)[:, 64:])


def _waves(rng: Generator, n: int, phase: np.ndarray, decay: np.ndarray, count: int) -> np.ndarray:
    """Random sums of `count` harmonics of phase (length,), amplitudes falling as k**-decay; unit size."""
    k = np.arange(1, count + 1, dtype=np.float32)
    weights = np.tile(k, 2) ** -decay
    weights = weights / np.sqrt((weights**2).sum(1, keepdims=True) / 2) * _normal(rng, n, 2 * count)
    return weights @ np.concatenate([np.cos(k[:, None] * phase), np.sin(k[:, None] * phase)])


def _slow(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth curves with at most four waves over the length."""
    return _waves(rng, n, np.pi / length * _time(length), np.full((n, 1), 0.5, np.float32), 8)


def _shapes(rng: Generator, n: int) -> np.ndarray:
    """One cycle each (n, POINTS) of unit variance: smooth to jagged; some peaked, square or one-sided."""
    shape = _unit(_waves(rng, n, 2 * np.pi / POINTS * _time(POINTS), _uniform(rng, n, 0.5, 4), 12))
    kind = rng.random((n, 1))
    shape = np.where(kind < 0.15, np.exp(_uniform(rng, n, 0.3, 1.5) * shape), shape)
    shape = np.where((kind > 0.86) & (kind < 0.93), np.maximum(shape, _uniform(rng, n, -1, 0.5)), shape)
    return _unit(np.where(kind > 0.93, np.tanh(20 * shape), shape))


def _repeat(rng: Generator, shapes: np.ndarray, period: np.ndarray, length: int) -> np.ndarray:
    """Runs through tabulated cycles (n, points) with period (n, 1) in steps, from a random phase on."""
    points = shapes.shape[1]
    phase = _time(length) / period.astype(np.float32) + _uniform(rng, len(shapes), 0, 1)
    return np.take_along_axis(shapes, (phase * points).astype(np.int32) % points, axis=1)


def _periods(rng: Generator, n: int, length: int) -> np.ndarray:
    """A short and a long period for each series, (2, n, 1): mostly those of a calendar, else arbitrary."""
    free = np.sort(np.exp(rng.uniform(np.log(4), np.log(max(length / 3, 8)), (n, 2))), axis=1)
    periods = np.where(_chance(rng, n, 0.2), free, CALENDARS[rng.integers(len(CALENDARS), size=n)])
    return periods.T[..., None].astype(np.float32)


def _seasons(rng: Generator, n: int, length: int) -> np.ndarray:
    """One or two cycles, some of slowly changing amplitude; unit size."""
    short, long = _periods(rng, n, length)
    swing = 1 + _size(rng, n, 0.05, 0.5, 0.5) * _slow(rng, n, length)
    x = swing * _repeat(rng, _shapes(rng, n), short, length)
    return _unit(x + _size(rng, n, 0.1, 1.5, 0.5) * _repeat(rng, _shapes(rng, n), long, length))


def _trend(rng: Generator, n: int, length: int) -> np.ndarray:
    """Linear, exponential, damped, logistic or wandering, each on a time scale of its own."""
    age = _time(length) - _uniform(rng, n, 0, length)
    scale = _size(rng, n, 16, 2 * length)
    line, bend = age / scale, age / np.maximum(scale, length / 4)
    kinds = np.stack([line, np.exp(bend) / 7, -np.exp(-bend) / 7, np.tanh(line), 2 * _slow(rng, n, length)])
    return np.sign(_normal(rng, n)) * kinds[rng.integers(len(kinds), size=n), np.arange(n)]


def _stationary(rng: Generator, covariance: np.ndarray) -> np.ndarray:
    """Gaussian series (n, length) with covariance (n, length + 1) by lag, by circulant embedding."""
    n, lags = covariance.shape
    spectrum = np.maximum(
        np.fft.hfft(covariance)[:, :lags], 0
    )  # negative where it does not close on the circle
    noise = np.sqrt(spectrum) * (_normal(rng, n, lags) + 1j * _normal(rng, n, lags))
    return np.sqrt(lags - 1) * np.fft.irfft(noise)[:, : -lags + 1]


def gaussian_process(rng: Generator, n: int, length: int) -> np.ndarray:
    """Sums and products of RBF, Matern, rational quadratic and periodic kernels, plus noise and a line."""
    lag = _time(length + 1)

    def kernel() -> np.ndarray:
        d = lag / _size(rng, n, 2, length)
        alpha = _size(rng, n, 0.3, 3)
        period = _periods(rng, n, length)[0]
        kinds = (
            np.exp(-(d**2) / 2),
            np.exp(-d),
            (1 + 1.732 * d) * np.exp(-1.732 * d),
            (1 + d**2 / (2 * alpha)) ** -alpha,
            np.exp(-2 * (np.sin(np.pi * lag / period) / alpha) ** 2),
        )
        return np.stack(kinds)[rng.choice(5, size=n, p=(0.15, 0.15, 0.15, 0.15, 0.4)), np.arange(n)]

    first, second, weight = kernel(), kernel(), _uniform(rng, n, 0.1, 0.9)
    k = np.where(_chance(rng, n, 0.5), first * second, weight * first + (1 - weight) * second)
    k[:, :1] += 1e-4 + _size(rng, n, 1e-4, 0.3, 0.5)
    line = _size(rng, n, 0.5, 4, 0.3) * np.sign(_normal(rng, n)) * (_time(length) / length)
    return _place(rng, _unit(_stationary(rng, k)) + line)


def seasonal(rng: Generator, n: int, length: int) -> np.ndarray:
    """Seasons, trend and coloured noise, added or multiplied, from almost deterministic to mostly noise."""
    x = _seasons(rng, n, length) + _size(rng, n, 0.1, 3, 0.7) * _trend(rng, n, length)
    x = x + _size(rng, n, 0.003, 1.5) * _coloured(rng, n, length, _size(rng, n, 0.1, 50))
    return _place(rng, _exponentiate(rng, x, 0.3))


def load(rng: Generator, n: int, length: int) -> np.ndarray:
    """Daily profiles, other ones on weekends, on a level that persists for days: electricity, traffic."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    weekday, weekend = _shapes(rng, 2 * n)[:, ::7].reshape(2, n, 1, -1)
    change = _size(rng, n, 0.1, 1, 0.5)[..., None]
    week = weekday + _size(rng, n, 0.003, 0.2)[..., None] * _normal(rng, n, 7)[..., None]
    week[:, 5:] = week[:, 5:] * (1 - 0.6 * change) + change * (0.3 * weekend - 1.5)
    profile = _repeat(rng, week.reshape(n, -1), 7 * day, length)
    swing = _coloured(rng, n, length, day * _size(rng, n, 0.5, 10), day / 4)
    level = _coloured(rng, n, length, day * _size(rng, n, 0.3, 15), day * _size(rng, n, 0.01, 0.3))
    noise = _coloured(rng, n, length, _size(rng, n, 0.1, 6))
    noise = noise * np.exp(_size(rng, n, 0.1, 0.7, 0.5) * profile)  # busy hours are also the noisy ones
    x = profile * np.exp(_size(rng, n, 0.02, 0.5, 0.7) * swing) + _size(rng, n, 0.02, 2) * level
    x = x + _size(rng, n, 0.003, 1) * noise + _size(rng, n, 0.05, 2, 0.5) * _slow(rng, n, length)
    x = x + _size(rng, n, 0.1, 2, 0.3) * _trend(rng, n, length)
    return _place(rng, _exponentiate(rng, x, 0.4))


def weather(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth waves and a diurnal cycle of varying strength; some under a ceiling, some positive and gusty."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    x = _coloured(rng, n, length, day * _size(rng, n, 0.5, 6), day * _size(rng, n, 0.01, 1))
    strength = np.exp(0.5 * _coloured(rng, n, length, 2 * day, day / 2))
    x = x + _size(rng, n, 0.1, 2, 0.7) * strength * _repeat(rng, _shapes(rng, n), day, length)
    x = x + _size(rng, n, 0.003, 0.5, 0.5) * strength * _heavy(rng, n, length)
    kind = rng.random((n, 1))
    x = np.where(kind < 0.2, np.minimum(x, 1 + 0.1 * np.tanh(x - 1)), x)
    gusts = 1 + 0.3 * np.maximum(_heavy(rng, n, length), -3)
    return _place(rng, np.where(kind > 0.8, np.exp(np.minimum(0.6 * x, 3)) * gusts, x))


def solar(rng: Generator, n: int, length: int) -> np.ndarray:
    """Non-negative and zero at night: the sun's height by day, dimmed by clouds that persist."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    height = np.sin(2 * np.pi * (_time(length) / day + _uniform(rng, n, 0, 1))) + _uniform(rng, n, -0.5, 0.5)
    clouds = _coloured(rng, n, length, day * _size(rng, n, 0.03, 2)) * _size(rng, n, 0.1, 4)
    clear = 1 / (1 + np.exp(np.clip(clouds - 1, -20, 20)))
    return _size(rng, n, 0.1, 1000) * np.maximum(height, 0) ** _uniform(rng, n, 0.7, 1.8) * clear


def arma(rng: Generator, n: int, length: int) -> np.ndarray:
    """ARMA(2 or 4, 1) with real or complex poles; a fifth of them integrated once, with drift."""
    noise = _heavy(rng, n, length + 301)
    x = noise[:, 1:] + _uniform(rng, n, -0.9, 0.9) * _chance(rng, n, 0.5) * noise[:, :-1]
    for share in (1, 0.4):
        first = (1 - _size(rng, n, 0.005, 1)) * _chance(rng, n, share)
        second = _uniform(rng, n, -0.5, 0.8) * first
        cosine = np.cos(2 * np.pi / _size(rng, n, 3, 100))
        wave = _chance(rng, n, 0.5)
        x = _autoregress(
            x, np.where(wave, 2 * first * cosine, first + second), first * np.where(wave, first, second)
        )
    x = _unit(x[:, 300:])
    sums = _unit(np.cumsum(x + 0.1 * _normal(rng, n), axis=1))
    return _place(rng, np.where(_chance(rng, n, 0.2), sums, x))


def random_walk(rng: Generator, n: int, length: int) -> np.ndarray:
    """Arithmetic or geometric, with drift, heavy tails, changing volatility and idle steps: prices, rates."""
    volatility = _coloured(rng, n, length, _size(rng, n, 5, 300))
    shocks = _heavy(rng, n, length) * np.exp(_size(rng, n, 0.1, 1, 0.7) * volatility)
    idle = rng.random((n, length), dtype=np.float32) < _size(rng, n, 0.02, 0.7, 0.3)
    walk = np.cumsum(np.where(idle, 0, shocks) + _size(rng, n, 0.01, 0.1, 0.3), axis=1)
    walk = walk + _size(rng, n, 0.1, 3, 0.15) * _normal(rng, n, length)
    walk = np.sign(_normal(rng, n)) * _size(rng, n, 0.001, 0.02) * walk
    geometric = _size(rng, n, 0.01, 200) * np.exp(np.clip(walk, -4, 4))
    return np.where(_chance(rng, n, 0.7), geometric, _place(rng, 10 * walk))


def state_space(rng: Generator, n: int, length: int) -> np.ndarray:
    """Exponential smoothing and seasonal ARIMA: level, slope and season, each with its own shocks."""
    period = CALENDARS[rng.integers(len(CALENDARS), size=n), :1].astype(int)
    memory = np.where(_chance(rng, n, 0.5), 1, _uniform(rng, n, 0.3, 0.98))
    shocks = _size(rng, n, 0.003, 0.5) * _coloured(rng, n, length, _size(rng, n, 0.1, 10))
    season = _repeat(rng, _shapes(rng, n), period, length)
    for row, (m, rho) in enumerate(zip(period.flat, memory.flat, strict=True)):
        cycles = np.zeros((-(-length // m), m), np.float32)
        cycles.flat[:length] = shocks[row]
        season[row] += np.ravel(lfilter([1.0], [1.0, -rho], cycles, axis=0))[:length]
    slope = _size(rng, n, 0.001, 0.3, 0.5) * _coloured(rng, n, length, _size(rng, n, 5, 500))
    level = _size(rng, n, 0.003, 0.3) * np.cumsum(_heavy(rng, n, length) + slope, axis=1)
    x = level + _size(rng, n, 0.1, 3, 0.75) * season + _size(rng, n, 0.01, 1) * _heavy(rng, n, length)
    return _place(rng, _exponentiate(rng, x, 0.4))


def counts(rng: Generator, n: int, length: int) -> np.ndarray:
    """Poisson and negative binomial counts of seasonal, drifting rates from below one to a few hundred."""
    x = _size(rng, n, 0.2, 1.2, 0.7) * _seasons(rng, n, length) + _uniform(rng, n, 0, 0.7) * _slow(
        rng, n, length
    )
    x = x + _uniform(rng, n, 0, 0.5) * _coloured(rng, n, length, _size(rng, n, 2, 100))
    rate, shape = _size(rng, n, 0.5, 300) * np.exp(np.clip(x, -4, 3)), _size(rng, n, 1, 30)
    gamma = rng.standard_gamma(np.broadcast_to(shape, rate.shape), dtype=np.float32) / shape
    return rng.poisson(np.where(_chance(rng, n, 0.5), rate * gamma, rate)).astype(np.float32)


def intermittent(rng: Generator, n: int, length: int) -> np.ndarray:
    """Mostly zero: demands or showers that come alone or in spells, of integer or continuous size."""
    drive = _coloured(rng, n, length, _size(rng, n, 0.1, 20)) + _size(rng, n, 0.2, 1, 0.5) * _seasons(
        rng, n, length
    )
    size = _size(rng, n, 0.3, 3) * rng.standard_exponential((n, length), dtype=np.float32)
    return np.where(_chance(rng, n, 0.6), np.ceil(size), size) * (_unit(drive) > _uniform(rng, n, 0.3, 2))


def _plain(rng: Generator, n: int, length: int) -> np.ndarray:
    """Unit-size series of the plain families, for the families that distort one."""
    plain = (seasonal, load, weather, arma, random_walk, state_space)
    choice = rng.integers(len(plain), size=n)
    x = np.empty((n, length), np.float32)
    for i in np.unique(choice):
        x[choice == i] = _unit(plain[i](rng, int((choice == i).sum()), length))
    return x


def breaks(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with up to three breaks of level, slope or variance."""
    x = _plain(rng, n, length)
    for _ in range(3):
        since = np.maximum(_time(length) - _uniform(rng, n, 0, 1.5 * length), 0)
        after = np.minimum(since, 1)
        kind, jump = rng.integers(3, size=(n, 1)), _normal(rng, n)
        shift = jump * np.where(kind == 0, 2 * after, 4 * since / length)
        x = np.where(kind == 2, x * np.exp(0.7 * jump * after), x + shift)
    return _place(rng, x)


def outliers(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with rare spikes, single or decaying, and a stretch in which the sensor hangs."""
    rare = rng.random((n, length), dtype=np.float32) < _size(rng, n, 0.001, 0.02)
    side = np.where(_chance(rng, n, 0.5), 1, np.sign(_normal(rng, n, length)))
    spikes = rare * side * _size(rng, n, 1, 5) * rng.standard_exponential((n, length), dtype=np.float32)
    decay = _size(rng, n, 0.3, 0.95, 0.4)
    x = _plain(rng, n, length) + _autoregress(spikes, decay, np.zeros_like(decay))
    t, start = np.arange(length), rng.integers(2 * length, size=(n, 1))
    hangs = (t > start) & (t < start + _size(rng, n, 4, 60))
    return _place(rng, np.take_along_axis(x, np.where(hangs, start, t), axis=1))


def bounded(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series clipped or squashed to a range that starts at 0: shares, tanks, saturated sensors."""
    x = _plain(rng, n, length) - _uniform(rng, n, -2, 0.5)
    squashed = 1 / (1 + np.exp(-_uniform(rng, n, 0.5, 2) * np.clip(x, -8, 8)))
    return _size(rng, n, 0.1, 100) * np.where(
        _chance(rng, n, 0.5), np.clip(x, 0, _uniform(rng, n, 1, 4)), squashed
    )


def switching(rng: Generator, n: int, length: int) -> np.ndarray:
    """Piecewise constant: levels, often from a small set, that change at random times; some with noise."""
    changes = rng.random((n, length), dtype=np.float32) < _size(rng, n, 0.005, 0.2)
    levels = np.round(_normal(rng, n, length + 1) * _size(rng, n, 1, 10))
    x = _unit(np.take_along_axis(levels, changes.cumsum(axis=1, dtype=np.intp), axis=1))
    return _place(rng, x + _size(rng, n, 0.01, 0.3, 0.5) * _normal(rng, n, length))


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
    x = _unit(x)
    walks = _unit(random_walk(rng, groups, length))
    latents = np.concatenate([np.where(_chance(rng, groups, 0.4), walks, x[:, 0])[:, None], x[:, 1:]], axis=1)
    weights = _normal(rng, groups, channels**2).reshape(groups, channels, channels)
    weights *= np.arange(channels) < rng.integers(1, channels + 1, (groups, 1, 1))
    own = _size(rng, groups * channels, 0.03, 1).reshape(groups, channels, 1)
    return _delay(rng, _unit(weights @ latents) + own * x)


def driven(rng: Generator, x: np.ndarray) -> np.ndarray:
    """One channel, at a random place, responds to the others, bent, delayed and summed, beside its own."""
    groups, channels, _ = x.shape
    x = _unit(x)
    bend = rng.integers(3, size=(groups, channels, 1))
    causes = _delay(rng, np.where(bend == 0, x, np.where(bend == 1, np.abs(x), np.maximum(x, 0))))
    weights = _normal(rng, groups, channels)[..., None]
    out = x[..., LONGEST_LAG:].copy()
    out[:, 0] = _unit((weights * causes)[:, 1:].sum(1)) + _size(rng, groups, 0.03, 1) * out[:, 0]
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
    alike = _chance(rng, groups, 0.5)  # groups of one kind only
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
