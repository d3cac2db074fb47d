"""Push-T and its expert."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest

import zoo
from domains import robotics
from domains.robotics.environments import environment
from domains.robotics.environments.demonstrations import demonstrations
from domains.robotics.environments.pusht import PushT, corners, observed
from domains.robotics.recipes import FLOW
from zoo.cli import main
from zoo.errors import DataError, MissingExtraError, OptionError

pytest.importorskip("gym_pusht")


def test_keypoints_are_the_corners_of_the_simulators_shapes():
    world = PushT()
    world.reset(5)
    block = world.simulator.block
    vertices = [block.local_to_world(v) for shape in block.shapes for v in shape.get_vertices()]
    found = corners(world.state[2:])
    away = np.linalg.norm(found[:, None] - np.array(vertices)[None], axis=2).min(1)
    assert away.max() < 1e-3


def test_an_episode_is_a_function_of_the_seed():
    first, again, other = PushT(), PushT(), PushT()
    assert np.array_equal(first.reset(3), again.reset(3))
    assert not np.array_equal(first.reset(3), other.reset(4))
    for _ in range(5):
        a, b = (world.step(np.array([200.0, 300.0]))[0] for world in (first, again))
        assert np.array_equal(a, b)


@pytest.fixture(scope="module")
def shown():
    return demonstrations(range(3), environment("pusht"))


def test_the_expert_solves_it_and_its_actions_replay(shown):
    assert len(shown) == 3
    assert (shown.environment, shown.position) == ("pusht", (0, 1))
    world = PushT()
    for seed, part in enumerate(shown):
        seen = [world.reset(seed)]
        for action in shown.actions[part]:
            observation, done = world.step(action)
            seen.append(observation)
        assert done
        np.testing.assert_allclose(np.stack(seen[:-1]), shown.observations[part], atol=1e-3)
        assert world.measures()["success"] == 1
        assert world.measures()["score"] == 1


def test_demonstrations_are_a_function_of_the_seed(shown):
    again = demonstrations([2], environment("pusht"))
    assert np.array_equal(again.actions, shown.actions[shown.starts[2] :])


@pytest.mark.parametrize("seed", [6, 8, 44], ids=["inside the T", "no push leads on", "nearly there"])
def test_the_expert_solves_hard_starts(seed):
    assert len(demonstrations([seed], environment("pusht"))) == 1


@pytest.mark.slow  # a minute
def test_the_expert_solves_99_of_100():
    assert len(demonstrations(range(1000, 1100), environment("pusht"), processes=2)) >= 99


def test_with_noise_what_is_shown_is_what_was_wanted(shown):
    noisy = demonstrations([2], environment("pusht"), noise=1 / 64)
    world = PushT()
    world.reset(2)
    replayed = np.stack([world.step(action)[0] for action in noisy.actions[:30]])
    assert np.abs(replayed[:-1] - noisy.observations[1:30]).max() > 1


def test_the_score_is_the_best_coverage_and_the_last_one_is_told_too():
    world = PushT()
    world.reset(0)
    world.simulator.goal_pose = world.state[2:]  # it is solved as it lies
    for _ in range(15):
        world.step(world.state[2:4])
    measures = world.measures()
    assert measures["success"] == 1
    assert measures["final_coverage"] < 0.95 <= world.best


def test_another_goal_is_another_task():
    made = demonstrations([1], lambda: PushT(goal=(200.0, 300.0, 2.0)))
    pose = made.observations[-1][2:].reshape(8, 2)
    assert np.linalg.norm(pose - corners(np.array([200.0, 300.0, 2.0])), axis=1).max() < 15
    assert made.environment == ""  # so that nobody tries it out with the usual one


def test_observations_are_made_of_states():
    state = np.array([[1.0, 2.0, 100.0, 200.0, math.pi]])
    assert observed(state)[0, :4].tolist() == pytest.approx([1, 2, 160, 200])


def test_unknown_environments_are_told():
    with pytest.raises(OptionError, match="no environment 'pong'"):
        environment("pong")
    for seeds, told in (([], "an episode at least"), ([-1], "seeds lie in"), ([2**32], "seeds lie in")):
        with pytest.raises(OptionError, match=told):
            demonstrations(seeds, environment("pusht"))
    with pytest.raises(OptionError, match="noise is a share"):
        demonstrations([0], environment("pusht"), noise=-1)
    with pytest.raises(DataError, match="solved none of 1"):
        demonstrations([0], Hopeless)


class Hopeless(PushT):
    def expert(self):
        return iter(())


def test_processes_change_nothing_and_what_is_missing_is_told_by_them(shown):
    again = demonstrations([1, 2], environment("pusht"), processes=2)
    assert np.array_equal(again.actions, shown.actions[shown.starts[1] :])
    assert "diffusion-zoo[robotics]" in str(copy.copy(MissingExtraError("gym-pusht", "robotics")))


def test_a_camera_sees_the_board():
    shown = demonstrations([2], environment("pusht/pixels"))
    assert shown.pictures is not None
    assert shown.pictures.shape == (len(shown.actions), 96, 96, 3)
    assert shown.observations.shape[1] == 2
    assert len(np.unique(shown.pictures[0])) > 5
    assert not np.array_equal(shown.pictures[0], shown.pictures[-1])


def test_data_by_the_command_line(tmp_path, capsys):
    file = tmp_path / "made" / "shown.npz"
    with pytest.raises(SystemExit) as stopped:
        main(["data", "robotics", "--episodes", "2", "--seed", "7", "--out", str(file)])
    assert stopped.value.code == 0
    from domains.robotics.readers import read

    found = read(file)
    assert len(found) == 2
    assert found.environment == "pusht"
    for args, told in (
        (["data", "timeseries"], "makes no data"),
        (["data", "robotics", "--episodes", "0"], "episodes must be at least 1"),
        (["data", "robotics", "--environment", "pong", "--out", "x.npz"], "no environment 'pong'"),
        (["data", "robotics", "--out", str(tmp_path / "x.csv")], "written as .npz"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(args)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err


def test_metaworld_and_its_experts():
    pytest.importorskip("metaworld")
    made = demonstrations(range(3), environment("metaworld/reach-v3"))
    assert made.observations.shape[1] == 39
    assert len(np.unique(made.observations[made.starts], axis=0)) == 3
    with pytest.raises(OptionError, match="no task 'fly'"):
        environment("metaworld/fly")()


def test_a_model_of_it_is_tried_out_and_filmed(shown, tmp_path):
    domain = robotics.domain
    training = replace(FLOW.training, steps=3, validate_every=3, batch_size=8)
    model = zoo.train(domain, shown, recipe=replace(FLOW, training=training), device="cpu", show=False)
    files = domain.demo(model, tmp_path)
    assert sorted(file.name for file in files) == ["robotics-choices.png", "robotics.gif"]
    assert all(file.stat().st_size > 1000 for file in files)
    scores = model.evaluate(episodes=2, seed=50)
    assert set(scores) == {"success", "score", "final_coverage"}
    assert all(one > 0 for one in model.latency(10))


def test_a_model_of_it_by_the_command_line(shown, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(robotics, "BASELINE", 1)
    folder = str(tmp_path / "model")
    training = replace(FLOW.training, steps=3, validate_every=3, batch_size=8)
    zoo.train(robotics.domain, shown, recipe=replace(FLOW, training=training), device="cpu", show=False).save(
        folder
    )
    film, picture = tmp_path / "trial.gif", tmp_path / "choices.png"
    ran = "evaluate", folder, "--episodes", "2", "--seed", "50"
    for args in (
        [*ran, "--film", str(film), "--filmed", "51", "--latency", "2", "--no-overlap"],
        ["sample", folder, "-n", "3", "--plot", str(picture), "--out", str(tmp_path / "drawn.npz")],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(args)
        assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("success", "nearest of 1 demonstrations", "ms a chunk"))
    assert min(file.stat().st_size for file in (film, picture)) > 1000
    assert np.load(tmp_path / "drawn.npz")["actions"].shape == (3, 16, 2)
    for args, told in (
        ([*ran, "--filmed", "x", "--film", str(film)], "seeds with commas"),
        ([*ran, "--filmed", "50"], "--film FILE.gif"),
        ([*ran, "--data", "x.npz", "--film", str(film)], "films are of trials"),
        ([*ran, "--data", "x.npz", "--latency", "1"], "are of trials"),
        (["sample", folder, "--seed", "-1", "--out", "x.npz"], "seeds lie in"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(args)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err
