"""What helps the forecaster and what does not: short trainings that differ in one thing, scored on
validation windows.

    ZOO_DATA=... python -m benchmarks.timeseries_ablations [--steps 500] [VARIANT ...]

Every variant takes the same number of optimiser steps on one thread (the table says how many seconds), with
the data, batches and seed of the shipped recipe, and forecasts with 15 network evaluations.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timeseries import VALIDATION, fitted
from domains.timeseries import domain
from domains.timeseries.adapter import Scaled, TimeSeriesAdapter
from domains.timeseries.backbone import PRIORS, HistoryEncoder, TargetDenoiser
from domains.timeseries.evaluation import metrics
from domains.timeseries.features import seasonal_forecasts, seasons
from domains.timeseries.model import TimeSeriesModel
from domains.timeseries.recipes import FLOW, TimeSeriesRecipe
from domains.timeseries.training import corpus
from domains.timeseries.training.dataset import Pool, Windows
from domains.timeseries.window import CONTEXT, TARGET, WIDTH
from zoo.domain import Adapter
from zoo.engine import PATHS, Encoded, Encoder, LogitNormal, NetworkDenoiser, PowerEMA
from zoo.engine.objective import Objective
from zoo.manifest import Provenance
from zoo.optimizer import Optimizer
from zoo.run import learning_rate


def autoregression(noise: Tensor, smooth: float = 0.9) -> Tensor:
    """White noise (*, TARGET) to a stationary autoregression of unit variance."""
    step = torch.arange(TARGET)
    factor = torch.linalg.cholesky(smooth ** (step[:, None] - step).abs().double())
    return noise @ factor.T.to(noise)


class Located(Encoder):
    """The shipped encoder's context with a fixed location and scale: diffusion has to do the rest."""

    def __init__(self, recipe: TimeSeriesRecipe, seasonal: bool):
        super().__init__()
        self.encoder, self.seasonal = HistoryEncoder(recipe.network), seasonal

    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        encoded = self.encoder(cond, mask)
        if not self.seasonal:
            return Encoded(encoded.cond)
        lags, _ = seasons(cond["values"], cond["known"], cond["period"][..., 0])
        forecasts, _ = seasonal_forecasts(cond["values"], cond["known"], lags)
        return Encoded(encoded.cond, forecasts[..., 1, :])

    def loss(self, encoded: Encoded, x: Tensor, mask: Tensor | None) -> Tensor:
        return x.new_zeros(len(x))


class Without(HistoryEncoder):
    """The shipped encoder, with some of its conditions held at a value that says nothing."""

    def __init__(self, recipe: TimeSeriesRecipe, **blank: int):
        super().__init__(recipe.network)
        self.blank = blank

    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        blank = {name: torch.full_like(cond[name], value) for name, value in self.blank.items()}
        return super().forward(cond | blank, mask)


class Patches(HistoryEncoder):
    """A transformer over patches of the window in place of the flat residual network."""

    def __init__(self, recipe: TimeSeriesRecipe, patch: int, width: int = 128, depth: int = 3):
        super().__init__(replace(recipe.network, depth=0))
        self.patch = patch
        self.token = nn.Linear(2 * patch, width)
        self.place = nn.Parameter(0.02 * torch.randn(WIDTH // patch, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        targets = TARGET // patch
        self.out = nn.Linear(targets * width, recipe.network.width)

    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        tokens = torch.stack([cond["values"].asinh(), cond["known"].float()], -1).squeeze(1)
        tokens = self.token(tokens.unflatten(1, (-1, self.patch)).flatten(2)) + self.place
        first = CONTEXT // self.patch
        inside = self.transformer(tokens)[:, first : first + TARGET // self.patch]
        self.read = self.out(inside.flatten(1))[:, None]
        return super().forward(cond, mask)

    def hidden(self, features: Tensor) -> Tensor:
        return super().hidden(features) + self.read


class MeanOrigin(Adapter):
    """Windows whose origin is the mean of the known values, not the last one."""

    def encode(self, raw: np.ndarray) -> Scaled:
        plain = TimeSeriesAdapter().encode(raw)
        count = np.maximum(plain.known.sum(-1, keepdims=True), 1)
        mean = plain.values.sum(-1, keepdims=True) / count
        values = np.where(plain.known, plain.values - mean, np.float32(0)).astype(np.float32)
        origin = plain.units.origin + mean * plain.units.scale
        return Scaled(values, plain.known, plain.units._replace(origin=origin))

    def decode(self, x: Scaled) -> np.ndarray:
        return np.where(x.known, x.units.decode(x.values), np.nan)

    def state(self) -> dict:
        return {}


@dataclass(frozen=True)
class Variant:
    """One change to the shipped recipe."""

    recipe: TimeSeriesRecipe = FLOW
    encoder: Callable[[TimeSeriesRecipe], Encoder] = lambda recipe: HistoryEncoder(recipe.network)
    colour: Callable[[Tensor], Tensor] | None = None
    adapter: Adapter = TimeSeriesAdapter()


def network(**changes) -> TimeSeriesRecipe:
    return replace(FLOW, network=replace(FLOW.network, **changes))


def jobs(**changes) -> TimeSeriesRecipe:
    return replace(FLOW, jobs=replace(FLOW.jobs, **changes))


VARIANTS = {
    "shipped recipe": Variant(),
    "AdamW for all matrices": Variant(replace(FLOW, training=replace(FLOW.training, muon=()))),
    "no local model": Variant(encoder=lambda recipe: Without(recipe, local=0, record=0)),
    "no calendar": Variant(encoder=lambda recipe: Without(recipe, period=1)),
    "flow scaling and logit-normal times": Variant(
        replace(FLOW, scaling="flow", objective=Objective(LogitNormal(), repeats=4))
    ),
    "v on the cosine path": Variant(replace(FLOW, path="cosine", scaling="v")),
    "white noise as prior": Variant(replace(FLOW, prior="white")),
    "AR(.9) prior": Variant(colour=autoregression),
    "mean as origin": Variant(adapter=MeanOrigin()),
    "no location and scale": Variant(encoder=lambda recipe: Located(recipe, seasonal=False)),
    "residual over the seasonal mean": Variant(encoder=lambda recipe: Located(recipe, seasonal=True)),
    "one linear forecaster": Variant(network(experts=1)),
    "no dropout": Variant(network(dropout=0.0)),
    "no mixed windows": Variant(jobs(mixed=0.0)),
    "no synthetic series": Variant(jobs(synthetic=0.0)),
    "synthetic series alone": Variant(jobs(synthetic=1.0)),
    "half the width": Variant(network(width=192)),
    "transformer, patches of 32": Variant(encoder=lambda recipe: Patches(recipe, 32)),
    "transformer, patches of 16": Variant(encoder=lambda recipe: Patches(recipe, 16)),
    "transformer, patches of 8": Variant(encoder=lambda recipe: Patches(recipe, 8)),
}


@cache
def all_pools() -> list[Pool]:
    pools = corpus.pools("train", 0.5)
    for pool in pools:  # before any clock runs
        for pick in range(len(pool.series)):
            pool.fits(pick)
    return pools


def shared(synthetic: float) -> list[Pool]:
    """The pools of the corpus with another share of synthetic series; their local models are made once."""
    *real, made = all_pools()
    pools = [replace(pool, share=2 * (1 - synthetic) * pool.share) for pool in real]
    return [pool for pool in (*pools, replace(made, share=synthetic)) if pool.share > 0]


def trained(variant: Variant, steps: int) -> tuple[TimeSeriesModel, float]:
    """The variant's model after so many steps, and the seconds that they took."""
    recipe = variant.recipe
    training = replace(recipe.training, steps=steps)
    torch.manual_seed(0)
    denoiser = NetworkDenoiser(
        TargetDenoiser(recipe.network),
        PATHS[recipe.path](),
        recipe.scaling,
        recipe.objective,
        variant.encoder(recipe),
        variant.colour or PRIORS[recipe.prior],
    )
    data = Windows(shared(recipe.jobs.synthetic), recipe.jobs, variant.adapter)
    optimizer = Optimizer(denoiser, training)
    ema, start = PowerEMA(denoiser, (0.10,)), time.monotonic()
    for step in range(steps):
        batch = data.batch(training.batch_size, torch.Generator().manual_seed(step))
        loss = denoiser.loss(batch, torch.Generator().manual_seed(step)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), training.clip)
        optimizer.step(learning_rate(step, training))
        ema.update(step + 1)
    seconds = time.monotonic() - start
    denoiser.load_state_dict(ema.averages[0.10])
    nowhere = Provenance("", "", "", steps, steps, 0)
    model = TimeSeriesModel(
        domain, recipe, variant.adapter, denoiser, provenance=nowhere, name=recipe.name, licence=""
    )
    return model, seconds


def validated(model: TimeSeriesModel) -> list[str]:
    cells = []
    for name in VALIDATION:
        protocol, local = fitted(name)
        paths = model.forecast_arrays(
            protocol.histories, protocol.horizon, 50, 0, protocol.period, steps=8, sampler="heun", local=local
        )
        scores = metrics.score(paths, protocol.truth, resamples=2)["value"]
        cells.append(f"{scores['wQL']:.4f}/{scores['coverage 80']:.2f}")
    return cells


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--steps", type=int, default=500)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| variant | seconds | " + " | ".join(VALIDATION) + " |\n|" + 6 * "---|", flush=True)
    for title in chosen.variants:
        model, seconds = trained(VARIANTS[title], chosen.steps)
        print(f"| {title} | {seconds:.0f} | " + " | ".join(validated(model)) + " |", flush=True)
