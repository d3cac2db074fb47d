"""Frames: axes by which a chain, and each of its residues, is seen in the same way however it is turned."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

P = ParamSpec("P")
R = TypeVar("R")
HALF = torch.bfloat16
REACH = 4  # residues each way that a residue sees in its frame


def in_full(function: Callable[P, R]) -> Callable[P, R]:
    """In single precision under bf16 autocast, too: of coordinates, three digits are not enough."""

    @wraps(function)
    def full(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(one.device.type for one in args if isinstance(one, Tensor))
        whole: Any = [one.float() if isinstance(one, Tensor) and one.dtype == HALF else one for one in args]
        with torch.autocast(device, enabled=False):
            return function(*whole, **kwargs)

    return full


@in_full
def poses(ca: Tensor, present: Tensor) -> Tensor:
    """Right-handed axes of each chain, (B, 3, 3), in columns: those of its two slowest waves along the chain.

    The first axis goes from one end towards the other, the second from the ends towards the middle. They are
    sums over all residues, of which noise changes little. Where all residues lie on one line, some are zero.

    Args:
        ca: (B, N, 3).
        present: (B, N), the first ones of each row.
    """
    there = present[..., None].to(ca)
    at = (torch.arange(ca.shape[1], device=ca.device) + 0.5) / present.sum(1, keepdim=True)  # (B, N)
    waves = torch.stack([torch.cos(torch.pi * at), torch.cos(2 * torch.pi * at)], -1) * there  # (B, N, 2)
    first, second = (waves.mT @ ca).unbind(1)
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (second * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@in_full
def turned(points: Tensor, axes: Tensor) -> Tensor:
    """(B, N, values) as seen along axes (B, 3, 3)."""
    return (points.unflatten(-1, (-1, 3)) @ axes[:, None]).flatten(2)


@in_full
def frames(ca: Tensor, present: Tensor) -> Tensor:
    """Right-handed axes of each residue by its neighbours along the chain, (*, B, N, 3, 3), in columns.

    The first axis goes from the residue before to the one behind, the second towards the side that the chain
    bends to. The ends have the frames of their neighbours.

    Args:
        ca: (*, B, N, 3); where all lie in one place the axes are zero.
        present: (B, N), the first ones of each row; three or more.
    """
    last = present.sum(1, keepdim=True) - 2
    at = torch.arange(ca.shape[-2], device=ca.device).clamp(min=1).minimum(last)[..., None]  # (B, N, 1)
    return corners(*(ca.gather(-2, (at + step).expand_as(ca)) for step in (-1, 0, 1)))


@in_full
def peptide_frames(atoms: Tensor) -> Tensor:
    """The same of each residue's own N, CA and C, (B, N, 3, 3), from (B, N, 4, 3): CA, N, C and O."""
    return corners(atoms[:, :, 1], atoms[:, :, 0], atoms[:, :, 2])


def corners(before: Tensor, here: Tensor, behind: Tensor) -> Tensor:
    """Right-handed axes at the middle one of three points, (*, 3, 3), in columns."""
    x = F.normalize(behind - before, dim=-1)
    bend = behind - 2 * here + before
    y = F.normalize(bend - (bend * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@in_full
def surroundings(points: Tensor, axes: Tensor, present: Tensor) -> Tensor:
    """Where the residues before and behind lie in each one's frame, and its own other atoms.

    Args:
        points: (S, B, N, values), Cα first.
        axes: (S, B, N, 3, 3).
        present: (B, N); what is beyond the ends lies at the origin.

    Returns:
        (B, N, S · (6 REACH + values − 3)).
    """
    atoms = points.unflatten(-1, (-1, 3))
    ca, count = atoms[..., :1, :], points.shape[2]
    seen = [atoms[..., 1:, :] - ca]
    for apart in range(1, min(REACH, count - 1) + 1):
        both = (present[:, apart:] & present[:, :-apart])[..., None, None]
        step = (ca[:, :, apart:] - ca[:, :, :-apart]) * both
        seen += [F.pad(step, (0, 0, 0, 0, 0, apart)), F.pad(-step, (0, 0, 0, 0, apart, 0))]
    near = torch.einsum("sbnij,sbnai->sbnaj", axes, torch.cat(seen, -2))
    near = F.pad(near, (0, 0, 0, 2 * REACH + atoms.shape[-2] - 1 - near.shape[-2]))  # of short chains
    return near.permute(1, 2, 0, 3, 4).flatten(2)
