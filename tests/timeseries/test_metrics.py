"""Scores with answers known in closed form."""

import numpy as np
import pytest
import scoringrules
from scipy.stats import norm

from domains.timeseries.evaluation import metrics
from domains.timeseries.evaluation.metrics import SCORES, pit, score, seasonal_error, wql


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pooled(name: str, paths: np.ndarray, truth: np.ndarray) -> float:
    top, bottom = SCORES[name](paths, truth)
    return top.sum() / bottom.sum()


def test_wql_by_hand():
    """Paths 0 .. 10: that of nearest rank at q = k/10 is k.

    With y = 4, the losses 2|k − 4||1[4 ≤ k] − k/10| for k = 1 .. 9 are .6, .8, .6, 0, 1, 1.6, 1.8, 1.6
    and 1: their mean is 1; divided by |y| = 4.
    """
    paths = np.arange(11.0).reshape(11, 1, 1)
    assert wql(paths, np.array([[4.0]])) == pytest.approx(1.0 / 4)


def test_wql_pools_before_it_divides():
    paths, truth = np.zeros((2, 1, 1, 1)), np.array([1.0, 9.0]).reshape(2, 1, 1)
    assert wql(paths, truth) == pytest.approx(2 * 0.5)  # a forecast of 0 loses 2 q y: mean over q of 2 q is 1


def test_wql_takes_the_nearest_rank_and_does_not_interpolate():
    paths = np.array([0.0, 1.0]).reshape(2, 1, 1)
    chosen = zip(metrics.DECILES, [0] * 5 + [1] * 4, strict=True)
    by_rank = np.mean([2 * abs((f - 0.6) * ((f >= 0.6) - q)) for q, f in chosen])
    assert wql(paths, np.array([[0.6]])) == pytest.approx(by_rank / 0.6)


def test_crps_of_normal_paths_is_that_of_the_normal(rng: np.random.Generator):
    truth = np.linspace(-2, 2, 21)[:, None]
    paths = rng.normal(size=(20000, 21, 1))
    expected = scoringrules.crps_normal(truth, 0.0, 1.0).mean()
    assert pooled("CRPS", paths, truth) == pytest.approx(expected, rel=0.01)


def test_crps_and_energy_are_fair(rng: np.random.Generator):
    """Their mean does not depend on the number of paths, even two."""
    truth = rng.normal(size=(20000, 1, 1))
    few, many = rng.normal(size=(20000, 2, 1, 1)), rng.normal(size=(20000, 20, 1, 1))
    for name in ("CRPS", "energy"):
        assert pooled(name, few, truth) == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)
        assert pooled(name, many, truth) == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)


def test_energy_matches_scoringrules_and_skips_missing(rng: np.random.Generator):
    paths, truth = rng.normal(size=(3, 30, 4, 2)), rng.normal(size=(3, 4, 2))
    truth[:, 0, 1] = np.nan
    known = np.isfinite(truth[0]).ravel()
    flat = paths.reshape(3, 30, 8)[..., known], truth.reshape(3, 8)[:, known]
    expected = scoringrules.es_ensemble(flat[1], flat[0], estimator="fair", backend="numpy").mean()
    assert pooled("energy", paths, truth) == pytest.approx(expected)


def test_crps_of_one_path_is_the_absolute_error():
    assert pooled("CRPS", np.full((1, 1, 1), 2.0), np.array([[5.0]])) == 3.0


def test_crps_sum_adds_channels_first():
    """Errors that cancel between channels cost nothing."""
    paths = np.array([1.0, -1.0]).reshape(1, 1, 2) + np.full((50, 3, 2), 5.0)
    truth = np.full((3, 2), 5.0)
    assert pooled("CRPS-sum", paths, truth) == pytest.approx(0)
    # |error|/|y|: the mean over q of pinball is |e|/2
    assert pooled("wQL", paths, truth) == pytest.approx(0.2)


def test_calibrated_paths_are_called_calibrated(rng: np.random.Generator):
    centre = rng.normal(size=(400, 1, 10, 1))
    paths, truth = centre + rng.normal(size=(400, 50, 10, 1)), (centre + rng.normal(size=centre.shape))[:, 0]
    table = score(paths, truth)["value"]
    assert pooled("spread-skill", paths, truth) ** 0.5 == pytest.approx(table["spread-skill"])
    assert table["spread-skill"] == pytest.approx(1, abs=0.03)
    for level in (50, 80, 95):
        assert table[f"coverage {level}"] == pytest.approx(level / 100, abs=0.02)
    counts, _ = np.histogram(pit(paths, truth), bins=10, range=(0, 1))
    assert np.abs(counts / 400 - 1).max() < 0.2


def test_too_sure_paths_are_found_out(rng: np.random.Generator):
    paths, truth = 0.5 * rng.normal(size=(400, 50, 10, 1)), rng.normal(size=(400, 10, 1))
    assert score(paths, truth).loc["spread-skill", "value"] == pytest.approx(0.5, abs=0.03)
    assert pooled("coverage 80", paths, truth) == pytest.approx(
        2 * norm.cdf(0.5 * norm.ppf(0.9)) - 1, abs=0.02
    )
    counts, _ = np.histogram(pit(paths, truth), bins=10, range=(0, 1))
    assert counts[[0, -1]].min() > 2 * counts[1:-1].max()


def test_coverage_does_not_depend_on_the_number_of_paths(rng: np.random.Generator):
    truth = rng.normal(size=(20000, 1, 1))
    for n in (9, 100):
        assert pooled("coverage 80", rng.normal(size=(20000, n, 1, 1)), truth) == pytest.approx(0.8, abs=0.01)


def test_pit_draws_ranks_of_ties_at_random():
    """Zeros among zeros, as in rain: uniform, not piled up at one rank."""
    values = pit(np.zeros((1000, 9, 1, 1)), np.zeros((1000, 1, 1)))
    counts, _ = np.histogram(values, bins=5, range=(0, 1))
    assert np.abs(counts / 200 - 1).max() < 0.25


def test_mase_of_the_seasonal_naive_forecast_is_one(rng: np.random.Generator):
    history = rng.normal(size=(5000, 2)) * [1, 1000]
    paths, truth = history[None, None, -1024:-512], history[None, -512:]
    table = score(paths, truth, seasonal_error(history, 512)[None])
    assert table.loc["MASE", "value"] == pytest.approx(1, abs=0.1)


def test_missing_truths_change_nothing(rng: np.random.Generator):
    paths, truth = rng.normal(size=(6, 20, 4, 1)), rng.normal(size=(6, 4, 1))
    hidden = truth.copy()
    hidden[:, 2:] = np.nan
    names = [name for name in SCORES if name != "CRPS-sum"]
    shown = score(paths[:, :, :2], truth[:, :2])["value"]
    assert score(paths, hidden)["value"][names].to_numpy() == pytest.approx(shown[names].to_numpy())


def test_interval_holds_the_value_and_shrinks(rng: np.random.Generator):
    def width(windows: int) -> float:
        table = score(rng.normal(size=(windows, 10, 2, 1)), rng.normal(size=(windows, 2, 1)))
        assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
        return (table["high"] - table["low"])["CRPS"]

    assert width(900) == pytest.approx(width(100) / 3, rel=0.4)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        wql(np.zeros((5, 3, 1)), np.zeros((4, 1)))
