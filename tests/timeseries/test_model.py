"""The verbs on the shipped model: properties that hold exactly, and forecasts that must be good."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

import zoo
from domains.timeseries.adapter import TimeSeriesAdapter
from domains.timeseries.backbone import Network, TargetDenoiser
from domains.timeseries.completion import lengthened
from domains.timeseries.data import read
from domains.timeseries.evaluation import baselines
from domains.timeseries.joint import correlation, regress, told_by_neighbours
from domains.timeseries.window import TARGET
from zoo.engine import Members, grid
from zoo.errors import DataError, OptionError


@pytest.fixture(scope="module")
def model():
    return zoo.load("timeseries-flow", device="cpu")


def daily(days: int = 21, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """A noisy daily cycle of amplitude 10 around 50."""
    hours = np.arange(24 * days)
    cycle = 50 + 10 * np.sin(2 * np.pi * hours / 24) + 3 * np.sin(4 * np.pi * hours / 24)
    return cycle + np.random.default_rng(seed).normal(0, noise, len(hours))


def test_members_depend_on_seed_and_index_alone(model):
    many, few = (model.forecast(daily(), 80, n, seed=3).paths for n in (12, 5))
    np.testing.assert_allclose(many[:5], few, rtol=1e-4)
    assert np.abs(model.forecast(daily(), 80, 5, seed=4).paths - few).max() > 0.1


def test_an_item_is_forecast_as_if_it_were_alone(model):
    a, b = daily(seed=1), 1000 * daily(seed=2)[:200]
    together = model.forecast({"a": a, "b": b}, 24, 8)
    np.testing.assert_allclose(together["b"].paths, model.forecast(b, 24, 8).paths, rtol=1e-4)
    assert list(together) == ["a", "b"]


@pytest.mark.parametrize("scale", [1e-9, 1e12, -3.0])
def test_forecasts_follow_a_change_of_units(model, scale):
    plain = model.forecast(daily(), 24, 8, positive=False).paths
    moved = model.forecast(scale * daily(), 24, 8, positive=False).paths
    if scale > 0:
        np.testing.assert_allclose(moved / scale, plain, rtol=1e-3)
    else:  # the network is no odd function, but a mirrored series is no harder
        assert np.abs(moved / scale - plain).mean() < 3


@pytest.mark.parametrize(
    "history",
    [
        [3.0],
        [1.0, 2.0, 3.0],
        [5.0] * 40,
        [0] * 30,
        [7, 7, 7, 8] * 10,
        list(range(100)),
        [np.nan, 1.0, np.nan, 2.0],
    ],
)
def test_small_and_constant_histories_give_sane_forecasts(model, history):
    paths = model.forecast(history, 12, 20).paths
    seen = np.array(history, float)
    low, high = np.nanmin(seen), np.nanmax(seen)
    room = 10 * (high - low) + 1e-3 * abs(high) + 1e-5
    assert np.isfinite(paths).all()
    assert (paths > low - room).all()
    assert (paths < high + room).all()


def test_the_fan_of_a_short_history_opens_with_time(model):
    paths = model.forecast([5.0, 4.0, 6.0, 5.0], 12, 300, positive=False).paths[:, :, 0]
    width = np.quantile(paths, 0.9, 0) - np.quantile(paths, 0.1, 0)
    assert 0.5 < width[0] < 3  # the history moves by 1 to 2 a step
    assert width[0] < 1.5 * width[11]


def test_short_histories_are_preceded_by_their_first_value():
    history = np.array([[[np.nan, np.nan, 2.0, np.nan, 3.0]]])
    assert lengthened(history)[0, 0, :-3].tolist() == [2.0] * 13
    full = np.arange(20.0)[None, None]
    assert (lengthened(full) == full).all()
    assert np.isnan(lengthened(np.full((1, 1, 1), np.nan))).all()


def test_horizons_beyond_the_window_roll_out_jointly(model):
    paths = model.forecast(daily(), 200, 16).paths
    truth = daily(30)[24 * 21 : 24 * 21 + 200, None]
    assert paths.shape == (16, 200, 1)
    assert np.abs(np.median(paths, 0) - truth).mean() < 3  # the amplitude is 10
    steps = np.abs(np.diff(paths[:, :, 0], axis=1))
    assert steps[:, 63].mean() < 2 * steps.mean()  # no seam between targets


def test_a_daily_cycle_is_forecast_better_than_by_the_seasonal_naive(model):
    history, truth = daily(22)[:-24], daily(22)[-24:, None]
    made = model.forecast(history, 24, 100)
    naive = baselines.seasonal_naive(history[:, None], 24, 1, 0, 24)[0]
    assert np.abs(made.median - truth).mean() < np.abs(naive - truth).mean()
    low, high = made.quantile([0.1, 0.9])
    assert ((low <= truth) & (truth <= high)).mean() > 0.5
    assert 1.5 < (high - low).mean() < 6  # of the noise alone it would be 2.6


def test_what_cannot_be_negative_stays_so(model):
    rain = np.random.default_rng(0).gamma(0.2, 2.0, 300).round(1)
    assert model.forecast(rain, 24, 50).paths.min() >= 0
    waits = np.random.default_rng(0).exponential(size=300) + 0.001
    assert model.forecast(waits, 24, 50).paths.min() >= 0
    assert model.forecast(daily(noise=30) ** 2, 24, 50, positive=True).paths.min() >= 0


def test_stamps_tell_the_season(model):
    """A day that noise hides from the autocorrelation of two weeks is forecast better when it is told."""
    errors = {}
    for freq in (None, "h"):
        made = [
            model.forecast(daily(14, noise=15, seed=seed), 24, 40, freq=freq, positive=False).median[:, 0]
            for seed in range(12)
        ]
        errors[freq] = np.abs(np.stack(made) - daily(15, noise=0)[-24:]).mean()
    assert errors["h"] < errors[None]


def test_invented_series_have_the_level_and_spread_of_the_training_data(model):
    moved = model.copy()
    moved.adapter = TimeSeriesAdapter(level=100.0, spread=2.0)
    plain = model.sample(6, length=100)
    np.testing.assert_allclose(moved.sample(6, length=64), 100 + 2 * plain[:, :64], rtol=1e-4)


def test_stamps_continue_the_history(model):
    months = pd.Series(daily(5), index=pd.date_range("2000-01-31", periods=120, freq="ME"))
    made = model.forecast(months, 3, 4)
    assert made.index.equals(pd.date_range("2010-01-31", periods=3, freq="ME"))


def test_channels_move_together_as_they_did(model):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 1))
    walks = np.cumsum(shared * [1.0, -1.0, 0.0] + 0.3 * rng.normal(size=(400, 3)), axis=0)
    paths = model.forecast(walks, 24, 300).paths
    moves = paths[:, 23] - paths.mean(0)[23]
    found = np.corrcoef(moves.T)
    assert found[0, 1] < -0.75
    assert abs(found[0, 2]) < 0.25


def test_one_channel_of_many_is_forecast_as_it_is_alone(model):
    """The copula leaves every channel its own distribution."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": daily(), "b": rng.normal(size=504).cumsum()})
    alone, joint = model.forecast(frame[["b"]], 24, 400), model.forecast(frame, 24, 400)
    spread = alone.quantile(0.9) - alone.quantile(0.1)
    for q in (0.1, 0.5, 0.9):
        assert (np.abs(joint.quantile(q)[:, 1:] - alone.quantile(q)) < 0.2 * spread).all()


def test_a_known_future_is_kept_and_helps(model):
    rng = np.random.default_rng(0)
    price = rng.normal(size=500).cumsum()
    frame = pd.DataFrame({"sales": 20 - 3 * price + rng.normal(0, 0.3, 500), "price": price})
    history, truth = frame[:-24], frame["sales"].to_numpy()[-24:]
    blind = model.forecast(history, 24, 50)
    told = model.forecast(history, 24, 50, known_future=frame[["price"]][-24:])
    assert (told.paths[..., 1] == price[-24:]).all()
    assert np.abs(told.median[:, 0] - truth).mean() < 0.3 * np.abs(blind.median[:, 0] - truth).mean()


def test_a_covariate_that_says_nothing_changes_nothing(model):
    frame = pd.DataFrame({"load": daily(), "dice": np.random.default_rng(9).normal(size=504)})
    told = model.forecast(frame[:-24], 24, 20, known_future=frame[["dice"]][-24:])
    alone = model.forecast(frame[["load"]][:-24], 24, 20)
    np.testing.assert_allclose(told.paths[..., :1], alone.paths, rtol=1e-4)


@pytest.mark.parametrize(
    ("future", "says"),
    [
        ({"wind": [1.0] * 24}, "its past must be in the history"),
        ({"price": [1.0] * 23}, "23 rows, but the horizon is 24"),
        ({"price": [1.0] * 23 + [np.nan]}, "missing values"),
        ({"price": [1.0] * 24, "load": [1.0] * 24}, "nothing is left to forecast"),
    ],
)
def test_known_futures_that_do_not_fit_are_refused(model, future, says):
    frame = pd.DataFrame({"load": daily(), "price": daily(seed=1)})
    with pytest.raises(DataError, match=says):
        model.forecast(frame, 24, 2, known_future=future)


def test_a_known_future_goes_by_its_stamps(model):
    stamps = pd.date_range("2024-01-01", periods=504, freq="h")
    frame = pd.DataFrame({"load": daily(), "price": daily(seed=1)}, index=stamps)
    ahead = frame[["price"]]
    told = model.forecast(frame[:-24], 24, 3, known_future=ahead[-24:])
    shuffled = model.forecast(frame[:-24], 24, 3, known_future=ahead[::-1])  # all of it, in any order
    assert (told.paths == shuffled.paths).all()
    with pytest.raises(DataError, match="no value for 2024-01-21 00:00:00"):
        model.forecast(frame[:-24], 24, 3, known_future=ahead[:24])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"horizon": 0}, "horizon must be at least 1, not 0"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"sampler": "eular"}, "unknown sampler 'eular'"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_impossible_arguments_are_refused(model, arguments, says):
    with pytest.raises(OptionError, match=says):
        model.forecast(daily(), **arguments)


def test_a_history_without_a_value_is_refused(model):
    with pytest.raises(DataError, match="no value"):
        model.forecast(np.full(30, np.nan), 12)


def test_imputation_keeps_what_is_known_and_beats_interpolation(model):
    truth = pd.DataFrame({"load": daily(40)}, index=pd.date_range("2024-01-01", periods=960, freq="h"))
    holes = truth.copy()
    rng = np.random.default_rng(0)
    holes.loc[rng.random(960) < 0.15, "load"] = np.nan
    holes.iloc[300:324] = np.nan
    filled = model.impute(holes)
    known = holes["load"].notna().to_numpy()
    assert not filled.isna().to_numpy().any()
    assert (filled["load"].to_numpy()[known] == truth["load"].to_numpy()[known]).all()
    line = baselines.linear(holes.to_numpy())

    def error(guess: np.ndarray) -> float:
        return np.abs(guess - truth.to_numpy())[~known].mean()

    assert error(filled.to_numpy()) < 0.75 * error(line)


def test_long_gaps_are_filled_path_by_path_from_both_sides(model):
    values = daily(40)
    values[400:600] = values[700:710] = np.nan
    made = model.completions(values, 10)
    assert made.paths.shape == (10, 960, 1)
    assert np.abs(np.median(made.paths[:, 400:600, 0], 0) - daily(40)[400:600]).mean() < 4
    again = model.completions(values, 4)  # a path does not depend on how many there are
    np.testing.assert_allclose(again.paths, made.paths[:4], rtol=1e-4)


def test_gaps_at_both_ends_and_neighbouring_channels(model):
    rng = np.random.default_rng(0)
    base = rng.normal(size=300).cumsum()
    frame = pd.DataFrame({"a": base, "b": 5 * base + rng.normal(0, 0.1, 300)})
    holes = frame.copy()
    holes.iloc[:5, 0] = np.nan
    holes.iloc[100:140, 0] = np.nan
    holes.iloc[-3:, 1] = np.nan
    filled = model.impute(holes)
    assert not filled.isna().to_numpy().any()
    assert np.abs(filled["a"] - frame["a"])[100:140].mean() < 0.5  # b says where a went


@pytest.mark.parametrize("lead", [5, 150, 400])
def test_what_lies_before_the_first_value_is_filled_backwards(model, lead):
    values = np.stack([1000 + daily(40), 1000 + daily(40, seed=1)], 1)
    holes = values.copy()
    holes[:lead, 0] = np.nan
    filled = model.impute(holes).to_numpy()
    assert np.abs(filled - values)[:lead, 0].mean() < 4  # the amplitude is 10
    assert (filled[lead:] == values[lead:]).all()


def test_distant_gaps_are_filled_independently(model):
    walk = np.random.default_rng(0).normal(size=2000).cumsum()
    walk[500:520] = walk[1500:1520] = np.nan
    paths = model.completions(walk, 200).paths[:, :, 0]
    assert abs(np.corrcoef(paths[:, 510], paths[:, 1510])[0, 1]) < 0.25


def test_a_channel_that_has_been_silent_is_refused(model):
    frame = pd.DataFrame({"a": np.arange(1000.0), "b": np.arange(1000.0)})
    frame.loc[400:, "b"] = np.nan
    with pytest.raises(DataError, match="channel 'b' has no value in its last 512 steps"):
        model.forecast(frame, 12)


def test_series_without_names_are_counted_and_doubles_refused(model):
    one = read(daily())[0]
    assert list(model.forecast([one, one], 3, 2)) == ["0", "1"]
    named = replace(one, item="x")
    with pytest.raises(DataError, match="two series are called 'x'"):
        model.forecast([named, named], 3, 2)


def test_windows_of_a_backtest_have_noise_of_their_own(model):
    history = daily()[:, None]
    first, second = model.forecast_arrays([history, history], 24, 200)
    moves = first[:, 12, 0] - first[:, 12, 0].mean(), second[:, 12, 0] - second[:, 12, 0].mean()
    assert abs(np.corrcoef(*moves)[0, 1]) < 0.25


def test_unconditional_series(model):
    drawn = model.sample(6, 150, seed=1)
    assert drawn.shape == (6, 150, 1)
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose(model.sample(2, 150, seed=1), drawn[:2], rtol=1e-3, atol=1e-4)
    assert 0.3 < drawn[:, :64].std() < 3
    with pytest.raises(OptionError, match="guidance"):
        model.sample(1, guidance=2.0)


def test_backtest_shows_the_floors_beside_the_model(model):
    table = model.backtest(daily(), 24, 3, n=20)
    assert {"seasonal naive", "random walk", "ridge"} < set(table["forecaster"])
    wql = table[table["score"] == "wQL"].set_index("forecaster")["value"]
    assert wql.drop(["seasonal naive", "random walk", "ridge"]).iloc[0] < wql["random walk"]


def test_correlation_of_independent_and_of_equal_channels():
    rng = np.random.default_rng(0)
    walks = rng.normal(size=(2000, 2)).cumsum(0)
    assert abs(correlation(walks)[0, 1]) < 0.08
    equal = correlation(np.repeat(walks[:, :1], 2, 1))
    assert 0.98 < equal[0, 1] < 1
    np.linalg.cholesky(equal)


def test_a_channel_at_rest_is_correlated_with_none():
    walk = np.random.default_rng(0).normal(size=300).cumsum()
    found = correlation(np.stack([walk, np.full(300, 5.0), walk], 1))
    assert found[0, 1] == found[1, 2] == 0
    assert found[0, 2] > 0.9


def test_neighbours_say_nothing_where_they_are_missing_too():
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(300, 1)).cumsum(0)
    values = np.concatenate([walk, 2 * walk + rng.normal(0, 0.01, (300, 1))], 1)
    values[100:110, 0] = np.nan
    values[200:220] = np.nan
    told = told_by_neighbours(values)
    assert np.isfinite(told[100:110, 0]).all()
    assert np.isnan(told[203:217]).all()


def test_correlation_leaves_out_a_common_season():
    season = 100 * np.sin(2 * np.pi * np.arange(2000) / 24)[:, None]
    noise = np.random.default_rng(0).normal(size=(2000, 2))
    assert abs(correlation(season + noise, period=24)[0, 1]) < 0.1


def test_regression_recovers_slopes_and_drops_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)).cumsum(0)
    y = np.stack([x @ [2.0, -1.0] + 0.1 * rng.normal(size=300), rng.normal(size=300).cumsum()], 1)
    slopes = regress(x, y)
    np.testing.assert_allclose(slopes[:, 0], [2.0, -1.0], atol=0.05)
    assert (slopes[:, 1] == 0).all()


def test_exported_programs_draw_what_the_model_draws(model, tmp_path):
    """Euler by hand on the two programs, from coloured noise at t = 1 to the data."""
    encode, denoise = (torch.export.load(path).module() for path in zoo.export(model, tmp_path))
    data = model.domain.dataset(model.domain.example(), "train", model.recipe, model.adapter)
    batch = data.batch(3, torch.Generator().manual_seed(5))
    members = Members(0, range(3))
    wanted = model.draw(
        members, batch.x.shape[1:], cond=batch.cond, mask=batch.mask, known=batch.x, sampler="euler", steps=4
    ).x
    cond, loc, scale = encode(batch.cond, batch.mask)
    given = (batch.x - loc) / scale
    z = model.denoiser.colour(Members(0, range(3)).normal(batch.x.shape[1:]))
    times = grid(model.denoiser.path, 4, model.recipe.sampling.grid).float()
    for t, s in pairwise(times):
        z = torch.where(batch.mask, z, given)
        estimate = denoise(z, t.expand(3), cond, batch.mask)
        z = model.denoiser.path.step(z, estimate, t.expand(3), s.expand(3))
    found = torch.where(batch.mask, loc + scale * z, batch.x)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_an_adapter_of_the_shipped_model_is_small_and_needs_no_word_about_its_base(model, tmp_path):
    pytest.importorskip("peft", reason="needs the extra lora")
    tuned = zoo.finetune(model, daily(), method="lora", rank=2, steps=2, lr=1e-2, show=False)
    back = zoo.load(tuned.save(tmp_path / "small"), device="cpu")
    assert (tmp_path / "small" / "adapter.safetensors").stat().st_size < 300_000
    wanted = tuned.forecast(daily(), 24, 4).paths
    np.testing.assert_array_equal(back.forecast(daily(), 24, 4).paths, wanted)
    np.testing.assert_allclose(back.merge().forecast(daily(), 24, 4).paths, wanted, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 4])
def test_what_serves_all_paths_is_computed_once_and_says_the_same(n):
    torch.manual_seed(0)
    network = TargetDenoiser(Network(head_width=16, context_width=8))
    for parameter in network.parameters():  # blocks begin as the identity
        torch.nn.init.normal_(parameter, std=0.3)
    x, context = torch.randn(n, 2, TARGET), torch.randn(1, 2, 8).requires_grad_()
    given, mask = torch.zeros(n, 2, TARGET, dtype=torch.bool), torch.ones(n, 2, TARGET, dtype=torch.bool)
    answers, gradients = [], []
    for own in (lambda value: value, torch.clone):  # clones are rows of their own
        noise, cond = (
            own(torch.tensor([0.4]).expand(n)),
            {"context": own(context.expand(n, -1, -1)), "given": given},
        )
        answers.append(network(x, noise, cond, mask))
        gradients += torch.autograd.grad(answers[-1].square().sum(), context)
    torch.testing.assert_close(*answers)
    torch.testing.assert_close(*gradients)
