"""Parts of which synthetic series are made: draws, noise, cycles and trends.

Every function works on n series at once; a draw of one value a series is (n, 1), to broadcast over time.

References:
    Dietrich and Newsam (1997): stationary Gaussian processes by circulant embedding.
"""

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

# Cycles that occur together: hourly, 15- and 10-minute; daily, business-daily, weekly, monthly, quarterly.
FINE = ((24, 168), (24, 168), (24, 168), (96, 672), (144, 1008))
COARSE = ((7, 30.4), (7, 365.25), (5, 21), (52.18, 13), (12, 3), (12, 6), (4, 8))
CALENDARS = np.array(FINE + COARSE)
POINTS = 1008  # resolution of a tabulated cycle: a multiple of 4, 7, 12, 24, 48, 144 and 168


def normal(rng: Generator, n: int, length: int = 1) -> np.ndarray:
    return rng.standard_normal((n, length), dtype=np.float32)


def uniform(rng: Generator, n: int, low: float, high: float) -> np.ndarray:
    return rng.uniform(low, high, (n, 1)).astype(np.float32)


def chance(rng: Generator, n: int, probability: float) -> np.ndarray:
    return rng.random((n, 1)) < probability


def log_uniform(rng: Generator, n: int, low: float, high: float, probability: float = 1.0) -> np.ndarray:
    """Log-uniform with this probability, else 0."""
    return np.exp(uniform(rng, n, np.log(low), np.log(high))) * chance(rng, n, probability)


def steps(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1; constant rows become 0."""
    x = x - x.mean(-1, keepdims=True)
    return x / (x.std(-1, keepdims=True) + 1e-6)


def exponentiate(rng: Generator, x: np.ndarray, probability: float) -> np.ndarray:
    """Makes rows multiplicative with this probability: exp of the row, at most four e-folds either way."""
    rate = np.minimum(uniform(rng, len(x), 0.15, 0.7), 4 / np.abs(x).max(1, keepdims=True))
    return np.where(chance(rng, len(x), probability), np.exp(rate * x), x)


def place(rng: Generator, x: np.ndarray) -> np.ndarray:
    """Gives rows of about unit size a scale and a level, often far above it; rounds a quarter of the rows."""
    n = len(x)
    grid = log_uniform(rng, n, 0.003, 0.15, 0.25)
    x = np.where(grid > 0, np.round(x / np.maximum(grid, 1e-3)) * grid, x)
    level = np.where(chance(rng, n, 0.6), log_uniform(rng, n, 1, 30), normal(rng, n))
    return log_uniform(rng, n, 0.01, 100) * (x + level)


def heavy(rng: Generator, n: int, length: int) -> np.ndarray:
    """White noise, Gaussian or with tails up to about those of Student's t with 3 degrees of freedom."""
    noise = normal(rng, n, length)
    return noise * (1 + log_uniform(rng, n, 0.01, 0.3, 0.6) * noise**2)


def autoregress(x: np.ndarray, total: np.ndarray, product: np.ndarray) -> np.ndarray:
    """y_t = total y_{t-1} - product y_{t-2} + x_t: sum and product (n, 1) of the two poles of each row."""
    y = np.empty_like(x)
    for row, (p, q) in enumerate(zip(total.flat, product.flat, strict=True)):
        y[row] = lfilter([1.0], [1.0, -p, q], x[row])
    return y


def coloured(
    rng: Generator, n: int, length: int, tau: np.ndarray, smooth: np.ndarray | float = 0.1
) -> np.ndarray:
    """Noise of unit variance with correlation time tau, smoothed over `smooth` steps; both (n, 1)."""
    slow, fast = np.exp(-1 / tau), np.exp(-1 / np.maximum(smooth, 0.1)) * np.ones_like(tau)
    return unit(autoregress(heavy(rng, n, length + 64), slow + fast, slow * fast)[:, 64:])


def waves(rng: Generator, n: int, phase: np.ndarray, decay: np.ndarray, count: int) -> np.ndarray:
    """Random sums of `count` harmonics of phase (length,), amplitudes falling as k**-decay; unit size."""
    k = np.arange(1, count + 1, dtype=np.float32)
    weights = np.tile(k, 2) ** -decay
    weights = weights / np.sqrt((weights**2).sum(1, keepdims=True) / 2) * normal(rng, n, 2 * count)
    return weights @ np.concatenate([np.cos(k[:, None] * phase), np.sin(k[:, None] * phase)])


def meander(rng: Generator, n: int, length: int) -> np.ndarray:
    """Smooth curves with at most four waves over the length."""
    return waves(rng, n, np.pi / length * steps(length), np.full((n, 1), 0.5, np.float32), 8)


def shapes(rng: Generator, n: int) -> np.ndarray:
    """One cycle each (n, POINTS) of unit variance: smooth to jagged; some peaked, square or one-sided."""
    shape = unit(waves(rng, n, 2 * np.pi / POINTS * steps(POINTS), uniform(rng, n, 0.5, 4), 12))
    kind = rng.random((n, 1))
    shape = np.where(kind < 0.15, np.exp(uniform(rng, n, 0.3, 1.5) * shape), shape)
    shape = np.where((kind > 0.86) & (kind < 0.93), np.maximum(shape, uniform(rng, n, -1, 0.5)), shape)
    return unit(np.where(kind > 0.93, np.tanh(20 * shape), shape))


def repeat(rng: Generator, shapes: np.ndarray, period: np.ndarray, length: int) -> np.ndarray:
    """Runs through tabulated cycles (n, points) with period (n, 1) in steps, from a random phase on."""
    points = shapes.shape[1]
    phase = steps(length) / period.astype(np.float32) + uniform(rng, len(shapes), 0, 1)
    return np.take_along_axis(shapes, (phase * points).astype(np.int32) % points, axis=1)


def periods(rng: Generator, n: int, length: int) -> np.ndarray:
    """A short and a long period for each series, (2, n, 1): mostly those of a calendar, else arbitrary."""
    free = np.sort(np.exp(rng.uniform(np.log(4), np.log(max(length / 3, 8)), (n, 2))), axis=1)
    periods = np.where(chance(rng, n, 0.2), free, CALENDARS[rng.integers(len(CALENDARS), size=n)])
    return periods.T[..., None].astype(np.float32)


def seasons(rng: Generator, n: int, length: int) -> np.ndarray:
    """One or two cycles, some of slowly changing amplitude; unit size."""
    short, long = periods(rng, n, length)
    swing = 1 + log_uniform(rng, n, 0.05, 0.5, 0.5) * meander(rng, n, length)
    x = swing * repeat(rng, shapes(rng, n), short, length)
    return unit(x + log_uniform(rng, n, 0.1, 1.5, 0.5) * repeat(rng, shapes(rng, n), long, length))


def trend(rng: Generator, n: int, length: int) -> np.ndarray:
    """Linear, exponential, damped, logistic or wandering, each on a time scale of its own."""
    age = steps(length) - uniform(rng, n, 0, length)
    scale = log_uniform(rng, n, 16, 2 * length)
    line, bend = age / scale, age / np.maximum(scale, length / 4)
    kinds = np.stack([line, np.exp(bend) / 7, -np.exp(-bend) / 7, np.tanh(line), 2 * meander(rng, n, length)])
    return np.sign(normal(rng, n)) * kinds[rng.integers(len(kinds), size=n), np.arange(n)]


def stationary(rng: Generator, covariance: np.ndarray) -> np.ndarray:
    """Gaussian series (n, length) with covariance (n, length + 1) by lag, by circulant embedding."""
    n, lags = covariance.shape
    # negative where the covariance does not close on the circle
    spectrum = np.maximum(np.fft.hfft(covariance)[:, :lags], 0)
    noise = np.sqrt(spectrum) * (normal(rng, n, lags) + 1j * normal(rng, n, lags))
    return np.sqrt(lags - 1) * np.fft.irfft(noise)[:, : -lags + 1]
