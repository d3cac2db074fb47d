"""The windows of gaps: what a target is told about the other gaps around it."""

import numpy as np

from domains.timeseries.completion import _window
from domains.timeseries.window import CONTEXT, RIGHT, TARGET, WIDTH


def gaps(*spans: tuple[int, int]) -> np.ndarray:
    values = np.arange(1000.0)[None]
    for start, stop in spans:
        values[:, start:stop] = np.nan
    return values


def told(values: np.ndarray, start: int) -> np.ndarray:
    """The window of a target where a first pass has filled every gap with -1."""
    return _window(values, np.where(np.isnan(values), -1.0, values), start)[0]


def test_other_gaps_are_told_and_the_targets_own_is_not():
    values = gaps((40, 60), (300, 320), (340, 350), (400, 410))
    expected = np.full(WIDTH, np.nan)
    expected[CONTEXT - 300 :] = values[0, : 300 + TARGET + RIGHT]
    for start, stop in ((40, 60), (400, 410)):  # outside the target
        expected[CONTEXT - 300 + start : CONTEXT - 300 + stop] = -1
    np.testing.assert_array_equal(told(values, 300), expected)


def test_a_gap_that_goes_on_beyond_the_target_stays_unknown():
    window = told(gaps((300, 400), (420, 425)), 300)
    assert np.isnan(window[CONTEXT : CONTEXT + 100]).all()
    assert (window[CONTEXT + 120 : CONTEXT + 125] == -1).all()
    window = told(gaps((250, 310), (200, 210)), 300)
    assert np.isnan(window[CONTEXT - 50 : CONTEXT + 10]).all()
    assert (window[CONTEXT - 100 : CONTEXT - 90] == -1).all()
