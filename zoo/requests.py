"""What `zoo sample`, `zoo evaluate` and `zoo data` ask of a domain: the fields are the commands' options.

A domain subclasses a request to add options. `data` is read, and every other path is written. No torch is
imported here, so that help stays quick.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

T = TypeVar("T")


def option(default: T, help: str) -> T:  # typed as the default, like dataclasses.field
    """A field of a request that is also an option of the command line, with its help text."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """What `zoo sample` asks of every domain.

    Attributes:
        in_folder: whether `out` is a folder, into which the domain writes files.
    """

    in_folder: ClassVar[bool] = False

    data: Path | None = option(None, "Condition on this file: a forecast of its series, say.")
    out: Path | None = option(None, "Write the samples to this file.")
    plot: Path | None = option(None, "Draw the samples into this picture (.png, .svg or .pdf).")
    n: int = option(16, "How many samples.")
    seed: int = option(0, "Member i depends on (seed, i) alone.")
    steps: int | None = option(None, "Steps of the sampler. [default: the model's own]")
    sampler: str | None = option(None, "Name of the sampler. [default: the model's own]")
    guidance: float | None = option(None, "Weight of classifier-free guidance. [default: the model's own]")


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What `zoo data` asks of every domain that makes data."""

    out: Path | None = option(None, "Write the data to this file. [default: the domain's own name for it]")
    seed: int = option(0, "The data are a function of it.")


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What `zoo evaluate` asks of every domain."""

    data: Path | None = option(None, "Evaluate on this file. [default: the domain's own evaluation]")
    seed: int = option(0, "Seed of the samples.")
