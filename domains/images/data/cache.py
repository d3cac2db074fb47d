"""Framed images, kept on disk if there are many, so that decoding does not starve training.

An entry is a folder named by a hash of what it was made from. It holds the bare pixels of each side of a
split in a file of its own, so that none is copied into memory, and `index.json`, whose first line is the
hash of the rest.
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

import numpy as np

from domains.images.data.decode import frame_all
from domains.images.data.parts import Items
from domains.images.pictures import Framing

FORMAT = 2  # changes whenever the same files would give other pixels, or entries look otherwise
MANY = 2000  # images from which on they are cached
LARGE = 2**26  # bytes of the encoded files, likewise
BLOCK = 2**24
ONE_IN = 10  # images without a split of their own are for validation

# Pixels (N, channels, size, size), uint8; the index of each in the source; the index of each that cannot be
# read, and why.
Framed = tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]


def framed(
    items: Items, framing: Framing, side: str, files: Sequence[Path], key: str, cache: Path | None
) -> Framed:
    """Images in a framing, from the cache if they are many and encoded, and if it can be written.

    Args:
        side: "train" or "validation" of a split by content, or "all".
        files: what the images are read from; empty if they are in memory.
        key: tells them from others in the same files.
    """
    shape = (framing.channels, framing.size, framing.size)
    if isinstance(items, np.ndarray) and items.shape[1:] == (*shape[1:], shape[0]):
        return _sided(np.ascontiguousarray(np.moveaxis(items, 3, 1)), np.arange(len(items)), side, [])
    states = [_state(path) for path in files]
    if files and (len(items) > MANY or sum(size for _, size, _ in states) > LARGE):
        sides = ("all",) if side == "all" else ("train", "validation")
        about = json.dumps([FORMAT, asdict(framing), sides, key, states])
        home = cache or os.environ.get("ZOO_CACHE") or Path("~", ".cache", "diffusion-zoo")
        entry = Path(home).expanduser() / "images" / hashlib.sha256(about.encode()).hexdigest()[:32]
        if (found := _load(entry, side, shape)) is None:
            _write(entry, items, framing, sides)
            found = _load(entry, side, shape)
        if found is not None:
            return found
    pixels = np.empty((len(items), *shape), np.uint8)
    rows: list[int] = []

    def put(index: int, image: np.ndarray) -> None:
        pixels[len(rows)] = image
        rows.append(index)

    unreadable = frame_all(items, framing, put)
    return _sided(pixels[: len(rows)], np.array(rows, np.int64), side, unreadable)


def _sided(pixels: np.ndarray, rows: np.ndarray, side: str, unreadable: list[tuple[int, str]]) -> Framed:
    """The images of a side. Of two or more, one is always for validation: of few, chance may choose none."""
    if side == "all":
        return pixels, rows, unreadable
    digests = [_digest(image) for image in pixels]
    held = np.array([digest % ONE_IN == 0 for digest in digests], bool)
    if len(held) > 1 and not held.any():
        held = np.array([digest == min(digests) for digest in digests])
    chosen = held if side == "validation" else ~held
    return pixels[chosen], rows[chosen], unreadable


def side_of(image: np.ndarray) -> str:
    """The side of an image `(channels, size, size)`, uint8, without a split of its own.

    Its own pixels decide, in the framing of the model: neither the order of the files nor other images
    matter, and equal images are on the same side.
    """
    return "train" if _digest(image) % ONE_IN else "validation"


def _digest(image: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "big")


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: its name, size and time. Two folders never share an entry."""
    try:
        about = path.stat()
    except OSError:
        return str(path.absolute()), -1, 0
    return str(path.absolute()), about.st_size, about.st_mtime_ns


def _load(entry: Path, side: str, shape: tuple[int, ...]) -> Framed | None:
    """One side of an entry, if that is there and whole."""
    try:
        digest, _, text = (entry / "index.json").read_text().partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return None
        index = json.loads(text)
        rows = np.array(index["rows"][side], np.int64)
        pixels = np.empty((0, *shape), np.uint8)  # which cannot be mapped
        if len(rows):
            # copy on write: whoever changes pixels in place changes their own copy alone
            pixels = np.asarray(np.memmap(entry / side, np.uint8, "c", shape=(len(rows), *shape)))
        flat, crc = pixels.reshape(-1), 0
        for start in range(0, len(flat), BLOCK):  # which also warms the system's own cache
            crc = zlib.crc32(flat[start : start + BLOCK].data, crc)
        return (pixels, rows, index["unreadable"]) if crc == index["crc32"][side] else None
    except (OSError, ValueError):
        return None


def _write(entry: Path, items: Items, framing: Framing, sides: Sequence[str]) -> None:
    """Decodes into an entry, which appears as a whole."""
    with suppress(OSError):  # there is no such place, the disk is full, or another process was faster
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{entry.name}.", dir=entry.parent) as new:
            if not _fill(Path(new), items, framing, sides):
                return
            os.chmod(new, 0o755)  # temporary folders are private
            rmtree(entry, ignore_errors=True)  # damaged, or else there would be no need to write
            os.rename(new, entry)


def _fill(folder: Path, items: Items, framing: Framing, sides: Sequence[str]) -> bool:
    """Whether there is an image for validation: of few, chance may choose none, and `_sided` must."""
    rows: dict[str, list[int]] = {side: [] for side in sides}
    crc = dict.fromkeys(sides, 0)
    with ExitStack() as stack:
        files = {side: stack.enter_context(open(folder / side, "wb")) for side in sides}

        def put(index: int, image: np.ndarray) -> None:
            side, data = side_of(image) if len(sides) > 1 else sides[0], image.tobytes()
            files[side].write(data)
            crc[side] = zlib.crc32(data, crc[side])
            rows[side].append(index)

        unreadable = frame_all(items, framing, put)
    text = json.dumps({"rows": rows, "crc32": crc, "unreadable": unreadable})
    (folder / "index.json").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    return len(sides) == 1 or bool(rows["validation"]) or len(rows["train"]) < 2
