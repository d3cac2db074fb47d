"""Tables that name images: CSV files, frames, and the metadata beside a folder of images."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from domains.images.data import arrays
from domains.images.data.parts import SPLITS, Found, Item, Part, named, numbered
from zoo.errors import DataError, MissingExtraError, one_line

FILES = ("file_name", "filename", "file", "path", "image_path")
IMAGES = ("image", "img", "images", "picture")
LABELS = ("label", "labels", "class", "category", "target")
CAPTIONS = ("caption", "text", "captions", "prompt")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are: of images or their files, labels, captions, splits; None for none."""

    image: str
    label: str | None
    caption: str | None
    split: str | None


def columns(names: Sequence[str], labels: str | None, where: str, *, text: bool = False) -> Columns:
    """Finds them by their names.

    Args:
        names: of all columns.
        labels: the column of labels, where there is a doubt.
        where: the table, for messages.
        text: whether the table is all text, so that images can only be files.

    Raises:
        DataError: if there is no column of images, or a doubt about that of labels, or none called `labels`.
    """
    known = {name.strip().lower(): name for name in reversed(names)}

    def first(wanted: Sequence[str]) -> str | None:
        return next((known[name] for name in wanted if name in known), None)

    image = first((*FILES, *IMAGES) if text else (*IMAGES, *FILES))
    if image is None:
        raise DataError(
            f"{where}: no column of images or their files among {_listed(names)}; call it image or file_name"
        )
    if labels is not None and labels not in names:
        raise DataError(f"{where}: no column {labels!r} for labels=; there are {_listed(names)}")
    label = labels or known.get("label")
    if label is None:
        found = [name for key, name in known.items() if key in LABELS or key.endswith("_label")]
        if len(found) > 1:
            raise DataError(f"{where}: labels may be in {_listed(sorted(found))}; choose with labels=")
        label = found[0] if found else None
    return Columns(image, label, first(CAPTIONS), first(("split",)))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:12])
    return shown + ", ..." * (len(names) > 12)


def read_table(path: Path, where: str) -> pd.DataFrame:
    """The rows of a file, all of it text if it is a CSV.

    Raises:
        DataError: if it cannot be read.
        MissingExtraError: without pyarrow, for parquet.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind == ".jsonl":
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
        separator = max(",;\t|", key=head.count)
        if not next(csv.reader([head], delimiter=separator), []):
            raise DataError(f"{where}: the file is empty")
        # as text: 007 and NA are names of classes like any other
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ImportError:
        raise MissingExtraError("pyarrow", "images") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be read as {kind[1:]}: {one_line(str(error))}") from None


def of_frame(frame: pd.DataFrame, root: Path | None, labels: str | None, where: str) -> Found:
    """The images that the rows of a table hold or name.

    Args:
        frame: with a column of images (of PIL, bytes, arrays, or dicts of bytes and path as the Hub has them)
            or of paths, and perhaps columns of labels, captions and splits.
        root: the folder that paths are relative to, if the table is from a file; None for the current one.
        labels: the column of labels, where there is a doubt.
        where: the table, for messages.

    Raises:
        DataError: if there is no row, no such column, or something else in it.
    """
    if frame.empty:
        raise DataError(f"{where}: no rows")
    if not frame.columns.is_unique:
        raise DataError(f"{where}: two columns are called {frame.columns[frame.columns.duplicated()][0]!r}")
    frame = frame.rename(columns=str)
    found = columns(list(frame.columns), labels, where, text=root is not None)
    splits = np.array([split(cell) for cell in frame[found.split]] if found.split else [""] * len(frame))
    if (splits == "").any() and (splits != "").any():
        row = int((splits == "").argmax())
        raise DataError(
            f"{where}, column {found.split!r}: {str(frame[found.split].iloc[row])!r} in data row {row + 1} "
            "is neither train, validation nor test"
        )
    parts = {
        str(name): _part(frame.loc[splits == name], found, root, where) for name in dict.fromkeys(splits)
    }
    return Found(where, parts)


def split(cell: object) -> str:
    """The split that a cell names; "" for none."""
    return SPLITS.get(str(cell).strip().lower(), "")


def _part(frame: pd.DataFrame, found: Columns, root: Path | None, where: str) -> Part:
    images = frame[found.image].tolist()
    items, names = listed(images, root, f"{where}, column {found.image!r}")
    return Part(
        lambda: items,
        named(names),
        frame[found.label].tolist() if found.label else (),
        [caption(cell) for cell in frame[found.caption]] if found.caption else (),
        files(items),
    )


def files(items: Sequence[Item]) -> list[Path]:
    """The files of images that are nothing else; a missing one counts as a file that never changes."""
    paths: list[Path] = []
    for one in items:
        if not isinstance(one, Path | None):
            return []
        paths.append(one or Path(os.devnull))
    return paths


def caption(cell: object) -> str:
    """A caption as text: the first of several; "" for none."""
    if isinstance(cell, list | tuple | np.ndarray):
        cell = cell[0] if len(cell) else None
    return cell.strip() if isinstance(cell, str) else ""


def listed(images: Sequence[object], root: Path | None, where: str) -> tuple[list[Item], list[str]]:
    """Images of a list or column as a reader's items, and their names.

    Raises:
        DataError: if one is no image, or arrays have no one range of values.
    """
    places = [place for place, image in enumerate(images) if arrays.is_array(image)]
    singles = [arrays.single(arrays.as_numpy(images[n]), f"{where}, place {n + 1}") for n in places]
    pixels = dict(zip(places, arrays.scaled(singles, where), strict=True))
    items: list[Item] = []
    names: list[str] = []
    for place, image in enumerate(images):
        one, name = (pixels[place], "") if place in pixels else item(image, root)
        if one is None and not _is_missing(image):
            raise DataError(
                f"{where}: {type(image).__name__} in place {place + 1} is no image: give images of PIL, "
                "arrays, bytes of image files, or paths"
            )
        items.append(one)
        names.append(name or numbered(place))
    return items, names


def item(image: object, root: Path | None) -> tuple[Item, str]:
    """An image of a table, or None if it is none or missing; and its name, "" if it has none."""
    if isinstance(image, dict):  # an image of the Hub: the bytes, or else the file
        data, path = image.get("bytes"), image.get("path")
        return item(data or path, root)[0], str(path or "")
    if isinstance(image, str | Path) and str(image):
        path = Path(str(image).replace("\\", "/")).expanduser()
        return (path if root is None else root / path), str(image)
    if isinstance(image, bytes | Image.Image):
        return image, ""
    return None, ""


def _is_missing(image: object) -> bool:
    if isinstance(image, dict):
        return not image.get("bytes") and not image.get("path")
    return image is None or image is pd.NA or image == "" or (isinstance(image, float) and image != image)
