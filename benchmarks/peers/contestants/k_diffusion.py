"""k-diffusion: samplers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.peers.contestants.interface import (
    DENOISER,
    FIRST,
    SECOND,
    SECOND_TWO,
    THIRD,
    Contestant,
    Loop,
    Solver,
    Start,
    half,
)
from benchmarks.peers.mixture import Mixture
from benchmarks.peers.vision import declare_operators

declare_operators()

from k_diffusion import sampling as K  # noqa: E402 (torchvision must load first)

LOW, HIGH = 0.002, 80.0


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    sigmas = K.get_sigmas_karras(steps, LOW, HIGH)

    def case(kind: str, sampler: Callable[..., Tensor], calls: int = 1) -> Loop:
        return Loop(
            kind, lambda x: sampler(lambda x, sigma: half(x), x, sigmas, disable=True), calls, DENOISER
        )

    def noise(sigma: Tensor, following: Tensor) -> Tensor:
        raise AssertionError("no noise is drawn where eta is 0")

    return {
        "sample_euler": case(FIRST, K.sample_euler),
        "sample_dpmpp_2m": case(SECOND, K.sample_dpmpp_2m),
        "sample_heun": case(SECOND_TWO, K.sample_heun, calls=2),
        # with a source of noise, so that none is made
        "sample_dpmpp_3m_sde eta=0": case(
            THIRD, partial(K.sample_dpmpp_3m_sde, eta=0.0, noise_sampler=noise)
        ),
    }


def solver(sampler: Callable[..., Tensor], calls: int = 1) -> Solver:
    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        sigmas = K.get_sigmas_karras(-(-evaluations // calls), LOW, HIGH)
        x = sampler(lambda x, sigma: mixture.denoise(x, 1, sigma[0]), z * HIGH, sigmas, disable=True)
        return x, (HIGH, HIGH)

    return run


def fast(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
    x = K.sample_dpm_fast(
        lambda x, sigma: mixture.denoise(x, 1, sigma[0]), z * HIGH, LOW, HIGH, evaluations, disable=True
    )
    return x, (HIGH, HIGH)


def white(sampler: Callable[..., Tensor]) -> Solver:
    """With plain noise in place of the library's Brownian tree, which needs another package."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        return solver(partial(sampler, noise_sampler=lambda *_: torch.randn(z.shape)))(
            mixture, z, evaluations
        )

    return run


CONTESTANT = Contestant(
    loops=loops,
    deterministic={
        "euler": solver(K.sample_euler),
        "heun": solver(K.sample_heun, calls=2),
        "dpm_2": solver(K.sample_dpm_2, calls=2),
        "lms": solver(K.sample_lms),
        "dpmpp_2m": solver(K.sample_dpmpp_2m),
        "dpmpp_2m_sde eta=0 heun": solver(partial(K.sample_dpmpp_2m_sde, eta=0.0, solver_type="heun")),
        "dpmpp_3m_sde eta=0": solver(partial(K.sample_dpmpp_3m_sde, eta=0.0)),
        "dpm_fast": fast,
    },
    stochastic={
        "euler_ancestral": solver(K.sample_euler_ancestral),
        "dpmpp_2m_sde": white(K.sample_dpmpp_2m_sde),
        "dpmpp_3m_sde": white(K.sample_dpmpp_3m_sde),
    },
)
