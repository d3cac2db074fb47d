"""Data beyond memory: rows in shards, local or on the Hub, of which a window at a time is in memory.

    zoo.train("images", zoo.Shards("photos/train-*.parquet"))
    zoo.train("images", zoo.Shards("hf://datasets/org/name/data/train-*.parquet"))

A window is a run of row groups of a parquet file, or a whole tar file as webdataset writes them: a table
that the domain reads as it reads any DataFrame. An epoch goes through all windows in an order of its own,
and batches are drawn from the rows of one at a time. Which window that is, is a function of seed, step and
part: so a run may stop anywhere, and any number of processes sees the same batches and shares the reading.
"""

import tarfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from itertools import accumulate
from os import PathLike
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from zoo import processes
from zoo.domain import Dataset
from zoo.engine.denoiser import Batch
from zoo.errors import DataError, MissingExtraError, OptionError, one_line
from zoo.seeds import generator

if TYPE_CHECKING:  # a third of a second, which training without shards does without
    import pandas

KINDS = (".parquet", ".tar")
AT_ONCE = 16  # files whose index is read at the same time
# what members of a webdataset's sample are called, and the columns that they become
MEMBERS = {
    **dict.fromkeys(("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"), "image"),
    **dict.fromkeys(("cls", "label"), "label"),
    **dict.fromkeys(("txt", "text", "caption"), "caption"),
}


class Window(NamedTuple):
    """Rows that are in memory together: row groups `first` to `last` of a parquet file, or a whole tar."""

    path: str
    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Shards:
    """Files of rows.

    Attributes:
        paths: of .parquet or .tar files, or patterns of such; also addresses that fsspec knows, such as
            hf://datasets/org/name/train-*.parquet.
        rows: of a window, at least (a file may have fewer). In memory are two windows for each part of a
            batch that a process works on, and one more; all others wait on the disk, or on the Hub.
    """

    paths: str | PathLike[str] | Sequence[str | PathLike[str]]
    rows: int = 4096

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise OptionError(f"rows must be at least 1, not {self.rows}")

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """All windows, in the order of the files; what the files say of themselves is read for that.

        Raises:
            DataError: if there are no such files, one is damaged, or they have different columns.
            MissingExtraError: without pyarrow.
        """
        found = self._found()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            indexed = list(pool.map(_indexed, found, [self.rows] * len(found)))
        names = indexed[0][0]
        for path, (own, _) in zip(found, indexed, strict=True):
            if own != names:
                raise DataError(
                    f"{path}: has the columns {', '.join(own)}; {found[0]} has {', '.join(names)}"
                )
        windows = tuple(window for _, own in indexed for window in own if window.rows)
        if not windows:
            raise DataError(f"{found[0]}{f' and {len(found) - 1} more' * (len(found) > 1)}: no rows")
        return windows

    def __len__(self) -> int:
        """Rows in all."""
        return sum(window.rows for window in self.windows)

    def read(self, window: Window) -> "pandas.DataFrame":
        """The rows of a window.

        Raises:
            DataError: if they cannot be read.
        """
        import pandas

        with _opened(window.path) as file:
            if window.path.endswith(".tar"):
                return pandas.DataFrame(list(_samples(file)))
            return _parquet(file).read_row_groups(list(range(window.first, window.last))).to_pandas()

    def first(self) -> "pandas.DataFrame":
        """The first window: what statistics, classes and validation are of."""
        return self.read(self.windows[0])

    def _found(self) -> list[str]:
        from fsspec.core import url_to_fs

        given = [self.paths] if isinstance(self.paths, str | PathLike) else list(self.paths)
        paths = []
        for one in map(str, given):
            try:
                fs, inner = url_to_fs(one)
                own = sorted(
                    path if "://" not in one else fs.unstrip_protocol(path) for path in fs.glob(inner)
                )
            except (OSError, ValueError, ImportError) as error:
                raise DataError(f"{one}: {one_line(str(error))}") from None
            if not own:
                raise DataError(f"{one}: no such file, and none of that pattern")
            paths += own
        if not paths:
            raise DataError("no shards: name files or a pattern of such")
        for path in paths:
            if PurePosixPath(path).suffix not in KINDS:
                raise DataError(f"{path}: shards are {' or '.join(KINDS)} files")
        return paths


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """A file, local or remote; errors of reading are ours."""
    import fsspec

    try:
        with fsspec.open(path) as file:
            yield file
    except (OSError, ValueError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(str(error))}") from None


def _parquet(file: Any) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtraError("pyarrow", "images") from None
    return ParquetFile(file)


def _indexed(path: str, rows: int) -> tuple[list[str], list[Window]]:
    """The columns of a file, and its windows."""
    with _opened(path) as file:
        if path.endswith(".tar"):
            with tarfile.open(fileobj=file) as tar:
                keys = [PurePosixPath(member.name) for member in tar if member.isfile()]
            columns = {_column(key) for key in keys} - {""}
            return sorted(columns), [Window(path, 0, 1, len({_key(key) for key in keys if _column(key)}))]
        about = _parquet(file)
        groups = [about.metadata.row_group(i).num_rows for i in range(about.num_row_groups)]
        windows, first = [], 0
        for last in range(1, len(groups) + 1):
            own = sum(groups[first:last])
            if own >= rows or last == len(groups):
                windows.append(Window(path, first, last, own))
                first = last
        return about.schema_arrow.names, windows


def _column(member: PurePosixPath) -> str:
    return MEMBERS.get(member.name.partition(".")[2].lower(), "")


def _key(member: PurePosixPath) -> str:
    """What the members of one sample have in common."""
    return str(member.parent / member.name.partition(".")[0])


def _samples(file: Any) -> Iterator[dict[str, Any]]:
    """The samples of a webdataset's tar: of a picture, its label, its caption."""
    sample: dict[str, Any] = {}
    last = None
    with tarfile.open(fileobj=BytesIO(file.read())) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            column = _column(path)
            if not member.isfile() or not column:
                continue
            if sample and _key(path) != last:
                yield sample
                sample = {}
            last = _key(path)
            content = tar.extractfile(member).read()  # pyright: ignore[reportOptionalMemberAccess] (a file)
            sample[column] = content if column == "image" else content.decode().strip()
    if sample:
        yield sample


class Streamed(Dataset):
    """Batches of shards.

    Args:
        shards: the rows.
        make: a window's rows to a dataset of them.
        seed: of the order of the windows.
    """

    def __init__(self, shards: Shards, make: "Callable[[pandas.DataFrame], Dataset]", seed: int) -> None:
        self.shards, self.make, self.seed = shards, make, seed
        self.sources = make(shards.first()).sources
        self._order = lru_cache(4)(self._drawn)
        # of each (part, parts): the epoch that was last asked for, and its first row
        self._reached: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept: OrderedDict[Window, Future[Dataset]] = OrderedDict()
        self._reading = ThreadPoolExecutor(1)

    def __len__(self) -> int:
        return len(self.shards)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        return self.from_row(0).batch(size, generator)

    def from_row(self, row: int, part: int = 0, parts: int = 1) -> Dataset:
        if len(self.shards.windows) < parts:
            raise DataError(
                f"{parts} parts of a batch each read windows of their own, and there are "
                f"{len(self.shards.windows)}: take fewer parts, or windows of fewer rows"
            )
        now, ahead = self._of(row, part, parts)
        keep = 2 * len(processes.share(parts)) + 1  # of each part of this process, its own and the one behind
        found = self._loading(now)
        self._loading(ahead)
        while len(self._kept) > keep:
            self._kept.popitem(last=False)
        return found.result()

    def _loading(self, window: Window) -> "Future[Dataset]":
        if window not in self._kept:
            self._kept[window] = self._reading.submit(lambda: self.make(self.shards.read(window)))
        self._kept.move_to_end(window)
        return self._kept[window]

    def _of(self, row: int, part: int, parts: int) -> tuple[Window, Window]:
        """The window that a row of a part lies in, and the one behind."""
        epoch, start, order = self._epoch(row, part, parts)
        i = bisect_right([*accumulate(window.rows for window in order)], row - start)
        return order[i], (order[i + 1 :] or self._order(epoch + 1)[part::parts])[0]

    def _epoch(self, row: int, part: int, parts: int) -> tuple[int, int, list[Window]]:
        """The epoch of a part that a row lies in, its first row, and its windows.

        From the last one that was asked for on, so that a long run does not walk through all of its epochs.
        """
        epoch, start = self._reached.get((part, parts), (0, 0))
        if row < start:
            epoch, start = 0, 0
        while True:
            order = self._order(epoch)[part::parts]
            rows = sum(window.rows for window in order)
            if row < start + rows:
                self._reached[part, parts] = epoch, start
                return epoch, start, order
            epoch, start = epoch + 1, start + rows

    def _drawn(self, epoch: int) -> list[Window]:
        windows = self.shards.windows
        places = torch.randperm(len(windows), generator=generator("cpu", self.seed, "windows", epoch))
        return [windows[int(place)] for place in places]
