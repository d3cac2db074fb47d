"""Files of arrays: `.npz` and `.npy` of NumPy, and the idx files of MNIST. Nothing is ever unpickled."""

import gzip
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from domains.images.data import arrays
from domains.images.data.parts import SPLITS, Found, Part
from zoo.errors import DataError, one_line

# What arrays are called, alone or with a split: x_train, train_images.
KINDS = {
    **dict.fromkeys(("images", "image", "x", "data", "arr_0"), "images"),
    **dict.fromkeys(("labels", "label", "y", "arr_1"), "labels"),
    **{kind: kind for kind in ("jpeg", "offsets")},
}
IDX = re.compile(r"(.*?)images[.-]idx\d-ubyte(\.gz)?", re.IGNORECASE)

Load = Callable[[], np.ndarray]


def of_file(path: Path, where: str) -> Found:
    """An `.npz` or `.npy` file.

    Raises:
        DataError: if it is damaged, holds Python objects, or no images.
    """
    with _reading(path):
        loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return of_arrays({"images": lambda: loaded}, where)
    with loaded:
        return of_arrays({name: partial(_member, path, name) for name in loaded.files}, where, path)


def _member(path: Path, name: str) -> np.ndarray:
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        return archive[name]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what goes wrong with a file into an error that names it."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # a damaged file may make them fail in any way
        if "Object arrays" in str(error):
            raise DataError(
                f"{path}: holds Python objects, which could run code and are never loaded; save plain arrays "
                "of numbers"
            ) from None
        told = "no file of NumPy" if "allow_pickle" in str(error) else one_line(str(error))
        raise DataError(f"{path}: damaged, or not what its name says: {told}") from None


def of_arrays(members: Mapping[str, Load], where: str, path: Path | None = None) -> Found:
    """Arrays by name: x_train, y_train, x_test, y_test, or train_images, train_labels and so on, or images
    and labels, x and y, arr_0 and arr_1; or the encoded files of a split one after another: jpeg_train,
    offsets_train (where each starts, and the end of the last), labels_train.

    Args:
        members: what gives each array; called only when it is needed.
        where: the source, for messages.
        path: the file that they are from.

    Raises:
        DataError: if there are no images under such a name, or they and the labels do not go together.
    """
    splits: dict[str, dict[str, str]] = {}
    for key in members:
        split, kind = _meaning(key)
        if kind and splits.setdefault(split, {}).setdefault(kind, key) != key:
            raise DataError(f"{where}: both {key!r} and another array are {kind}; keep one")
    splits = {split: keys for split, keys in splits.items() if keys.keys() & {"images", "jpeg"}}
    if not splits or ("" in splits and len(splits) > 1):
        raise DataError(
            f"{where}: holds {', '.join(map(repr, members)) or 'nothing'}; name the arrays images and "
            "labels, or x_train, y_train, x_test, y_test"
        )
    parts = {split: _part(members, keys, where, path) for split, keys in splits.items()}
    names = next((members[key]() for key in ("class_names", "classes") if key in members), ())
    return Found(where, parts, tuple(map(str, names)))


def _meaning(key: str) -> tuple[str, str]:
    """The split that an array belongs to and what it holds; "" for none."""
    name = key.lower()
    first, _, last = name.partition("_")
    for kind, split in ((name, ""), (first, last), (last, first)):
        if kind in KINDS and split in ("", *SPLITS):
            return SPLITS.get(split, ""), KINDS[kind]
    return "", ""


def _part(members: Mapping[str, Load], keys: Mapping[str, str], where: str, path: Path | None) -> Part:
    """The images of a split; `keys` say by kind what its arrays are called."""
    load = {kind: members[key] for kind, key in keys.items()}
    labels = load["labels"]() if "labels" in load else np.empty(0)
    if labels.shape[1:] == (1,):
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{where}: {keys['labels']} has shape {labels.shape}, not (N,): one whole number for each image; "
            "of one column for each class take the argmax"
        )
    if "images" in load:
        about = where if len(members) == 1 else f"{where}, {keys['images']}"

        def pixels() -> np.ndarray:
            images = arrays.batch(load["images"](), about, len(labels) or None)
            return arrays.as_bytes([images], about)[0]

        return Part(pixels, labels=labels)
    if "offsets" not in load:
        raise DataError(f"{where}: {keys['jpeg']} needs offsets, where each file starts")

    def files() -> list[bytes]:
        data = load["jpeg"]()
        return [data[start:end].tobytes() for start, end in pairwise(load["offsets"]())]

    return Part(files, labels=labels, files=[path] if path else ())


def of_idx(paths: Sequence[Path], where: str) -> Found:
    """Files of images in the format of MNIST, plain or `.gz`, with files of labels beside them.

    Raises:
        DataError: if a file is damaged, or the labels are not those of the images.
    """
    parts: dict[str, Part] = {}
    for path in paths:
        start = IDX.sub(r"\1", path.name)
        words = re.split("[-_.]", start.lower())
        split = next((SPLITS.get(word, "test") for word in words if word in SPLITS or word == "t10k"), "")
        if split in parts:
            raise DataError(f"{where}: several files of images for one split; name one, such as {path.name}")
        both: dict[str, Load] = {"images": partial(_idx, path)}
        for other in sorted(path.parent.iterdir()):
            if re.fullmatch(re.escape(start) + r"labels[.-]idx\d-ubyte(\.gz)?", other.name, re.IGNORECASE):
                both["labels"] = partial(_idx, other)
        parts[split] = _part(both, {kind: kind for kind in both}, str(path), None)
    if "" in parts and len(parts) > 1:
        raise DataError(f"{where}: files of images of several splits, and of none; name one of them")
    return Found(where, parts)


def _idx(path: Path) -> np.ndarray:
    """The array of an idx file: two zero bytes, type, number of dimensions, each of them, values."""
    with _reading(path), gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
        file = cast(BinaryIO, opened)
        zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zeros or kind != 8 or not 1 <= dimensions <= 4:
            raise DataError(f"{path}: no idx file: it begins with {zeros:04x} {kind:02x} {dimensions:02x}")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        size, data = math.prod(shape), bytearray()
        while len(data) <= size and (piece := file.read(2**24)):  # a head may claim any size
            data += piece
    if len(data) != size:
        raise DataError(f"{path}: {len(data)} bytes instead of the {size} that its head of {shape} says")
    return np.frombuffer(data, np.uint8).reshape(shape)
