"""Folders: images in folders of splits and classes, perhaps with a table of labels; shards; packed files."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from domains.images.data import packed, shards, table
from domains.images.data.decode import SUFFIXES
from domains.images.data.parts import SPLITS, Found, Part, named
from zoo.errors import DataError

TABLES = ("metadata", "labels")


def of_folder(root: Path, labels: str | None, where: str) -> Found:
    """Whatever images a folder holds.

    Folders called train, validation (or val) and test at the top are splits. In the folder or a split, the
    first level of folders gives the labels; a single such folder gives none. A file metadata or labels (.csv,
    .parquet, .jsonl) in the folder or a split gives labels and captions by file name.

    Args:
        root: the folder.
        labels: the column of labels in that file, where there is a doubt.
        where: the folder, for messages.

    Raises:
        DataError: if there is no image in it, or a doubt about what is.
    """
    files = _walk(root, where)
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if images:
        return _of_images(root, files, images, labels, where)
    parquet = [
        root / path for path in files if path.suffix.lower() == ".parquet" and path.stem.lower() not in TABLES
    ]
    if parquet:
        return shards.of_shards(parquet, labels, where)
    idx = [root / path for path in files if packed.is_idx_images(path.name)]
    arrays = [root / path for path in files if path.suffix.lower() in (".npz", ".npy")]
    if idx:
        return packed.of_idx(idx, where)
    if len(arrays) == 1:
        return packed.of_file(arrays[0], where)
    if arrays:
        raise DataError(f"{where}: several files of arrays; name one, such as {arrays[0]}")
    there = f"only files such as {files[0]}" if files else "it is empty"
    raise DataError(f"{where}: no images in this folder, {there}; the zoo reads {', '.join(SUFFIXES)}")


def _walk(root: Path, where: str) -> list[PurePosixPath]:
    """All files below a folder, sorted; links are followed, but no folder twice; hidden ones are left out."""
    found: list[PurePosixPath] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=_raise(where), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        base = Path(folder).relative_to(root)
        found += [PurePosixPath((base / name).as_posix()) for name in names if not name.startswith(".")]
    return sorted(found)


def _raise(where: str):
    def refuse(error: OSError) -> None:
        raise DataError(f"{where}: cannot be read: {error.strerror}: {error.filename}")

    return refuse


def _of_images(
    root: Path, files: Sequence[PurePosixPath], images: list[PurePosixPath], labels: str | None, where: str
) -> Found:
    splits = _splits(images)
    tables = [path for path in files if _is_table(path, splits)]
    if labels is not None and not tables:
        raise DataError(
            f"{where}: labels= names a column, but no labels.csv or metadata.csv is in this folder"
        )
    rows: dict[PurePosixPath, _Row] = {}
    for path in tables:
        rows |= _rows(root, path, images, labels)
    listed = [_Image(path, rows.get(path, NO_ROW), splits) for path in sorted({*images, *rows})]
    groups: dict[str, list[_Image]] = {}
    for image in listed:
        groups.setdefault(image.split, []).append(image)
    if "" in groups and len(groups) > 1:
        raise DataError(
            f"{where}: {groups[''][0].path} is in no split, others are in {', '.join(sorted(groups)[1:])}; "
            "move it into one of their folders"
        )
    by_table = any(row.has_label for row in rows.values())
    by_folder = not by_table and len({image.folder for image in listed}) > 1
    captioned = any(row.caption for row in rows.values())

    def part(group: list[_Image]) -> Part:
        paths = [root / image.path for image in group]
        return Part(
            lambda: paths,
            named([str(image.path) for image in group]),
            [image.folder if by_folder else image.row.label for image in group]
            if by_folder or by_table
            else (),
            [image.row.caption for image in group] if captioned else (),
            paths,
        )

    return Found(where, {split: part(group) for split, group in groups.items()})


def _splits(images: Sequence[PurePosixPath]) -> dict[str, str]:
    """Folders at the top that are splits: if one is for training, or if there is nothing else."""
    tops = {path.parts[0] for path in images if len(path.parts) > 1}
    splits = {top: SPLITS[top.lower()] for top in sorted(tops) if top.lower() in SPLITS}
    flat = any(len(path.parts) == 1 for path in images)
    return splits if "train" in splits.values() or (len(splits) == len(tops) and not flat) else {}


def _is_table(path: PurePosixPath, splits: Mapping[str, str]) -> bool:
    """Whether a file says something of the images: metadata or labels, in the folder or a split's."""
    if path.stem.lower() not in TABLES or path.suffix.lower() not in table.SUFFIXES:
        return False
    return len(path.parts) == 1 or (len(path.parts) == 2 and path.parts[0] in splits)


@dataclass(frozen=True)
class _Row:
    """What a table says of one image."""

    label: object
    caption: str
    split: str
    has_label: bool


NO_ROW = _Row(None, "", "", False)


def _rows(
    root: Path, path: PurePosixPath, images: Sequence[PurePosixPath], labels: str | None
) -> dict[PurePosixPath, _Row]:
    """The rows of a table by the image that each is about, which may be given by its bare name."""
    where = str(root / path)
    frame = table.read_table(root / path, where).rename(columns=str)
    found = table.columns(list(frame.columns), labels, where, text=True)
    names = Counter(image.name for image in images)
    alone = {image.name: image for image in images if names[image.name] == 1}
    known, rows = set(images), {}
    for cell in frame.to_dict("records"):
        name = str(cell[found.image]).replace("\\", "/")
        place = PurePosixPath(os.path.normpath(path.parent / name))
        rows[place if place in known else alone.get(name, place)] = _Row(
            cell[found.label] if found.label else None,
            table.caption(cell[found.caption]) if found.caption else "",
            table.split(cell[found.split]) if found.split else "",
            found.label is not None,
        )
    return rows


@dataclass(frozen=True)
class _Image:
    """A file, or one that a table names."""

    path: PurePosixPath
    row: _Row
    splits: Mapping[str, str]

    @property
    def split(self) -> str:
        """The split: that of its folder, else what the table says; "" for none."""
        return self.splits.get(self.path.parts[0], self.row.split)

    @property
    def folder(self) -> str | None:
        """The first level of folders, within the split."""
        parts = self.path.parts[:-1]
        parts = parts[1:] if parts and parts[0] in self.splits else parts
        return parts[0] if parts else None
