"""Folders that are replaced as a whole, and files that are read with care. No torch here."""

import glob
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from zoo.errors import OptionError


def read_bytes(path: Path, most: int) -> bytes:
    """A file's bytes.

    Raises:
        OSError: if there is no such file, if it is no regular one (a device would never end, a pipe would
            wait), or if it has more than `most` bytes.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(0, "no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"larger than {most} bytes")
    return data


def replace(folder: Path, files: Mapping[str, bytes], *, keep: str) -> None:
    """Makes a folder hold these files: it is complete, as it was before, or absent if it was.

    Args:
        folder: absent, or to be replaced.
        files: by name.
        keep: a folder inside the old one that the new one gets too, if it is there.
    """
    recover(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            _write_through(new / name, data)
        # temporary folders are private
        new.chmod(stat.S_IMODE(folder.stat().st_mode) if folder.exists() else 0o755)
        if (folder / keep).is_dir():
            shutil.copytree(folder / keep, new / keep)
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def recover(folder: Path) -> bool:
    """Puts the old folder back that a `replace` left aside when it was killed between two renames.

    Returns:
        Whether the folder is there now.
    """
    if folder.exists():
        return True
    pattern = f".{glob.escape(folder.name)}.*.old/{glob.escape(folder.name)}"
    if not any(folder.parent.glob(pattern)):
        return False
    time.sleep(0.2)  # a `replace` that is alive is done by then
    for old in () if folder.exists() else sorted(folder.parent.glob(pattern)):
        old.rename(folder)
        old.parent.rmdir()
        break
    return folder.exists()


def _swap(new: Path, folder: Path) -> None:
    """Puts `new` in the place of `folder`; if that fails, the old one is put back."""
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent)) / folder.name
    try:
        folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
    finally:
        if folder.exists():
            shutil.rmtree(old.parent, ignore_errors=True)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file that appears as a whole, in a folder that is made if need be.

    Raises:
        OptionError: if it cannot be written there.
    """
    new = path.parent / f".{path.name}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_through(new, data)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise OptionError(f"{path}: cannot be written: {why}; pass another file") from None
