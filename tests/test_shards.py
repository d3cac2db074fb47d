"""Data beyond memory: windows of shards, their order, resuming in the middle of them, what is refused."""

import io
import json
import math
import tarfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import zoo
from domains.images import domain
from domains.images.backbone import UNetSize
from domains.images.recipes import RECIPES
from tests.hubserver import HubServer
from zoo.domain import Dataset
from zoo.engine.denoiser import Batch
from zoo.errors import DataError, OptionError
from zoo.shards import Shards, Streamed

pytest.importorskip("pyarrow", reason="needs the extra images")


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three files of 40 pictures in groups of ten; the value of picture i is i, its label i % 2."""
    folder = tmp_path_factory.mktemp("shards")
    for k in range(3):
        numbers = range(40 * k, 40 * k + 40)
        frame = pd.DataFrame({"image": [png(i) for i in numbers], "label": [i % 2 for i in numbers]})
        frame.to_parquet(folder / f"train-{k}.parquet", row_group_size=10)
    return folder


class Numbers(Dataset):
    """The values of pictures."""

    def __init__(self, frame):
        self.values = [int(np.asarray(Image.open(io.BytesIO(one)))[0, 0]) for one in frame["image"]]

    def __len__(self):
        return len(self.values)

    def batch(self, size, generator):
        rows = torch.randint(len(self), (size,), generator=generator)
        return Batch(torch.tensor(self.values)[rows])


def test_windows_hold_every_row_once(files):
    shards = Shards(files / "*.parquet", rows=20)
    assert len(shards) == 120
    assert [window.rows for window in shards.windows] == [20] * 6
    values = [Numbers(shards.read(window)).values for window in shards.windows]
    assert [one for own in values for one in own] == list(range(120))
    assert [window.rows for window in Shards(files / "train-1.parquet", rows=1).windows] == [10] * 4
    assert [window.rows for window in Shards(files / "*.parquet", rows=10**6).windows] == [40] * 3
    several = Shards([files / "train-2.parquet", str(files / "train-0.parquet")], rows=40)
    assert Numbers(several.first()).values[0] == 80


@pytest.fixture
def hub(files, monkeypatch):
    """A Hub whose data set me/photos holds the files."""
    from huggingface_hub import HfFileSystem, constants

    HfFileSystem.clear_instance_cache()  # they remember a Hub, and its listings
    with HubServer() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        server.create("me/photos")
        server.commit("me/photos", {f"data/{one.name}": one.read_bytes() for one in files.iterdir()})
        yield server
    HfFileSystem.clear_instance_cache()


def test_shards_on_the_hub_are_those_on_the_disk_and_read_in_part(files, hub):
    here = Shards(files / "*.parquet", rows=20)
    there = Shards("hf://datasets/me/photos/data/train-*.parquet", rows=20)
    assert [window[1:] for window in there.windows] == [window[1:] for window in here.windows]
    before = len(hub.requests)
    pd.testing.assert_frame_equal(there.read(there.windows[3]), here.read(here.windows[3]))
    asked = {path for _, path in hub.requests[before:] if "/resolve/" in path}
    assert len(asked) == 1 and asked.pop().endswith("data/train-1.parquet")


def test_training_on_the_hub_goes_on_after_an_answer_is_lost(files, hub):
    local = zoo.train(domain, Shards(files / "*.parquet", rows=20), recipe=small(), device="cpu", show=False)
    shards = Shards("hf://datasets/me/photos/data/*.parquet", rows=20)
    _ = shards.windows
    hub.fault(path="/resolve/", times=1, drop=True)
    remote = zoo.train(domain, shards, recipe=small(), device="cpu", show=False)
    for name, tensor in weights(local).items():
        assert torch.equal(weights(remote)[name], tensor), name


def test_shards_that_are_not_on_the_hub(hub):
    with pytest.raises(DataError, match="no such file, and none of that pattern"):
        _ = Shards("hf://datasets/me/photos/none-*.parquet").windows
    with pytest.raises(DataError, match="me/nothing"):
        _ = Shards("hf://datasets/me/nothing/*.parquet").windows
    shards = Shards("hf://datasets/me/photos/data/*.parquet", rows=20)
    window = shards.windows[-1]
    hub.fault(path="/resolve/", times=math.inf, status=403)
    with pytest.raises(DataError, match=r"train-2\.parquet: cannot be read: .*403"):
        shards.read(window)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_an_epoch_sees_every_window_once_whatever_the_parts(files, parts):
    streamed = Streamed(Shards(files / "*.parquet", rows=10), Numbers, seed=3)
    own = 120 // parts
    for epoch in range(2):
        seen = [
            set(streamed.from_row(epoch * own + row, part, parts).values)
            for part in range(parts)
            for row in range(0, own, 10)
        ]
        assert set.union(*seen) == set(range(120)) and sum(map(len, seen)) == 120


def test_windows_come_in_another_order_every_epoch_and_seed(files):
    shards = Shards(files / "*.parquet", rows=10)
    one, again, other = (Streamed(shards, Numbers, seed) for seed in (0, 0, 1))

    def order(streamed, epoch):
        return [streamed.from_row(epoch * 120 + row).values[0] for row in range(0, 120, 10)]

    assert order(one, 0) == order(again, 0) != order(one, 1)
    assert order(other, 0) != order(one, 0)
    assert again.from_row(1234).values == one.from_row(1234).values  # from the middle


def test_few_windows_are_kept(files):
    reads = []
    shards = Shards(files / "*.parquet", rows=10)
    streamed = Streamed(shards, lambda frame: reads.append(len(frame)) or Numbers(frame), seed=0)
    for row in range(0, 240, 5):
        assert streamed.from_row(row).values
        assert len(streamed._kept) <= 3
    assert len(reads) <= 1 + 24 + 1  # each once, and the one behind


def test_windows_are_kept_for_the_parts_of_this_process_alone(files, monkeypatch):
    monkeypatch.setattr("zoo.shards.processes.share", lambda parts: range(parts // 4))  # one of four
    reads, shards = [], Shards(files / "*.parquet", rows=10)
    streamed = Streamed(shards, lambda frame: reads.append(len(frame)) or Numbers(frame), seed=0)
    for row in range(0, 30, 5):
        streamed.from_row(row, 0, 8)
        streamed.from_row(row, 1, 8)
        assert len(streamed._kept) <= 5
    assert len(reads) <= 1 + 2 * (3 + 1)  # each of three windows once, and the one behind; the first of all


def test_what_was_asked_for_before_does_not_change_where_a_row_lies(files):
    used = Streamed(Shards(files / "*.parquet", rows=10), Numbers, seed=0)
    for row in (0, 700, 3, 2000, 1999, 12):
        fresh = Streamed(used.shards, Numbers, seed=0)
        for part in range(3):
            assert used._of(row, part, 3) == fresh._of(row, part, 3)


def test_a_tar_of_webdataset_is_a_window(tmp_path):
    for k in range(2):
        with tarfile.open(tmp_path / f"{k}.tar", "w") as tar:
            for i in range(5 * k, 5 * k + 5):
                for name, content in (("png", png(i)), ("cls", str(i % 2)), ("json", json.dumps({"a": 1}))):
                    content = content if isinstance(content, bytes) else content.encode()
                    info = tarfile.TarInfo(f"photos/{i:05}.{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    shards = Shards(tmp_path / "*.tar")
    assert [window.rows for window in shards.windows] == [5, 5]
    frame = shards.read(shards.windows[1])
    assert Numbers(frame).values == [5, 6, 7, 8, 9] and frame["label"].tolist() == list("10101")
    pictures = domain.dataset(frame, "train", framed(RECIPES["images-flow"])).pictures
    assert set(pictures.classes) == {"0", "1"}


def framed(recipe):
    return replace(recipe, framing=replace(recipe.framing, size=8))


def small():
    recipe = framed(RECIPES["images-flow"])
    network = UNetSize(widths=(8, 8), depths=(1, 1), attention=(False, False), condition=8)
    training = replace(
        recipe.training, steps=24, batch_size=8, validate_every=12, validation_batches=1, muon=()
    )
    return replace(recipe, network=network, training=training)


def weights(model):
    return model.denoiser.state_dict()


def test_training_on_shards_is_resumed_in_the_middle_of_an_epoch(files, tmp_path, monkeypatch):
    shards = Shards(files / "*.parquet", rows=20)
    whole = zoo.train(domain, shards, recipe=small(), device="cpu", show=False)
    assert "shards such as train-0.parquet" in {one.name for one in whole.provenance.sources}
    from zoo.run import Run

    advance = Run.advance

    def stopped(run, batches):
        if run.step == 11:
            raise KeyboardInterrupt
        return advance(run, batches)

    monkeypatch.setattr(Run, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        zoo.train(
            domain, shards, recipe=small(), device="cpu", show=False, out=tmp_path / "run", save_seconds=0.0
        )
    monkeypatch.undo()
    again = zoo.train(
        domain, shards, recipe=small(), device="cpu", show=False, out=tmp_path / "run", resume=True
    )
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(again)[name], tensor), name


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda f: Shards(f / "none-*.parquet"), "no such file, and none of that pattern"),
        (lambda f: Shards([]), "name files or a pattern"),
        (lambda f: Shards(f / "a.csv"), "shards are .parquet or .tar files"),
        (lambda f: Shards(f / "damaged.parquet"), "damaged.parquet: cannot be read"),
        (lambda f: Shards(f / "damaged.tar"), "damaged.tar: cannot be read"),
        (
            lambda f: Shards([f / "train.parquet", f / "other.parquet"]),
            "other.parquet: has the columns b; .*train.parquet has a",
        ),
        (lambda f: Shards(f / "empty.parquet"), "empty.parquet: no rows"),
        (lambda f: Shards("nowhere://a.parquet"), "nowhere://a.parquet: Protocol not known"),
    ],
)
def test_shards_that_cannot_be_read(tmp_path, make, told):
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "train.parquet")
    pd.DataFrame({"b": [1, 2]}).to_parquet(tmp_path / "other.parquet")
    pd.DataFrame({"a": []}).to_parquet(tmp_path / "empty.parquet")
    for name in ("damaged.parquet", "damaged.tar", "a.csv"):
        (tmp_path / name).write_bytes(b"PAR1 and then nothing of use" * 40)
    with pytest.raises(DataError, match=told):
        _ = make(tmp_path).windows


def test_what_makes_no_sense(files):
    with pytest.raises(OptionError, match="rows must be at least 1"):
        Shards(files, rows=0)
    streamed = Streamed(Shards(files / "*.parquet", rows=40), Numbers, seed=0)
    with pytest.raises(DataError, match="4 parts of a batch each read windows of their own, and there are 3"):
        streamed.from_row(0, 3, 4)
    with pytest.raises(DataError, match="column"):
        zoo.train("timeseries", Shards(files / "*.parquet"), steps=1, show=False)
