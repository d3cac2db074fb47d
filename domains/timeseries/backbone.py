"""The network: an encoder that reads the window once, and a small head that denoises the target many times.

The encoder is a residual network on the flat window beside a mixture of linear forecasters: a few linear
maps from every step of the window to every step of the target, weighted by what the network makes of
the window (a random walk and an hourly load want different ones). It gives the target a location and a
scale, trained by their own likelihood; diffusion then models what is left, z = (target − location)/scale,
jointly over the target. The head costs little, so that a hundred paths cost little.

References: Das et al. 2023 (TiDE) for the flat encoder; Zeng et al. 2023 for the linear path.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.timeseries.features import interpolations, roughness, seasonal_forecasts, seasons
from domains.timeseries.local import RECORD
from domains.timeseries.window import CONTEXT, INSIDE, TARGET, WIDTH
from zoo.engine.denoiser import Encoded, Encoder
from zoo.nn import FourierFeatures, ModulatedBlock, ResidualBlock, once

GUESSES, LEVELS = 8, 9 + RECORD  # simple forecasts; what tells how far they may be trusted
STD_OF_LAPLACE = 2**0.5
FARTHEST = 20.0  # scales of the window beyond which the local model is not followed


@dataclass(frozen=True)
class Network:
    """Sizes: of the encoder, of the head, and of what the one hands to the other."""

    width: int = 384
    depth: int = 4
    experts: int = 8
    dropout: float = 0.1
    head_width: int = 160
    head_depth: int = 2
    context_width: int = 192


class HistoryEncoder(Encoder):
    """Reads `values` (B, C, WIDTH), zero where not `known` (B, C, WIDTH), one channel at a time; beside these
    the forecast of the local model, `local` (B, C, TARGET), and its `record` (B, C, RECORD), 0 without one;
    and the season that the calendar tells, `period` (B, C, 1), 1 where it tells none.
    """

    def __init__(self, network: Network):
        super().__init__()
        width = network.width
        features = (GUESSES + 1) * TARGET + LEVELS + 2 + 1
        self.embed = nn.Linear(2 * WIDTH + features, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, network.dropout) for _ in range(network.depth))
        self.norm = nn.LayerNorm(width)
        self.experts = nn.Linear(WIDTH + GUESSES * TARGET, network.experts * TARGET, bias=False)
        self.gate = nn.Linear(width, network.experts)
        self.trust = nn.Linear(width, TARGET)
        self.location = nn.Linear(width, TARGET)
        self.log_scale = nn.Linear(width + LEVELS, TARGET)
        self.context = nn.Linear(width, network.context_width)
        nn.init.normal_(self.experts.weight, std=0.002)  # near zero, but apart
        for layer in (self.trust, self.location, self.log_scale):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.trust.bias)
        nn.init.zeros_(self.location.bias)
        nn.init.constant_(self.log_scale.bias, -0.7)

    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        values, known, record = cond["values"], cond["known"], cond["record"]
        local = cond["local"].clamp(-FARTHEST, FARTHEST)
        with torch.no_grad():
            lags, strength = seasons(values, known, cond["period"][..., 0])
            forecasts, errors = seasonal_forecasts(values, known, lags)
            guesses = torch.cat([forecasts, interpolations(values, known, lags)], -2).flatten(-2)
            levels = torch.cat([errors, roughness(values, known)], -1).clamp(1e-4, 1e2).log()
            levels = torch.cat([levels, strength, record], -1)
            length = known[..., :CONTEXT].float().mean(-1, keepdim=True)
        squashed = torch.asinh(torch.cat([values, guesses, local], -1))
        h = self.hidden(torch.cat([squashed, known.to(values), levels, lags.log(), length], -1))
        linear = self.experts(torch.cat([values, guesses], -1)).unflatten(-1, (-1, TARGET))
        location = torch.einsum("...es,...e->...s", linear, self.gate(h).softmax(-1))
        location = location + self.trust(h).sigmoid() * local + self.location(h)
        log_scale = self.log_scale(torch.cat([h, levels], -1)).clamp(-7, 3)
        given = known[..., INSIDE]
        return Encoded(
            {"context": self.context(h), "given": given}, location, STD_OF_LAPLACE * log_scale.exp()
        )

    def hidden(self, features: Tensor) -> Tensor:
        """What the residual network makes of the window: `(B, C, width)`."""
        h = self.embed(features)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)

    def loss(self, encoded: Encoded, x: Tensor, mask: Tensor | None) -> Tensor:
        """Laplace negative log-likelihood of the unknown target, up to a constant; `(B,)`."""
        assert isinstance(encoded.scale, Tensor) and mask is not None
        nll = (x - encoded.loc).abs() * STD_OF_LAPLACE / encoded.scale + encoded.scale.log()
        return torch.where(mask, nll, 0.0).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


def random_walk(noise: Tensor) -> Tensor:
    """White noise (*, TARGET) to random walks of the same power: what far steps have in common is then there
    from the start, and the head shapes it instead of making it.
    """
    return noise.cumsum(-1) / ((noise.shape[-1] + 1) / 2) ** 0.5


PRIORS: dict[str, Callable[[Tensor], Tensor] | None] = {"white": None, "random walk": random_walk}


class TargetDenoiser(nn.Module):
    """Residual network on the flat noisy target (B, C, TARGET), modulated by noise level and context."""

    def __init__(self, network: Network):
        super().__init__()
        width, condition = network.head_width, network.context_width
        self.noise = FourierFeatures(32)
        self.level = nn.Sequential(
            nn.Linear(self.noise.width, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.embed = nn.Linear(3 * TARGET, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, condition) for _ in range(network.head_depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, TARGET)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        assert mask is not None
        level = self.level(self.noise(once(noise)))[:, None]
        condition = F.silu(once(cond["context"]) + level)  # one row serves all paths of a series
        unknown = torch.where(mask, x, 0.0)
        given = torch.where(cond["given"] & ~mask, x, 0.0)
        h = self.embed(torch.cat([unknown, given, mask.expand_as(x).to(x)], -1))
        for block in self.blocks:
            h = block(h, condition)
        return self.out(self.norm(h))
