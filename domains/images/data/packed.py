"""Files of arrays: `.npz` and `.npy` of NumPy, and the idx files of MNIST. Nothing is ever unpickled."""

import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from domains.images.data import arrays
from domains.images.data.parts import SPLITS, Found, Part, named, numbered
from zoo.errors import DataError, one_line

IMAGES = ("images", "image", "x", "data", "arr_0")
LABELS = ("labels", "label", "y", "arr_1")
NAMES = ("class_names", "classes")
IDX = re.compile(r"(?P<set>.*?)(?P<kind>images|labels)[.-]idx\d-ubyte(\.gz)?", re.IGNORECASE)
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
LOADING = (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile, struct.error, MemoryError)


def of_arrays(members: Mapping[str, object], where: str, path: Path | None = None) -> Found:
    """Arrays by name: x_train, y_train, x_test, y_test, or train_images, train_labels and so on, or images
    and labels, x and y, arr_0 and arr_1; or the encoded files of a split one after another: jpeg_train,
    offsets_train, labels_train.

    Args:
        members: arrays or tensors; each is looked up only when it is needed.
        where: the source, for messages.
        path: the file that they are from.

    Raises:
        DataError: if there are no images under such a name, or they and the labels do not go together.
    """
    parts: dict[str, Part] = {}
    for key in members:
        if (found := _meaning(key)) is None:
            continue
        split, kind = found
        if split in parts:
            raise DataError(f"{where}: both {key!r} and another array are images; keep one")
        labels = _labels(members, split, where)
        if kind == "jpeg":
            pack = _Pack(members, key, key.replace("jpeg", "offsets"), where)
            if len(labels) not in (0, len(pack)):
                raise DataError(f"{where}: {len(labels)} labels for {len(pack)} images")
            files = () if path is None else (path,)
            parts[split] = Part(lambda pack=pack: pack, _pack_name(members, split), labels, (), files, key)
        else:
            parts[split] = Part(partial(_load, members, key, labels, where), numbered, labels)
    if not parts or ("" in parts and len(parts) > 1):
        raise DataError(
            f"{where}: holds {', '.join(map(repr, members)) or 'nothing'}; name the arrays images and "
            "labels, or x_train, y_train, x_test, y_test"
        )
    names = next((members[key] for key in NAMES if key in members), ())
    return Found(where, parts, tuple(str(name) for name in cast(Sequence[object], names)))


def _meaning(key: str) -> tuple[str, str] | None:
    """The split that an array belongs to, and whether it is of images or encoded files; None for others."""
    name, words = key.lower(), key.lower().split("_")
    if name in IMAGES:
        return "", "images"
    if len(words) != 2:
        return None
    for kind, split in (words, words[::-1]):
        if split in SPLITS and (kind in IMAGES or kind == "jpeg"):
            return SPLITS[split], "jpeg" if kind == "jpeg" else "images"
    return None


def _labels(members: Mapping[str, object], split: str, where: str) -> np.ndarray:
    """The labels that go with the images of a split, `(N,)`; empty if there are none."""
    words = [word for word, name in SPLITS.items() if name == split]
    for kind in LABELS:
        for name in [f"{kind}_{word}" for word in words] + [f"{word}_{kind}" for word in words] or [kind]:
            key = next((key for key in members if key.lower() == name), None)
            if key is None:
                continue
            labels = arrays.as_numpy(members[key])
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            if labels.ndim != 1:
                raise DataError(
                    f"{where}: {key} has shape {labels.shape}, not (N,): one whole number for each image; of "
                    "one column for each class take the argmax"
                )
            return labels
    return np.empty(0, np.int64)


def _load(members: Mapping[str, object], key: str, labels: np.ndarray, where: str) -> np.ndarray:
    where = where if len(members) == 1 else f"{where}, {key}"
    values = arrays.as_numpy(members[key])
    return arrays.as_bytes(arrays.batch(values, where, len(labels) if len(labels) else None), where)


@dataclass(frozen=True, eq=False)
class _Pack:
    """Encoded files, one after another in one array, with the offset of each and the end."""

    members: Mapping[str, object]
    data: str
    offsets: str
    where: str

    def _bounds(self) -> np.ndarray:
        if self.offsets not in self.members:
            raise DataError(f"{self.where}: {self.data} needs {self.offsets}, where each file starts")
        return arrays.as_numpy(self.members[self.offsets])

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[bytes]:
        bounds, data = self._bounds(), arrays.as_numpy(self.members[self.data])
        for start, end in pairwise(bounds):
            yield data[start:end].tobytes()


def _pack_name(members: Mapping[str, object], split: str) -> Callable[[int], str]:
    names = members.get(f"names_{split}")
    return numbered if names is None else named([str(name) for name in cast(Sequence[object], names)])


class _Archive(Mapping[str, object]):
    """The arrays of an `.npz` file, each read anew whenever it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(path), np.load(path, allow_pickle=False) as archive:
            self._names = tuple(archive.files)

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._names:
            raise KeyError(key)
        with _reading(self._path), np.load(self._path, allow_pickle=False) as archive:
            return archive[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what may go wrong with a damaged file into an error that names it."""
    try:
        yield
    except DataError:
        raise
    except LOADING as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path}: holds Python objects, which could run code and are never loaded; save plain arrays "
                "of numbers"
            ) from None
        told = "no file of NumPy" if "allow_pickle" in str(error) else one_line(str(error))
        raise DataError(f"{path}: damaged, or not what its name says: {told}") from None


def of_file(path: Path, where: str) -> Found:
    """An `.npz` or `.npy` file.

    Raises:
        DataError: if it is damaged, holds Python objects, or no images.
    """
    if path.suffix.lower() == ".npz":
        return of_arrays(_Archive(path), where, path)
    with _reading(path):
        array = np.load(path, allow_pickle=False)
    return of_arrays({"images": array}, where)


def of_idx(paths: Sequence[Path], where: str) -> Found:
    """Files of images in the format of MNIST, plain or `.gz`, with files of labels beside them.

    Args:
        paths: such as train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz.

    Raises:
        DataError: if a file is damaged, or the labels are not those of the images.
    """
    parts: dict[str, Part] = {}
    for path in paths:
        match = IDX.fullmatch(path.name)
        words = re.split("[-_.]", match["set"].lower()) if match else []
        split = next((SPLITS.get(word, "test") for word in words if word in SPLITS or word == "t10k"), "")
        if split in parts:
            raise DataError(f"{where}: several files of images for one split; name one, such as {path.name}")
        beside = _beside(path)
        labels = np.empty(0, np.int64) if beside is None else _idx(beside)
        parts[split] = Part(partial(_idx_images, path, len(labels) if beside else None), numbered, labels)
    if "" in parts and len(parts) > 1:
        raise DataError(f"{where}: files of images of several splits, and of none; name one of them")
    return Found(where, parts)


def is_idx_images(name: str) -> bool:
    """Whether a file is named as one of images in the format of MNIST."""
    match = IDX.fullmatch(name)
    return match is not None and match["kind"].lower() == "images"


def _beside(path: Path) -> Path | None:
    """The file of labels that goes with one of images."""
    match = IDX.fullmatch(path.name)
    for other in sorted(path.parent.iterdir()) if match else ():
        found = IDX.fullmatch(other.name)
        if found and match and found["set"] == match["set"] and found["kind"].lower() == "labels":
            return other
    return None


def _idx_images(path: Path, count: int | None) -> np.ndarray:
    return arrays.as_bytes(arrays.batch(_idx(path), str(path), count), str(path))


def _idx(path: Path) -> np.ndarray:
    """The array of an idx file: two zero bytes, type, number of dimensions, each of them, values."""
    with _reading(path), gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
        file = cast(BinaryIO, opened)
        zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zeros or kind not in IDX_TYPES or not 1 <= dimensions <= 4:
            raise DataError(f"{path}: no idx file: it begins with {zeros:04x} {kind:02x} {dimensions:02x}")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        dtype = np.dtype(IDX_TYPES[kind])
        size = math.prod(shape) * dtype.itemsize
        data = bytearray()  # grows with what there is: a head may claim any size
        while len(data) <= size and (piece := file.read(min(2**24, size + 1 - len(data)))):
            data += piece
    if len(data) != size:
        raise DataError(f"{path}: {len(data)} bytes instead of the {size} that its head of {shape} says")
    return np.frombuffer(data, dtype).reshape(shape)
