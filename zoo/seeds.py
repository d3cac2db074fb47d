"""Everything random in a training run, as functions of its seed: batches, noise, dropout.

The batch of a step may be made of several equal parts (`Training.parts`). What is drawn for part p of step k
comes from generators seeded by (seed, k, p) alone, so that any number of processes that shares the parts
evenly sees the same ones.
"""

import hashlib

import torch

from zoo import processes
from zoo.domain import Dataset, Training
from zoo.engine.denoiser import Batch


def seed_of(*parts: int | str) -> int:
    """One seed from several numbers and names; any difference gives an unrelated seed.

    >>> seed_of(0, "noise", 1) == seed_of(0, "noise", 1), seed_of(0, "noise", 1) == seed_of(0, "data", 1)
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "little")


def generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A generator on the device, seeded by `seed_of`."""
    return torch.Generator(device).manual_seed(seed_of(*parts))


def stream(training: Training, part: int, *names: int | str) -> tuple[int | str, ...]:
    """What `seed_of` is given for a part; a batch in one piece has no number of a part in its seeds."""
    return (training.seed, *names) if training.parts == 1 else (training.seed, *names, part)


def draw(data: Dataset, training: Training, step: int) -> dict[int, Batch]:
    """The parts of a step's batch that are this process's, by number: functions of (seed, step, number)."""
    size = training.batch_size // training.parts
    return {
        part: data.from_row(step * size, part, training.parts).batch(
            size, generator("cpu", *stream(training, part, "data", step))
        )
        for part in processes.share(training.parts)
    }


def validation_batches(held_out: Dataset, training: Training, part: int = 0) -> list[Batch]:
    """The batches of a part of every validation: a function of the data, the seed and the part's number."""
    order = generator("cpu", *stream(training, part, "validation"))
    size = training.batch_size // training.parts
    return [held_out.batch(size, order) for _ in range(training.validation_batches)]
