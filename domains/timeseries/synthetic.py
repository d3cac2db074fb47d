"""Synthetic series for pretraining a zero-shot forecaster.

Each family is a pure function ``(rng, n, length) -> (n, length)`` in float32, vectorised over its n series; `FAMILIES`
gives it a share. `generate` draws series from the mixture and joins them into groups of channels that are
independent, mixed from shared latents, cointegrated, or driven by one another.

References:
    Ansari et al., Chronos (2024), section 4.2: Gaussian processes with composed kernels.
    Dooley et al., ForecastPFN (2023): trend, seasonality and noise with calendar periods.
    Hyndman et al., Forecasting with Exponential Smoothing (2008): the state-space families.
    Dietrich and Newsam (1997): stationary Gaussian processes by circulant embedding.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

Family = Callable[[Generator, int, int], np.ndarray]

# Steps in a day for hourly, half-hourly, 15-minute and 10-minute data.
DAYS = (24, 24, 24, 24, 48, 96, 144)
# Cycles that occur together: hourly, 15-minute, 10-minute, daily, business-daily, weekly, monthly, quarterly.
CALENDARS = (
    (24, 168),
    (24, 168),
    (96, 672),
    (144, 1008),
    (7, 30.4),
    (7, 365.25),
    (5, 21),
    (52.18, 13),
    (12, 3),
    (4, 8),
)
POINTS = 1008  # resolution of a tabulated cycle: divides by 4, 7, 12, 24, 48, 144 and 168
TINY = 1e-6
LONGEST_LAG = 48  # steps by which one channel may follow another


def _normal(rng: Generator, n: int, length: int) -> np.ndarray:
    return rng.standard_normal((n, length), dtype=np.float32)


def _uniform(rng: Generator, n: int, low: float, high: float) -> np.ndarray:
    return rng.uniform(low, high, (n, 1)).astype(np.float32)


def _log_uniform(rng: Generator, n: int, low: float, high: float) -> np.ndarray:
    return np.exp(_uniform(rng, n, np.log(low), np.log(high)))


def _chance(rng: Generator, n: int, probability: float) -> np.ndarray:
    return rng.random((n, 1)) < probability


def _time(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1 (constant rows become 0)."""
    x = x - x.mean(-1, keepdims=True)
    return x / (x.std(-1, keepdims=True) + TINY)


def _place(rng: Generator, x: np.ndarray) -> np.ndarray:
    """Gives rows of about unit size a random scale, and a level that is often far above their variation."""
    n = len(x)
    scale = _log_uniform(rng, n, 0.01, 100)
    return scale * (x + np.where(_chance(rng, n, 0.6), _log_uniform(rng, n, 1, 30), _normal(rng, n, 1)))


def _filter(b: np.ndarray, a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Filters each row of x by its own coefficients, rows of b and a."""
    y = np.empty_like(x)
    for row, (numerator, denominator, values) in enumerate(zip(b, a, x, strict=True)):
        y[row] = lfilter(numerator, denominator, values)
    return y


def _heavy(rng: Generator, n: int, length: int) -> np.ndarray:
    """White noise of unit scale whose tails run from Gaussian to those of Student's t with 3 degrees of freedom."""
    noise = _normal(rng, n, length)
    freedom = _log_uniform(rng, n, 3, 100)
    return noise * np.where(_chance(rng, n, 0.5), 1, (1 + noise**2 / freedom) ** (3 / np.sqrt(freedom)))


def _coloured(
    rng: Generator, n: int, length: int, tau: np.ndarray, smooth: np.ndarray | float = 0.0
) -> np.ndarray:
    """Noise of unit variance with correlation time tau in steps, smoothed over `smooth` steps; both (n, 1)."""
    r = np.exp(-1 / tau)
    s = np.exp(-1 / np.maximum(np.broadcast_to(smooth, r.shape), 0.1))
    a = np.concatenate([np.ones_like(r), -(r + s), r * s], axis=1, dtype=np.float32)
    return _unit(_filter(np.ones((n, 1), np.float32), a, _normal(rng, n, length + 64)))[:, 64:]


def _slow(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth curves of about unit size, with at most four waves over the length."""
    angle = np.pi * np.arange(1, 9, dtype=np.float32)[:, None] / length * _time(length)
    weights = _normal(rng, n, 16) / np.sqrt(np.tile(np.arange(1, 9, dtype=np.float32), 2)) / 1.65
    return weights @ np.concatenate([np.cos(angle), np.sin(angle)])


def _shapes(rng: Generator, n: int) -> np.ndarray:
    """One cycle each (n, POINTS), unit variance: harmonics, smooth to jagged; some peaked, squared or one-sided."""
    k = np.arange(1, 13, dtype=np.float32)
    angle = 2 * np.pi / POINTS * k[:, None] * _time(POINTS)
    decay = np.tile(k, 2) ** -_uniform(rng, n, 0.5, 4)
    shape = _unit((_normal(rng, n, 24) * decay) @ np.concatenate([np.cos(angle), np.sin(angle)]))
    kind = rng.random((n, 1))
    shape = np.where(kind < 0.15, np.exp(_uniform(rng, n, 0.3, 1.5) * shape), shape)
    shape = np.where(kind > 0.93, np.tanh(20 * shape), shape)
    shape = np.where((kind > 0.86) & (kind <= 0.93), np.maximum(shape, _uniform(rng, n, -1, 0.5)), shape)
    return _unit(shape)


def _repeat(rng: Generator, shapes: np.ndarray, period: np.ndarray, length: int) -> np.ndarray:
    """Runs through rows of tabulated cycles (n, points) with period (n, 1) in steps, from a random phase on."""
    points = shapes.shape[1]
    phase = _time(length) / period + rng.random((len(shapes), 1), dtype=np.float32)
    return np.take_along_axis(shapes, (phase * points).astype(np.int32) % points, axis=1)


def _periods(rng: Generator, n: int, length: int) -> np.ndarray:
    """Two periods a series, (n, 2): mostly those of a calendar, else arbitrary."""
    periods = np.array(CALENDARS, np.float32)[rng.integers(len(CALENDARS), size=n)]
    free = np.sort(np.exp(rng.uniform(np.log(4), np.log(max(length / 3, 8)), (n, 2))), axis=1)
    return np.where(_chance(rng, n, 0.2), free, periods).astype(np.float32)


def _seasons(rng: Generator, n: int, length: int) -> np.ndarray:
    """One or two cycles, some with slowly changing amplitude; unit size."""
    short, long = np.split(_periods(rng, n, length), 2, axis=1)
    swing = np.where(_chance(rng, n, 0.4), _uniform(rng, n, 0, 0.5), 0)
    x = _repeat(rng, _shapes(rng, n), short, length) * (1 + swing * _slow(rng, n, length))
    share = np.where(_chance(rng, n, 0.5), _uniform(rng, n, 0, 1.5), 0)
    return _unit(x + share * _repeat(rng, _shapes(rng, n), long, length))


def _trend(rng: Generator, n: int, length: int) -> np.ndarray:
    """Linear, exponential, damped, logistic or wandering trends of about unit size over their own time scale."""
    t = _time(length)
    scale = _log_uniform(rng, n, 16, 2 * length)
    u = (t - _uniform(rng, n, 0, length)) / scale
    late = np.clip(u, -4, 4)
    kinds = np.stack([u, np.exp(late) / 7, np.tanh(late), -np.exp(-late) / 7, 2 * _slow(rng, n, length)])
    sign = np.where(_chance(rng, n, 0.5), 1, -1)
    return sign * np.clip(kinds[rng.integers(len(kinds), size=n), np.arange(n)], -8, 8).astype(np.float32)


def gaussian_process(rng: Generator, n: int, length: int) -> np.ndarray:
    """Sums and products of RBF, Matern, rational quadratic and periodic kernels, plus a line, by circulant embedding."""
    size = next_fast_len(2 * length, real=True)
    lag = np.minimum(_time(size), size - _time(size))[: size // 2 + 1]

    def kernel() -> np.ndarray:
        d = lag / _log_uniform(rng, n, 2, length)
        period = _periods(rng, n, length)[:, :1]
        rational = _log_uniform(rng, n, 0.3, 3)
        kinds = (
            lambda i: np.exp(-(d[i] ** 2) / 2),
            lambda i: np.exp(-d[i]),
            lambda i: (1 + 1.732 * d[i]) * np.exp(-1.732 * d[i]),
            lambda i: (1 + d[i] ** 2 / (2 * rational[i])) ** -rational[i],
            lambda i: np.exp(-2 * (np.sin(np.pi * lag / period[i]) / np.minimum(2 * rational[i], 2)) ** 2),
        )
        choice = rng.choice(len(kinds), size=n, p=(0.15, 0.15, 0.15, 0.15, 0.4))
        k = np.empty((n, len(lag)), np.float32)
        for j, kind in enumerate(kinds):
            k[choice == j] = kind(choice == j)
        return k

    first, second = kernel(), kernel()
    weight = _uniform(rng, n, 0.1, 0.9)
    k = np.where(_chance(rng, n, 0.5), first * second, weight * first + (1 - weight) * second)
    k[:, 0] += np.where(_chance(rng, n, 0.5), _log_uniform(rng, n, 1e-4, 0.3), 1e-4)[
        :, 0
    ]  # observation noise
    full = np.concatenate([k, k[:, size - size // 2 - 1 : 0 : -1]], axis=1)
    spectrum = np.maximum(
        rfft(full, axis=1).real, 0
    )  # a kernel that does not close on the circle: drop what is negative
    noise = rng.standard_normal((2, *spectrum.shape), dtype=np.float32)
    x = irfft(np.sqrt(spectrum) * (noise[0] + 1j * noise[1]), n=size, axis=1)[:, :length]
    line = np.where(_chance(rng, n, 0.3), 2 * _normal(rng, n, 1), 0) * (_time(length) / length - 0.5)
    return _place(rng, (_unit(x) + line).astype(np.float32))


def seasonal(rng: Generator, n: int, length: int) -> np.ndarray:
    """Seasons, trend and coloured noise, additive or multiplicative, from almost deterministic to mostly noise."""
    x = _seasons(rng, n, length)
    x = x + np.where(_chance(rng, n, 0.7), _log_uniform(rng, n, 0.1, 3), 0) * _trend(rng, n, length)
    tau = np.where(_chance(rng, n, 0.5), 0.1, _log_uniform(rng, n, 1, 50))
    x = x + _log_uniform(rng, n, 0.003, 1.5) * _coloured(rng, n, length, tau)
    x = np.where(_chance(rng, n, 0.3), np.exp(np.clip(_uniform(rng, n, 0.1, 0.7) * x, -6, 6)), x)
    return _place(rng, x)


def load(rng: Generator, n: int, length: int) -> np.ndarray:
    """Daily profiles that differ by weekday and weekend, on a level that persists for days: load, traffic, sales."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    base, other = _shapes(rng, n)[:, ::7], _shapes(rng, n)[:, ::7]
    week = np.repeat(base[:, None], 7, axis=1)
    week += _log_uniform(rng, n, 0.005, 0.3)[:, None] * _normal(rng, n * 7, 1).reshape(n, 7, 1)
    drop = np.where(_chance(rng, n, 0.5), _uniform(rng, n, 0, 1), 0)[:, None]
    week[:, 5:] = week[:, 5:] * (1 - 0.6 * drop) + 0.3 * drop * other[:, None] - 1.5 * drop
    x = _repeat(rng, week.reshape(n, -1), 7 * day, length)
    swing = np.where(_chance(rng, n, 0.7), _log_uniform(rng, n, 0.02, 0.5), 0)
    x = x * np.exp(swing * _coloured(rng, n, length, day * _log_uniform(rng, n, 0.5, 10), day / 4))
    x = x + _log_uniform(rng, n, 0.02, 2) * _coloured(
        rng, n, length, day * _log_uniform(rng, n, 0.3, 15), day / 8
    )
    x = x + np.where(_chance(rng, n, 0.5), _log_uniform(rng, n, 0.05, 2), 0) * _slow(rng, n, length)
    x = x + _log_uniform(rng, n, 0.003, 1) * _coloured(rng, n, length, _log_uniform(rng, n, 0.1, 6))
    x = np.where(_chance(rng, n, 0.4), np.exp(np.clip(_uniform(rng, n, 0.2, 0.8) * x, -6, 4)), x)
    return _place(rng, x)


def weather(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth synoptic waves with a diurnal cycle of varying strength; some squashed at a ceiling or positive and gusty."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    x = _coloured(rng, n, length, day * _log_uniform(rng, n, 0.5, 6), day * _log_uniform(rng, n, 0.03, 1))
    strength = np.exp(0.5 * _coloured(rng, n, length, 2 * day, day / 2))
    daily = _repeat(rng, _shapes(rng, n), day, length)
    x = x + np.where(_chance(rng, n, 0.7), _log_uniform(rng, n, 0.1, 2), 0) * strength * daily
    x = x + np.where(_chance(rng, n, 0.5), _log_uniform(rng, n, 0.003, 0.5), 0) * _normal(rng, n, length)
    kind = rng.random((n, 1))
    x = np.where(kind < 0.2, np.minimum(x, 1 + 0.1 * np.tanh(x - 1)), x)
    x = np.where(kind > 0.8, np.exp(0.6 * x) * (1 + 0.15 * _normal(rng, n, length)), x)
    return _place(rng, x)


def solar(rng: Generator, n: int, length: int) -> np.ndarray:
    """Non-negative and zero at night: a half sine by day, dimmed by clouds that persist."""
    day = rng.choice(DAYS, (n, 1)).astype(np.float32)
    angle = 2 * np.pi * (_time(length) / day + _uniform(rng, n, 0, 1))
    height = np.maximum(np.sin(angle) + _uniform(rng, n, -0.5, 0.5), 0) ** _uniform(rng, n, 0.7, 1.8)
    clouds = _coloured(rng, n, length, day * _log_uniform(rng, n, 0.05, 2)) * _log_uniform(rng, n, 0.05, 3)
    return _log_uniform(rng, n, 0.1, 1000) * height / (1 + np.exp(np.clip(clouds - 1, -10, 10)))


def arma(rng: Generator, n: int, length: int) -> np.ndarray:
    """ARMA with up to four poles (real or complex) and two zeros; some integrated once."""
    radius = 1 - _log_uniform(rng, 2 * n, 0.005, 1).reshape(n, 2)
    angle = np.where(
        rng.random((n, 2)) < 0.5, 0, 2 * np.pi / np.exp(rng.uniform(np.log(3), np.log(100), (n, 2)))
    )
    second = np.where(angle == 0, rng.uniform(-0.5, 0.8, (n, 2)) * radius, radius)
    sum_, product = (radius + second) * np.cos(angle), radius * second
    a = np.zeros((n, 5))
    a[:, 0] = 1
    a[:, 1] = -sum_.sum(1)
    a[:, 2] = product.sum(1) + sum_.prod(1)
    a[:, 3] = -(sum_[:, 0] * product[:, 1] + sum_[:, 1] * product[:, 0])
    a[:, 4] = product.prod(1)
    simple = rng.random(n) < 0.5  # one pair of poles only
    a[simple, 1:3], a[simple, 3:] = np.stack([-sum_[simple, 0], product[simple, 0]], axis=1), 0
    zeros = rng.uniform(-0.9, 0.9, (n, 2)) * (rng.random((n, 2)) < 0.5)
    b = np.stack([np.ones(n), zeros.sum(1), zeros.prod(1)], axis=1)
    x = _unit(_filter(b, a, _heavy(rng, n, length + 200)))[:, 200:]
    integrated = _chance(rng, n, 0.2)
    return _place(rng, np.where(integrated, _unit(np.cumsum(x + 0.1 * _normal(rng, n, 1), axis=1)), x))


def _cycles(x: np.ndarray, period: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Seasonal AR(1) of each row: y_t = rho y_{t-m} + x_t with its own integer period m and rho, both (n,)."""
    n, length = x.shape
    y = np.empty_like(x)
    for i, m in enumerate(period):
        rows = np.zeros((-(-length // m), m), np.float32)
        rows.flat[:length] = x[i]
        y[i] = lfilter([1.0], [1.0, -rho[i]], rows, axis=0).ravel()[:length]
    return y


def seasonal_arima(rng: Generator, n: int, length: int) -> np.ndarray:
    """Seasonal AR and seasonally integrated series: a cycle that renews itself from one period to the next."""
    period = np.array(CALENDARS)[rng.integers(len(CALENDARS), size=n), 0].astype(int)
    rho = np.where(rng.random(n) < 0.4, 1.0, rng.uniform(0.5, 0.99, n))
    start = _repeat(rng, _shapes(rng, n), period[:, None].astype(np.float32), length)
    shocks = _log_uniform(rng, n, 0.02, 0.5) * _coloured(rng, n, length, _log_uniform(rng, n, 0.1, 10))
    first = np.arange(length) < period[:, None]
    x = _cycles(np.where(first, start, shocks), period, rho)
    walk = np.cumsum(_normal(rng, n, length), axis=1) / np.sqrt(period[:, None])
    return _place(rng, x + np.where(_chance(rng, n, 0.5), _log_uniform(rng, n, 0.02, 1), 0) * walk)


def random_walk(rng: Generator, n: int, length: int) -> np.ndarray:
    """Random walks, arithmetic or geometric, with drift, heavy tails and stochastic volatility, as in exchange rates."""
    volatility = np.where(_chance(rng, n, 0.6), _uniform(rng, n, 0.1, 0.7), 0)
    shocks = _heavy(rng, n, length) * np.exp(
        volatility * _coloured(rng, n, length, _log_uniform(rng, n, 5, 300))
    )
    drift = np.where(_chance(rng, n, 0.3), 0.05 * _normal(rng, n, 1), 0)
    walk = np.cumsum(shocks + drift, axis=1, dtype=np.float32)
    walk = np.where(
        _chance(rng, n, 0.15), walk + _log_uniform(rng, n, 0.1, 3) * _normal(rng, n, length), walk
    )
    rate = _log_uniform(rng, n, 0.001, 0.02)
    geometric = np.exp(np.clip(rate * walk, -4, 4))
    return np.where(
        _chance(rng, n, 0.6), _log_uniform(rng, n, 0.01, 200) * geometric, _place(rng, rate * 10 * walk)
    )


def state_space(rng: Generator, n: int, length: int) -> np.ndarray:
    """Exponential-smoothing models: stochastic level, damped trend and seasonal states; errors additive or not."""
    period = np.array(CALENDARS)[rng.integers(len(CALENDARS), size=n), 0].astype(int)
    size = _log_uniform(rng, n, 0.003, 0.3)
    slope = _coloured(rng, n, length, _log_uniform(rng, n, 5, 500)) * _log_uniform(rng, n, 0.001, 0.3)
    level = np.cumsum(_heavy(rng, n, length) + np.where(_chance(rng, n, 0.5), slope, 0), axis=1) * size
    start = _repeat(rng, _shapes(rng, n), period[:, None].astype(np.float32), length)
    states = np.where(np.arange(length) < period[:, None], start, size * _normal(rng, n, length))
    cycle = _cycles(states, period, np.ones(n)) * np.where(
        _chance(rng, n, 0.6), _log_uniform(rng, n, 0.1, 3), 0
    )
    x = level + cycle + _log_uniform(rng, n, 0.01, 1) * _heavy(rng, n, length)
    return _place(rng, np.where(_chance(rng, n, 0.4), np.exp(np.clip(0.3 * x, -4, 4)), x))


def _rate(rng: Generator, n: int, length: int) -> np.ndarray:
    """Log rates of unit size for counts: seasons, a slow curve and persistent noise."""
    x = np.where(_chance(rng, n, 0.7), _uniform(rng, n, 0.2, 1.5), 0) * _seasons(rng, n, length)
    x = x + _uniform(rng, n, 0, 0.7) * _slow(rng, n, length)
    return x + _uniform(rng, n, 0, 0.5) * _coloured(rng, n, length, _log_uniform(rng, n, 2, 100))


def counts(rng: Generator, n: int, length: int) -> np.ndarray:
    """Poisson and negative binomial counts with seasonal, drifting rates from about one to a few hundred."""
    rate = _log_uniform(rng, n, 0.5, 300) * np.exp(np.clip(_rate(rng, n, length), -4, 3))
    shape = _log_uniform(rng, n, 1, 30)
    mixed = rate * rng.standard_gamma(np.broadcast_to(shape, rate.shape), dtype=np.float32) / shape
    return rng.poisson(np.where(_chance(rng, n, 0.5), mixed, rate)).astype(np.float32)


def intermittent(rng: Generator, n: int, length: int) -> np.ndarray:
    """Mostly zero: rare demands or showers that come alone or in spells, with integer or gamma sizes."""
    spells = _coloured(rng, n, length, _log_uniform(rng, n, 0.1, 20))
    drive = spells + 0.5 * _rate(rng, n, length)
    occurs = drive > _uniform(rng, n, 0.3, 2) * drive.std(1, keepdims=True)
    size = _log_uniform(rng, n, 0.3, 3) * rng.standard_gamma(1.0, (n, length), dtype=np.float32)
    size = np.where(_chance(rng, n, 0.6), np.ceil(size), size * _log_uniform(rng, n, 0.01, 10))
    return np.where(occurs, size, 0)


CORE: tuple[Family, ...] = (seasonal, load, weather, arma, random_walk, state_space)


def _core(rng: Generator, n: int, length: int) -> np.ndarray:
    """Unit-size series of the plain families, for those that distort one."""
    parts = np.array_split(rng.permutation(n), len(CORE))
    x = np.empty((n, length), np.float32)
    for family, rows in zip(CORE, parts, strict=True):
        if len(rows):
            x[rows] = _unit(family(rng, len(rows), length))
    return x


def breaks(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with up to three breaks of level, slope or variance."""
    x, t = _core(rng, n, length), _time(length)
    for _ in range(3):
        since = np.maximum(t - _uniform(rng, n, 0, 1.5 * length), 0)
        after, kind = since > 0, rng.random((n, 1))
        jump = _normal(rng, n, 1)
        x = np.where(
            kind < 0.5, x + 2 * jump * after, np.where(kind < 0.75, x, x * np.exp(0.7 * jump * after))
        )
        x = x + np.where((kind >= 0.5) & (kind < 0.75), 3 * jump * since / length, 0)
    return _place(rng, x)


def outliers(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series with rare spikes (single or decaying), and stretches where the sensor hangs on a value."""
    x = _core(rng, n, length)
    hits = rng.random((n, length), dtype=np.float32) < _log_uniform(rng, n, 0.001, 0.02)
    side = np.where(_chance(rng, n, 0.5), 1, np.sign(_normal(rng, n, length)))
    spikes = hits * side * _log_uniform(rng, n, 1, 6) * rng.standard_gamma(2.0, (n, length), dtype=np.float32)
    decay = np.where(_chance(rng, n, 0.6), 0, _uniform(rng, n, 0.3, 0.95))
    spikes = _filter(
        np.ones((n, 1), np.float32), np.concatenate([np.ones_like(decay), -decay], axis=1), spikes
    )
    start, span = _uniform(rng, n, 0, 3 * length), _log_uniform(rng, n, 4, 60)
    steps = np.arange(length)
    source = np.where((steps > start) & (steps < start + span), start.astype(int), steps)
    return _place(rng, np.take_along_axis(x + spikes, np.minimum(source, length - 1), axis=1))


def bounded(rng: Generator, n: int, length: int) -> np.ndarray:
    """A plain series clipped or squashed to a range: shares, levels of a tank, saturated sensors."""
    x = _core(rng, n, length)
    low = _uniform(rng, n, -3, 0)
    high = low + _uniform(rng, n, 1, 4)
    squashed = 1 / (1 + np.exp(np.clip(-_uniform(rng, n, 0.5, 3) * (x - low), -10, 10)))
    x = np.where(_chance(rng, n, 0.5), np.clip(x, low, high) - low, squashed)
    return _log_uniform(rng, n, 0.1, 100) * x


def steps(rng: Generator, n: int, length: int) -> np.ndarray:
    """Piecewise constant: a plain series on a coarse grid of values, or levels that switch at random times."""
    x = _core(rng, n, length)
    quantum = _log_uniform(rng, n, 0.02, 1)
    rounded = np.round(x / quantum) * quantum
    segment = np.cumsum(rng.random((n, length), dtype=np.float32) < _log_uniform(rng, n, 0.005, 0.2), axis=1)
    levels = np.round(_normal(rng, n, length) * 2) / 2
    switching = np.take_along_axis(levels, np.minimum(segment, length - 1), axis=1)
    switching = switching + np.where(_chance(rng, n, 0.5), 0.1, 0) * _normal(rng, n, length)
    return _place(rng, np.where(_chance(rng, n, 0.5), rounded, switching))


FAMILIES: dict[str, tuple[Family, float]] = {
    "gaussian_process": (gaussian_process, 0.12),
    "seasonal": (seasonal, 0.15),
    "load": (load, 0.18),
    "weather": (weather, 0.08),
    "solar": (solar, 0.03),
    "arma": (arma, 0.06),
    "seasonal_arima": (seasonal_arima, 0.05),
    "random_walk": (random_walk, 0.09),
    "state_space": (state_space, 0.08),
    "counts": (counts, 0.04),
    "intermittent": (intermittent, 0.02),
    "breaks": (breaks, 0.04),
    "outliers": (outliers, 0.03),
    "bounded": (bounded, 0.02),
    "steps": (steps, 0.01),
}


def _independent(rng: Generator, x: np.ndarray, length: int) -> np.ndarray:
    return x[..., :length]


def _delayed(rng: Generator, x: np.ndarray, length: int) -> np.ndarray:
    """Each channel shifted by its own lag, half of them by none."""
    lags = rng.integers(LONGEST_LAG + 1, size=x.shape[:2]) * (rng.random(x.shape[:2]) < 0.5)
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=2)[(*np.indices(lags.shape), lags)]


def _mixed(rng: Generator, x: np.ndarray, length: int) -> np.ndarray:
    """Linear mixes of a few of the series, with lags and a share of each channel's own."""
    groups, channels = x.shape[:2]
    weights = rng.standard_normal((groups, channels, channels), dtype=np.float32)
    weights *= np.arange(channels) < rng.integers(1, channels + 1, (groups, 1, 1))
    own = np.exp(rng.uniform(np.log(0.03), np.log(1), (groups, channels, 1))).astype(np.float32)
    return _delayed(rng, _unit(weights @ _unit(x)) + own * _unit(x), length)


def _cointegrated(rng: Generator, x: np.ndarray, length: int) -> np.ndarray:
    """A random walk that all channels share, each with its own loading and its own series around it."""
    groups, channels = x.shape[:2]
    walk = _unit(random_walk(rng, groups, length))[:, None]
    loading = rng.uniform(0.3, 1.5, (groups, channels, 1)).astype(np.float32)
    own = np.exp(rng.uniform(np.log(0.03), np.log(1), (groups, channels, 1))).astype(np.float32)
    return loading * walk + own * _unit(x[..., :length])


def _driven(rng: Generator, x: np.ndarray, length: int) -> np.ndarray:
    """One channel is an effect of the others: a weighted sum of bent, delayed causes, and its own series."""
    groups, channels = x.shape[:2]
    x = _unit(x)
    bend = rng.integers(3, size=(groups, channels, 1))
    causes = _delayed(rng, np.where(bend == 0, x, np.where(bend == 1, np.abs(x), np.maximum(x, 0))), length)
    weights = rng.standard_normal((groups, 1, channels), dtype=np.float32)
    weights[..., 0] = np.exp(rng.uniform(np.log(0.03), np.log(1), (groups, 1)))
    out = x[..., LONGEST_LAG:].copy()
    out[:, 0] = _unit(weights @ _unit(causes))[:, 0]
    return rng.permuted(out, axis=1) if channels > 1 else out


JOINS = ((_independent, 0.45), (_mixed, 0.25), (_cointegrated, 0.1), (_driven, 0.2))


def generate(
    groups: int,
    channels: int,
    length: int,
    generator: torch.Generator | int,
    weights: Mapping[str, float] | None = None,
) -> torch.Tensor:
    """Draws `groups` of `channels` synthetic series.

    Args:
        groups, channels, length: sizes of the result.
        generator: all randomness comes from it: a torch generator (which moves on), or a seed.
        weights: relative shares of the families by name; those of `FAMILIES` where None.

    Returns:
        float32, with shape `(groups, channels, length)`, finite; a channel's units are arbitrary.

    Raises:
        ValueError: for a family that does not exist.
    """
    weights = {name: share for name, (_, share) in FAMILIES.items()} if weights is None else weights
    if unknown := set(weights) - set(FAMILIES):
        raise ValueError(f"unknown synthetic families {sorted(unknown)}; there are {sorted(FAMILIES)}")
    if isinstance(generator, torch.Generator):
        generator = int(torch.randint(2**62, (), generator=generator))
    rng = np.random.default_rng(generator)
    share = np.array(list(weights.values()), float)
    choice = rng.choice(len(share), size=(groups, channels), p=share / share.sum())
    choice = np.where(
        _chance(rng, groups, 0.5), choice[:, :1], choice
    )  # channels of one kind in half of the groups
    x = np.empty((groups, channels, length + LONGEST_LAG), np.float32)
    for i, name in enumerate(weights):
        if count := int((choice == i).sum()):
            x[choice == i] = FAMILIES[name][0](rng, count, length + LONGEST_LAG)
    out = np.empty((groups, channels, length), np.float32)
    kind = (
        rng.choice(len(JOINS), size=groups, p=[p for _, p in JOINS])
        if channels > 1
        else np.zeros(groups, int)
    )
    for i, (join, _) in enumerate(JOINS):
        if (kind == i).any():
            out[kind == i] = join(rng, x[kind == i], length)
    return torch.from_numpy(out)
