"""Random damage and random forgery: nothing is ever accepted with a changed meaning, nothing crashes."""

import hashlib
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load

import zoo
from tests.test_checkpoint import seal
from zoo import checkpoint, manifest
from zoo.errors import ZooError

MANY = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("hostile") / "saved")


@pytest.fixture(scope="module")
def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mutated(data: bytes, draw: st.DataObject, end: int) -> bytes:
    """The data with one byte before `end` changed, or bytes put in, taken out, or copied from elsewhere."""
    at = draw.draw(st.integers(0, end - 1))
    match draw.draw(st.sampled_from(["change", "insert", "delete", "copy"])):
        case "change":
            return data[:at] + bytes([data[at] ^ draw.draw(st.integers(1, 255))]) + data[at + 1 :]
        case "insert":
            return data[:at] + draw.draw(st.binary(min_size=1, max_size=8)) + data[at:]
        case "delete":
            return data[:at] + data[at + draw.draw(st.integers(1, 40)) :]
        case _:
            there = draw.draw(st.integers(0, end - 1))
            return data[:at] + data[there : there + draw.draw(st.integers(1, 40))] + data[at:]


@MANY
@given(draw=st.data())
def test_damaged_manifest_is_refused_or_means_the_same(files, draw):
    data = files["zoo.json"]
    try:
        read = manifest.loads(mutated(data, draw, len(data)), "zoo.json")
    except ZooError as error:
        assert "\n" not in str(error)
    else:  # spaces between values
        assert read == manifest.loads(data, "zoo.json")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@MANY
@given(draw=st.data())
def test_forged_manifest_is_refused_or_reads_as_written(folder, files, draw):
    """With its digest made anew: a value replaced, a key added, renamed or taken away, anywhere."""
    tree = json.loads(files["zoo.json"])
    place = tree
    while True:
        key = draw.draw(st.sampled_from(sorted(place)))
        if not (isinstance(place[key], dict) and place[key] and draw.draw(st.booleans())):
            break
        place = place[key]
    match draw.draw(st.sampled_from(["replace", "add", "rename", "delete"])):
        case "replace":
            place[key] = draw.draw(VALUES)
        case "add":
            place[draw.draw(st.text(max_size=12))] = draw.draw(VALUES)
        case "rename":
            place[draw.draw(st.text(max_size=12))] = place.pop(key)
        case _:
            del place[key]
    seal(tree)
    try:
        read = manifest.loads(json.dumps(tree).encode(), "zoo.json")
    except ZooError as error:
        assert "\n" not in str(error)
        return
    (folder / "zoo.json").write_text(json.dumps(tree))
    try:
        zoo.load(folder)
    except ZooError as error:
        assert "\n" not in str(error)
    finally:
        (folder / "zoo.json").write_bytes(files["zoo.json"])
    again = json.loads(manifest.dumps(read))
    again["digest"] = tree["digest"]
    assert filled_in(tree, again)


def filled_in(tree, again) -> bool:
    """Whether `again` is `tree` with values for what `tree` leaves out, and else the same."""
    if isinstance(tree, dict) and isinstance(again, dict):
        return tree.keys() <= again.keys() and all(filled_in(tree[name], again[name]) for name in tree)
    if isinstance(tree, list) and isinstance(again, list):
        return len(tree) == len(again) and all(map(filled_in, tree, again))
    return tree == again and isinstance(again, bool) == isinstance(tree, bool)


def header_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


@MANY
@given(draw=st.data())
def test_damaged_header_of_the_weights_is_refused(folder, files, draw):
    data = files["model.safetensors"]
    damaged = mutated(data, draw, header_end(data))
    path = folder / "model.safetensors"
    path.write_bytes(damaged)
    try:
        if damaged == data:
            return
        with pytest.raises(ZooError) as caught:
            zoo.load(folder)
        assert "\n" not in str(caught.value)
    finally:
        path.write_bytes(data)


@MANY
@given(draw=st.data())
def test_forged_header_of_the_weights_is_refused_or_read_as_it_says(folder, files, draw):
    """With size and hash made anew in a manifest that is sealed again."""
    data = files["model.safetensors"]
    forged = mutated(data, draw, header_end(data))
    tree = json.loads(files["zoo.json"])
    listed = {"sha256": hashlib.sha256(forged).hexdigest(), "bytes": len(forged)}
    tree["files"]["model.safetensors"] = listed
    seal(tree)
    (folder / "model.safetensors").write_bytes(forged)
    (folder / "zoo.json").write_text(json.dumps(tree))
    try:
        loaded = zoo.load(folder)
    except ZooError as error:
        assert "\n" not in str(error)
    else:
        said = load(forged)
        own = loaded.denoiser.state_dict()
        assert checkpoint.table(said) == checkpoint.table(own)
        assert all(torch.equal(said[name].nan_to_num(), own[name].nan_to_num()) for name in own)
    finally:
        for name in ("model.safetensors", "zoo.json"):
            (folder / name).write_bytes(files[name])
