"""Tables that name images: CSV files, frames, and the metadata beside a folder of images."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from domains.images.data import arrays
from domains.images.data.parts import SPLITS, Found, Item, Row, by_split, is_missing, numbered
from domains.images.pictures import is_array
from zoo.errors import DataError, MissingExtraError, one_line

FILES = ("file_name", "filename", "file", "path", "image_path")
IMAGES = ("image", "img", "images", "picture")
LABELS = ("label", "labels", "class", "category", "target")
CAPTIONS = ("caption", "text", "captions", "prompt")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class Columns(NamedTuple):
    """What the columns of a table are: of images or their files, labels, captions, splits; None for none."""

    image: str
    label: str | None
    caption: str | None
    split: str | None


def columns(names: Sequence[str], labels: str | None, where: str, *, text: bool = False) -> Columns:
    """Finds them by their names; in a table that is all `text`, images can only be files.

    Raises:
        DataError: if there is no column of images, or a doubt about that of labels, or none called `labels`.
    """
    known = {name.strip().lower(): name for name in reversed(names)}
    listed = ", ".join(map(repr, names[:12])) + ", ..." * (len(names) > 12)

    def first(wanted: Sequence[str]) -> str | None:
        return next((known[name] for name in wanted if name in known), None)

    image = first((*FILES, *IMAGES) if text else (*IMAGES, *FILES))
    if image is None:
        raise DataError(
            f"{where}: no column of images or their files among {listed}; call it image or file_name"
        )
    if labels is not None and labels not in names:
        raise DataError(f"{where}: no column {labels!r} for labels=; there are {listed}")
    found = sorted(name for key, name in known.items() if key in LABELS or key.endswith("_label"))
    label = labels or known.get("label")
    if label is None and len(found) > 1:
        raise DataError(
            f"{where}: labels may be in {', '.join(map(repr, found))}; name one: labels=, in a recipe too"
        )
    return Columns(image, label or next(iter(found), None), first(CAPTIONS), first(("split",)))


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
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        separator = max(",;\t|", key=head.count)
        # as text: 007 and NA are names of classes like any other
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ImportError:
        raise MissingExtraError("pyarrow", "images") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{where}: the file is empty") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be read as {kind[1:]}: {one_line(str(error))}") from None


def of_frame(frame: pd.DataFrame, root: Path | None, labels: str | None, where: str) -> Found:
    """The images that the rows of a table hold or name; see `rows`."""
    if frame.empty:
        raise DataError(f"{where}: no rows")
    return Found(where, by_split(rows(frame, root, labels, where)))


def rows(frame: pd.DataFrame, root: Path | None, labels: str | None, where: str) -> list[Row]:
    """What a table says of each image.

    Args:
        frame: with a column of images (of PIL, bytes, arrays, or dicts of bytes and path as the Hub has them)
            or of paths, and perhaps columns of labels, captions and splits.
        root: the folder that paths are relative to, if the table is from a file; None for the current one.
        labels: the column of labels, where there is a doubt.
        where: the table, for messages.

    Raises:
        DataError: if there is no such column, a doubt which one it is, or something else in it.
    """
    if not frame.columns.is_unique:
        raise DataError(f"{where}: two columns are called {frame.columns[frame.columns.duplicated()][0]!r}")
    frame = frame.rename(columns=str)
    found = columns(list(frame.columns), labels, where, text=root is not None)
    images = named(frame[found.image].tolist(), root, f"{where}, column {found.image!r}")
    nothing = [None] * len(frame)
    splits, marks, captions = (
        frame[name].tolist() if name else nothing for name in (found.split, found.label, found.caption)
    )
    known = [SPLITS.get(str(split).strip().lower(), "") for split in splits]
    if any(known) and "" in known:
        raise DataError(
            f"{where}, column {found.split!r}: {str(splits[known.index('')])!r} in data row "
            f"{known.index('') + 1} is neither train, validation nor test"
        )
    unused = [name for name in frame.columns if name not in found]
    if found.label is None and unused:
        some = ", ".join(map(repr, unused[:5]))
        warnings.warn(f"{where}: no labels: none of {some} is taken for them; see labels=", stacklevel=2)
    return [
        Row(*image, split, label, text(caption))
        for image, split, label, caption in zip(images, known, marks, captions, strict=True)
    ]


def text(cell: Any) -> str:
    """A caption as text: the first of several; "" for none."""
    if isinstance(cell, list | tuple | np.ndarray):
        cell = cell[0] if len(cell) else None
    return cell.strip() if isinstance(cell, str) else ""


def named(images: Sequence[object], root: Path | None, where: str) -> list[tuple[Item, str]]:
    """Images of a list or column as a reader's items, and what to call them in messages.

    Raises:
        DataError: if one is no image, or arrays have no one range of values.
    """
    singles: dict[int, np.ndarray] = {}
    for place, image in enumerate(images):
        if is_array(image):
            array, about = arrays.as_numpy(image), f"{where}, place {place + 1}"
            singles[place] = array[..., None] if array.ndim == 2 else arrays.batch(array[None], about)[0]
    pixels = dict(zip(singles, arrays.as_bytes(list(singles.values()), where), strict=True))
    found: list[tuple[Item, str]] = []
    for place, image in enumerate(images):
        try:
            one, name = (pixels[place], "") if place in pixels else item(image, root)
        except TypeError:
            raise DataError(
                f"{where}: {type(image).__name__} in place {place + 1} is no image: give images of PIL, "
                "arrays, bytes of image files, or paths"
            ) from None
        found.append((one, name or numbered(place)))
    return found


def item(image: Any, root: Path | None) -> tuple[Item, str]:
    """An image of a table, or None if it is missing; and its name, "" if it has none.

    Raises:
        TypeError: if it is no image.
    """
    if isinstance(image, dict):  # an image of the Hub: the bytes, or else the file
        path = image.get("path") or ""
        return item(image.get("bytes") or path, root)[0], path
    if is_missing(image) or image == "":
        return None, ""
    if isinstance(image, str | Path):
        path = Path(str(image).replace("\\", "/")).expanduser()
        return (path if root is None else root / path), str(image)
    if isinstance(image, bytes | Image.Image):
        return image, ""
    raise TypeError
