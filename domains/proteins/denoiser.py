"""The denoiser of this domain: centred noise, self-conditioning, and losses on distances."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from domains.proteins.backbone import Network
from domains.proteins.losses import bond_loss, distogram_loss, smooth_lddt
from zoo.engine import PATHS, Batch, Denoiser, Encoded, NetworkDenoiser, Objective
from zoo.engine.objective import WEIGHTS
from zoo.engine.path import expand

KNOWN = 0.5  # share of the batches that are trained with an estimate to go on from


class ProteinDenoiser(NetworkDenoiser):
    """On coordinates (B, residues, values) in units of `network.scale` Å.

    Args:
        network, path, scaling, objective: as in `NetworkDenoiser`.
        lddt, bonds, distogram: weights of the auxiliary losses, which matter where little noise is left.
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
        distogram: float,
        correlation: float,
    ) -> None:
        colour = partial(correlated, correlation=correlation) if correlation else None
        super().__init__(network, PATHS[path](), scaling, objective, colour=colour)
        self.lddt, self.bonds, self.distogram = lddt, bonds, distogram

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """The estimate of the data, with what is given as it is."""
        x_hat = super().forward(x_t, t, {"estimate": torch.zeros_like(x_t)} | cond, mask)
        return x_hat if mask is None else torch.where(mask, x_hat, x_t)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        heads = float(torch.rand(1, generator=generator, device=generator.device)) < KNOWN
        goes_on = torch.full((len(batch.x),), self.training and heads, device=batch.x.device)
        return super().loss(replace(batch, cond=batch.cond | {"goes_on": goes_on}), generator)

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
        alpha, sigma = self.path.scales(expand(t, x))
        x_t = torch.where(drawn, self.path.corrupt(x, t, centred(self.colour(noise), present, drawn)), x)
        goes_on = cond.pop("goes_on", None)
        if goes_on is not None and goes_on.any():
            with torch.no_grad():
                cond["estimate"] = self(x_t, t, cond, drawn)
        scaled, c_noise, c_skip, c_out = self.seen(x_t, t, drawn)
        trunk = self.network.trunk(scaled, c_noise, {"estimate": torch.zeros_like(x)} | cond, drawn)
        x_hat = torch.where(drawn, c_skip * x_t + c_out * self.network.coordinates(trunk), x)
        of_level = WEIGHTS[self.objective.weight](alpha, sigma, c_out)
        loss = self.mean(of_level * (x_hat - x).square(), drawn, weight)
        found, wanted = (one[..., :3] * self.network.scale for one in (x_hat, x))
        clear = (1 - t).clamp(min=0)
        loss = loss + self.lddt * clear * smooth_lddt(found, wanted, present)
        loss = loss + self.bonds * clear**2 * bond_loss(found, present)
        return loss + self.distogram * distogram_loss(self.network.distogram(trunk), wanted, present)


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
        noise = self.denoiser.colour(noise)
        if not self.whole:
            return noise
        everywhere = torch.ones(noise.shape[:2], dtype=torch.bool, device=noise.device)
        return centred(noise, everywhere, everywhere[..., None].expand_as(noise))

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return self.denoiser.encode(cond, mask)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        known = {} if self.last is None else {"estimate": self.last}
        x_hat = self.denoiser(x_t, t, cond | known, mask)
        self.last = x_hat
        return x_hat


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
