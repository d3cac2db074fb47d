"""The local model: a linear forecaster fitted to the whole history of one series.

The network is global: it has learned from many series and reads the last CONTEXT steps of this one. What
came before enters through the local model, whose forecast of the target is one of the network's inputs
(local and global: Januschowski et al. 2020, "Criteria for classifying forecasting methods").

It is a ridge regression of the next TARGET steps on the last LAGS, in differences from the last value, so
that it needs no units. Where the last quarter of the history shows no gain over the last value, the
weights are zero: the forecast is the last value, as it is for histories of less than CONTEXT steps and for
those with more than a few gaps, whose interpolation would pass for knowledge.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from domains.timeseries.ridge import LAGS, RECENT, linear, select_ridge
from domains.timeseries.window import CONTEXT, TARGET

GAPS = 0.1  # share of missing steps beyond which there is no local model
RECORD = 2  # numbers that tell how far a local model may be trusted
LOWEST = 0.05  # a smaller ratio of errors counts as this one


class Local(NamedTuple):
    """Local models of the channels of several items.

    Attributes:
        weights: (items, C, LAGS, TARGET), float32.
        record: (items, C, RECORD), float32: ln of the error relative to that of the last value, on held-out
            history; ln of the steps fitted to, in units of CONTEXT. Both 0 without a model.
    """

    weights: np.ndarray
    record: np.ndarray

    def forecast(self, past: np.ndarray) -> np.ndarray:
        """The TARGET steps after pasts (items · n, C, LAGS), without NaN: (items · n, C, TARGET)."""
        items, channels, lags, _ = self.weights.shape
        last = past[..., -1:]
        steps = (past - last).reshape(items, -1, channels, lags).swapaxes(1, 2) @ self.weights
        return last + steps.swapaxes(1, 2).reshape(*last.shape[:-1], TARGET)


def fit(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (LAGS, TARGET) and record (RECORD,) for one channel (T,), NaN where missing."""
    nothing = np.zeros((LAGS, TARGET), np.float32), np.zeros(RECORD, np.float32)
    known = np.flatnonzero(np.isfinite(history))
    if not len(known) or len(history) - known[0] < CONTEXT or known[-1] < len(history) - CONTEXT:
        return nothing
    recent = history[max(known[0], len(history) - RECENT) :, None]
    if np.isnan(recent).mean() > GAPS:
        return nothing
    recent = linear(recent)
    recent /= np.abs(recent).max() or 1.0  # squares of 1e200 must not overflow
    lags = min(LAGS, (len(recent) - TARGET) // 2)
    chosen = select_ridge([recent], TARGET, lags)
    if chosen.error >= chosen.naive:
        return nothing
    weights = np.pad(chosen.weights, ((LAGS - lags, 0), (0, 0))).astype(np.float32)
    ratio = max(chosen.error / chosen.naive, LOWEST)
    return weights, np.log([ratio, len(recent) / CONTEXT]).astype(np.float32)


def local_models(histories: Sequence[np.ndarray]) -> Local:
    """The local models of several items (T, C), of as many channels each."""
    fits = [[fit(channel) for channel in history.T] for history in histories]
    return Local(*(np.stack([[one[part] for one in item] for item in fits]) for part in (0, 1)))
