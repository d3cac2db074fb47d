"""Between raw series and what the network sees."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from domains.timeseries.window import WIDTH, Units, units
from zoo.domain import Adapter


class Scaled(NamedTuple):
    """A window `(*, WIDTH)`: values in its units (float32, 0 where not known), which are known, the units."""

    values: np.ndarray
    known: np.ndarray
    units: Units


@dataclass(frozen=True)
class TimeSeriesAdapter(Adapter):
    """Every window in units of its own; the training data's statistics where it has no known value.

    Attributes:
        level: median of the training series' means: the origin of unconditional samples.
        spread: median of their standard deviations: the scale of unconditional samples.
    """

    level: float = 0.0
    spread: float = 1.0

    def encode(self, raw: np.ndarray) -> Scaled:
        """Raw windows `(*, WIDTH)`, NaN where not known, in float64."""
        if raw.shape[-1] != WIDTH:
            raise ValueError(f"a window has {WIDTH} steps, not {raw.shape[-1]}")
        known = np.isfinite(raw)
        own = units(raw, known)
        blank = ~known.any(-1, keepdims=True)
        own = Units(np.where(blank, self.level, own.origin), np.where(blank, self.spread, own.scale))
        return Scaled(
            np.where(known, own.encode(np.where(known, raw, own.origin)), np.float32(0)), known, own
        )

    def decode(self, x: Scaled) -> np.ndarray:
        """The raw values of a window, NaN where not known."""
        return np.where(x.known, x.units.decode(x.values), np.nan)

    def state(self) -> dict[str, Any]:
        return asdict(self)
