"""Reading users' images: from folders, tables, packed files, arrays and well-known names to one framing.

    read("photos", Framing(size=64, channels=3))                       # folders in it are the classes
    read("fashion-mnist", Framing(), split="train")                    # by name, from disk or from the Hub
    read((images, labels), Framing())                                  # arrays
    read("data.csv", Framing(), labels="species")                      # a table of file names

Images that cannot be read are listed, not fatal. A source without splits of its own gets one by the content
of the images: about one in ten is for validation, whatever the order of the files and whatever else there is,
and equal images are on the same side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image

from domains.images.data import arrays, folder, known, packed, shards, table
from domains.images.data.cache import framed
from domains.images.data.decode import SUFFIXES
from domains.images.data.labels import encode
from domains.images.data.parts import Found, Part, Row, by_split
from domains.images.pictures import Framing, Pictures, is_array
from zoo import typed
from zoo.errors import DataError, OptionError, one_line
from zoo.hub.connection import AS_USUAL, Hub

__all__ = ["Framing", "Pictures", "read"]


def read(
    source: Any,
    framing: Framing,
    *,
    split: Literal["train", "validation", "test"] | None = None,
    labels: str | None = None,
    cache: Path | None = None,
    hub: Hub = AS_USUAL,
) -> Pictures:
    """Reads images, of any size and mode, into a framing.

    Args:
        source: the path of a folder, a table (CSV, .jsonl, parquet), a packed file (`.npz`, `.npy`, idx) or
            an image; "fashion-mnist", "mnist" or "cifar10", which go before a file that is called so;
            "org/name" of a data set on the Hub, where there is no file or folder that is called so; an
            array or tensor `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`; an image of PIL; a list of images,
            arrays or paths; a pair of any such images and labels; a dict of arrays; a DataFrame with a
            column of images; Pictures.
        framing: what the images are to be like.
        split: None for all images, those of a test split included. A source without any splits is split by
            content; one without a validation split has it carved from its training images in the same way.
            Of two images or more, one is for validation.
        labels: the column of a table that holds the labels, where there is a doubt.
        cache: where decoded pixels are kept if they come from more than 2,000 encoded images or 64 MiB; None
            for `$ZOO_CACHE`, else `~/.cache/diffusion-zoo`.
        hub: how to reach the Hugging Face Hub, for a data set by name.

    Returns:
        the images in the order of the source: of files by path, of tables by row.

    Raises:
        DataError: if there is nothing to read or nothing that can be read, or a doubt what is meant; it says
            where, and what to do.
        OptionError: if a field of `framing` has a value that it cannot have.
        MissingExtraError: without pyarrow, for parquet.
    """
    try:
        typed.to_json(framing)
    except ValueError as error:
        raise OptionError(f"framing: {error}") from None
    found = _find(source, split, labels, hub)
    keys, side = _chosen(found, split)
    codes, classes = encode(found)
    parts = [_pictures(found, key, side, codes[key], framing, cache) for key in keys]
    pixels = [part.pixels for part in parts]
    captions = tuple(caption for part in parts for caption in part.captions)
    return Pictures(
        pixels[0] if len(pixels) == 1 else np.concatenate(pixels),  # one alone may stay on the disk
        np.concatenate([part.labels for part in parts]),
        classes,
        captions if any(captions) else (),
        tuple(line for part in parts for line in part.unreadable),
        found.sources,
    )


def _chosen(found: Found, split: str | None) -> tuple[list[str], str]:
    """The parts that make up a split, and the side of them: "all", "train" or "validation"."""
    own = found.parts
    if split is None:
        return list(own), "all"
    if split in own:
        return [split], "train" if split == "train" and "validation" not in own else "all"
    if split == "validation" and "train" in own:
        return ["train"], "validation"
    if split != "test" and "" in own:
        return [""], split
    there = f"it has {', '.join(own)}" if "" not in own else "it has no splits of its own"
    raise DataError(f"{found.where}: no images for split={split!r}; {there}")


def _pictures(
    found: Found, key: str, side: str, codes: np.ndarray, framing: Framing, cache: Path | None
) -> Pictures:
    """One side of a part, with a caption for each image."""
    part, where = found.parts[key], found.where
    items = part.load()
    if len(codes) not in (0, len(items)):
        raise DataError(f"{where}: {len(codes)} labels for {len(items)} images; give one for each image")
    if not len(items):
        raise DataError(f"{where}: no images")
    pixels, rows, failed = framed(items, framing, side, part.files, key, cache)
    unreadable = tuple(one_line(f"{part.name(index)}: {why}") for index, why in failed)
    if len(failed) == len(items):
        raise DataError(f"{where}: none of {len(items)} images can be read; the first: {unreadable[0]}")
    if side == "train" and not len(rows):
        raise DataError(f"{where}: all images are for validation, by their content; pass more images")
    captions = tuple(part.captions[int(row)] if part.captions else "" for row in rows)
    labels = codes[rows] if len(codes) else np.full(len(rows), -1, np.int64)
    return Pictures(pixels, labels, (), captions, unreadable)


def _find(source: Any, split: str | None, labels: str | None, hub: Hub) -> Found:
    if isinstance(source, pd.DataFrame):
        return table.of_frame(source, None, labels, "the DataFrame")
    path, where = None, str(source) if isinstance(source, str | Path) else f"the {type(source).__name__}"
    if isinstance(source, str | Path) and where not in known.KNOWN:
        if not where.strip():
            raise DataError("an empty path: name a folder or file")
        path = Path(source).expanduser()
        if path.is_dir():
            return folder.of_folder(path, labels, where)
        if path.suffix.lower() in table.SUFFIXES and path.is_file():
            if path.suffix.lower() == ".parquet" and shards.holds_images(path):
                return shards.of_shards([path], labels, where)
            return table.of_frame(table.read_table(path, where), path.parent, labels, where)
    if labels is not None:
        raise DataError(f"labels={labels!r} names a column, but there is no table in this source")
    if path is not None and not path.exists() and known.REPO.fullmatch(where):
        return known.of_repo(where, split, hub)
    if path is not None:
        return _file(path, where)
    if isinstance(source, str | Path):
        return known.of_name(where, split, hub)
    return _in_memory(source, where)


def _file(path: Path, where: str) -> Found:
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, beside, n=1) or get_close_matches(
            where.lower().replace("_", "-"), known.KNOWN, n=1
        )
        raise DataError(
            f"{where}: no such file or folder, nor a data set by name ({', '.join(known.KNOWN)})"
            + "".join(f"; did you mean {name!r}?" for name in near)
        )
    if path.suffix.lower() in (".npz", ".npy"):
        return packed.of_file(path, where)
    if packed.IDX.fullmatch(path.name):
        return packed.of_idx([path], where)
    if path.suffix.lower() in SUFFIXES:
        return Found(where, by_split([Row(path, path.name)]))
    raise DataError(
        f"{where}: not a kind of file that the zoo reads: a folder, {', '.join(table.SUFFIXES)}, .npz, .npy, "
        f"idx files as MNIST has them, or an image ({', '.join(SUFFIXES)}); unpack archives first"
    )


def _in_memory(source: Any, where: str) -> Found:
    if isinstance(source, Pictures):
        items = np.moveaxis(source.pixels, 1, 3)
        part = Part(lambda: items, labels=source.labels, captions=source.captions)
        return Found(where, {"": part}, source.classes, source.sources)
    if isinstance(source, tuple) and len(source) == 2 and is_array(source[0]):
        source = {"images": source[0], "labels": source[1]}
    if is_array(source):
        source = {"images": source}
    if isinstance(source, Mapping):
        members = {str(key): partial(arrays.as_numpy, value) for key, value in source.items()}
        return packed.of_arrays(members, where)
    if isinstance(source, Image.Image | bytes):
        source = [source]
    labels: Sequence[object] = ()
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], list):
        source, labels = source[0], () if source[1] is None else source[1]
    if not isinstance(source, list | tuple):
        raise DataError(
            f"cannot read images from {where}: pass a path, a name, an array, a list of images or a DataFrame"
        )
    part = by_split(Row(*image) for image in table.named(source, None, where)).get("", Part(list))
    return Found(where, {"": replace(part, labels=labels)})
