"""Folders: images in folders of splits and classes, perhaps with a table of labels; shards; packed files."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from domains.images.data import packed, shards, table
from domains.images.data.decode import SUFFIXES
from domains.images.data.parts import SPLITS, Found, Row, by_split
from zoo.errors import DataError

TABLES = ("metadata", "labels")

Paths = Sequence[PurePosixPath]  # within the folder


def of_folder(root: Path, labels: str | None, where: str) -> Found:
    """Whatever images a folder holds.

    Folders called train, validation (or val) and test at the top are splits. In the folder or a split, the
    first level of folders gives the labels; a single such folder gives none. A file metadata or labels (.csv,
    .parquet, .jsonl) in the folder or a split gives labels and captions by file name.

    Raises:
        DataError: if there is no image in it, or a doubt about what is.
    """
    files = _walk(root, where)

    def ending(*suffixes: str) -> list[PurePosixPath]:
        return [path for path in files if path.suffix.lower() in suffixes]

    if images := ending(*SUFFIXES):
        return _of_images(root, images, ending(*table.SUFFIXES), labels, where)
    if parquet := [root / path for path in ending(".parquet") if path.stem.lower() not in TABLES]:
        return shards.of_shards(parquet, labels, where)
    if idx := [root / path for path in files if packed.IDX.fullmatch(path.name)]:
        return packed.of_idx(idx, where)
    arrays = [root / path for path in ending(".npz", ".npy")]
    if len(arrays) == 1:
        return packed.of_file(arrays[0], where)
    if arrays:
        raise DataError(f"{where}: several files of arrays; name one, such as {arrays[0]}")
    there = f"only files such as {files[0]}" if files else "it is empty"
    raise DataError(f"{where}: no images in this folder, {there}; the zoo reads {', '.join(SUFFIXES)}")


def _walk(root: Path, where: str) -> list[PurePosixPath]:
    """All files below a folder, sorted; links are followed, but no folder twice; hidden ones are left out."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{where}: cannot be read: {error.strerror}: {error.filename}")

    found: list[PurePosixPath] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        base = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [base / name for name in names if not name.startswith(".")]
    return sorted(found)


def _of_images(root: Path, images: Paths, tables: Paths, labels: str | None, where: str) -> Found:
    splits = _splits(images)
    places = (".", *splits)  # where a table may lie
    tables = [path for path in tables if path.stem.lower() in TABLES and str(path.parent) in places]
    if labels is not None and not tables:
        raise DataError(f"{where}: labels= names a column, but no labels.csv or metadata.csv is here")
    said: dict[PurePosixPath, Row] = {}
    for path in tables:
        said |= _said(root, path, images, labels)
    rows: list[Row] = []
    classes: list[str] = []
    for path in sorted({*images, *said}):
        first, second = (*path.parts[:-1], "", "")[:2]
        row = said.get(path, Row(None, ""))
        split = splits.get(first, row.split)
        rows.append(row._replace(item=root / path, name=str(path), split=split))
        classes.append(second if first in splits else first)
    lost = next((row for row in rows if not row.split), None)
    if lost and (others := sorted({row.split for row in rows} - {""})):
        raise DataError(
            f"{where}: {lost.name} is in no split, others are in {', '.join(others)}; move it into one of "
            "their folders"
        )
    if len(set(classes)) > 1 and all(row.label is None for row in rows):
        rows = [row._replace(label=label) for row, label in zip(rows, classes, strict=True)]
    return Found(where, by_split(rows))


def _splits(images: Paths) -> dict[str, str]:
    """Folders at the top that are splits: if one is for training, or if there is nothing else."""
    tops = {path.parts[0] for path in images if len(path.parts) > 1}
    splits = {top: SPLITS[top.lower()] for top in sorted(tops) if top.lower() in SPLITS}
    flat = any(len(path.parts) == 1 for path in images)
    return splits if "train" in splits.values() or (len(splits) == len(tops) and not flat) else {}


def _said(root: Path, path: PurePosixPath, images: Paths, labels: str | None) -> dict[PurePosixPath, Row]:
    """The rows of a table by the image that each is about, which may be given by its bare name."""
    where = str(root / path)
    count = Counter(image.name for image in images)
    alone = {image.name: image for image in images if count[image.name] == 1}
    known, said = set(images), {}
    for row in table.rows(table.read_table(root / path, where), root, labels, where):
        name = row.name.replace("\\", "/")
        place = PurePosixPath(os.path.normpath(path.parent / name))
        said[place if place in known else alone.get(name, place)] = row
    return said
