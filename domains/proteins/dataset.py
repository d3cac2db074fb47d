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

SORTED = 4  # batches are drawn at once and sorted by length, and one of them is taken: less padding
LETTERS = {"H": 1, "E": 2, "C": 3}  # 0 where nothing is told


class ProteinItems(Dataset):
    """Chains, or clouds, in memory; x is (B, longest, values), in the adapter's units.

    The conditions are `present`, true where x is no padding, and `secondary`, (B, longest) each. The mask is
    true where to draw: neither given nor padding.

    Args:
        chains: of a length that the recipe draws.
        long: longer ones, of which compact pieces are items too.

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
        self.items = list(chains.items)
        self.whole = clustered(chains.items, [[i] for i in range(len(chains))])
        self.long = long
        self.origin: dict[int, tuple[int, int]] = {}  # of a piece: which of the long, and where it begins
        cut: list[list[int]] = [[] for _ in long]
        for which, chain in enumerate(long):
            for first, piece in pieces(chain, recipe.shortest, recipe.longest):
                cut[which].append(len(self.items))
                self.origin[len(self.items)] = which, first
                self.items.append(piece)
        self.pieces = clustered(long, cut)
        self._secondary: dict[int, torch.Tensor] = {}
        self._letters: dict[int, str] = {}  # of the long
        self._encoded: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        def draw(below: int) -> int:
            return int(torch.randint(below, (1,), generator=generator))

        chosen = torch.rand(SORTED * size, 4, dtype=torch.float64, generator=generator).tolist()
        chosen = sorted((self._pick(*shares) for shares in chosen), key=self._length)
        begin = size * draw(SORTED)
        chosen = chosen[begin : begin + size]
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

    def _pick(self, source: float, cluster: float, chain: float, piece: float) -> int:
        """An item by random numbers in [0, 1): whether a piece, of which cluster, which chain, and where."""
        groups = self.pieces if self.pieces and source < self.recipe.pieces else self.whole
        chains = groups[int(cluster * len(groups))]
        own = chains[int(chain * len(chains))]
        return own[int(piece * len(own))]

    def _length(self, i: int) -> int:
        return len(self.items[i])

    def secondary(self, i: int) -> torch.Tensor:
        """Secondary structure of an item, (residues,); nothing is told where a piece has lost its partner."""
        if i not in self._secondary:
            found = own = self.items[i].secondary
            if i in self.origin:
                which, first = self.origin[i]
                if which not in self._letters:
                    self._letters[which] = self.long[which].secondary
                found = self._letters[which][first : first + len(own)]
            told = (LETTERS[a] if a == b else 0 for a, b in zip(own, found, strict=True))
            self._secondary[i] = torch.tensor(list(told))
        return self._secondary[i]


def clustered(chains: Sequence[Backbone], items: Sequence[list[int]]) -> list[list[list[int]]]:
    """The items of each chain that has some, by cluster of the chains."""
    found: dict[str, list[list[int]]] = {}
    for name, own in zip(clusters(chains) if chains else (), items, strict=True):
        if own:
            found.setdefault(name, []).append(own)
    return list(found.values())


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
