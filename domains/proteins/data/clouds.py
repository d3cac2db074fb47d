"""Plain clouds of points: .npz, .xyz and .ply."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from domains.proteins.chain import Cloud
from zoo.errors import DataError
from zoo.folders import read_bytes

SUFFIXES = (".npz", ".xyz", ".ply")
LARGEST = 1_000_000_000  # bytes of a file
KINDS = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


def read_clouds(path: Path) -> list[Cloud]:
    """The clouds of a file.

    `.npz`: `points`, (points, 3) or (clouds, points, 3), perhaps with `offsets` as in the packed sets.
    `.xyz`: a point in each line, or XMol's: a count, a comment, and as many lines of an element and a point.
    `.ply`: x, y and z of the vertices, as text or binary.

    Raises:
        DataError: if the file cannot be read so; it says why.
    """
    try:
        found = {".npz": _npz, ".xyz": _xyz, ".ply": _ply}[path.suffix.lower()](path)
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name}: cannot be read as {path.suffix[1:]}: {error}") from None
    names = [path.name] if len(found) == 1 else [f"{path.name}, {i + 1}" for i in range(len(found))]
    return [Cloud(points, name) for points, name in zip(found, names, strict=True)]


def packed(coords: np.ndarray, offsets: np.ndarray, where: str) -> list[np.ndarray]:
    """The parts of a packed set: part i is `coords[offsets[i] : offsets[i + 1]]`.

    Raises:
        DataError: if the offsets do not rise from 0 to the number of rows.
    """
    rising = (
        offsets.ndim == 1
        and len(offsets) > 1
        and offsets.dtype.kind in "iu"
        and (np.diff(offsets) >= 0).all()
    )
    if not rising or offsets[0] != 0 or offsets[-1] != len(coords):
        raise DataError(f"{where}: offsets must rise from 0 to the number of rows, {len(coords)}")
    return [coords[a:b] for a, b in pairwise(offsets)]


def numbers(array: np.ndarray, what: str, where: str) -> np.ndarray:
    """The array, as real numbers.

    Raises:
        DataError: if it holds others, text or none.
    """
    if array.dtype.kind not in "fiu" or not array.ndim:
        raise DataError(f"{where}: {what} are {array.dtype} of shape {array.shape}; real numbers are wanted")
    with np.errstate(over="ignore"):  # what is too large is not finite
        return array.astype(np.float32)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except Exception as error:  # of zipfile, zlib and numpy
        raise DataError(f"{path.name}: cannot be read: {error}") from None


def _npz(path: Path) -> list[np.ndarray]:
    arrays = arrays_of(path)
    if "points" not in arrays:
        raise DataError(f"{path.name}: an array called points is wanted; there are {', '.join(arrays)}")
    points = numbers(arrays["points"], "points", path.name)
    if "offsets" in arrays:
        return packed(points, arrays["offsets"], path.name)
    return list(points) if points.ndim == 3 else [points]


def _xyz(path: Path) -> list[np.ndarray]:
    text = read_bytes(path, LARGEST).decode("utf-8-sig")
    rows = [re.split(r"[\s,;]+", line.strip()) for line in text.splitlines()]
    at = _next(rows, 0)
    if at == len(rows):
        raise ValueError("it is empty")
    if len(rows[at]) > 1:
        plain = (i for i, row in enumerate(rows) if row[0] and not row[0].startswith("#"))
        return [np.array([_point(rows, i, 0) for i in plain])]
    found = []
    while at < len(rows):
        if len(rows[at]) != 1 or not rows[at][0].isdecimal():
            raise ValueError(f"line {at + 1}: how many points follow is wanted, not {' '.join(rows[at])!r}")
        first, count = at + 2, int(rows[at][0])
        if not 1 <= count <= len(rows) - first:
            raise ValueError(f"line {at + 1} promises {count} points, but {max(len(rows) - first, 0)} follow")
        found.append(np.array([_point(rows, i, 1) for i in range(first, first + count)]))
        at = _next(rows, first + count)
    return found


def _next(rows: list[list[str]], at: int) -> int:
    """The place of the next line, from `at` on, that is neither empty nor a comment."""
    while at < len(rows) and (not rows[at][0] or rows[at][0].startswith("#")):
        at += 1
    return at


def _point(rows: list[list[str]], at: int, first: int) -> list[float]:
    """x, y and z of a line, from its word `first` on."""
    try:
        x, y, z = map(float, rows[at][first : first + 3])
    except ValueError:
        wanted = "an element, x, y and z are" if first else "x, y and z are"
        raise ValueError(f"line {at + 1}: {wanted} wanted, not {' '.join(rows[at])!r}") from None
    return [x, y, z]


def _ply(path: Path) -> list[np.ndarray]:
    head, mark, body = read_bytes(path, LARGEST).partition(b"end_header")
    if not head.startswith(b"ply") or not mark:
        raise ValueError("it has no header of ply")
    body = body.partition(b"\n")[2]
    order, elements = "", []
    for words in (line.split() for line in head.decode("ascii", "replace").splitlines()):
        if words[:1] == ["format"]:
            order = ORDERS[words[1]]
        elif words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append((words[-1], words[1]))
    if not elements or elements[0][0] != "vertex":
        raise ValueError("the first element must be vertex")
    _, count, properties = elements[0]
    names = [name for name, _ in properties]
    if not {"x", "y", "z"} <= set(names) or any(kind == "list" for _, kind in properties):
        raise ValueError(f"a vertex must have x, y and z and no lists; it has {', '.join(names)}")
    if not order:
        columns = [names.index(axis) for axis in "xyz"]
        lines = body.decode().splitlines()[:count]
        return [np.array([[line.split()[i] for i in columns] for line in lines], float).reshape(-1, 3)]
    kind = np.dtype([(name, order + KINDS[of]) for name, of in properties])
    vertices = np.frombuffer(body, kind, count)
    return [np.stack([vertices[axis].astype(float) for axis in "xyz"], 1)]
