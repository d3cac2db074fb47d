"""The training loop of `zoo.train` and `zoo.finetune`, which differ in weights and settings alone.

Everything random in step k comes from generators seeded by (seed, k): see `zoo.seeds`. So the state of a run
is its weights, moments and averages, and a resumed run goes on bit for bit as if it had not stopped (on the
CPU; GPU kernels may sum in another order). Started by torchrun, every process runs this loop: see
`zoo.parallel`.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from zoo import parallel, processes
from zoo.checkpoint import LOG
from zoo.domain import Dataset, Training
from zoo.engine.denoiser import NetworkDenoiser
from zoo.engine.objective import loss_by_level
from zoo.errors import TrainingError
from zoo.progress import Reporter
from zoo.run import Fitted, Run, Saving
from zoo.scale import PLAIN, Scale
from zoo.seeds import draw, generator, validation_batches

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # noise levels t at which a finished model is measured


def fit(
    denoiser: NetworkDenoiser,
    data: Dataset,
    held_out: Dataset,
    training: Training,
    *,
    scale: Scale = PLAIN,
    saving: Saving | None = None,
    board: Path | None = None,
    show: bool = True,
    watch: Callable[[int, NetworkDenoiser], None] | None = None,
) -> Fitted:
    """Trains the denoiser in place and returns the averaged weights with the lowest validation loss.

    The weights at the start count too: on the held-out data the result is never worse than they, unless the
    last are to be kept (`Training.keep`).

    Args:
        denoiser: on the device to train on. Where it is sharded, a copy is trained, and this is moved to the
            CPU.
        data: to train on.
        held_out: to validate on.
        training: the settings.
        scale: how the run is carried out.
        saving: keeps the state on disk; None trains in memory alone.
        board: folder for TensorBoard.
        show: progress on stderr: a bar on a terminal, a line now and then elsewhere.
        watch: called after every validation with the step and a denoiser that has the averaged weights (of
            the last width), to look at and not to change; sharded, if the run is.

    Raises:
        DivergedError: when the loss or the gradient is not finite.
        TrainingError: if `saving.folder` holds the state of another run, or any and `resume` is not set, or
            cannot be written to; if the batch cannot be shared as `training.parts` says.
        KeyboardInterrupt: on Ctrl-C, after the state is saved. SIGTERM raises SystemExit in the same way.
    """
    if len(data) == 0 or len(held_out) == 0:
        which = "train" if len(data) == 0 else "validate"
        raise TrainingError(f"there is nothing to {which} on: the dataset is empty")
    run = Run(denoiser, held_out, training, scale)
    if saving is not None:
        run.begin(saving)
    logs = saving.folder if saving is not None and processes.main() else None
    board, show = (board, show) if processes.main() else (None, False)
    with (
        closing(run),
        Reporter(run.step, training.steps, log=logs and logs / LOG, board=board, show=show) as report,
        _signals(saving is not None) as caught,
        _seeded_globals(run.device),
        ThreadPoolExecutor(1) as ahead,  # the next batch is drawn while the network works on this one
    ):
        last = time.monotonic()
        drawn = ahead.submit(draw, data, training, run.step)
        while True:
            if run.step % training.validate_every == 0 or run.step == training.steps:
                report.validated(run.step, run.validate())
                if watch is not None:
                    watch(run.step, run.averaged)
            if run.step == training.steps:
                return run.fitted()
            batches = drawn.result()
            drawn = ahead.submit(draw, data, training, run.step + 1)
            loss, norm = run.advance(batches)
            report.step(run.step, loss, run.rate, norm)
            if saving is None:
                continue
            due = processes.main() and time.monotonic() - last >= saving.seconds
            # a signal to one process stops all, and the main one's clock is everyone's
            due, interrupted, ended = parallel.total(due, signal.SIGINT in caught, signal.SIGTERM in caught)
            if due or interrupted or ended:
                run.save(saving)
                last = time.monotonic()
            if interrupted or ended:
                report.say(f"stopped after step {run.step} of {training.steps}; resume from {saving.folder}")
                if interrupted:
                    raise KeyboardInterrupt
                raise SystemExit(128 + signal.SIGTERM)


@torch.no_grad()
def measure_by_level(
    denoiser: NetworkDenoiser, held_out: Dataset, training: Training
) -> tuple[tuple[float, float], ...]:
    """Pairs of a noise level t and the diffusion loss there, on the batches of every validation."""
    device = next(denoiser.parameters()).device
    parts = (validation_batches(held_out, training, part) for part in range(training.parts))
    batches = (batch.to(device) for part in parts for batch in part)
    noise = generator("cpu", training.seed, "noise by level")
    losses = loss_by_level(denoiser, batches, noise, LEVELS)
    # JSON knows no infinity, and a checkpoint must not fail for the sake of a figure.
    return tuple((level, loss) for level, loss in losses.items() if math.isfinite(loss))


@contextmanager
def _signals(catch: bool) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying of them; a second one acts at once. Main thread only."""
    caught: list[int] = []
    if not catch or threading.current_thread() is not threading.main_thread():
        yield caught
        return
    old: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        caught.append(number)
        signal.signal(number, old[number])

    for number in old:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _seeded_globals(device: torch.device) -> Iterator[None]:
    """Dropout knows only torch's global generators: seeded at every step, they are put back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
