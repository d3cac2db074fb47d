"""The denoiser of this domain: centred noise, self-conditioning, and losses on distances."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from domains.proteins.backbone import Network
from domains.proteins.losses import bond_loss, clash_loss, distogram_loss, smooth_lddt
from zoo.engine import PATHS, Batch, Denoiser, Encoded, Members, NetworkDenoiser, Objective
from zoo.engine.path import expand

KNOWN = 0.5  # share of the batches that are trained with an estimate to go on from
SURE = 0.5  # t up to which there are estimates; of more noise they are too small, and so would folds be
LONGEST_STEP = 0.4  # of the noise that is left, from where it was made


class ProteinDenoiser(NetworkDenoiser):
    """On coordinates (B, residues, values) in units of `network.scale` Å.

    Args:
        network, path, scaling, objective: as in `NetworkDenoiser`.
        lddt, bonds, clashes, distogram: weights of the auxiliary losses, which matter where little noise is
            left.
        correlation: of the noise of neighbouring residues; see `correlated`.
    """

    network: Network

    def __init__(
        self,
        network: Network,
        path: str,
        scaling: str,
        objective: Objective,
        *,
        lddt: float,
        bonds: float,
        clashes: float,
        distogram: float,
        correlation: float,
    ) -> None:
        colour = partial(correlated, correlation=correlation) if correlation else None
        super().__init__(network, PATHS[path](), scaling, objective, colour=colour)
        self.lddt, self.bonds, self.clashes, self.distogram = lddt, bonds, clashes, distogram

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """The estimate of the data, with what is given as it is."""
        x_hat = super().forward(x_t, t, {"estimate": torch.zeros_like(x_t)} | cond, mask)
        return x_hat if mask is None else torch.where(mask, x_hat, x_t)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """As in `NetworkDenoiser`; in training, half of the batches have come a step from a noisier state.

        Such a state is not the data and noise, but what a sampler makes of an estimate, and where it is wrong
        the network learns to see that (self-conditioning, Chen et al. 2023, by states of its own making).
        """
        coin, share = torch.rand(2, generator=generator, device=generator.device).tolist()
        if self.training and coin < KNOWN:
            step = torch.full((len(batch.x),), LONGEST_STEP * share, device=batch.x.device)
            batch = replace(batch, cond=batch.cond | {"step": step})
        return super().loss(batch, generator)

    def loss_at(
        self,
        encoded: Encoded,
        x: Tensor,
        mask: Tensor | None,
        t: Tensor,
        noise: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        cond, present = dict(encoded.cond), encoded.cond["present"]
        drawn = (present[..., None] if mask is None else mask[..., :1]).expand_as(x)
        noise = centred(self.colour(noise), present, drawn)
        if (step := cond.pop("step", None)) is None:
            x_t = torch.where(drawn, self.path.corrupt(x, t, noise), x)
        else:
            before = t / (1 - step * (t <= SURE))
            x_t = torch.where(drawn, self.path.corrupt(x, before, noise), x)
            with torch.no_grad():
                found = self(x_t, before, cond, drawn)
                x_t = torch.where(drawn, self.path.step(x_t, found, before, t), x)
                cond["estimate"] = found * expand(t <= SURE, x)
        scaled, c_noise, scaling = self.seen(x_t, t, drawn)
        trunk = self.network.trunk(scaled, c_noise, {"estimate": torch.zeros_like(x)} | cond, drawn)
        said = self.network.coordinates(trunk, c_noise, cond["present"], drawn)
        x_hat = torch.where(drawn, scaling.estimate(x_t, said), x)
        loss = self.mean(self.of_level(t, x) * (x_hat - x).square(), drawn, weight)
        found, wanted = (one.unflatten(-1, (-1, 3)) * self.network.scale for one in (x_hat, x))
        clear = (1 - t).clamp(min=0)
        loss = loss + self.lddt * clear * smooth_lddt(found, wanted, present)
        loss = loss + self.bonds * clear**2 * bond_loss(found, present)
        loss = loss + self.clashes * clear**2 * clash_loss(found, present)
        return loss + self.distogram * distogram_loss(self.network.distogram(trunk), wanted[:, :, 0], present)


class Drawing(Denoiser):
    """For one run of a sampler: tells a denoiser its own estimate of the step before, and places the noise.

    Args:
        denoiser: trained so.
        whole: whether all is drawn; noise then has its mean at the origin, as in training.
    """

    def __init__(self, denoiser: Denoiser, *, whole: bool = True) -> None:
        super().__init__()
        self.denoiser, self.path, self.whole = denoiser, denoiser.path, whole
        self.last: Tensor | None = None

    def colour(self, noise: Tensor) -> Tensor:
        there = noise.ne(0).any(2)  # what a shorter chain is padded with has none: see `Ragged`
        noise = self.denoiser.colour(noise)
        return centred(noise, there, there[..., None].expand_as(noise)) if self.whole else noise

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return self.denoiser.encode(cond, mask)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        known = {} if self.last is None else {"estimate": self.last * expand(t <= SURE, x_t)}
        x_hat = self.denoiser(x_t, t, cond | known, mask)
        self.last = x_hat
        return x_hat


class Ragged(Members):
    """Noise of chains of several lengths, padded with zeros: that of one does not depend on the others.

    Args:
        seed, indices: as in `Members`.
        counts: residues of each.
    """

    def __init__(self, seed: int, indices: Iterable[int], counts: Iterable[int]) -> None:
        super().__init__(seed, indices)
        self.counts = tuple(counts)

    def normal(self, shape: Sequence[int]) -> Tensor:
        noise = torch.zeros(len(self), *shape)
        for row, count, generator in zip(noise, self.counts, self._generators, strict=True):
            row[:count].normal_(generator=generator)
        return noise


def correlated(noise: Tensor, correlation: float) -> Tensor:
    """Unit noise (B, N, values) to noise that is correlated along the chain, of unit variance everywhere.

    Residues d apart have the correlation c^d (an autoregression), and the atoms of one follow each other
    likewise. With c = 0.97 and a scale of 9 Å, steps from one Cα to the next are as long as bonds: noise
    looks like a random walk of the size of a fold, in the manner of Chroma (Ingraham et al. 2023).
    """
    points = noise.unflatten(-1, (-1, 3))
    near = correlation ** (1 / points.shape[2])
    chain = points.flatten(1, 2)  # (B, atoms, 3)
    at = torch.arange(chain.shape[1], device=noise.device, dtype=noise.dtype)
    mix = (near ** (at[:, None] - at).clamp(min=0)).tril() * (1 - near**2) ** 0.5
    mix[:, 0] /= (1 - near**2) ** 0.5  # nothing comes before the first
    return (mix @ chain).view_as(noise)


def centred(noise: Tensor, present: Tensor, drawn: Tensor) -> Tensor:
    """Noise whose mean over all present points is 0; not where a part is given, which says where it is.

    Args:
        noise: (B, N, values), values a multiple of 3.
        present: (B, N).
        drawn: like noise.
    """
    there = present[..., None, None].to(noise)
    points = noise.unflatten(-1, (-1, 3))
    mean = (points * there).mean(2, keepdim=True).sum(1, keepdim=True) / there.sum(1, keepdim=True)
    whole = (drawn[..., 0] | ~present).all(1).view(-1, 1, 1, 1)
    return (points - torch.where(whole, mean, 0.0)).flatten(2)
