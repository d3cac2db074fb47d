"""How a run is carried out, and a draw: what no recipe says, and what changes rounding alone."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from zoo.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a run is carried out.

    Attributes:
        shard: every process keeps a part of the weights, gradients, moments and averages (FSDP2) in place of
            all of them (DDP); the same for one process.
        precision: "bf16" computes losses and gradients in mixed precision (`torch.autocast`); weights,
            moments, averages and validation stay in single precision.
        recompute: the blocks that repeat keep no activations, and run again for the gradient: less memory,
            about a third more time.
        compile: network and encoder, and the blocks that repeat, by `torch.compile`; where that fails, a
            warning, and as they are.

    Raises:
        OptionError: if a value is none of these.
    """

    shard: bool = False
    precision: Literal["float32", "bf16"] = "float32"
    recompute: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bf16"):
            raise OptionError(f"precision must be 'float32' or 'bf16', not {self.precision!r}")


PLAIN = Scale()


def recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward pass that keeps its inputs alone."""
    return partial(checkpoint, forward, use_reentrant=False)


def compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward pass by `torch.compile`, with the dropout that it has without."""
    return torch.compile(forward, options={"fallback_random": True})


def compiled_if_it_can(call: Callable[..., Any]) -> Callable[..., Any]:
    """A pass by `torch.compile`, each shape on its own; where that fails, a warning, and as it was."""
    current = torch.compile(call, dynamic=False)

    def run(*args: Any) -> Any:
        nonlocal current
        chosen = current
        try:
            return chosen(*args)
        except Exception as error:  # compilers fail in any way; an error of another cause comes again here
            if chosen is call:
                raise
            found = call(*args)
            warnings.warn(f"drawing goes on without torch.compile, which failed: {error}", stacklevel=2)
            current = call
            return found

    return run


@contextmanager
def forwards(modules: Iterable[nn.Module], change: Callable[..., Any]) -> Iterator[None]:
    """The modules' forward passes changed meanwhile; names and weights stay as they are."""
    before = [(module, vars(module).get("forward")) for module in modules]
    try:
        for module, _ in before:
            module.forward = change(module.forward)
        yield
    finally:
        for module, forward in before:
            if forward is None:
                vars(module).pop("forward", None)
            else:  # another change stands around this one
                module.forward = forward
