"""Between Å and what the network sees: coordinates of variance 1."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from domains.proteins import rebuild
from domains.proteins.chain import Backbone, Cloud, Shape
from domains.proteins.contigs import LONGEST, Layout
from domains.proteins.geometry import bonded
from zoo import typed
from zoo.domain import Adapter
from zoo.errors import DataError

Atoms = Literal["ca", "backbone", "points"]
SHORTEST = 4  # residues
DRAWN = 1e-3  # how much drawn atoms say of a peptide beside atoms that are kept


@dataclass(frozen=True)
class ProteinAdapter(Adapter):
    """Statistics of the training data.

    Attributes:
        atoms: what the network sees: "ca" or "backbone" (N, CA, C and O) of each residue, or "points".
        scale: standard deviation of coordinates about the middle of their chain or cloud, Å for proteins.
        lengths: of the training data, sorted: what lengths are drawn like.
    """

    atoms: Atoms
    scale: float
    lengths: tuple[int, ...]

    @property
    def values(self) -> int:
        """Of a residue or point."""
        return 12 if self.atoms == "backbone" else 3

    def encode(self, raw: Shape | np.ndarray) -> Tensor:
        """A backbone, or its coords, to (residues, 3 or 12), Cα first; a cloud to (points, 3)."""
        coords = np.asarray(raw, np.float32)
        if self.atoms != "points":
            coords = coords[:, [1, 0, 2, 3]] if self.atoms == "backbone" else coords[:, 1]
        return torch.from_numpy(coords.reshape(len(coords), -1) / np.float32(self.scale))

    def decode(self, x: Tensor, layout: Layout | None = None, middle: np.ndarray | float = 0.0) -> Shape:
        """(residues, values) to a backbone or cloud.

        Bonds between Cα are put right, and the peptides between them have ideal geometry. N, C and O, where
        they were drawn too, say which way each peptide points.

        Args:
            x: (residues, values).
            layout: residues that are kept exactly.
            middle: where the origin of x lies in space, (3,), Å.
        """
        points = x.cpu().double().numpy().reshape(len(x), -1, 3) * self.scale + middle
        if self.atoms == "points":
            return Cloud(points[:, 0])
        coords = points[:, [1, 0, 2, 3]] if self.atoms == "backbone" else np.repeat(points, 4, 1)
        trust = np.full(len(x), DRAWN if self.atoms == "backbone" else 0.0)
        if layout is None:
            ca = bonded(coords[:, 1])
        else:
            coords[layout.kept], trust[layout.kept] = layout.coords[layout.kept], 1.0
            ca = bonded(coords[:, 1], layout.kept, rebuild.ties(layout.coords, layout.kept))
        # the atoms of a residue move with its Cα
        found = rebuild.backbone(ca, coords + (ca - coords[:, 1])[:, None], trust)
        made = Backbone(found) if layout is None else layout.put_into(found)
        return replace(made, drawn=coords[:, 1].astype(np.float32))

    def state(self) -> dict[str, Any]:
        return asdict(self) | {"lengths": list(self.lengths)}


def restored(state: dict[str, Any]) -> ProteinAdapter:
    """The adapter whose `state` this is."""
    adapter = typed.from_json(ProteinAdapter, state)
    if not (adapter.scale > 0 and math.isfinite(adapter.scale)):
        raise ValueError(f"scale is {adapter.scale}, but must be positive")
    if not adapter.lengths or min(adapter.lengths) < SHORTEST or max(adapter.lengths) > LONGEST:
        raise ValueError(f"lengths must be of {SHORTEST} to {LONGEST}, and some")
    return adapter


def spread(items: Any) -> float:
    """Standard deviation of the coordinates of backbones (of their Cα) or clouds about their middles."""
    points = [one.ca if isinstance(one, Backbone) else one.points for one in items]
    found = float(np.sqrt(np.square(np.concatenate([one - one.mean(0) for one in points])).mean()))
    if not found > 0:
        raise DataError("all points lie in one place")
    return found
