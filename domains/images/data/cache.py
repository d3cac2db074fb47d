"""Decoded pixels on disk, so that decoding does not starve training: written once, then mapped into memory.

An entry is a folder named by a hash of what it was made from. It holds plain `.npy` files, one for each side
of a split, so that no side is copied into memory, and `index.json`, whose first line is the hash of the rest.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from domains.images.data.decode import frame_all
from domains.images.data.parts import Items, Part
from domains.images.data.pictures import Framing
from domains.images.data.splits import held_out, is_held_out

FORMAT = 1  # changes whenever the same files would give other pixels
MANY = 2000  # images from which on they are cached
LARGE = 2**26  # bytes of the encoded files, likewise
BLOCK = 2**24


@dataclass(frozen=True, eq=False)
class Side:
    """Framed images.

    Attributes:
        pixels: `(N, channels, size, size)`, uint8.
        rows: `(N,)`, their indices in the part.
    """

    pixels: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Framed:
    """The images of a part.

    Attributes:
        sides: under "train" and "validation" if the part was carved, else under "all".
        unreadable: indices in the part, and why.
    """

    sides: Mapping[str, Side]
    unreadable: Sequence[tuple[int, str]]


def framed(part: Part, framing: Framing, carve: bool, cache: Path | None) -> Framed:
    """All images of a part in a framing, from the cache if they are many and encoded.

    Where no cache can be written, they are decoded into memory.

    Args:
        part: what to decode.
        framing: what the images are to be like.
        carve: split them into training and validation.
        cache: the folder of the cache; None for `$ZOO_CACHE`, else `~/.cache/diffusion-zoo`.
    """
    items = part.load()
    if isinstance(items, np.ndarray) and items.shape[1:] == (framing.size, framing.size, framing.channels):
        pixels = np.ascontiguousarray(np.moveaxis(items, 3, 1))
        return _in_memory(pixels, np.arange(len(pixels)), [], carve)
    files = [_state(path) for path in part.files]
    if files and (len(items) > MANY or sum(size for _, size, _ in files) > LARGE):
        key = json.dumps([FORMAT, asdict(framing), carve, part.key, files])
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        home = cache or os.environ.get("ZOO_CACHE") or Path("~", ".cache", "diffusion-zoo")
        entry = Path(home).expanduser() / "images" / name
        found = _load(entry, framing) or _write(entry, items, framing, carve)
        if found is not None:
            return found
    pixels = np.empty((len(items), framing.channels, framing.size, framing.size), np.uint8)
    rows: list[int] = []

    def put(index: int, image: np.ndarray) -> None:
        pixels[len(rows)] = image
        rows.append(index)

    unreadable = frame_all(items, framing, put)
    return _in_memory(pixels[: len(rows)], np.array(rows, np.int64), unreadable, carve)


def _in_memory(
    pixels: np.ndarray, rows: np.ndarray, unreadable: list[tuple[int, str]], carve: bool
) -> Framed:
    if not carve:
        return Framed({"all": Side(pixels, rows)}, unreadable)
    held = held_out(pixels)
    sides = {"train": Side(pixels[~held], rows[~held]), "validation": Side(pixels[held], rows[held])}
    return Framed(sides, unreadable)


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: its name, size and time. Two folders never share an entry."""
    try:
        about = path.stat()
    except OSError:
        return str(path.absolute()), -1, 0
    return str(path.absolute()), about.st_size, about.st_mtime_ns


def _load(entry: Path, framing: Framing) -> Framed | None:
    """The entry, if there is one that is whole."""
    try:
        digest, _, text = (entry / "index.json").read_text().partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return None
        index = json.loads(text)
        sides = {}
        for name, about in index["sides"].items():
            # copy on write: whoever changes pixels in place changes their own copy alone
            pixels = np.asarray(np.load(entry / f"{name}.npy", mmap_mode="c", allow_pickle=False))
            rows = np.array(about["rows"], np.int64)
            shape = (len(rows), framing.channels, framing.size, framing.size)
            if pixels.shape != shape or pixels.dtype != np.uint8 or _checksum(pixels) != about["crc32"]:
                return None
            sides[name] = Side(pixels, rows)
        return Framed(sides, [(row, why) for row, why in index["unreadable"]])
    except (OSError, ValueError, EOFError):
        return None


def _checksum(pixels: np.ndarray) -> int:
    """Reads all of it, which also warms the system's own cache."""
    flat, crc = pixels.reshape(-1), 0
    for start in range(0, len(flat), BLOCK):
        crc = zlib.crc32(flat[start : start + BLOCK].data, crc)
    return crc


class _Rows:
    """An `.npy` file that grows by one image at a time."""

    def __init__(self, file: BinaryIO, framing: Framing, most: int) -> None:
        self.rows: list[int] = []
        self.crc = 0
        self._file = file
        self._shape = (framing.channels, framing.size, framing.size)
        self._header(most)

    def _header(self, count: int) -> None:
        about = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, about)

    def add(self, index: int, image: np.ndarray) -> None:
        data = image.tobytes()
        self._file.write(data)
        self.crc = zlib.crc32(data, self.crc)
        self.rows.append(index)

    def finish(self) -> None:
        """Writes the true count. NumPy leaves room for that: every header has space for 21 digits of it."""
        self._file.seek(0)
        self._header(len(self.rows))


def _write(entry: Path, items: Items, framing: Framing, carve: bool) -> Framed | None:
    """Decodes into an entry, which appears as a whole; None where nothing can be written."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    except OSError:
        return None
    try:
        _fill(new, items, framing, carve)
        new.chmod(0o755)  # temporary folders are private
        shutil.rmtree(entry, ignore_errors=True)  # damaged, or else there would be no need to write
        new.rename(entry)
        return _load(entry, framing)
    except OSError:
        return _load(entry, framing)  # the disk is full, or another process was faster
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(folder: Path, items: Items, framing: Framing, carve: bool) -> None:
    names = ("train", "validation") if carve else ("all",)
    with ExitStack() as stack:
        sides = {
            name: _Rows(stack.enter_context(open(folder / f"{name}.npy", "wb")), framing, len(items))
            for name in names
        }

        def put(index: int, image: np.ndarray) -> None:
            sides[names[carve and is_held_out(image)]].add(index, image)

        unreadable = frame_all(items, framing, put)
        for side in sides.values():
            side.finish()
    about = {name: {"rows": side.rows, "crc32": side.crc} for name, side in sides.items()}
    text = json.dumps({"sides": about, "unreadable": unreadable})
    (folder / "index.json").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
