"""What an evaluation gives back: numbers that know how sure they are."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Estimate(float):
    """A mean with its 95 % interval."""

    low: float = float("nan")
    high: float = float("nan")

    @classmethod
    def of(cls, values: np.ndarray, seed: int = 0, *, share: bool = False) -> Self:
        """From independent values: of a share (of 0 and 1) Wilson's interval, else the bootstrap's (BCa)."""
        from scipy import stats  # not at the top: a policy that acts has no use for it

        made = cls(values.mean())
        if share:
            low, high = stats.binomtest(int(values.sum()), len(values)).proportion_ci(method="wilson")
        elif len(values) < 2 or np.ptp(values) == 0:
            low = high = float(made)
        else:
            low, high = stats.bootstrap(
                (values,), np.mean, rng=np.random.default_rng(seed), n_resamples=2000
            ).confidence_interval
        made.low, made.high = float(low), float(high)
        return made

    def __str__(self) -> str:
        return f"{float(self):.3g} ({self.low:.3g} to {self.high:.3g})"

    __repr__ = __str__


class Scores(Mapping[str, Estimate]):
    """Means over episodes, by name.

    Attributes:
        episodes: a row an episode: its seed, what was measured, how many steps it took.
        films: images (H, W, 3) of some of them, by seed.
    """

    def __init__(
        self,
        episodes: "pd.DataFrame",
        names: tuple[str, ...],
        films: dict[int, list[np.ndarray]] | None = None,
    ) -> None:
        self.episodes, self._names, self.films = episodes, names, films or {}

    @property
    def seeds(self) -> list[int]:
        """Of the episodes."""
        return self.episodes["seed"].tolist()

    def __getitem__(self, name: str) -> Estimate:
        if name not in self._names:
            raise KeyError(name)
        return Estimate.of(self.episodes[name].to_numpy(float), share=name == "success")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def to_frame(self) -> "pd.DataFrame":
        """A row a measure: measure, value, low, high."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"measure": name, "value": float(one), "low": one.low, "high": one.high}
                for name, one in self.items()
            ]
        )

    def __repr__(self) -> str:
        return f"<{len(self.episodes)} episodes: {', '.join(f'{name} {one}' for name, one in self.items())}>"
