"""The processes that torchrun starts to work on one job: who they are, and who speaks. No torch here.

A process is told of the others by the environment variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR, MASTER_PORT). Without them it is on its own.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from zoo.errors import TrainingError


def size() -> int:
    """How many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else 1


def rank() -> int:
    """The number of this process among all."""
    return int(os.environ["RANK"]) if size() > 1 else 0


def local_rank() -> int:
    """The number of this process among those of its machine."""
    return int(os.environ["LOCAL_RANK"]) if size() > 1 else 0


def main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def share(parts: int) -> range:
    """The numbers of the parts that this process works on, out of `parts`.

    Raises:
        TrainingError: if the processes cannot share them evenly.
    """
    if parts % size():
        raise TrainingError(
            f"{size()} processes cannot evenly share a batch whose number of parts is {parts}: choose a "
            f"multiple of {size()} (--parts), or start a number of processes that divides {parts}"
        )
    own = parts // size()
    return range(rank() * own, (rank() + 1) * own)


_together = ContextVar("together", default=False)


@contextmanager
def together() -> Iterator[None]:
    """All processes draw the same samples meanwhile, each its share: see `Model.draw`.

    It must be said, since a script may as well let one process draw for itself.
    """
    token = _together.set(True)
    try:
        yield
    finally:
        _together.reset(token)


def share_draws(n: int) -> bool:
    """Whether the draw of n samples is to be shared."""
    return _together.get() and n >= size() > 1


@contextmanager
def one_voice() -> Iterator[None]:
    """What is printed meanwhile is printed by the main process alone; PyTorch's own notes by none."""
    if size() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported
    if main():
        yield
        return
    spoken = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = spoken


def first_to_fail() -> bool:
    """Whether no other process failed before this one: what failed first is what is worth telling.

    The others fail because it has gone. They ask torchrun's own store, which outlives them all.
    """
    if size() == 1:
        return True
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=5),
        )
        return store.add(f"zoo failed in attempt {attempt}", 1) == 1
    except RuntimeError:  # no such store, or gone: better told twice than never
        return True
