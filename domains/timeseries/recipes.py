"""The recipes of this domain's models."""

from dataclasses import dataclass
from typing import Literal

from domains.timeseries.backbone import Network
from zoo.domain import Recipe, Sampling, Training
from zoo.engine.objective import LogNormal, Objective


@dataclass(frozen=True)
class Jobs:
    """How often each job is trained, and how histories are spoiled; other windows are plain forecasts.

    Attributes:
        short: share of forecasts with a history cut to 16 .. CONTEXT steps, log-uniform.
        gap: share of windows with a gap of up to TARGET steps to fill; half of them with others around it.
        points: share of windows with values missing at random to fill.
        unconditional: share of windows without any known value.
        missing: share of forecasts with up to 40 % of the history missing at random.
        alone: share of forecasts that are not given the local model; short or gappy ones never are.
        told: share of windows that are told the season of their calendar.
        mirrored: share of windows turned upside down.
        mixed: share of windows that are a weighted mean of two windows (Ansari et al. 2024, TSMixup).
        synthetic: share of windows from the generator, beside the recipe's own data.
        replay: the same beside a user's data, so that a fine-tuned model keeps what it could do.
    """

    short: float = 0.2
    gap: float = 0.2
    points: float = 0.08
    unconditional: float = 0.03
    missing: float = 0.05
    alone: float = 0.15
    told: float = 0.7
    mirrored: float = 0.15
    mixed: float = 0.35
    synthetic: float = 0.45
    replay: float = 0.1


@dataclass(frozen=True, kw_only=True)
class TimeSeriesRecipe(Recipe):
    """Adds the prior along the target, the network's sizes and the mixture of training windows."""

    domain: Literal["timeseries"] = "timeseries"
    prior: Literal["white", "random walk"] = "random walk"
    network: Network = Network()
    jobs: Jobs = Jobs()


FLOW = TimeSeriesRecipe(
    name="timeseries-flow",
    path="linear",
    scaling="edm",
    objective=Objective(time=LogNormal(-1.2, 1.2), repeats=4),
    training=Training(
        steps=7_000,
        batch_size=256,
        lr=1e-3,
        weight_decay=0.1,
        betas=(0.9, 0.98),
        muon=("encoder.embed", "encoder.experts"),
        warmup=0.02,
        validate_every=500,
        validation_batches=16,
    ),
    finetuning=Training(
        steps=1500,
        batch_size=128,
        lr=2e-4,
        weight_decay=0.05,
        warmup=0.05,
        validate_every=100,
        validation_batches=16,
    ),
    sampling=Sampling(sampler="heun", steps=8),
    summary=(
        "A universal probabilistic forecaster: joint sample paths of series that it has never seen, hourly "
        "to yearly, from histories of 16 steps and more; it also fills gaps and draws unconditional series."
    ),
    limits=(
        "Made for regular series of numbers. The network reads the last 512 steps, a linear model of the "
        "series' own the last 8,000; longer cycles, holidays and events that the history does not show are "
        "unknown to it. Horizons beyond 64 steps are rolled out."
    ),
)
RECIPES = {recipe.name: recipe for recipe in (FLOW,)}
