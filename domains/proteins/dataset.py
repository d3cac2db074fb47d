"""Training batches: chains turned at random, padded to the longest; some with a part given, some with their
secondary structure told.
"""

from collections.abc import Sequence

import torch
from torch import nn

from domains.proteins.adapter import ProteinAdapter
from domains.proteins.chain import Backbone
from domains.proteins.data import Chains, clusters
from domains.proteins.data.pieces import pieces
from domains.proteins.evaluation.secondary import library
from domains.proteins.recipes import ProteinRecipe
from zoo.domain import Dataset
from zoo.engine.denoiser import Batch

ALIKE = 4  # batches are drawn at once and sorted by length, and one of them is taken: less padding
LETTERS = {"H": 1, "E": 2, "C": 3}  # 0 where nothing is told


class ProteinItems(Dataset):
    """Chains, or clouds, in memory; x is (B, longest, values), in the adapter's units.

    The conditions are `present`, true where x is no padding, and `secondary`, (B, longest) each. The mask is
    true where to draw: neither given nor padding.

    Args:
        chains: of a length that the recipe draws.
        long: longer ones, of which compact pieces are trained on too.

    Raises:
        MissingExtraError: without pydssp, if the recipe tells of secondary structure.
    """

    def __init__(
        self,
        chains: Chains,
        recipe: ProteinRecipe,
        adapter: ProteinAdapter | None,
        long: Sequence[Backbone] = (),
    ) -> None:
        self.chains, self.recipe, self.adapter = chains, recipe, adapter
        self.sources = chains.sources
        if recipe.told:
            library()
        cut = list(pieces(long, recipe.shortest, recipe.longest))
        self.items = [*chains.items, *(piece for _, piece in cut)]
        named = clusters((*chains.items, *long))
        groups: dict[str, list[int]] = {}
        for i, whole in enumerate([*range(len(chains)), *(len(chains) + place for place, _ in cut)]):
            groups.setdefault(named[whole], []).append(i)
        self.groups = list(groups.values())  # a cluster is drawn, then a chain of it, or a piece of one
        self._secondary: dict[int, torch.Tensor] = {}
        self._encoded: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        def draw(below: int) -> int:
            return int(torch.randint(below, (1,), generator=generator))

        which = torch.rand(2, ALIKE * size, dtype=torch.float64, generator=generator).tolist()
        groups = (self.groups[int(u * len(self.groups))] for u in which[0])
        chosen = [group[int(u * len(group))] for group, u in zip(groups, which[1], strict=True)]
        first = size * draw(ALIKE)
        chosen = sorted(chosen, key=self._length)[first : first + size]
        encoded = [self.encoded(i) for i in chosen]
        if self.recipe.atoms == "points":  # in no order: any of them, so that no cloud is too large
            most = self.recipe.longest
            encoded = [one[torch.randperm(len(one), generator=generator)[:most]] for one in encoded]
        counts = [len(one) for one in encoded]
        at = torch.arange(max(counts))
        present = at < torch.tensor(counts)[:, None]
        given, secondary = torch.zeros_like(present), torch.zeros(present.shape, dtype=torch.long)
        coins, turns = torch.rand(size, 3, generator=generator).tolist(), rotations(size, generator)
        for row, count in enumerate(counts):
            if coins[row][0] < self.recipe.motifs:
                length = min(3 + draw(max(count // 2 - 3, 1)), count - 1)
                first = draw(count - length + 1)
                given[row, first : first + length] = True
                if coins[row][1] < 0.5:  # all but a part
                    given[row, :count] = ~given[row, :count]
            if coins[row][2] < self.recipe.told:
                secondary[row, :count] = self.secondary(chosen[row])
            if coins[row][2] < self.recipe.told / 2:  # of half of these chains, a part
                first, last = sorted((draw(count), draw(count)))
                piece = (at >= first) & (at <= last)
                secondary[row][piece if draw(2) else ~piece] = 0
        points = nn.utils.rnn.pad_sequence(encoded, batch_first=True).unflatten(2, (-1, 3))
        # a part that is given stands in the middle, as in use nobody knows where the rest will be
        seen = torch.where(given.any(1, keepdim=True), given, present)[..., None, None]
        middle = (points * seen).mean(2, keepdim=True).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
        x = ((points - middle) @ turns.mT[:, None]).flatten(2) * present[..., None]
        return Batch(x, {"present": present, "secondary": secondary}, (present & ~given)[..., None])

    def encoded(self, i: int) -> torch.Tensor:
        """A chain as the network sees it, (residues, values)."""
        if i not in self._encoded:
            assert self.adapter is not None
            self._encoded[i] = self.adapter.encode(self.items[i])
        return self._encoded[i]

    def _length(self, i: int) -> int:
        return len(self.items[i])

    def secondary(self, i: int) -> torch.Tensor:
        """Secondary structure of a chain, (residues,)."""
        if i not in self._secondary:
            found = self.items[i].secondary
            self._secondary[i] = torch.tensor([LETTERS[letter] for letter in found])
        return self._secondary[i]


def rotations(count: int, generator: torch.Generator) -> torch.Tensor:
    """Random proper rotations, (count, 3, 3), evenly (Shoemake 1992, by quaternions)."""
    q = torch.randn(count, 4, generator=generator)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)
