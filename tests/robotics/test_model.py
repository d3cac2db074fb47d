"""The verbs on policies that have hardly learned, and one that has learned a simple task."""

import os
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from domains.robotics import Episodes, Policy, domain
from domains.robotics.backbone import MLPSize, TransformerSize, UNetSize
from domains.robotics.evaluation import rollout
from domains.robotics.evaluation.rollout import Query, Timing, TrialError, roll_out
from domains.robotics.recipes import FLOW
from zoo.engine import Members
from zoo.errors import DataError, OptionError

SIZES = {
    "mlp": MLPSize(width=64, depth=2, condition=32),
    "transformer": TransformerSize(width=32, depth=1, condition=32),
    "unet": UNetSize(widths=(16, 32), condition=32),
}


class Walk:
    """A point that walks to another: the world of `domain.example()`."""

    longest = 60

    def reset(self, seed: int) -> np.ndarray:
        self.place, self.goal = np.random.default_rng(seed).uniform(-1, 1, (2, 2))
        self.steps = 0
        return self._seen()

    def _seen(self) -> np.ndarray:
        return np.concatenate([self.place, self.goal]).astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        self.place, self.steps = self.place + np.clip(action - self.place, -0.2, 0.2), self.steps + 1
        return self._seen(), self._near()

    def _near(self) -> bool:
        return bool(np.linalg.norm(self.place - self.goal) < 0.1)

    def measures(self) -> dict[str, float]:
        return {"success": float(self._near()), "distance": float(np.linalg.norm(self.place - self.goal))}

    def picture(self) -> None:
        return None

    def image(self) -> np.ndarray:
        return np.full((8, 8, 3), min(self.steps, 255), np.uint8)


class Frozen(Walk):
    """It always begins alike."""

    def reset(self, seed: int) -> np.ndarray:
        return super().reset(0)


class Dying(Walk):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        os._exit(1)


class Failing(Walk):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        raise RuntimeError("a motor is on fire")


def trained(size: str, steps: int, source=None, **fields) -> zoo.Model:
    training = replace(FLOW.training, steps=steps, validate_every=steps, batch_size=64)
    recipe = replace(FLOW, **{"n_obs_steps": 2, "network": SIZES[size], "training": training} | fields)
    example = domain.example() if source is None else source
    return zoo.train(domain, example, recipe=recipe, device="cpu", show=False)


@pytest.fixture(scope="module", params=list(SIZES))
def model(request):
    return trained(request.param, 20)


@pytest.fixture(scope="module")
def walker():
    """A policy that has learned to walk."""
    return trained("mlp", 800, n_action_steps=4)


def seen(model, n: int | None = None) -> np.ndarray:
    rows = np.random.default_rng(5).uniform(-0.5, 0.5, ((n or 1), model.recipe.n_obs_steps, 4))
    return rows.astype(np.float32) if n else rows[0].astype(np.float32)


def test_chunks_have_the_shape_of_what_is_asked(model):
    assert model.predict_chunk(seen(model)).shape == (16, 2)
    assert model.predict_chunk(seen(model), 5).shape == (5, 16, 2)
    assert model.predict_chunk(seen(model, 3)).shape == (3, 16, 2)
    assert model.sample(2, seed=1).shape == (2, 16, 2)


def test_it_is_a_function_of_its_arguments_alone(model):
    many = model.predict_chunk(seen(model), 6, seed=3)
    np.testing.assert_allclose(many[:2], model.predict_chunk(seen(model), 2, seed=3), atol=1e-5)
    np.testing.assert_allclose(many[0], model.predict_chunk(seen(model), seed=3), atol=1e-5)
    assert np.abs(many[0] - model.predict_chunk(seen(model), seed=4)).max() > 0.01


def test_given_actions_come_back_and_a_strength_of_one_forgets_the_last_chunk(model):
    first = model.predict_chunk(seen(model), seed=1)
    again = model.predict_chunk(seen(model), given=first[:5], seed=2)
    np.testing.assert_allclose(again[:5], first[:5], atol=1e-5)
    assert np.abs(again[5:] - first[5:]).max() > 1e-3
    fresh = model.predict_chunk(seen(model), seed=2)
    assert np.array_equal(model.predict_chunk(seen(model), previous=first, strength=1.0, seed=2), fresh)
    warm = model.predict_chunk(seen(model), previous=first, strength=0.05, seed=2)
    assert np.abs(warm - first).mean() < np.abs(fresh - first).mean()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"observations": np.zeros((3, 4))}, r"observations of shape \(3, 4\); \(2, 4\) is wanted"),
        ({"observations": np.full((2, 4), np.nan)}, "observations: not all finite"),
        ({"observations": "here"}, "observations: no array of numbers"),
        ({"n": 0}, "n must be at least 1"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"strength": "a"}, "strength must lie in"),
        ({"given": np.zeros((16, 2))}, "16 given actions leave nothing"),
        ({"given": np.zeros((2, 3))}, "given of shape"),
        ({"previous": np.zeros((3, 2))}, "previous of shape"),
        ({"pictures": np.zeros((2, 8, 8, 3), np.uint8)}, "no camera"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"given": np.zeros((3, 2, 2))}, "given are for 3 situations, but there are 1"),
        ({"previous": np.zeros((16, 2)), "strength": 0.0}, "strength must lie in"),
        ({"strength": 5}, "strength must lie in"),
    ],
)
def test_bad_input_is_told(model, change, told):
    with pytest.raises(OptionError, match=told):
        model.predict_chunk(**{"observations": seen(model), **change})


@pytest.mark.parametrize("n_obs_steps", [1, 3])
def test_any_number_of_observed_steps(n_obs_steps):
    model = trained("mlp", 5, n_obs_steps=n_obs_steps)
    policy = Policy(model)
    assert [policy.act(np.zeros(4)).shape for _ in range(20)] == [(2,)] * 20


def test_the_policy_does_what_the_chunks_say(walker):
    policy, world = Policy(walker, n_action_steps=3, seed=7), Walk()
    observation = world.reset(1)
    history = [observation] * 2
    for chunk in range(3):
        wanted = walker.predict_chunk(np.stack(history), members=Members(chunk, [7]))
        for step in range(3):
            assert np.array_equal(policy.act(observation), wanted[step])
            observation, _ = world.step(wanted[step])
            history = [history[-1], observation]
    policy.reset()
    assert np.array_equal(
        policy.act(observation),
        walker.predict_chunk(np.stack([observation] * 2), members=Members(0, [7]))[0],
    )
    with pytest.raises(OptionError, match="more than a chunk"):
        Policy(walker, n_action_steps=17)
    with pytest.raises(OptionError, match="a picture is wanted"):
        policy.act(observation, np.zeros((4, 4, 3), np.uint8))


def test_a_driver_may_reuse_its_buffer(walker):
    buffer, policy = np.zeros(4, np.float32), Policy(walker, n_action_steps=2)
    for step in range(2):
        buffer[:] = 0.1 * step
        policy.act(buffer)
    buffer[:] = 0.2
    wanted = walker.predict_chunk(np.array([[0.1] * 4, [0.2] * 4]), members=Members(1, [0]))
    np.testing.assert_allclose(policy.act(buffer), wanted[0], atol=1e-5)


def test_evaluation_is_a_mapping_with_intervals_over_listed_seeds(walker):
    scores = walker.evaluate(within=Walk, episodes=40, seed=500)
    assert set(scores) == {"success", "distance"}
    assert scores["success"] > 0.5
    assert scores["success"].low < scores["success"] <= scores["success"].high
    assert scores.seeds == list(range(500, 540))
    assert len(scores.episodes) == 40
    again = walker.evaluate(within=Walk, episodes=10, seed=505)
    alike = scores.episodes.set_index("seed").loc[range(505, 515)]
    np.testing.assert_allclose(again.episodes["distance"], alike["distance"], atol=1e-3)


def test_the_policy_plays_a_trial_again(walker):
    trial = walker.evaluate(within=Walk, episodes=1, seed=503).episodes.iloc[0]
    policy, world, done, steps = Policy(walker, seed=503), Walk(), False, 0
    observation = world.reset(503)
    while not done and steps < world.longest:
        observation, done = world.step(policy.act(observation))
        steps += 1
    assert (steps, world.measures()["distance"]) == (
        trial["steps"],
        pytest.approx(trial["distance"], abs=1e-3),
    )


def test_a_bad_observation_does_not_spoil_the_policy(walker):
    policy = Policy(walker)
    for bad in (np.zeros(3), np.full(4, np.nan), "here"):
        with pytest.raises(OptionError, match="the observation"):
            policy.act(bad)
    assert policy.act(np.zeros(4)).shape == (2,)


def test_arrays_may_run_backwards_and_be_read_only(walker):
    rows = seen(walker)
    backwards = rows[::-1].copy()[::-1]
    backwards.flags.writeable = False
    assert np.array_equal(walker.predict_chunk(backwards), walker.predict_chunk(rows))


def test_processes_change_nothing(walker):
    alone, two = (walker.evaluate(within=Walk, episodes=6, processes=n).episodes for n in (1, 2))
    np.testing.assert_allclose(alone.to_numpy(float), two.to_numpy(float), atol=1e-6)


class Counter(Walk):
    """What is seen is the number of the step and the seed; every action is to be the number of its step."""

    longest = 30

    def reset(self, seed: int) -> np.ndarray:
        self.now, self.seed, self.done = 0, seed, []
        return np.array([0.0, seed], np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        self.done.append(float(action[0]))
        self.now += 1
        return np.array([self.now, self.seed], np.float32), False

    def measures(self) -> dict[str, float]:
        return {"success": float(self.done == list(range(30)))}


@pytest.mark.parametrize(("n", "late"), [(4, 0), (4, 2), (4, 4), (1, 0), (1, 1), (8, 3)])
def test_late_chunks_are_done_at_their_time(n, late):
    asked: list[Query] = []

    def predict(query: Query) -> np.ndarray:
        asked.append(query)
        now = query.observations[:, -1, :1]
        return (now + np.arange(16))[:, :, None].astype(np.float32)

    scores = roll_out(
        predict, Counter, [3, 4], Timing(n_obs_steps=2, n_action_steps=n, latency=late), processes=1
    )
    assert scores["success"] == 1
    times = [int(query.observations[0, -1, 0]) for query in asked]
    assert times == [0, *range(n - late, 30, n)]
    for query, time in zip(asked[1:], times[1:], strict=True):
        assert query.previous is not None
        assert query.previous[0, 0, 0] == time
        if late:
            assert query.given is not None
            assert query.given[:, :, 0].tolist() == [list(range(time, time + late))] * 2
        else:
            assert query.given is None


@pytest.mark.parametrize("late", [0, 2, 4])
def test_the_policy_asks_when_the_trials_do(walker, late):
    """The queue of `Policy` and the trials do the same."""
    policy, world = Policy(walker, n_action_steps=4, latency=late), Walk()
    observation, asked = world.reset(1), []
    inner = walker.predict_chunk

    class Watching:
        recipe = walker.recipe

        @staticmethod
        def predict_chunk(observations, **others):
            asked.append((observations[-1], others["given"]))
            return inner(observations, **others)

    policy.model = Watching()
    seen, done = [observation], []
    for _ in range(13):
        done.append(policy.act(observation))
        observation, _ = world.step(done[-1])
        seen.append(observation)
    if policy._coming is not None:
        policy._coming.result()
    for number, ((now, given), step) in enumerate(zip(asked, (0, *range(4 - late, 13, 4)), strict=True)):
        assert np.array_equal(now, seen[step])
        if number and late:
            np.testing.assert_allclose(given[: len(done) - step], done[step : step + late])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_action_steps": 0}, "n_action_steps must be at least 1"),
        ({"latency": -1}, "latency must be at least 0"),
        ({"latency": 9, "n_action_steps": 8}, "latency must lie in 0 to"),
        ({"latency": 6, "n_action_steps": 12}, "more than a chunk"),
        ({"seed": -1}, "seeds lie in 0"),
        ({"filmed": [3]}, "no episode has the seed 3"),
        ({"episodes": 0}, "at least 1"),
        ({"seed": 2**32 - 1}, "seeds lie in 0"),
        ({"within": lambda: Walk(), "processes": 2}, "importable"),
        ({"data": domain.example()}, "with data, actions are compared"),
    ],
)
def test_trials_that_cannot_be_are_refused(walker, change, told):
    with pytest.raises(OptionError, match=told):
        walker.evaluate(**{"within": Walk, "episodes": 2, "seed": 5, **change})


def test_trials_that_mean_nothing_are_refused(walker):
    with pytest.raises(OptionError, match="begin alike"):
        walker.evaluate(within=Frozen, episodes=3)
    with pytest.raises(OptionError, match="knows no environment"):
        walker.evaluate(episodes=3)
    for processes in (1, 2):
        with pytest.raises(TrialError, match="a motor is on fire"):
            walker.evaluate(within=Failing, episodes=4, processes=processes)
    with pytest.raises(TrialError, match="died"):
        walker.evaluate(within=Dying, episodes=4, processes=2)


def test_many_episodes_are_played_in_turns(walker, monkeypatch):
    whole = walker.evaluate(within=Walk, episodes=7, seed=20, filmed=[21, 26])
    monkeypatch.setattr(rollout, "TOGETHER", 3)
    parts = walker.evaluate(within=Walk, episodes=7, seed=20, filmed=[21, 26])
    np.testing.assert_allclose(parts.episodes.to_numpy(float), whole.episodes.to_numpy(float), atol=1e-5)
    assert sorted(parts.films) == [21, 26]


def test_what_leaves_the_range_of_training_is_told_once(walker):
    far = np.full((2, 4), 30.0)
    with pytest.warns(UserWarning, match=r"first observations\[0\], -0.98.* to 0.96") as told:
        walker.predict_chunk(far)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="leave the range"):
        zoo.finetune(walker, scaled(domain.example(), 10), steps=1, device="cpu", show=False)


def scaled(episodes: Episodes, by: float) -> Episodes:
    return replace(episodes, observations=episodes.observations * by, actions=episodes.actions * by)


def test_films_are_of_the_episodes_asked_for(walker):
    scores = walker.evaluate(within=Walk, episodes=3, seed=9, filmed=[10])
    steps = scores.episodes.set_index("seed").loc[10, "steps"]
    assert list(scores.films) == [10]
    assert [int(image[0, 0, 0]) for image in scores.films[10]] == list(range(steps + 1))


def test_actions_beside_demonstrations(walker):
    scores = walker.evaluate(domain.example())
    assert scores["model"] < 0.8 * scores["the last action"]
    assert scores["model"] < 0.8 * scores["nearest demonstration"]
    with pytest.raises(DataError):
        walker.evaluate("nowhere.npz")


def test_one_step_is_learnt_from_many(walker, tmp_path):
    one = zoo.finetune(
        walker, domain.example(), method="onestep", steps=400, lr=1e-3, device="cpu", show=False
    )
    assert (one.recipe.sampling.steps, one.name) == (1, "robotics-flow.onestep")
    rows = seen(walker, 64)
    goal = walker.predict_chunk(rows)
    crude = walker.predict_chunk(rows, steps=1, sampler="euler")
    assert np.abs(one.predict_chunk(rows) - goal).mean() < 0.6 * np.abs(crude - goal).mean()
    one.save(tmp_path / "one")
    again = zoo.load(tmp_path / "one", device="cpu")
    np.testing.assert_allclose(again.predict_chunk(rows), one.predict_chunk(rows), atol=1e-5)
    for method in ("full", "lora", "onestep"):
        with pytest.raises(OptionError, match="is not trained further"):
            zoo.finetune(one, domain.example(), method=method, steps=1, show=False)
    with pytest.raises(OptionError, match="is not trained further"):
        zoo.train(domain, domain.example(), recipe=one.recipe, show=False)
    with pytest.raises(OptionError, match="needs data"):
        zoo.finetune(walker, None, method="onestep", show=False)


def test_data_of_another_task_are_refused(walker):
    example = domain.example()
    with pytest.raises(DataError, match=r"position: \(2, 3\) in the data, but \(0, 1\) in the model"):
        zoo.finetune(walker, replace(example, position=(2, 3)), steps=1, show=False)
    pushed = replace(walker.recipe, environment="pusht")
    with pytest.raises(DataError, match="environment: 'metaworld/reach-v3' in the data, but 'pusht'"):
        domain.dataset(replace(example, environment="metaworld/reach-v3"), "train", pushed, walker.adapter)
    # what nobody knows is not tried out in what the model came from
    known = walker.copy()
    known.recipe = pushed
    assert zoo.finetune(known, example, steps=1, device="cpu", show=False).recipe.environment == ""
    assert (
        domain.suited(FLOW, domain.dataset(replace(example, environment="aloha"), "train", FLOW)).environment
        == ""
    )


def test_a_camera_is_an_option(tmp_path):
    example = domain.example()
    pictures = np.zeros((len(example.actions), 32, 40, 1), np.uint8)
    for picture, (x, y) in zip(pictures, example.observations[:, 2:], strict=True):
        top, left = int((y + 1) * 13), int((x + 1) * 17)
        picture[top : top + 6, left : left + 6] = 255  # where to go is seen, and not told
    seeing = Episodes(example.observations[:, :2], example.actions, example.ends, pictures, position=(0, 1))
    model = trained("mlp", 60, seeing)
    assert model.recipe.picture == (32, 40, 1)
    model.save(tmp_path / "model")
    model = zoo.load(tmp_path / "model", device="cpu")
    places, looks = np.zeros((2, 2), np.float32), np.zeros((2, 2, 32, 40, 1), np.uint8)
    looks[0, :, 2:8, 2:8], looks[1, :, 24:30, 32:38] = 255, 255
    one, other = (model.predict_chunk(places, pictures=look) for look in looks)
    assert one.shape == (16, 2)
    assert np.abs(one - other).max() > 1e-3
    with pytest.raises(OptionError, match="uint8 is wanted"):
        model.predict_chunk(places)
    policy = Policy(model)
    assert policy.act(places[0], looks[0, 0]).shape == (2,)
    with pytest.raises(OptionError, match="a picture is wanted"):
        policy.act(places[0])
    blind = replace(seeing, observations=np.zeros((len(seeing.actions), 0)), position=())
    alone = trained("mlp", 2, blind)
    alone.save(tmp_path / "blind")
    assert zoo.load(tmp_path / "blind").sample(2, pictures=looks[0]).shape == (2, 16, 2)


@pytest.mark.parametrize("fails", [True, False])
def test_a_compiled_model_draws_the_same_and_its_copies_know_nothing_of_it(monkeypatch, tmp_path, fails):
    model = zoo.load("robotics-flow", device="cpu")
    seen, calls = np.zeros((model.recipe.n_obs_steps, model.recipe.observed), np.float32), []
    plain = model.predict_chunk(seen, seed=0, quiet=True)

    def compiler(forward, dynamic):
        return lambda *args: 1 / 0 if fails else calls.append(len(args)) or forward(*args)

    monkeypatch.setattr(torch, "compile", compiler)
    assert model.compile() is model
    with pytest.warns(UserWarning, match=r"without torch\.compile.*division") if fails else nullcontext():
        assert np.array_equal(model.predict_chunk(seen, seed=0, quiet=True), plain)
    count = len(calls)
    assert count == (0 if fails else 5)
    assert np.array_equal(model.copy().predict_chunk(seen, seed=0, quiet=True), plain) and len(calls) == count
    model.save(tmp_path / "saved")
    again = zoo.load(tmp_path / "saved", device="cpu")
    assert np.array_equal(again.predict_chunk(seen, seed=0, quiet=True), plain) and len(calls) == count


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_model_that_is_really_compiled_draws_the_same(recwarn):
    model = zoo.load("robotics-flow", device="cpu")
    seen = np.zeros((model.recipe.n_obs_steps, model.recipe.observed), np.float32)
    plain = model.predict_chunk(seen, seed=0, quiet=True)
    np.testing.assert_allclose(
        model.compile().predict_chunk(seen, seed=0, quiet=True), plain, rtol=1e-4, atol=1e-3
    )
    assert not [w for w in recwarn if "without torch.compile" in str(w.message)]
