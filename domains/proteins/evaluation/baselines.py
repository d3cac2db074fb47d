"""Constructions that are right nearby and know nothing of folding: what a model must beat."""

from collections.abc import Sequence

import numpy as np

from domains.proteins import geometry as g
from domains.proteins import rebuild
from domains.proteins.chain import Backbone
from domains.proteins.evaluation.metrics import trace
from zoo.errors import DataError

PIECE = 9  # residues of a fragment


def grown(theta_tau: np.ndarray) -> Backbone:
    """The chain with these θ and τ, (residues − 3, 2), and Cα-Cα bonds of 3.8 Å."""
    ca = [np.zeros(3), np.array([g.CA_CA, 0.0, 0.0])]
    bend = theta_tau[0, 0]
    ca.append(ca[1] + g.CA_CA * np.array([-np.cos(bend), np.sin(bend), 0.0]))
    bends = np.append(theta_tau[1:, 0], theta_tau[-1, 0])
    for turn, bend in zip(theta_tau[:, 1], bends, strict=True):
        ca.append(g.placed(ca[-3], ca[-2], ca[-1], g.CA_CA, float(bend), float(turn)))
    return Backbone(rebuild.backbone(np.stack(ca)))


def independent(real: Sequence[Backbone], lengths: Sequence[int], rng: np.random.Generator) -> list[Backbone]:
    """Chains whose θ, τ are drawn from those of real chains, each for itself."""
    angles = np.concatenate([trace(chain) for chain in real])
    return [grown(angles[rng.integers(len(angles), size=n - 3)]) for n in lengths]


def shuffled(real: Sequence[Backbone], lengths: Sequence[int], rng: np.random.Generator) -> list[Backbone]:
    """Chains of fragments of nine residues, each from a random place of a random real chain.

    Raises:
        DataError: if all real chains are shorter.
    """
    angles = [found for chain in real if len(found := trace(chain)) >= PIECE]
    if not angles:
        raise DataError(f"no real chain has the {PIECE + 3} residues of a fragment")

    def piece() -> np.ndarray:
        own = angles[int(rng.integers(len(angles)))]
        first = int(rng.integers(len(own) - PIECE + 1))
        return own[first : first + PIECE]

    return [grown(np.concatenate([piece() for _ in range(-(-n // PIECE))])[: n - 3]) for n in lengths]
