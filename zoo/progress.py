"""What a training run tells while it goes on: a bar or log lines on stderr, a CSV file, TensorBoard."""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from zoo.errors import MissingExtraError, TrainingError

COLUMNS = ["step", "loss", "validation", "lr", "gradient", "seconds"]
EVERY = 10  # steps that one row of the log averages over
QUIET_SECONDS = 15.0  # between two lines where there is no terminal


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, on a terminal alone; yields what is called with the number that are done."""
    console = Console(file=sys.stderr)
    with Progress(
        TextColumn(f"[bold]{what}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


class Reporter:
    """Follows one run from `start` to `steps`; use it as a context manager.

    Args:
        start: the step at which the run starts or resumes; later rows of an existing log are dropped.
        steps: the step at which it ends.
        log: the CSV file; None writes none.
        board: the folder for TensorBoard; None writes none.
        show: on stderr, a bar on a terminal and lines elsewhere.

    Raises:
        MissingExtraError: if `board` is given and TensorBoard is not installed.
    """

    def __init__(self, start: int, steps: int, *, log: Path | None, board: Path | None, show: bool) -> None:
        self._steps = steps
        self._show = show
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if self._show and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]train"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("train", total=steps, completed=start, text="")
        self._rows = _open_log(log, start) if log is not None else None
        self._writer = _open_board(board, start) if board is not None else None
        self._start, self._began, self._spoke = start, time.monotonic(), time.monotonic()
        self._losses: list[float] = []
        self._loss = self._validation = float("nan")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._rows is not None:
            with suppress(OSError):  # every row was flushed, or its error raised
                self._rows.close()
        if self._writer is not None:
            self._writer.close()

    def step(self, step: int, loss: float, lr: float, gradient: float) -> None:
        """Tells of optimiser step number `step`, counted from 1."""
        self._losses.append(loss)
        if step % EVERY and step != self._steps:
            return
        self._loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self._write(step, loss=self._loss, lr=lr, gradient=gradient)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=self._text(step))
        elif self._show and (time.monotonic() - self._spoke > QUIET_SECONDS or step == self._steps):
            self.say(f"step {step}/{self._steps}  {self._text(step)}")

    def validated(self, step: int, validation: float) -> None:
        """Tells of a validation after `step` steps."""
        self._validation = validation
        self._write(step, validation=validation)

    def say(self, text: str) -> None:
        """One line on stderr, above the bar if there is one."""
        if self._show:
            self._spoke = time.monotonic()
            self._console.print(text, highlight=False, markup=False)

    def _text(self, step: int) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        speed = (step - self._start) / seconds
        text = f"loss {self._loss:.4f}  validation {self._validation:.4f}  {speed:.1f} steps/s"
        return (
            text if self._bar is not None else f"{text}  {(self._steps - step) / max(speed, 1e-9):.0f} s left"
        )

    def _write(self, step: int, **values: float) -> None:
        seconds = time.monotonic() - self._began
        if self._rows is not None:
            row = {"step": step, "seconds": f"{seconds:.2f}"}
            row |= {name: f"{v:.6g}" for name, v in values.items()}
            try:
                csv.DictWriter(self._rows, COLUMNS).writerow(row)
                self._rows.flush()
            except OSError as error:
                raise TrainingError(
                    f"{self._rows.name}: the log cannot be written: {error.strerror}"
                ) from error
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


def say(text: str) -> None:
    """One line on stderr, where no run is going on."""
    Console(file=sys.stderr).print(text, highlight=False, markup=False, soft_wrap=True)


def _open_log(path: Path, start: int):
    """Opens the log for appending, without the rows that a resumed run is about to write again."""
    rows = []
    if start > 0 and path.is_file():
        with path.open(newline="") as file:
            # The validation at `start` itself is repeated, the step that led there is not.
            rows = [
                row
                for row in csv.DictReader(file)
                if int(row["step"]) < start or (row["loss"] and int(row["step"]) == start)
            ]
    try:
        file = path.open("w", newline="")
    except OSError as error:
        raise TrainingError(f"{path}: the log cannot be written: {error.strerror}") from error
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return file


def _open_board(folder: Path, start: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    return SummaryWriter(str(folder), purge_step=start)
