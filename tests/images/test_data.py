"""Reading images: whatever the form of the data, the same pixels come out; what cannot be used is named."""

import gzip
import io
import json
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from domains.images.data import Framing, Pictures, cache, known, parts, read
from tests.hubserver import Handler, HubServer
from zoo.errors import DataError, MissingExtraError, OptionError
from zoo.hub import connection
from zoo.hub.connection import Hub

GREY, COLOUR = Framing(8, 1), Framing(8, 3)
DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(
    not (DATA / "images" / "fashion_mnist").is_dir(),
    reason="no real data: set ZOO_DATA to the folder that holds images/",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the data nor the cache of whoever runs the tests."""
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def noise(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *(shape or (8, 8, 3)))).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def write(root: Path, files: dict[str, np.ndarray | bytes | str]) -> Path:
    """Files below a folder: images as PNG, bytes and text as they are."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(encoded(content) if isinstance(content, np.ndarray) else content)
    return root


def chw(images: np.ndarray) -> np.ndarray:
    """What the reader makes of images (N, H, W, 3) or (N, H, W) that have the size of the framing."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def names(pictures: Pictures) -> list[str | None]:
    return [pictures.classes[label] if label >= 0 else None for label in pictures.labels]


def refused(source: object, framing: Framing = COLOUR, **options: object) -> str:
    with pytest.raises(DataError) as error:
        read(source, framing, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


# Folders


def test_folders_are_classes_and_deeper_files_belong_to_the_first_level(tmp_path: Path):
    images = noise(4)
    files = {"dog/a.png": images[2], "cat/b.PNG": images[1], "cat/a/deep/c.png": images[0]}
    found = read(
        write(tmp_path, files | {"dog/z.png": images[3], "dog/notes.txt": b"", ".x/y.png": b""}), COLOUR
    )
    np.testing.assert_array_equal(found.pixels, chw(images))
    assert names(found) == ["cat", "cat", "dog", "dog"]
    assert found.classes == ("cat", "dog")
    assert found.pixels.dtype == np.uint8 and found.labels.dtype == np.int64
    assert found.captions == found.unreadable == found.sources == ()


@pytest.mark.parametrize("where", ["", "images/"])
def test_a_flat_folder_has_no_labels(tmp_path: Path, where: str):
    found = read(str(write(tmp_path, {f"{where}{i}.png": image for i, image in enumerate(noise(3))})), COLOUR)
    assert found.classes == ()
    np.testing.assert_array_equal(found.labels, [-1, -1, -1])


def test_folders_of_splits_share_their_classes(tmp_path: Path):
    images = noise(4)
    files = {"train/b/1.png": images[0], "train/c/1.png": images[1], "val/c/1.png": images[2]}
    write(tmp_path, files | {"Test/a/1.png": images[3]})
    for split, rows, labels in [("train", [0, 1], "bc"), ("validation", [2], "c"), ("test", [3], "a")]:
        found = read(tmp_path, COLOUR, split=split)
        np.testing.assert_array_equal(found.pixels, chw(images[rows]))
        assert (names(found), found.classes) == (list(labels), ("a", "b", "c"))
    assert len(read(tmp_path, COLOUR)) == 4


def test_a_class_may_be_called_test(tmp_path: Path):
    found = read(write(tmp_path, {"test/1.png": noise(2)[0], "exam/1.png": noise(2)[1]}), COLOUR)
    assert found.classes == ("exam", "test")


def test_an_image_in_no_split_is_refused(tmp_path: Path):
    write(tmp_path, {"train/1.png": noise(2)[0], "extra/1.png": noise(2)[1]})
    assert "extra/1.png is in no split" in refused(tmp_path)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("metadata.csv", "file_name,text,label\na.png,an a,x\nsub/b.png,a b,y\n"),
        ("labels.csv", "file;caption;label\na.png;an a;x\nsub\\b.png;a b;y\n"),
        ("labels.tsv", "path\tcaption\tlabel\na.png\tan a\tx\nb.png\ta b\ty\n"),
        ("metadata.jsonl", '{"file_name":"a.png","text":"an a","label":"x"}\n'
         '{"file_name":"./sub/b.png","text":["a b","other"],"label":"y"}\n'),
    ],
)  # fmt: skip
def test_a_table_in_the_folder_gives_labels_and_captions(tmp_path: Path, table: str, text: str):
    images = noise(3)
    found = read(
        write(tmp_path, {"a.png": images[0], "sub/b.png": images[1], "sub/c.png": images[2], table: text}),
        COLOUR,
    )
    np.testing.assert_array_equal(found.pixels, chw(images))
    assert names(found) == ["x", "y", None]
    assert found.captions == ("an a", "a b", "")


def test_a_table_of_parquet_in_a_split(tmp_path: Path):
    write(tmp_path, {"train/a.png": noise(2)[0], "test/b.png": noise(2)[1]})
    rows = pd.DataFrame({"file_name": ["a.png", "gone.png"], "label": [7, 5], "caption": ["an a", "none"]})
    rows.to_parquet(tmp_path / "train" / "metadata.parquet")
    found = read(tmp_path, COLOUR, split=None)
    assert sorted(zip(names(found), found.captions, strict=True), key=str) == [("7", "an a"), (None, "")]
    assert found.unreadable == ("train/gone.png: no such file",)


def test_a_table_may_say_the_splits(tmp_path: Path):
    table = "file_name,split\na.png,train\nb.png,test\n"
    write(tmp_path, {"a.png": noise(2)[0], "b.png": noise(2)[1], "metadata.csv": table})
    np.testing.assert_array_equal(read(tmp_path, COLOUR, split="test").pixels, chw(noise(2)[1:]))
    write(tmp_path, {"c.png": noise(2)[1]})
    assert "c.png is in no split" in refused(tmp_path)


def test_captions_alone_leave_the_folders_as_classes(tmp_path: Path):
    table = "file_name,text\na/1.png,one\n"
    files = {"a/1.png": noise(2)[0], "b/1.png": noise(2)[1], "metadata.csv": table}
    found = read(write(tmp_path, files), COLOUR)
    assert (names(found), found.captions) == (["a", "b"], ("one", ""))


def test_linked_folders_are_read_once(tmp_path: Path):
    write(tmp_path / "elsewhere", {"1.png": noise(2)[0]})
    write(tmp_path / "data", {"a/1.png": noise(2)[1]})
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "loop").symlink_to(tmp_path / "data")
    assert names(read(tmp_path / "data", COLOUR)) == ["a", "b"]


# Tables


def test_csv_of_file_names(tmp_path: Path):
    images = noise(3)
    write(tmp_path, {f"images/{i}.png": image for i, image in enumerate(images)})
    (tmp_path / "my.csv").write_text(
        "image,species,label\nimages/2.png,NA,007\nimages/0.png,,7\nimages/1.png,b,7\n"
    )
    found = read(tmp_path / "my.csv", COLOUR, labels="species")
    np.testing.assert_array_equal(found.pixels, chw(images[[2, 0, 1]]))
    assert names(found) == ["NA", None, "b"]
    assert names(read(tmp_path / "my.csv", COLOUR)) == ["007", "7", "7"]
    assert "no column 'genus' for labels=; there are 'image', 'species'" in refused(
        tmp_path / "my.csv", labels="genus"
    )
    assert "labels='x' names a column" in refused(tmp_path / "images" / "0.png", labels="x")
    assert "labels= names a column" in refused(tmp_path / "images", labels="x")


def test_doubt_about_the_column_of_labels(tmp_path: Path):
    write(tmp_path, {"a.png": noise(1)[0], "my.csv": "file,fine_label,coarse_label\na.png,x,y\n"})
    assert "'coarse_label', 'fine_label'; name one: labels=" in refused(tmp_path / "my.csv")
    assert read(tmp_path / "my.csv", COLOUR, labels="coarse_label").classes == ("y",)


def test_names_of_files_go_before_other_text(tmp_path: Path):
    write(tmp_path, {"a.png": noise(1)[0], "my.csv": "image,file_name\n17,a.png\n"})
    assert len(read(tmp_path / "my.csv", COLOUR)) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("file,label\n", "no rows"),
        ("id,label\n1,2\n", "no column of images or their files among 'id', 'label'"),
        ("file,split\na.png,train\nb.png,other\n", "'other' in data row 2 is neither train"),
        ("file,label\na.png,1\n", "none of 1 images can be read; the first: a.png: no such file"),
        ("file,label\na.png,1,2\nb\n\xff", "cannot be read as csv"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path: Path, text: str, told: str):
    (tmp_path / "my.csv").write_bytes(text.encode("latin-1"))
    assert told in refused(tmp_path / "my.csv")


def test_parquet_of_file_names(tmp_path: Path):
    write(tmp_path, {"a.png": noise(1)[0]})
    pd.DataFrame({"file_name": ["a.png"], "label": ["x"]}).to_parquet(tmp_path / "my.parquet")
    assert names(read(tmp_path / "my.parquet", COLOUR)) == ["x"]


def shard(path: Path, images: list[bytes | None], classes: list[str] | None = None, **columns: list) -> None:
    """A parquet file as the Hub's library writes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": image, "path": None} for image in images]
    table = pa.table({"image": pa.array(cells, kind)} | columns)
    features = {"label": {"names": classes, "_type": "ClassLabel"}}
    if classes:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)


def test_shards_of_encoded_images(tmp_path: Path):
    images, classes = noise(5), ["x", "y", "z"]
    data = [encoded(image) for image in images]
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", data[:3], classes, label=[2, 0, None])
    shard(
        tmp_path / "data" / "train-00001-of-00002.parquet", [data[3], b"junk", None], classes, label=[1, 1, 1]
    )
    shard(tmp_path / "data" / "validation-00000-of-00001.parquet", data[4:], classes, label=[0])
    found = read(tmp_path, COLOUR, split="train")
    np.testing.assert_array_equal(found.pixels, chw(images[:4]))
    assert (names(found), found.classes) == (["z", "x", None, "y"], ("x", "y", "z"))
    assert found.unreadable == (
        "train-00001-of-00002.parquet, row 2: not an image of a known format",
        "train-00001-of-00002.parquet, row 3: no image",
    )
    (tmp_path / "data" / "train-00000-of-00002.parquet").unlink()
    assert "of 2 shards such as train-00001-of-00002.parquet, number 0 is missing" in refused(tmp_path)


def test_one_parquet_file_of_images(tmp_path: Path):
    shard(
        tmp_path / "my.parquet", [encoded(image) for image in noise(2)], text=["one", "two"], label=["b", "a"]
    )
    found = read(tmp_path / "my.parquet", COLOUR)
    assert (found.captions, names(found)) == (("one", "two"), ["b", "a"])
    shard(tmp_path / "my.parquet", [encoded(noise(1)[0])], ["x", "y"], label=[2])
    assert "label 2 is out of range: there are 2 classes, numbered from 0, 'x' to 'y'" in refused(tmp_path)


def test_parquet_that_cannot_be_used(tmp_path: Path):
    write(tmp_path, {"bad.parquet": b"PAR1 and nothing else"})
    assert "bad.parquet: cannot be read as parquet" in refused(tmp_path / "bad.parquet")
    shard(tmp_path / "a" / "x.parquet", [encoded(noise(1)[0])])
    shard(tmp_path / "b" / "x.parquet", [encoded(noise(1)[0])])
    (tmp_path / "bad.parquet").unlink()
    assert "several data sets" in refused(tmp_path)
    shard(tmp_path / "a" / "train.parquet", [encoded(noise(1)[0])])
    assert "x.parquet is of no split" in refused(tmp_path / "a")


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shard(tmp_path / "my.parquet", [encoded(noise(1)[0])])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'diffusion-zoo\[images\]'"):
        read(tmp_path / "my.parquet", COLOUR)


def test_frames_hold_images_of_many_kinds(tmp_path: Path):
    images = noise(6)
    write(tmp_path, {"a.png": images[3]})
    cells = [
        Image.fromarray(images[0]),
        encoded(images[1]),
        {"bytes": encoded(images[2]), "path": "x.png"},
        tmp_path / "a.png",
        images[4],
        None,
    ]
    frame = pd.DataFrame({"image": cells, "label": ["b", "a", None, "a", "a", "a"], "caption": [*"stuvwx"]})
    found = read(frame, COLOUR)
    np.testing.assert_array_equal(found.pixels, chw(images[:5]))
    assert (names(found), found.captions) == (["b", "a", None, "a", "a"], tuple("stuvw"))
    assert found.unreadable == ("image 6: no image",)
    assert "int in place 1 is no image" in refused(pd.DataFrame({"image": [3]}))
    assert "two columns are called 'image'" in refused(pd.DataFrame([[1, 2]], columns=["image", "image"]))


# Packed files and arrays


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("scale", ["uint8", "0..1", "-1..1", "0..255"])
def test_layouts_and_ranges_of_arrays(layout: str, scale: str):
    images = noise(5)
    values = {
        "uint8": images,
        "0..1": images.astype(np.float32) / 255,
        "-1..1": images.astype(np.float64) / 127.5 - 1,
        "0..255": images.astype(np.float16),
    }[scale]
    values = values.transpose(0, 3, 1, 2) if layout == "CHW" else values
    for source in (
        values,
        torch.from_numpy(values.copy()),
        list(values),
        [torch.from_numpy(v.copy()) for v in values],
    ):
        np.testing.assert_array_equal(read(source, COLOUR).pixels, chw(images))
    np.testing.assert_array_equal(
        read(values[0] if layout == "HWC" else values[:1], COLOUR).pixels, chw(images[:1])
    )


def test_grey_arrays():
    grey = noise(5, 8, 9)
    square = Framing(9, 1, crop="stretch")
    expected = read([Image.fromarray(image) for image in grey], square).pixels
    sixteen = grey.astype(np.uint16) * 257
    sixteen[0, 0, 0] = 65535
    for source in (grey, grey[..., None], grey[:, None], list(grey), tuple(grey), grey.astype(np.int64)):
        np.testing.assert_array_equal(read(source, square).pixels, expected)
    np.testing.assert_array_equal(read(sixteen, square).pixels[1:], expected[1:])
    np.testing.assert_array_equal(read(grey > 127, Framing(8)).pixels.max(), 255)
    np.testing.assert_array_equal(read(grey[:1], square).pixels, expected[:1])
    np.testing.assert_array_equal(read(grey[0], square).pixels, expected[:1])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (noise(3, 8, 8), r"may be (N, H, W) or (C, H, W): give it four dimensions"),
        (noise(10, 64), "may be one grey image or flattened ones"),
        (noise(5, 8, 8, 2), "is no images: (N, H, W)"),
        (noise(2, 3, 8, 3), "may be (N, H, W, C) or (N, C, H, W)"),
        (noise(2, 8, 8).astype(np.float32) * 3, "values from 0 to 765: pass uint8"),
        (np.random.default_rng(0).normal(size=(5, 8, 8)), "undo any normalisation"),
        (np.full((5, 8, 8), np.nan), "values that are not finite"),
        (noise(5, 8, 8) % 2, "only 0 and 1 as whole numbers; pass booleans"),
        (noise(5, 8, 8).astype(str), "holds no pixels"),
        (np.empty((0, 8, 8)), "holds no pixels"),
        ([], "no images"),
        ([noise(8, 8)[0], "a.txt", 3.5], "float in place 3 is no image"),
        (3, "cannot read images from the int"),
    ],
)
def test_arrays_that_cannot_be_used(array: object, told: str):
    assert told in refused(array)


def test_pairs_of_images_and_labels():
    images = noise(3, 8, 8)
    found = read((images, torch.tensor([5, 0, -1])), GREY)  # with labels the three are no channels
    assert (names(found), found.classes) == (["5", "0", None], ("0", "5"))
    assert "4 labels for 3 images" in refused((images, np.arange(4)))
    assert "take the argmax" in refused((images, np.eye(3)))
    assert "0.5" in refused((images, np.full(3, 0.5)))
    assert names(read((images, ["b", "a", ""]), GREY)) == ["b", "a", None]
    assert names(read(([Image.fromarray(image) for image in images], ["b", "a", None]), GREY)) == [
        "b",
        "a",
        None,
    ]
    assert "4 labels for 3 images" in refused((list(images), [1, 2, 3, 4]))
    assert "-1 among the labels stands for none" in refused((images, np.array([-1, 1, 1])))


def test_pictures_are_read_again():
    first = read({"images": noise(40), "labels": np.arange(40) % 2, "class_names": ["x", "y"]}, COLOUR)
    again = read(first, GREY, split="train")
    assert again.classes == ("x", "y") and again.pixels.shape[1:] == (1, 8, 8)
    np.testing.assert_array_equal(read(first, COLOUR).pixels, first.pixels)


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_npz_with_splits(tmp_path: Path, keys: tuple[str, ...]):
    images, labels = noise(6, 8, 8), np.array([[3], [1], [2], [0]])
    np.savez(
        tmp_path / "my.npz", **dict(zip(keys, (images[:4], labels, images[4:], labels[:2]), strict=True))
    )
    found = read(tmp_path / "my.npz", GREY, split="test")
    np.testing.assert_array_equal(found.pixels, chw(images[4:]))
    assert (names(found), found.classes) == (["3", "1"], ("0", "1", "2", "3"))
    assert len(read(tmp_path, GREY)) == 6


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y"), ("arr_0", "arr_1")])
def test_npz_without_splits(tmp_path: Path, keys: tuple[str, str]):
    images = noise(6)
    np.savez_compressed(tmp_path / "my.npz", **{keys[0]: images / 255, keys[1]: np.arange(6) % 2})
    found = read(tmp_path, COLOUR)
    np.testing.assert_array_equal(found.pixels, chw(images))
    assert names(found) == [*"010101"]


def test_npy(tmp_path: Path):
    np.save(tmp_path / "my.npy", noise(6))
    np.testing.assert_array_equal(read(tmp_path / "my.npy", COLOUR).pixels, chw(noise(6)))


class Trap:
    def __reduce__(self) -> tuple:
        return os.abort, ()


def test_nothing_is_unpickled(tmp_path: Path):
    np.savez(tmp_path / "my.npz", images=np.array([Trap()], object))
    assert "holds Python objects, which could run code" in refused(tmp_path / "my.npz")
    np.save(tmp_path / "my.npy", np.array([Trap()], object))
    assert "holds Python objects, which could run code" in refused(tmp_path / "my.npy")


def test_packed_files_that_cannot_be_used(tmp_path: Path):
    np.savez(tmp_path / "my.npz", a=noise(2))
    assert "holds 'a'; name the arrays images and labels" in refused(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=noise(2), images=noise(2))
    assert "both 'images' and another array are images" in refused(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=noise(6), y=np.arange(7))
    assert "my.npz, x: 7 labels for 6 images" in refused(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=noise(6), y=np.arange(6), classes=["one", "two"])
    assert "label 2 is out of range: there are 2 classes" in refused(tmp_path / "my.npz")
    np.savez(tmp_path / "my.npz", x=noise(6))
    data = (tmp_path / "my.npz").read_bytes()
    for damaged in (b"", b"junk", data[:200], data[:100] + b"x" * 200 + data[300:]):
        (tmp_path / "my.npz").write_bytes(damaged)
        assert "my.npz: damaged, or not what its name says" in refused(tmp_path / "my.npz")


def test_encoded_files_one_after_another(tmp_path: Path):
    files = [encoded(image) for image in noise(4)]
    arrays = {
        "jpeg_test": np.frombuffer(b"".join(files), np.uint8),
        "offsets_test": np.cumsum([0, *map(len, files)]),
        "labels_test": np.array([1, 0, 1, 1], np.uint8),
        "names_test": np.array(["a", "b", "c", "d"]),
        "class_names": np.array(["x", "y"]),
    }
    np.savez(tmp_path / "my.npz", **arrays)
    found = read(tmp_path / "my.npz", COLOUR, split="test")
    np.testing.assert_array_equal(found.pixels, chw(noise(4)))
    assert names(found) == [*"yxyy"]
    np.savez(tmp_path / "my.npz", **arrays | {"labels_test": np.zeros(3)})
    assert "3 labels for 4 images" in refused(tmp_path / "my.npz")
    arrays["offsets_test"] = arrays["offsets_test"] - 5
    np.savez(tmp_path / "my.npz", **arrays)
    assert "none of 4 images can be read" in refused(tmp_path / "my.npz")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path: Path, zipped: bool):
    images, labels = noise(6, 8, 8), np.arange(6, dtype=np.uint8)
    for name, part in (("train", slice(3)), ("t10k", slice(3, 6))):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data, end = idx(array[part]), ".gz" if zipped else ""
            write(tmp_path, {f"{name}-{kind}-ubyte{end}": gzip.compress(data) if zipped else data})
    found = read(tmp_path, GREY, split="test")
    np.testing.assert_array_equal(found.pixels, chw(images[3:]))
    assert (names(found), len(found.classes)) == ([*"345"], 6)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    np.testing.assert_array_equal(read(path, GREY, split=None).pixels, chw(images[:3]))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "damaged"),
        (b"\x00\x01\x08\x03", "no idx file: it begins with 0001 08 03"),
        (idx(noise(6, 8, 8))[:-1], "383 bytes instead of the 384 that its head of (6, 8, 8) says"),
        (idx(noise(6, 8, 8)) + b"x", "385 bytes instead of the 384"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "0 bytes instead of the"),
    ],
)
def test_idx_files_that_are_damaged(tmp_path: Path, data: bytes, told: str):
    assert told in refused(write(tmp_path, {"train-images-idx3-ubyte": data}))
    write(tmp_path, {"train-images-idx3-ubyte": b"", "train-images.idx3-ubyte.gz": gzip.compress(data)[:-9]})
    assert "several files of images for one split" in refused(tmp_path)
    assert "train-images.idx3-ubyte.gz: " in refused(tmp_path / "train-images.idx3-ubyte.gz")


# Any size and mode


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / (height - 1), 255 * x / (width - 1), 128 + 0 * x], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats(tmp_path: Path, kind: str):
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(kind, kind.lower())
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(smooth(32, 32), kind))
    assert (
        np.abs(read(path, Framing(32, 3)).pixels[0] - smooth(32, 32).transpose(2, 0, 1).astype(float)).mean()
        < 6
    )


def test_first_frame_of_a_gif(tmp_path: Path):
    frames = [Image.new("L", (8, 8), value) for value in (40, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(data, GREY).pixels.max() == 40


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (Image.new("1", (8, 8), 1), 255),
        (Image.new("L", (8, 8), 77), 77),
        (Image.new("RGB", (8, 8), (255, 0, 0)), 76),
        (Image.new("RGB", (8, 8), (51, 51, 51)).convert("P", dither=Image.Dither.NONE), 51),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), 255),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 128)), 127),
        (Image.new("LA", (8, 8), (0, 51)), 204),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 255)), 0),
        (Image.fromarray(np.full((8, 8), 77 * 257 + 60, np.uint16)), 77),
        (Image.fromarray(np.full((8, 8), 200, np.uint16)), 1),
        (Image.fromarray(np.full((8, 8), 77, np.int32)), 77),
        (Image.fromarray(np.full((8, 8), 77 * 257, np.int32)), 77),
        (Image.fromarray(np.full((8, 8), 0.5, np.float32)), 128),
    ],
)
@pytest.mark.parametrize("saved", [False, True])
def test_modes(image: Image.Image, grey: int, saved: bool):
    kinds = {"F": "TIFF", "I": "TIFF", "CMYK": "TIFF"}
    source = encoded(image, kinds.get(image.mode, "PNG")) if saved else image
    np.testing.assert_array_equal(np.unique(read(source, GREY).pixels), [grey])
    assert read(source, COLOUR).pixels.shape == (1, 3, 8, 8)


def test_palette_and_grey_with_a_transparent_colour():
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    data = encoded(palette, transparency=1)
    assert read(data, GREY).pixels.min() == 255
    assert read(encoded(palette, transparency=b"\xff\x80"), GREY).pixels[0, 0, 0, 0] == 132
    assert read(encoded(Image.new("L", (8, 8), 5), transparency=5), GREY).pixels.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int):
    upright = Image.fromarray(smooth(16, 8))
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, [])
    stored = upright
    for turn in turns:  # the inverse of what a viewer does
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    framing = Framing(16, 3, crop="pad")
    expected = read(upright, framing).pixels
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read(encoded(stored, kind, exif=exif), framing).pixels, expected)
    photo = read(encoded(stored, "JPEG", exif=exif, quality=95), framing).pixels
    assert np.abs(photo - expected.astype(float)).mean() < 8
    damaged = read(encoded(upright, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), framing).pixels
    assert np.abs(damaged - expected.astype(float)).mean() < 8


def test_crops():
    image = Image.fromarray(
        np.concatenate([np.full((8, 4), 10), np.full((8, 8), 99), np.full((8, 4), 10)], 1).astype(np.uint8)
    )
    np.testing.assert_array_equal(read(image, Framing(8, 1, "centre")).pixels, 99)
    padded = read(image, Framing(8, 1, "pad", "box")).pixels[0, 0]
    assert padded[:2].max() == padded[-2:].max() == 0
    np.testing.assert_array_equal(padded[4], [10, 10, 99, 99, 99, 99, 10, 10])
    stretched = read(image, Framing(8, 1, "stretch", "box")).pixels[0, 0]
    np.testing.assert_array_equal(stretched, np.tile([10, 10, 99, 99, 99, 99, 10, 10], (8, 1)))
    assert read(Image.new("L", (2000, 1), 9), Framing(8, 1, "pad")).pixels.max() > 0


@pytest.mark.parametrize("resample", ["bicubic", "bilinear", "box"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_shrinking_averages(resample: str, kind: str):
    board = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (256, 256))
    for source in (encoded(board, kind, **{"quality": 95} if kind == "JPEG" else {}), board[None, ..., None]):
        small = read(source, Framing(16, 1, resample=resample)).pixels  # type: ignore[arg-type]
        assert np.abs(small - 127.5).max() < 3


def test_a_large_photo_is_much_like_one_decoded_in_full():
    photo = encoded(smooth(900, 1200), "JPEG", quality=95)
    full = read(Image.open(io.BytesIO(photo)), Framing(32, 3)).pixels.astype(float)
    assert np.abs(read(photo, Framing(32, 3)).pixels - full).max() <= 3
    small = encoded(noise(1, 120, 120, 3)[0], "JPEG")  # below four times the size it is decoded in full
    full = read(Image.open(io.BytesIO(small)), Framing(32, 3)).pixels
    np.testing.assert_array_equal(read(small, Framing(32, 3)).pixels, full)


# Files that cannot be read


def test_unreadable_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photo = encoded(noise(1, 64, 64)[0], "JPEG")
    files: dict[str, np.ndarray | bytes | str] = {
        "a.png": noise(1)[0],
        "cut.jpg": photo[: len(photo) // 2],
        "empty.png": b"",
        "page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "text.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "many.png": encoded(Image.new("1", (4000, 300))),
    }
    monkeypatch.setattr("domains.images.data.decode.MAX_PIXELS", 1_000_000)
    found = read(write(tmp_path, files), COLOUR)
    assert len(found) == 1
    assert found.unreadable[0].startswith("cut.jpg: ") and "truncated" in found.unreadable[0]
    assert found.unreadable[1:] == (
        "empty.png: an empty file",
        "many.png: 4000 x 300 pixels are more than 1 million",
        "text.png: not an image of a known format",
    )
    (tmp_path / "a.png").unlink()
    assert "none of 4 images can be read; the first: cut.jpg" in refused(tmp_path)


def test_a_bomb_is_not_decoded():
    data = encoded(Image.new("1", (8, 8)))
    huge = struct.pack(">II", 60000, 60000)
    head = b"IHDR" + huge + data[24:29]
    bomb = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read([bomb, data], GREY)
    assert len(found) == 1 and found.unreadable[0].startswith("image 1: ")
    assert "decompression bomb" in found.unreadable[0]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cifar-10", "(fashion-mnist, mnist, cifar10); did you mean 'cifar10'?"),
        ("Fashion_MNIST", "did you mean 'fashion-mnist'?"),
        ("zebra", "no such file or folder, nor a data set by name (fashion-mnist, mnist, cifar10)"),
        ("", "an empty path"),
    ],
)  # fmt: skip
def test_unknown_names(name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert refused(name).endswith(told) or told == "an empty path"


def test_wrong_paths(tmp_path: Path):
    write(tmp_path, {"photos/a.txt": b"", "archive.zip": b"", "empty/.hidden": b""})
    assert "did you mean 'photos'?" in refused(tmp_path / "photo")
    assert "no images in this folder, only files such as a.txt; the zoo reads .png" in refused(
        tmp_path / "photos"
    )
    assert "no images in this folder, it is empty" in refused(tmp_path / "empty")
    assert "unpack archives first" in refused(tmp_path / "archive.zip")
    with pytest.raises(OptionError, match="framing: crop"):
        read(noise(5), Framing(8, 3, crop="middle"))  # type: ignore[arg-type]


# Splits


def test_split_by_content_leaks_nothing_and_needs_no_order():
    images = noise(600)
    train, held = (read(images, COLOUR, split=split) for split in ("train", "validation"))
    assert len(train) + len(held) == 600 and 30 < len(held) < 90
    assert not {image.tobytes() for image in train.pixels} & {image.tobytes() for image in held.pixels}
    again = read(list(images[::-1][:300]), COLOUR, split="validation").pixels
    assert {image.tobytes() for image in again} <= {image.tobytes() for image in held.pixels}
    assert len(again) == sum(image.tobytes() in {i.tobytes() for i in again} for image in held.pixels)
    assert "it has no splits of its own" in refused(images, split="test")


def test_duplicates_fall_on_one_side(tmp_path: Path):
    images = noise(60)
    files: dict[str, np.ndarray | bytes | str] = {}
    for number, image in enumerate(images):
        files |= {
            f"{number}.png": image,
            f"copy-{number}.png": image,
            f"other-{number}.bmp": encoded(image, "BMP"),
        }
    write(tmp_path, files)
    sides = [read(tmp_path, COLOUR, split=split) for split in ("train", "validation")]
    assert [len(side) % 3 for side in sides] == [0, 0] and all(len(side) for side in sides)
    assert not {i.tobytes() for i in sides[0].pixels} & {i.tobytes() for i in sides[1].pixels}


def test_validation_is_carved_from_training_images_alone():
    images = noise(300)
    source = {"x_train": images[:200], "y_train": np.arange(200) % 3, "x_test": images[200:]}
    train, held, test = (read(source, COLOUR, split=split) for split in ("train", "validation", "test"))
    assert len(train) + len(held) == 200 and len(test) == 100
    whole = read((images[:200], np.arange(200) % 3), COLOUR, split="validation")
    np.testing.assert_array_equal(held.pixels, whole.pixels)
    np.testing.assert_array_equal(held.labels, whole.labels)
    rows = [next(n for n, i in enumerate(chw(images)) if (i == image).all()) for image in held.pixels]
    np.testing.assert_array_equal(held.labels, np.array(rows) % 3)  # labels stay with their images
    own = read(source | {"x_val": images[:50]}, COLOUR, split="train")
    assert len(own) == 200
    assert "no images for split='train'; it has test" in refused({"x_test": images}, split="train")


def test_too_few_images_for_a_split():
    held = next(image for image in noise(200) if len(read(image, COLOUR, split="validation")))
    assert "all images are for validation" in refused(held, split="train")
    kept = next(image for image in noise(200) if not len(read(image, COLOUR, split="validation")))
    assert len(read(kept, COLOUR, split="train")) == 1


# The cache


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is worth a cache."""
    monkeypatch.setattr(cache, "MANY", 50)
    images = noise(80)
    files: dict[str, np.ndarray | bytes | str] = {
        f"{i % 2}/{i:02}.png": image for i, image in enumerate(images)
    }
    return write(tmp_path / "many", files | {"0/bad.png": b"junk"})


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were decoded, each time."""
    counts: list[int] = []
    whole = cache.frame_all

    def counted(items: parts.Items, *rest):
        counts.append(len(items))
        return whole(items, *rest)

    monkeypatch.setattr(cache, "frame_all", counted)
    return counts


def same(one: Pictures, other: Pictures) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.classes, one.unreadable) == (other.classes, other.unreadable)


def test_cache_is_written_once_and_mapped(many: Path, decoded: list[int], tmp_path: Path):
    home = tmp_path / "cache"
    first = read(many, COLOUR, cache=home)
    assert first.unreadable == ("0/bad.png: not an image of a known format",)
    assert isinstance(first.pixels.base, np.memmap) and first.pixels.flags.writeable
    same(read(many, COLOUR, cache=home), first)
    assert decoded == [81]
    sides = [read(many, COLOUR, cache=home, split=split) for split in ("train", "validation", "train")]
    assert decoded == [81, 81]  # both sides at once
    assert len(sides[0]) + len(sides[1]) == 80 and isinstance(sides[1].pixels.base, np.memmap)
    read(many, GREY, cache=home)
    write(many, {"0/more.png": noise(1, seed=5)[0]})
    last = read(many, COLOUR, cache=home)
    assert len(last) == 81 and decoded == [81, 81, 81, 82]
    last.pixels[:] = 0  # a copy of the caller alone
    assert read(many, COLOUR, cache=home).pixels.max() == 255 and len(decoded) == 4
    write(many, {"0/more.png": noise(1, seed=6)[0]})
    os.utime(many / "0" / "more.png", (0, 0))
    assert chw(noise(1, seed=6))[0].tobytes() in {i.tobytes() for i in read(many, COLOUR, cache=home).pixels}
    assert not [path for path in (home / "images").iterdir() if path.name.startswith(".")]


def test_cache_gives_what_memory_gives(many: Path, monkeypatch: pytest.MonkeyPatch):
    kept = {split: read(many, COLOUR, split=split) for split in ("train", "validation", None)}
    monkeypatch.setattr(cache, "MANY", 1000)
    for split, pictures in kept.items():
        same(read(many, COLOUR, split=split), pictures)
    assert not isinstance(read(many, COLOUR).pixels.base, np.memmap)


def test_of_a_few_large_images_one_is_for_validation_though_they_are_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "LARGE", 1)
    for seed in range(6):
        files: dict[str, np.ndarray | bytes | str] = {f"{i}.png": noise(4, seed=seed)[i] for i in range(4)}
        folder = write(tmp_path / str(seed), files)
        sides = [read(folder, COLOUR, split=split, cache=tmp_path / "c") for split in ("train", "validation")]
        assert len(sides[0]) + len(sides[1]) == 4 and len(sides[1]) >= 1


@pytest.mark.parametrize("harm", ["cut", "flip", "index", "gone", "junk", "pickle"])
def test_a_damaged_cache_is_made_anew(many: Path, decoded: list[int], tmp_path: Path, harm: str):
    first = read(many, COLOUR, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache" / "images").iterdir()
    path = entry / ("index.json" if harm == "index" else "all")
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "pickle":
        with path.open("wb") as file:
            np.save(file, np.array([Trap()], object))
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[:-1], "junk": b"junk"}.get(harm, flipped))
    expected = chw(noise(80))[[*range(0, 80, 2), *range(1, 80, 2)]]
    for _ in range(2):
        again = read(many, COLOUR, cache=tmp_path / "cache")
        np.testing.assert_array_equal(again.pixels, expected)
    assert decoded == [81, 81]
    assert again.unreadable == first.unreadable


def test_parts_of_one_file_have_their_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "MANY", 2)
    arrays: dict[str, np.ndarray] = {}
    for split, seed in (("train", 1), ("test", 2)):
        files = [encoded(image) for image in noise(5, seed=seed)]
        arrays[f"jpeg_{split}"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"offsets_{split}"] = np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "my.npz", **arrays)
    for _ in range(2):
        np.testing.assert_array_equal(
            read(tmp_path, COLOUR, split=None).pixels,
            chw(np.concatenate([noise(5, seed=1), noise(5, seed=2)])),
        )


def test_what_is_in_memory_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "MANY", 2)
    write(tmp_path, {f"{i}.png": image for i, image in enumerate(noise(3))})
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for gap in range(4):
        rows = [None if i == gap else path for i, path in enumerate(paths)]
        np.testing.assert_array_equal(
            read(pd.DataFrame({"image": rows}, dtype=object), COLOUR).pixels,
            chw(noise(3))[[i != gap for i in range(3)]],
        )
    for seed in range(2):
        mixed = [*paths, encoded(noise(1, seed=seed)[0])]
        np.testing.assert_array_equal(read(mixed, COLOUR).pixels[3:], chw(noise(1, seed=seed)))


def test_without_a_place_for_the_cache_images_are_in_memory(many: Path, tmp_path: Path):
    write(tmp_path, {"file": b""})
    found = read(many, COLOUR, cache=tmp_path / "file")
    assert len(found) == 80 and not isinstance(found.pixels.base, np.memmap)


def test_a_full_disk_leaves_images_in_memory(many: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fill = cache._fill

    def full(*rest) -> bool:
        fill(*rest)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_fill", full)
    assert len(read(many, COLOUR, cache=tmp_path / "cache")) == 80
    assert not list((tmp_path / "cache" / "images").iterdir())


# Data sets by name


class Datasets(Handler):
    """The Hub of the tests keeps models; data sets are the same below another address."""

    def route(self, target: str):
        return super().route(target.replace("/api/datasets/", "/api/models/").replace("/datasets/", "/"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with a small MNIST."""
    images = [encoded(image) for image in noise(30, 8, 8)]
    shard(tmp_path / "train.parquet", images[:20], [*"abcdefghij"], label=[n % 10 for n in range(20)])
    shard(tmp_path / "test.parquet", images[20:], [*"abcdefghij"], label=[n % 10 for n in range(10)])
    with HubServer() as server:
        server.RequestHandlerClass = Datasets
        server.create("ylecun/mnist")
        for split in ("train", "test"):
            data = (tmp_path / f"{split}.parquet").read_bytes()
            server.commit("ylecun/mnist", {f"mnist/{split}-00000-of-00001.parquet": data})
        yield server


def test_names_are_fetched_from_the_hub_once(server: HubServer, tmp_path: Path):
    hub = Hub(server.url, cache_dir=tmp_path / "hub")
    test = read("mnist", GREY, split="test", hub=hub)
    np.testing.assert_array_equal(test.pixels, chw(noise(30, 8, 8)[20:]))
    assert test.classes == tuple("0123456789") and names(test) == [*"0123456789"]
    assert test.sources == (known.KNOWN["mnist"].source,)
    fetched = [path for method, path in server.requests if method == "GET" and "resolve" in path]
    commit = server.repos["ylecun/mnist"].head("main")
    assert fetched == [f"/datasets/ylecun/mnist/resolve/{commit}/mnist/test-00000-of-00001.parquet"]
    sides = [read("mnist", GREY, split=split, hub=hub) for split in ("train", "validation")]
    assert sum(map(len, sides)) == 20
    server.requests.clear()
    away = Hub(server.url, cache_dir=tmp_path / "hub", offline=True)
    np.testing.assert_array_equal(read("mnist", GREY, split="test", hub=away).pixels, test.pixels)
    assert len(read("mnist", GREY, hub=away)) == 30
    assert not server.requests


def test_data_sets_of_others_on_the_hub(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    hub = Hub(server.url, cache_dir=tmp_path / "hub")
    found = read(Path("ylecun/mnist"), GREY, split="test", hub=hub)
    np.testing.assert_array_equal(found.pixels, chw(noise(30, 8, 8)[20:]))
    assert found.sources[0].name == "ylecun/mnist" and found.classes == (*"abcdefghij",)
    told = refused("some/pictures", hub=hub)
    assert told.startswith("some/pictures: no such file or folder, and from the Hub: ")
    write(tmp_path, {"ylecun/mnist/a/1.png": noise(1)[0]})  # a folder goes first
    assert len(read("ylecun/mnist", GREY, hub=hub)) == 1


def test_a_name_may_come_as_a_path(server: HubServer, tmp_path: Path):
    hub = Hub(server.url, cache_dir=tmp_path / "hub")
    assert len(read(Path("mnist"), GREY, split="test", hub=hub)) == 10


def test_names_that_are_not_at_hand(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)
    away = Hub(server.url, cache_dir=tmp_path / "hub", offline=True)
    told = refused("mnist", GREY, hub=away)
    assert (
        "mnist is not at hand: ZOO_DATA is not set, and it is not in the cache of the Hub, and this" in told
    )
    assert "set ZOO_DATA to the folder that holds images/mnist, or load it online once" in told
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert (
        f"{tmp_path}/images has no fashion_mnist, and zalando-datasets/fashion_mnist: no such repository"
        in refused("fashion-mnist", hub=Hub(server.url, cache_dir=tmp_path / "hub"))
    )
    nobody = Hub("http://127.0.0.1:9", cache_dir=tmp_path / "hub")
    assert "ylecun/mnist: the Hub is out of reach" in refused("mnist", hub=nobody)


def test_names_from_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / "images" / "mnist").mkdir(parents=True)
    images = noise(4, 8, 8)
    np.savez(
        tmp_path / "images" / "mnist" / "mnist.npz",
        x_train=images,
        y_train=[3, 9, 0, 0],
        x_test=images,
        y_test=[1] * 4,
    )
    found = read("mnist", GREY, split="test")
    assert found.classes == tuple("0123456789") and found.sources[0].name == "MNIST"
    np.testing.assert_array_equal(found.labels, 1)
    (tmp_path / "images" / "cifar10_jpeg").mkdir()
    np.savez(tmp_path / "images" / "cifar10_jpeg" / "my.npz", x_test=noise(4), y_test=[10] * 4)
    assert "cifar10: label 10 is out of range" in refused("cifar10")


@real
def test_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZOO_DATA", str(DATA))
    train, held = (read("fashion-mnist", Framing(), split=split) for split in ("train", "validation"))
    assert len(train) + len(held) == 60000 and abs(len(held) - 6000) < 300
    sides = [{image.tobytes() for image in side.pixels} for side in (train, held)]
    assert not sides[0] & sides[1]
    test = read("fashion-mnist", Framing(14, 3), split="test")
    assert test.pixels.shape == (10000, 3, 14, 14)
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert test.classes[9] == "Ankle boot" and test.sources[0].licence == "MIT"


def test_one_of_a_few_images_is_for_validation():
    many = np.random.default_rng(0).integers(256, size=(400, 28, 28, 1)).astype(np.uint8)
    train = read(many, Framing(), split="train").pixels
    for few in (train[:2], train[:30]):  # by their content, all are for training
        parts = [read(few, Framing(), split=split).pixels for split in ("train", "validation")]
        assert [len(part) for part in parts] == [len(few) - 1, 1]
        assert not {one.tobytes() for one in parts[0]} & {one.tobytes() for one in parts[1]}
    files = [Image.fromarray(one[0]) for one in train[:30]]
    listed = [read(files, Framing(), split=split).pixels for split in ("train", "validation")]
    assert all((a == b).all() for a, b in zip(listed, parts, strict=True))
