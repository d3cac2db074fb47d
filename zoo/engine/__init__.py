"""The mathematics of diffusion and flow matching: paths, denoisers, objectives, samplers, guidance, EMA."""

from zoo.engine.denoiser import SCALINGS, Batch, Denoiser, Encoded, Encoder, NetworkDenoiser, Scaling, repeat
from zoo.engine.ema import PowerEMA, Snapshot, reconstruct
from zoo.engine.fewstep import Consistency
from zoo.engine.guidance import Autoguidance, ClassifierFree
from zoo.engine.noise import Members, NoiseSource
from zoo.engine.objective import (
    TIME_LAWS,
    WEIGHTS,
    Beta,
    LogitNormal,
    LogNormal,
    Objective,
    TimeLaw,
    Uniform,
    loss_by_level,
)
from zoo.engine.path import PATHS, Cosine, GaussianPath, Linear, Path, VarianceExploding, expand
from zoo.engine.sampler import (
    SAMPLERS,
    Sampler,
    Samples,
    adams2,
    adams3,
    consistency,
    dpmpp2m,
    euler,
    heun,
    multistep,
    sample,
)
from zoo.engine.schedule import GRIDS, grid

__all__ = [
    "GRIDS",
    "PATHS",
    "SAMPLERS",
    "SCALINGS",
    "TIME_LAWS",
    "WEIGHTS",
    "Autoguidance",
    "Batch",
    "Beta",
    "ClassifierFree",
    "Consistency",
    "Cosine",
    "Denoiser",
    "Encoded",
    "Encoder",
    "GaussianPath",
    "Linear",
    "LogNormal",
    "LogitNormal",
    "Members",
    "NetworkDenoiser",
    "NoiseSource",
    "Objective",
    "Path",
    "PowerEMA",
    "Sampler",
    "Samples",
    "Scaling",
    "Snapshot",
    "TimeLaw",
    "Uniform",
    "VarianceExploding",
    "adams2",
    "adams3",
    "consistency",
    "dpmpp2m",
    "euler",
    "expand",
    "grid",
    "heun",
    "loss_by_level",
    "multistep",
    "reconstruct",
    "repeat",
    "sample",
]
