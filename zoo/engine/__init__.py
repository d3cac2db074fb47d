"""The mathematics of diffusion and flow matching: paths, denoisers, objectives, samplers, guidance, averages."""

from zoo.engine.denoiser import SCALINGS, Batch, Denoiser, Encoded, Encoder, NetworkDenoiser, Scaling, repeat
from zoo.engine.noise import Members
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
from zoo.engine.sampler import SAMPLERS, Sampler, Samples, sample
from zoo.engine.schedule import grid

__all__ = [
    "PATHS",
    "SAMPLERS",
    "SCALINGS",
    "TIME_LAWS",
    "WEIGHTS",
    "Batch",
    "Beta",
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
    "Objective",
    "Path",
    "Sampler",
    "Samples",
    "Scaling",
    "TimeLaw",
    "Uniform",
    "VarianceExploding",
    "expand",
    "grid",
    "loss_by_level",
    "repeat",
    "sample",
]
