"""Demonstrations: what the readers make of the formats of the field, and what they refuse."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from domains.robotics import domain
from domains.robotics.adapter import RobotAdapter, Scale, fitted
from domains.robotics.dataset import Chunks
from domains.robotics.episodes import Episodes
from domains.robotics.readers import read
from domains.robotics.recipes import FLOW
from zoo.errors import DataError
from zoo.manifest import Source

LENGTHS = (5, 3, 7)


@pytest.fixture
def episodes():
    rng = np.random.default_rng(0)
    n = sum(LENGTHS)
    return Episodes(
        rng.normal(size=(n, 4)).astype(np.float32),
        rng.normal(size=(n, 2)).astype(np.float32),
        np.cumsum(LENGTHS),
        position=(0, 1),
    )


def same(a: Episodes, b: Episodes) -> bool:
    return (
        np.array_equal(a.observations, b.observations)
        and np.array_equal(a.actions, b.actions)
        and np.array_equal(a.ends, b.ends)
    )


def test_npz_keeps_everything(episodes, tmp_path):
    np.savez(tmp_path / "mine.npz", **episodes.arrays())
    again = read(tmp_path / "mine.npz")
    assert same(again, episodes)
    assert (again.position, again.environment) == ((0, 1), "")
    named = replace(episodes, sources=(Source("mine", "MIT", "https://a.example"),))
    np.savez(tmp_path / "named.npz", **named.arrays())
    assert read(tmp_path / "named.npz").sources == named.sources


def test_diffusion_policy_zarr(episodes, tmp_path):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(tmp_path / "pusht.zarr"), mode="w")
    for group, arrays in (
        ("data", {"state": episodes.observations, "action": episodes.actions}),
        ("meta", {"episode_ends": episodes.ends}),
    ):
        made = root.create_group(group)
        for name, values in arrays.items():
            array = made.create_array(name, shape=values.shape, dtype=values.dtype)
            array[:] = values
    assert same(read(tmp_path / "pusht.zarr"), episodes)


def test_robomimic_orders_demos_by_number_and_joins_observations(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "low_dim.hdf5", "w") as file:
        for number in (0, 1, 2, 10):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = np.full((3, 2), number, float)
            demo["obs/eef"] = np.full((3, 3), number, float)
            demo["obs/object"] = np.full((3, 1), -number, float)
            demo["obs/camera"] = np.zeros((3, 8, 8, 3), np.uint8)
    found = read(tmp_path / "low_dim.hdf5")
    assert found.actions[:, 0].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [10] * 3
    assert found.observations.shape == (12, 4)  # values alone, unless more is asked for
    seeing = read(tmp_path / "low_dim.hdf5", observe=["eef", "camera"])
    assert seeing.pictures is not None
    assert seeing.pictures.shape == (12, 8, 8, 3)
    assert seeing.observations.shape == (12, 3)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_lerobot(episodes, tmp_path, version):
    pytest.importorskip("pyarrow")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps({"fps": 10, "codebase_version": version}))
    rows = pd.DataFrame(
        {
            "episode_index": np.repeat(np.arange(3), LENGTHS),
            "frame_index": np.concatenate([np.arange(n) for n in LENGTHS]),
            "observation.state": list(episodes.observations),
            "action": list(episodes.actions),
        }
    )
    folder = tmp_path / "data" / "chunk-000"
    folder.mkdir(parents=True)
    if version == "v2":  # a file an episode
        for index, part in rows.groupby("episode_index"):
            part.to_parquet(folder / f"episode_{index:06}.parquet")
    else:  # many in a file, in any order
        rows.sample(frac=1, random_state=0).to_parquet(folder / "file-000.parquet")
    found = read(tmp_path)
    assert same(found, episodes)


def test_what_cannot_be_used_is_told(episodes, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK nonsense")
    arrays = episodes.arrays()
    for source, told in (
        (tmp_path / "nowhere.npz", "no such file"),
        (tmp_path / "empty", "a .zarr, .hdf5, .npz or .parquet"),
        (tmp_path / "broken.npz", "cannot be read"),
        (3, "not int"),
        ({**arrays, "actions": arrays["actions"][:-1]}, "observations of 15 steps, but actions of 14"),
        ({**arrays, "episode_ends": np.array([5, 5, 15])}, "must rise"),
        ({**arrays, "episode_ends": np.array([5, 9])}, "number of steps, 15"),
        ({**arrays, "actions": np.full((15, 2), np.nan)}, "actions of step 0 are not finite"),
        ({**arrays, "position": np.array([0])}, "1 columns of position for 2 values"),
        ({**arrays, "position": np.array([0, 9])}, "there are 4"),
        ({"obs": arrays["actions"]}, "none of episode_ends, ends; there are obs"),
        ({**arrays, "actions": np.array(["a"] * 15)}, "no array of numbers"),
    ):
        with pytest.raises(DataError, match=told):
            read(source)


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "evil.npz", observations=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "evil.npz")


def test_chunks_begin_now_repeat_the_first_observation_and_have_no_weight_after_the_end(episodes):
    recipe = replace(FLOW, observed=4, horizon=4, n_obs_steps=3, given=0.0, relative=False)
    chunks = Chunks(episodes, recipe, fitted(episodes, 4, False, "pass"))
    batch = chunks.batch(400, torch.Generator().manual_seed(0))
    starts = episodes.starts.tolist()
    assert batch.mask is not None and batch.weight is not None
    for x, seen, weight in zip(batch.x, batch.cond["observations"], batch.weight, strict=True):
        raw = chunks.adapter.observation.decode(seen[-1]).numpy()
        step = int(np.abs(episodes.observations - raw).sum(1).argmin())
        end = next(int(e) for e in episodes.ends if e > step)
        inside = min(4, end - step)
        assert weight.flatten().tolist() == [1] * inside + [0] * (4 - inside)
        done = chunks.adapter.decode(x).numpy()
        np.testing.assert_allclose(done[:inside], episodes.actions[step : step + inside], atol=1e-5)
        first = max(s for s in starts if s <= step)
        before = chunks.adapter.observation.decode(seen).numpy()
        wanted = episodes.observations[np.maximum(np.arange(step - 2, step + 1), first)]
        np.testing.assert_allclose(before, wanted, atol=1e-5)


def test_some_chunks_have_their_beginning_given(episodes):
    recipe = replace(FLOW, observed=4, given=0.5)
    chunks = Chunks(episodes, recipe, fitted(episodes, 16, True, "pass"))
    mask = chunks.batch(2000, torch.Generator().manual_seed(0)).mask
    assert mask is not None
    given = (~mask[:, :, 0]).sum(1)
    assert abs(float((given > 0).float().mean()) - 0.5) < 0.05
    assert int(given.max()) == 15
    assert bool((mask[:, 1:] >= mask[:, :-1]).all())  # a beginning


def test_relative_actions_have_unit_variance_over_the_horizon():
    example = domain.example()
    adapter = fitted(example, 8, True, "pass")
    now = torch.from_numpy(example.observations)
    ahead = np.minimum(np.arange(len(now))[:, None] + np.arange(8), np.repeat(example.ends - 1, 30)[:, None])
    encoded = adapter.encode_actions(torch.from_numpy(example.actions[ahead]), now)
    torch.testing.assert_close(encoded.flatten(0, 1).mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded.flatten(0, 1).std(0), torch.ones(2), atol=1e-3, rtol=0)
    back = adapter.decode(encoded) + adapter.origin(now)
    torch.testing.assert_close(back, torch.from_numpy(example.actions[ahead]), atol=1e-5, rtol=0)


def test_what_leaves_the_range_of_training_is_told_and_passed_or_clipped():
    scale = Scale((0.0,), (1.0,), (-1.0,), (1.0,))
    far = torch.tensor([[[3.0]]])
    for outside, value, told in (("pass", 3.0, "passed on"), ("clip", 1.0, "brought to its edge")):
        adapter = RobotAdapter(scale, scale, (), outside)
        assert float(adapter.encode(far)) == value
        with pytest.warns(UserWarning, match=told):
            adapter.warn(adapter.outside_range(far))
        # what is clipped is told however little it is
        assert adapter.outside_range(torch.tensor([[1.01]])) == ([0] if outside == "clip" else [])


def test_a_value_that_never_changes_is_not_blown_up():
    still = Episodes(
        np.array([[1.0, 5.0]] * 3 + [[2.0, 5.0]] * 3, np.float32),
        np.zeros((6, 1), np.float32),
        np.array([3, 6]),
    )
    encoded = fitted(still, 4, False, "pass").encode(torch.tensor([[[1.0, 5.001]]]))
    assert float(encoded.abs().max()) < 5


def test_columns_of_other_units_are_scaled_each_on_its_own():
    rng = np.random.default_rng(0)
    mixed = np.stack([rng.normal(0, 2e4, 400), rng.integers(0, 2, 400), np.zeros(400)], 1)
    encoded = fitted(Episodes(mixed, mixed, np.array([200, 400])), 1, False, "pass").encode(
        torch.from_numpy(mixed[:, None]).float()
    )
    torch.testing.assert_close(encoded[:, 0].std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-2, rtol=0)


def test_the_reader_is_told_what_is_observed_and_where_the_actor_is(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "episode_index": [0, 0, 1, 1],
            "action": [[0.0, 1.0]] * 4,
            "observation.state": [[float(i), 0.0] for i in range(4)],
            "observation.environment_state": [[float(i), 1.0, 2.0] for i in range(4)],
            "observation.image": [{"bytes": png(i), "path": ""} for i in range(4)],
        }
    )
    frame.to_parquet(tmp_path / "mine.parquet")
    assert read(tmp_path / "mine.parquet").observations.shape == (4, 5)  # all that is observed in values
    found = read(
        tmp_path / "mine.parquet", observe=("observation.state", "observation.image"), position=(0, 1)
    )
    assert found.position == (0, 1)
    assert found.pictures is not None
    assert found.pictures[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    recipe = replace(FLOW, observe=("observation.state",), position=(0, 1))
    chunks = domain.dataset(tmp_path / "mine.parquet", "train", recipe)
    assert domain.suited(recipe, chunks).relative
    assert not domain.suited(FLOW, domain.dataset(tmp_path / "mine.parquet", "train", FLOW)).relative
    with pytest.raises(DataError, match="no column 'eyes'"):
        read(tmp_path / "mine.parquet", observe=["eyes"])


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_files_of_other_layouts_are_told(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "raw.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((3, 2))
    with h5py.File(tmp_path / "flat.hdf5", "w") as file:
        file["data"] = np.zeros(3)
    np.save(tmp_path / "renamed.npy", np.zeros(3))
    (tmp_path / "renamed.npy").rename(tmp_path / "renamed.npz")
    arrays = {"obs": np.zeros((4, 2)), "actions": np.zeros((4, 1)), "ends": np.array([2, 4])}
    for source, told in (
        (tmp_path / "raw.hdf5", "no group 'obs'"),
        (tmp_path / "flat.hdf5", "no group 'data'"),
        (tmp_path / "renamed.npz", "cannot be read"),
        (arrays | {"ends": np.array(4)}, "no array of numbers"),
        (arrays | {"ends": np.array([2.5, 4.0])}, "not whole numbers"),
        (arrays | {"position": "abc"}, "of a wrong kind"),
        ({"obs": np.zeros((0, 2)), "actions": np.zeros((0, 1)), "ends": np.zeros(0, int)}, "must rise"),
    ):
        with pytest.raises(DataError, match=told):
            read(source)


def test_pictures_are_of_0_to_255(episodes):
    base = {"obs": episodes.observations, "actions": episodes.actions, "ends": episodes.ends}
    n = len(episodes.actions)
    grey = read(base | {"images": np.full((n, 4, 5), 200.0)})  # without an axis of channels
    assert grey.pictures is not None
    assert grey.pictures.shape == (n, 4, 5, 1)
    assert (grey.pictures == 200).all()
    for pictures, told in (
        (np.full((n, 4, 5, 3), 0.5), "values of 0.5 to 0.5"),
        (np.full((n, 4, 5, 1), 60000, np.uint16), "values of 60000"),
        (np.full((n, 4, 5, 1), np.nan), "values of nan"),
        (np.zeros((n, 3, 40, 50), np.uint8), "H, W, channels"),
    ):
        with pytest.raises(DataError, match=told):
            read(base | {"images": pictures})


def test_steps_that_do_not_fit_are_told(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "shifted.hdf5", "w") as file:  # as many in all
        for number, (seen, done) in enumerate(((4, 3), (3, 4))):
            file[f"data/demo_{number}/obs/eef"] = np.zeros((seen, 2))
            file[f"data/demo_{number}/actions"] = np.zeros((done, 2))
    with pytest.raises(DataError, match="demo_0 has 4 steps of 'eef', but 3 actions"):
        read(tmp_path / "shifted.hdf5")
    twice = pd.DataFrame({"episode_index": [0, 0, 0, 0], "frame_index": [0, 1, 0, 1]})
    twice["observation.state"], twice["action"] = [[0.0]] * 4, [[0.0]] * 4
    twice.to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="does not count the steps"):
        read(tmp_path / "twice.parquet")


def test_what_is_no_file_of_its_kind_is_told(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, obs=np.random.default_rng(0).normal(size=(400, 3)), actions=np.zeros((400, 1)))
    damaged = bytearray(whole.getvalue())
    damaged[200:260] = bytes(60)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    (tmp_path / "no.hdf5").write_bytes(b"nothing")
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    (tmp_path / "no.zarr").mkdir()
    for name in ("damaged.npz", "no.hdf5", "no.parquet", "no.zarr"):
        with pytest.raises(DataError, match=name):
            read(tmp_path / name)
    ends = np.array([1])
    with pytest.raises(DataError, match="observations are no array of numbers"):
        Episodes(np.array([["a"]]), np.zeros((1, 1)), ends)


def test_data_of_another_robot_are_refused(episodes):
    recipe = domain.suited(FLOW, Chunks(episodes, FLOW, None))
    adapter = fitted(episodes, 16, True, "pass")
    other = Episodes(np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32), np.array([2, 4]))
    with pytest.raises(DataError, match="values of an observation: 3 in the data, but 4 in the model"):
        domain.dataset(other, "train", recipe, adapter)
