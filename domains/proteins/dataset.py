"""Training batches: chains turned at random, padded to the longest; some with a part given, some with their
secondary structure told.
"""

from collections.abc import Sequence

import torch

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

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        assert self.adapter is not None

        def draw(below: int) -> int:
            return int(torch.randint(below, (1,), generator=generator))

        groups = (self.groups[draw(len(self.groups))] for _ in range(ALIKE * size))
        chosen = sorted((group[draw(len(group))] for group in groups), key=self._length)
        first = size * draw(ALIKE)
        chosen = chosen[first : first + size]
        encoded = [self.adapter.encode(self.items[i]) for i in chosen]
        if self.recipe.atoms == "points":  # in no order: any of them, so that no cloud is too large
            most = self.recipe.longest
            encoded = [one[torch.randperm(len(one), generator=generator)[:most]] for one in encoded]
        longest = max(len(one) for one in encoded)
        x = torch.zeros(size, longest, self.adapter.values)
        present, drawn = (torch.zeros(size, longest, dtype=torch.bool) for _ in range(2))
        secondary = torch.zeros(size, longest, dtype=torch.long)
        coins, turns = torch.rand(size, 3, generator=generator), rotations(size, generator)
        for row, (i, one) in enumerate(zip(chosen, encoded, strict=True)):
            count = len(one)
            given = torch.zeros(count, dtype=torch.bool)
            if coins[row, 0] < self.recipe.motifs:
                length = min(3 + draw(max(count // 2 - 3, 1)), count - 1)
                first = draw(count - length + 1)
                given[first : first + length] = True
                if coins[row, 1] < 0.5:  # all but a part
                    given = ~given
            points = one.view(count, -1, 3)
            # a part that is given stands in the middle, as in use nobody knows where the rest will be
            middle = points[given if given.any() else ~given].mean((0, 1))
            x[row, :count] = ((points - middle) @ turns[row].T).flatten(1)
            present[row, :count], drawn[row, :count] = True, ~given
            if coins[row, 2] < self.recipe.told:
                secondary[row, :count] = self.secondary(i)
            if coins[row, 2] < self.recipe.told / 2:  # of half of these chains, a part
                first, last = sorted((draw(count), draw(count)))
                piece = (torch.arange(count) >= first) & (torch.arange(count) <= last)
                hidden = piece if draw(2) else ~piece
                secondary[row, :count][hidden] = 0
        return Batch(x, {"present": present, "secondary": secondary}, drawn[..., None])

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
