"""What is computed about a window rather than learned: its seasons, its roughness, and simple forecasts.

All functions take values `(*, WIDTH)` in the window's units, zero where not known, and known `(*, WIDTH)`.
"""

import torch
from torch import Tensor

from domains.timeseries.window import CONTEXT, TARGET

LONGEST = 256  # longest season that two repetitions in the left context can show
SEASONS = 4  # repetitions that a seasonal mean averages
FAINT = 0.05  # autocorrelation below which a peak is no season


def seasons(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The two strongest seasonal lags of the left context and their autocorrelations, both of shape `(*, 2)`.

    Peaks of the unbiased autocorrelation after a linear trend is taken out; the second lag is more than
    1.5 times the first (the week above the day). Without a season the lag is 1: the last value repeated.
    """
    weight = known[..., :CONTEXT].to(values)
    time = torch.linspace(-1, 1, CONTEXT, device=values.device)
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    time = (time - (time * weight).sum(-1, keepdim=True) / count) * weight
    level = (values[..., :CONTEXT] * weight).sum(-1, keepdim=True) / count
    slope = (time * values[..., :CONTEXT]).sum(-1, keepdim=True) / time.square().sum(-1, keepdim=True).clamp(
        min=1e-6
    )
    rest = (values[..., :CONTEXT] - level) * weight - slope * time

    lags = torch.arange(LONGEST + 2, device=values.device)
    correlation = _lagged_sum(rest) / _lagged_sum(weight).clamp(min=1)
    correlation = correlation / correlation[..., :1].clamp(min=1e-8)
    inner = correlation[..., 1:-1]
    peak = (inner >= correlation[..., :-2]) & (inner >= correlation[..., 2:])
    lags = lags[1:-1]
    allowed = peak & (lags >= 2) & (2 * lags <= weight.sum(-1, keepdim=True))
    score = torch.where(allowed, inner, -1.0) - 1e-4 * lags  # of equal peaks the shortest: 24, not 48
    strength, first = score.max(-1)
    first = lags[first]
    again, second = torch.where(lags > 1.5 * first[..., None], score, -1.0).max(-1)
    first = torch.where(strength > FAINT, first, 1)
    second = torch.where(again > FAINT, lags[second], first)
    return torch.stack([first, second], -1), torch.stack([strength, again], -1).clamp(min=-1)


def _lagged_sum(x: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(x, 2 * CONTEXT)
    return torch.fft.irfft(spectrum.abs().square(), 2 * CONTEXT)[..., : LONGEST + 2]


def seasonal_forecasts(values: Tensor, known: Tensor, lags: Tensor) -> tuple[Tensor, Tensor]:
    """What the seasons of the given lags forecast, and how wrong that has been.

    Returns:
        For each lag the last season and the mean of the last SEASONS, repeated over the target:
        `(*, 2 lags, TARGET)`; and the root mean square error of the seasonal naive forecast over the
        left context: `(*, lags)`.
    """
    ahead = torch.arange(TARGET, device=values.device)
    forecasts, errors = [], []
    for lag in lags.unbind(-1):
        lag = lag[..., None]
        newest = CONTEXT + ahead - lag * (ahead // lag + 1)
        index = newest[..., None, :] - lag[..., None] * torch.arange(SEASONS, device=values.device)[:, None]
        past, seen = _at(values, index), _at(known, index) & (index >= 0)
        weight = seen.to(values)
        forecasts.append(torch.where(seen, past, 0.0)[..., 0, :])
        forecasts.append((past * weight).sum(-2) / weight.sum(-2).clamp(min=1))
        before = torch.arange(CONTEXT, device=values.device) - lag
        pairs = known[..., :CONTEXT] & known.gather(-1, before.clamp(min=0)) & (before >= 0)
        errors.append(_rms(values[..., :CONTEXT] - values.gather(-1, before.clamp(min=0)), pairs))
    return torch.stack(forecasts, -2), torch.stack(errors, -1)


def _at(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(-1, index.clamp(min=0).flatten(-2)).view(index.shape)


def roughness(values: Tensor, known: Tensor) -> Tensor:
    """Root mean squares of differences (lag, newest steps) and the spread of the newest steps: `(*, 5)`."""
    out = []
    for lag, newest in ((1, CONTEXT), (1, 64), (2, CONTEXT), (8, CONTEXT)):
        late, early = slice(CONTEXT - newest + lag, CONTEXT), slice(CONTEXT - newest, CONTEXT - lag)
        out.append(_rms(values[..., late] - values[..., early], known[..., late] & known[..., early]))
    newest = slice(CONTEXT - 64, CONTEXT)
    seen = known[..., newest]
    level = (values[..., newest] * seen).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)
    out.append(_rms(values[..., newest] - level, seen))
    return torch.stack(out, -1)


def _rms(x: Tensor, where: Tensor) -> Tensor:
    return (torch.where(where, x, 0.0).square().sum(-1) / where.sum(-1).clamp(min=1)).sqrt()
