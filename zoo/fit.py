"""The training loop of `zoo.train` and `zoo.finetune`, which differ in weights and settings alone.

Everything random in step k comes from generators seeded by (seed, k): the batch, the noise, dropout. So
the state of a run is its weights, moments and averages, and a resumed run goes on bit for bit as if it
had not stopped (on the CPU; GPU kernels may sum in another order).
"""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoint import LOG, STATE
from zoo.domain import Dataset, Training
from zoo.engine.denoiser import Batch, NetworkDenoiser
from zoo.engine.ema import PowerEMA
from zoo.engine.objective import loss_by_level
from zoo.errors import TrainingError
from zoo.optimizer import Optimizer
from zoo.progress import Reporter
from zoo.state import fingerprint, read_state, write_state

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # noise levels t at which a finished model is measured


@dataclass(frozen=True)
class Saving:
    """Where and how often a run saves its state.

    Attributes:
        folder: holds the state and the log.
        seconds: between two saves: what a kill loses at most. Ctrl-C and SIGTERM save first.
        identity: JSON that must be the same when the run is resumed; so must the first held-out batch.
        resume: continue from the state in `folder`, if there is one.
    """

    folder: Path
    seconds: float
    identity: dict[str, Any]
    resume: bool


@dataclass(frozen=True)
class Fitted:
    """The averaged weights of a run that are kept: see `Training.keep`.

    Attributes:
        tensors: a state dict of the denoiser.
        step: after how many steps.
        loss: their validation loss.
        first: the validation loss of the weights that the run started with.
    """

    tensors: dict[str, Tensor]
    step: int
    loss: float
    first: float


class DivergedError(TrainingError):
    """The loss or the gradient stopped being finite.

    Args:
        message: at which step.
        best: the best weights before that.
    """

    def __init__(self, message: str, best: Fitted) -> None:
        super().__init__(message)
        self.best = best


def fit(
    denoiser: NetworkDenoiser,
    data: Dataset,
    held_out: Dataset,
    training: Training,
    *,
    saving: Saving | None = None,
    board: Path | None = None,
    show: bool = True,
    watch: Callable[[int, NetworkDenoiser], None] | None = None,
) -> Fitted:
    """Trains the denoiser in place and returns the averaged weights with the lowest validation loss.

    The weights at the start count too: on the held-out data the result is never worse than they, unless the
    last are to be kept (`Training.keep`).

    Args:
        denoiser: on the device to train on.
        data: to train on.
        held_out: to validate on.
        training: the settings.
        saving: keeps the state on disk; None trains in memory alone.
        board: folder for TensorBoard.
        show: progress on stderr: a bar on a terminal, a line now and then elsewhere.
        watch: called after every validation with the step and a denoiser that has the averaged weights (of
            the last width), to look at and not to change.

    Raises:
        DivergedError: when the loss or the gradient is not finite.
        TrainingError: if `saving.folder` holds the state of another run, or any and `resume` is not set.
        KeyboardInterrupt: on Ctrl-C, after the state is saved. SIGTERM raises SystemExit in the same way.
    """
    if len(data) == 0 or len(held_out) == 0:
        which = "train" if len(data) == 0 else "validate"
        raise TrainingError(f"there is nothing to {which} on: the dataset is empty")
    run = _Run(denoiser, held_out, training)
    if saving is not None:
        run.begin(saving)
    logs = saving.folder if saving is not None else None
    with (
        Reporter(run.step, training.steps, log=logs and logs / LOG, board=board, show=show) as report,
        _signals(saving is not None) as caught,
        _seeded_globals(denoiser),
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
                return run.best
            batch = drawn.result()
            drawn = ahead.submit(draw, data, training, run.step + 1)
            loss, norm = run.advance(batch)
            report.step(run.step, loss, run.rate, norm)
            if saving is not None and (caught or time.monotonic() - last >= saving.seconds):
                run.save(saving)
                last = time.monotonic()
            if caught and saving is not None:
                report.say(f"stopped after step {run.step} of {training.steps}; resume from {saving.folder}")
                if caught[0] == signal.SIGINT:
                    raise KeyboardInterrupt
                raise SystemExit(128 + caught[0])


def draw(data: Dataset, training: Training, step: int) -> Batch:
    """The batch of a step: a function of the data, the seed and the step alone."""
    return data.batch(training.batch_size, generator("cpu", training.seed, "data", step))


def validation_batches(held_out: Dataset, training: Training) -> list[Batch]:
    """The batches of every validation: a function of the data and the seed alone."""
    order = generator("cpu", training.seed, "validation")
    return [held_out.batch(training.batch_size, order) for _ in range(training.validation_batches)]


@torch.no_grad()
def measure_by_level(
    denoiser: NetworkDenoiser, held_out: Dataset, training: Training
) -> tuple[tuple[float, float], ...]:
    """Pairs of a noise level t and the diffusion loss there, on the batches of every validation."""
    device = next(denoiser.parameters()).device
    batches = [batch.to(device) for batch in validation_batches(held_out, training)]
    noise = generator("cpu", training.seed, "noise by level")
    losses = loss_by_level(denoiser, batches, noise, LEVELS)
    # JSON knows no infinity, and a checkpoint must not fail for the sake of a figure.
    return tuple((level, loss) for level, loss in losses.items() if math.isfinite(loss))


def learning_rate(step: int, training: Training) -> float:
    """The learning rate of optimiser step `step`, counted from 0: linear warm-up, then a cosine to zero.

    >>> settings = Training(steps=100, lr=1.0, warmup=0.1)
    >>> [round(learning_rate(k, settings), 3) for k in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = round(training.warmup * training.steps)
    if step < warm:
        return training.lr * (step + 1) / warm
    return training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(training.steps - warm, 1)))


def seed_of(*parts: int | str) -> int:
    """One seed from several numbers and names; any difference gives an unrelated seed.

    >>> seed_of(0, "noise", 1) == seed_of(0, "noise", 1), seed_of(0, "noise", 1) == seed_of(0, "data", 1)
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "little")


def generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A generator on the device, seeded by `seed_of`."""
    return torch.Generator(device).manual_seed(seed_of(*parts))


class _Run:
    """The moving parts of a run; `state` and `load` are all that a resume needs."""

    def __init__(self, denoiser: NetworkDenoiser, held_out: Dataset, training: Training) -> None:
        self.denoiser, self.training = denoiser.train(), training
        self.device = next(denoiser.parameters()).device
        self.optimizer = Optimizer(denoiser, training)
        self.ema = PowerEMA(denoiser, training.ema_widths)
        self.averaged = deepcopy(denoiser).eval()  # holds averaged weights while they are validated
        self.held_out = validation_batches(held_out, training)
        self.step = 0
        self.rate = 0.0
        self.best = Fitted({}, 0, math.inf, math.inf)

    def advance(self, batch: Batch) -> tuple[float, float]:
        """One optimiser step; returns the loss and the gradient's norm before clipping."""
        training, k = self.training, self.step
        torch.manual_seed(seed_of(training.seed, "dropout", k))
        self.optimizer.zero_grad()
        noise = generator(self.device, training.seed, "noise", k)
        loss = self.denoiser.loss(batch.to(self.device), noise).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), training.clip)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise DivergedError(
                f"training diverged at step {k + 1}: the loss is {loss.item():.4g}, the gradient's norm "
                f"{norm.item():.4g}; lower the learning rate, or look for extreme values in the data",
                self.best,
            )
        self.rate = learning_rate(k, training)
        self.optimizer.step(self.rate)
        self.step += 1
        self.ema.update(self.step)
        return loss.item(), norm.item()

    @torch.no_grad()
    def validate(self) -> float:
        """Validates the averages of every width, keeps the best or the last, returns the lowest loss."""
        candidates = [self.denoiser.state_dict()] if self.step == 0 else list(self.ema.averages.values())
        losses = []
        for tensors in candidates:
            self.averaged.load_state_dict(tensors)
            noise = generator(self.device, self.training.seed, "validation noise")
            per_item = [self.averaged.loss(batch.to(self.device), noise) for batch in self.held_out]
            losses.append(torch.cat(per_item).mean().item())
        lowest = min(losses)
        if not math.isfinite(lowest) and self.step == 0:
            raise TrainingError(
                f"the loss on held-out data is {lowest} at the start: look for extreme values"
            )
        last = self.training.keep == "last" and math.isfinite(lowest)
        if last or lowest < self.best.loss:  # a NaN compares false
            chosen = candidates[losses.index(lowest)]
            kept = {name: t.detach().clone() for name, t in chosen.items()}
            self.best = Fitted(kept, self.step, lowest, lowest if self.step == 0 else self.best.first)
        return lowest

    def begin(self, saving: Saving) -> None:
        """Resumes from the state on disk, or makes sure that there is none."""
        path = saving.folder / STATE
        if not path.is_file():
            saving.folder.mkdir(parents=True, exist_ok=True)
            return
        if not saving.resume:
            raise TrainingError(
                f"{saving.folder}: holds an unfinished run; resume it, or choose another folder"
            )
        tree = read_state(path)
        if difference := _difference(tree["identity"], self._identity(saving)):
            raise TrainingError(
                f"{saving.folder}: cannot resume: the run there had other data or settings; {difference}"
            )
        self.denoiser.load_state_dict(tree["weights"])
        self.optimizer.load_state_dict(tree["optimizer"])
        self.ema.load_state_dict(tree["ema"])
        self.step = tree["step"]
        best = tree["best"]
        on_device = {name: t.to(self.device) for name, t in best["tensors"].items()}
        self.best = Fitted(on_device, best["step"], best["loss"], best["first"])

    def _identity(self, saving: Saving) -> dict[str, Any]:
        first = self.held_out[0]
        return saving.identity | {"sha256 of held-out data": fingerprint([first.x, first.cond, first.mask])}

    def save(self, saving: Saving) -> None:
        """Writes the state, in one piece."""
        tree = {
            "identity": self._identity(saving),
            "step": self.step,
            "weights": self.denoiser.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "best": {
                "tensors": self.best.tensors,
                "step": self.best.step,
                "loss": self.best.loss,
                "first": self.best.first,
            },
        }
        write_state(saving.folder / STATE, tree)


def _difference(old: Any, new: Any, where: str = "") -> str:
    """The first place where two JSON trees differ, with both values; "" if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        found = (_difference(old[key], new[key], f"{where}.{key}" if where else key) for key in old)
        return next((text for text in found if text), "")
    return "" if old == new else f"{where}: {old} there, {new} here"


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
def _seeded_globals(denoiser: NetworkDenoiser) -> Iterator[None]:
    """Dropout knows only torch's global generators: seeded at every step, they are put back at the end."""
    device = next(denoiser.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
