"""What is computed about a window rather than learned: its seasons, its roughness, and simple forecasts.

All functions take values `(*, WIDTH)` in the window's units, zero where not known, and known `(*, WIDTH)`.
"""

import torch
from torch import Tensor

from domains.timeseries.window import CONTEXT, INSIDE, TARGET, WIDTH

LONGEST = 256  # longest season that two repetitions in the left context can show
SEASONS = 4  # repetitions that a seasonal mean averages
NEIGHBOURS = 3  # repetitions before and after a step that tell its season
FAINT = 0.05  # autocorrelation below which a peak is no season


def seasons(values: Tensor, known: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
    """Two seasonal lags of the left context and their autocorrelations, both of shape `(*, 2)`.

    The first is the period `(*,)` that the calendar tells, 24 for hourly stamps, where it is above 1 and
    twice as many steps are known; else the strongest. The second is the strongest of more than 1.5 times
    the first (the week above the day). Lags are found as peaks of the unbiased autocorrelation after a
    linear trend is taken out. Without a season the lag is 1: the last value repeated.
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
    told = (period > 1) & (period <= LONGEST) & (2 * period <= weight.sum(-1))
    at_period = inner.gather(-1, (period - 1).clamp(0, LONGEST - 1)[..., None])[..., 0]
    first, strength = torch.where(told, period, first), torch.where(told, at_period, strength)
    again, second = torch.where(lags > 1.5 * first[..., None], score, -1.0).max(-1)
    first = torch.where((strength > FAINT) | told, first, 1)
    second = torch.where(again > FAINT, lags[second], first)
    return torch.stack([first, second], -1), torch.stack([strength, again], -1).clamp(-1, 1)


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


def interpolations(values: Tensor, known: Tensor, lags: Tensor) -> Tensor:
    """What is known around the target, interpolated in two ways for each lag.

    From season to season: between the nearest known steps whole lags before and after, or the one of them
    that there is. And in time, after the season is taken out: the season at a step is the mean of what is
    known up to NEIGHBOURS lags away; what is left of the known values runs on in a straight line from the
    one before a gap to the one after, or stays as it is where there is none after.

    Lag 1 stands for no season, and is then interpolated in time.

    Returns:
        `(*, 2 lags, TARGET)`.
    """
    step = torch.arange(WIDTH, device=values.device)
    inside = step[INSIDE].expand(*known.shape[:-1], TARGET)
    before = torch.where(known, step, -1).cummax(-1).values[..., INSIDE]
    after = torch.where(known, step, WIDTH).flip(-1).cummin(-1).values.flip(-1)[..., INSIDE]
    before, after = torch.where(before < 0, after, before), torch.where(after == WIDTH, before, after)
    before, after = before.clamp(max=WIDTH - 1), after.clamp(min=0)  # where nothing at all is known
    share = ((inside - before) / (after - before).clamp(min=1)).to(values)
    level = (values * known).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)
    out = []
    for lag in lags.unbind(-1):
        here, left, right = (_season(values, known, lag, level, at) for at in (inside, before, after))
        line = here + torch.lerp(values.gather(-1, before) - left, values.gather(-1, after) - right, share)
        out += [_between_seasons(values, known, lag, inside, line), line]
    return torch.stack(out, -2)


def _repetitions(values: Tensor, known: Tensor, lag: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Values whole lags from the steps `at` (*, steps), nearest first, and which of them are known.

    Returns:
        Both (*, steps, 2, NEIGHBOURS): before and after. With a lag of 1 none are known.
    """
    count = torch.arange(1, NEIGHBOURS + 1, device=values.device)
    index = at[..., None] + torch.cat([-count, count]) * lag[..., None, None]
    near = index.clamp(0, WIDTH - 1)
    seen = _at(known, near) & (index == near) & (lag > 1)[..., None, None]
    return _at(values, near).unflatten(-1, (2, -1)), seen.unflatten(-1, (2, -1))


def _season(values: Tensor, known: Tensor, lag: Tensor, level: Tensor, at: Tensor) -> Tensor:
    """The mean of the repetitions of the steps `at`; the level where none are known."""
    around, seen = _repetitions(values, known, lag, at)
    count = seen.sum((-2, -1))
    return torch.where(count > 0, (around * seen).sum((-2, -1)) / count.clamp(min=1), level)


def _between_seasons(values: Tensor, known: Tensor, lag: Tensor, at: Tensor, otherwise: Tensor) -> Tensor:
    """Linear interpolation between the nearest known repetitions of the steps `at`."""
    around, seen = _repetitions(values, known, lag, at)
    nearest = seen.int().argmax(-1, keepdim=True)
    left, right = around.gather(-1, nearest)[..., 0].unbind(-1)
    has_left, has_right = seen.any(-1).unbind(-1)
    far_left, far_right = (nearest[..., 0] + 1).to(values).unbind(-1)
    weight = torch.where(has_left & has_right, far_left / (far_left + far_right), has_right.to(values))
    return torch.where(has_left | has_right, torch.lerp(left, right, weight), otherwise)


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
