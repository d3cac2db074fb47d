"""Chronos-Bolt, with random weights."""

from __future__ import annotations

from functools import partial

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting, ChronosBoltPipeline
from transformers import T5Config

from benchmarks.peers.contestants.interface import Contestant, Inference, parameters

# of the released models
BOLT = {
    "context_length": 2048,
    "prediction_length": 64,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "quantiles": [0.1 * k for k in range(1, 10)],
    "use_reg_token": True,
}


def forecaster(series: int) -> Inference:
    """Nine quantiles of 64 steps for each of some series, from 512 steps."""
    config = T5Config(
        d_model=192, d_kv=32, d_ff=512, num_layers=4, num_heads=6, feed_forward_proj="relu",
        pad_token_id=0, decoder_start_token_id=0, chronos_config=BOLT,
    )  # fmt: skip
    pipeline = ChronosBoltPipeline(ChronosBoltModelForForecasting(config).eval())
    histories = torch.randn(series, 512, generator=torch.Generator().manual_seed(0)).cumsum(1)
    return Inference(parameters(pipeline.model), lambda: pipeline.predict(histories, 64))


CONTESTANT = Contestant(
    inferences={
        "a forecast of 1 series": partial(forecaster, 1),
        "forecasts of 32 series": partial(forecaster, 32),
    }
)
