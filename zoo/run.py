"""The moving parts of a training run: one step, one validation, the state."""

import math
import warnings
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import parallel, processes
from zoo.checkpoint import STATE
from zoo.domain import Dataset, Training
from zoo.engine.denoiser import Batch, NetworkDenoiser
from zoo.engine.ema import PowerEMA
from zoo.errors import TrainingError
from zoo.optimizer import Optimizer
from zoo.scale import Scale, compiled, forwards, recomputed
from zoo.seeds import generator, seed_of, stream, validation_batches
from zoo.state import fingerprint, read_state, write_state


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


class Run:
    """The moving parts of a run; what `save` writes is all that `begin` needs to go on from there.

    With several processes, each works on its share of the parts of every batch, and all of them hold the same
    weights, moments and averages, whole or sharded.

    Raises:
        TrainingError: if the batch cannot be cut into its parts, or the parts not shared by the processes.
    """

    def __init__(
        self, denoiser: NetworkDenoiser, held_out: Dataset, training: Training, scale: Scale
    ) -> None:
        if training.batch_size % training.parts:
            raise TrainingError(
                f"a batch of {training.batch_size} items cannot be cut into {training.parts} equal parts"
            )
        parts = processes.share(training.parts)
        self.training, self.scale = training, scale
        self.device = next(denoiser.parameters()).device
        parallel.join(self.device)
        sharded = scale.shard and processes.size() > 1
        if sharded:  # FSDP2 replaces the parameters, and what is whole need not fill a GPU
            denoiser = deepcopy(denoiser.to("cpu"))
        self.denoiser = denoiser.train()
        self.averaged = deepcopy(denoiser).eval()  # holds averaged weights while they are validated
        if sharded:
            self.loss = parallel.shard(self.denoiser, self.device)
            self.judge = parallel.shard(self.averaged, self.device)
        else:
            self.loss, self.judge = parallel.replicate(self.denoiser), parallel.Loss(self.averaged)
        self.optimizer = Optimizer(self.denoiser, training)
        self.ema = PowerEMA(self.denoiser, training.ema_widths)
        first = validation_batches(held_out, training)[0]  # whatever parts are this process's
        self.fingerprint = fingerprint([first.x, first.cond, first.mask])
        self.held_out = {part: validation_batches(held_out, training, part) for part in parts}
        self.step = 0
        self.rate = 0.0
        self.best = Fitted({}, 0, math.inf, math.inf)
        self.recomputed, self.compiled = ExitStack(), ExitStack()
        if scale.recompute:
            self.recomputed.enter_context(forwards(parallel.blocks(self.denoiser), recomputed))
        if scale.compile:
            whole = self.denoiser.children()  # a loss may call parts of the network alone: the blocks as well
            self.compiled.enter_context(forwards([*whole, *parallel.blocks(self.denoiser)], compiled))

    def close(self) -> None:
        """Gives the denoiser its own forward passes back."""
        self.compiled.close()
        self.recomputed.close()

    def advance(self, batches: dict[int, Batch]) -> tuple[float, float]:
        """One optimiser step on the parts of its batch that are this process's, by number.

        Returns:
            The loss of the whole batch, and the norm of its gradient before clipping.
        """
        training, k = self.training, self.step
        try:
            own = self._differentiate(batches)
        except Exception as error:  # compilers fail in any way; an error of another cause comes again below
            if not self.scale.compile:
                raise
            warnings.warn(f"training goes on without torch.compile, which failed: {error}", stacklevel=2)
            self.scale = replace(self.scale, compile=False)
            self.compiled.close()
            own = self._differentiate(batches)
        clipped = parallel.whole(torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), training.clip))
        self.rate = learning_rate(k, training)
        self.optimizer.step(self.rate)
        own, norm = torch.stack([own, clipped]).tolist()  # the one time in a step that a GPU is waited for
        loss = parallel.total(own)[0] / processes.size()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(
                f"training diverged at step {k + 1}: the loss is {loss:.4g}, the gradient's norm "
                f"{norm:.4g}; lower the learning rate, or look for extreme values in the data",
                self.fitted(),
            )
        self.step += 1
        self.ema.update(self.step)
        return loss, norm

    def _differentiate(self, batches: dict[int, Batch]) -> Tensor:
        """Leaves the whole batch's gradient in the parameters; returns the mean loss of the own parts."""
        training, k, last = self.training, self.step, max(batches)
        self.optimizer.zero_grad()
        mean = torch.zeros((), device=self.device)
        for part, batch in batches.items():
            torch.manual_seed(seed_of(*stream(training, part, "dropout", k)))
            noise = generator(self.device, *stream(training, part, "noise", k))
            with parallel.waiting(self.loss, part == last):
                with torch.autocast(self.device.type, torch.bfloat16, self.scale.precision == "bf16"):
                    loss = self.loss(batch.to(self.device), noise).mean() / len(batches)
                loss.backward()
            mean = mean + loss.detach()
        parallel.reshard(self.loss)
        return mean

    @torch.no_grad()
    def validate(self) -> float:
        """Validates the averages of every width, keeps the best or the last, returns the lowest loss."""
        candidates = [self.denoiser.state_dict()] if self.step == 0 else list(self.ema.averages.values())
        own = []
        for tensors in candidates:
            self.averaged.load_state_dict(tensors)
            per_item = []
            for part, batches in self.held_out.items():
                noise = generator(self.device, *stream(self.training, part, "validation noise"))
                per_item += [self.judge(batch.to(self.device), noise) for batch in batches]
            own.append(torch.cat(per_item).mean().item())
            parallel.reshard(self.judge)
        losses = [loss / processes.size() for loss in parallel.total(*own)]
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

    def fitted(self) -> Fitted:
        """The best or the last so far, with whole tensors."""
        return replace(self.best, tensors={k: parallel.whole(t) for k, t in self.best.tensors.items()})

    def begin(self, saving: Saving) -> None:
        """Resumes from the state on disk, or makes sure that there is none."""
        path = saving.folder / STATE
        if not path.is_file():
            if processes.main():
                try:
                    saving.folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise TrainingError(f"{saving.folder}: cannot be made: {error.strerror}") from error
        elif not saving.resume:
            raise TrainingError(
                f"{saving.folder}: holds an unfinished run; resume it, or choose another folder"
            )
        else:
            self._load(read_state(path), saving)
        if parallel.total(self.step)[0] != self.step * processes.size():
            raise TrainingError(
                f"{saving.folder}: not every process finds the same state there; the folder must be shared"
            )

    def _load(self, tree: dict[str, Any], saving: Saving) -> None:
        if difference := _difference(tree["identity"], self._identity(saving)):
            raise TrainingError(
                f"{saving.folder}: cannot resume: the run there had other data or settings; {difference}"
            )
        mine, averages, best = self.denoiser.state_dict(), self.ema.state_dict(), tree["best"]
        self.denoiser.load_state_dict(_alike(tree["weights"], mine))
        self.optimizer.load_state_dict(tree["optimizer"])
        self.ema.load_state_dict(_alike(tree["ema"], averages))
        self.step = tree["step"]
        self.best = Fitted(_alike(best["tensors"], mine), best["step"], best["loss"], best["first"])

    def _identity(self, saving: Saving) -> dict[str, Any]:
        return saving.identity | {"sha256 of held-out data": self.fingerprint}

    def save(self, saving: Saving) -> None:
        """Writes the state, in one piece.

        Every process takes part, and the main one writes whole tensors: one format serves any number of
        processes. `torch.distributed.checkpoint` writes in parallel, but its table of contents is a pickle,
        or, with safetensors, it holds tensors alone; and many files cannot replace others at one stroke.
        """
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
        tree = parallel.collected(tree)
        if processes.main():
            write_state(saving.folder / STATE, tree)


def _alike(tensors: dict[str, Tensor], patterns: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: parallel.like(t, patterns.get(name, t)) for name, t in tensors.items()}


def _difference(old: Any, new: Any, where: str = "") -> str:
    """The first place where two JSON trees differ, with both values; "" if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        found = (_difference(old[key], new[key], f"{where}.{key}" if where else key) for key in old)
        return next((text for text in found if text), "")
    return "" if old == new else f"{where}: {old} there, {new} here"
