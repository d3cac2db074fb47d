"""Seed-stable noise: what member i draws depends on (seed, i) alone, bit for bit.

One CPU generator a member: the draws are the same whatever the batch size, the other members or the
number of processes, and on every device.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor


class NoiseSource(Protocol):
    """Where `sample` draws from: one row of unit Gaussian noise a sample, more at every call."""

    def __len__(self) -> int: ...

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Noise of shape `(len(self), *shape)`."""
        ...


class Members:
    """The noise streams of the members with the given indices under one seed.

    Errors: ValueError if the seed is no whole number, or an index is out of range.

    >>> eight, four = Members(0, range(8)), Members(0, range(4))
    >>> torch.equal(eight.normal((3, 2))[:4], four.normal((3, 2)))
    True
    """

    def __init__(self, seed: int, indices: Iterable[int]):
        try:
            self.seed, self.indices = operator.index(seed), tuple(indices)
        except TypeError:
            raise ValueError(f"a seed is a whole number, not {seed!r}") from None
        if any(not 0 <= i < 2**32 for i in self.indices):
            raise ValueError("member indices must lie in [0, 2**32)")
        # The Mersenne twister keeps 32 bits of its seed. An odd factor maps indices to seeds one to one:
        # no two members of one seed ever share a stream. The hash sets members of different seeds apart.
        offset = int.from_bytes(hashlib.blake2b(str(self.seed).encode(), digest_size=4).digest(), "little")
        self._generators = [
            torch.Generator().manual_seed((offset + i * 0x9E3779B1) % 2**32) for i in self.indices
        ]

    def __len__(self) -> int:
        return len(self.indices)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Unit Gaussian noise of shape `(len(self), *shape)`, on the CPU; each call continues the streams."""
        out = torch.empty(len(self), *shape)
        for row, generator in zip(out, self._generators, strict=True):
            row.normal_(generator=generator)
        return out
