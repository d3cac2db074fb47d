"""A contestant's process: python -m benchmarks.peers.worker MEASURE CONTESTANT ASKED

ASKED are the arguments of the measure, as JSON. The last line that it prints is the result, as JSON; the
version of `torch` is part of it.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import torch

from benchmarks.peers.measures import accuracy, gpu, inference, loading, overhead, processes, training

MEASURES = {
    "overhead": overhead.measure,
    "accuracy": accuracy.measure,
    "training": training.measure,
    "loading": loading.measure,
    "processes": processes.measure,
    "inference": inference.measure,
    "gpu": gpu.measure,
}

if __name__ == "__main__":
    measure, name, asked = sys.argv[1:]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    contestant = import_module(f"benchmarks.peers.contestants.{name}").CONTESTANT
    result = {"torch": torch.__version__, **MEASURES[measure](contestant, **json.loads(asked))}
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        print(json.dumps(result))
