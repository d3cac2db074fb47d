"""What measures and contestants share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def seconds(run: Callable[[], Any], settle: Callable[[], Any] = lambda: None) -> float:
    """How long a call takes; `settle` waits until nothing runs any more beside the program, as on a GPU."""
    settle()
    start = time.perf_counter()
    run()
    settle()
    return time.perf_counter() - start


def gflop(run: Callable[[], Any]) -> float:
    """GFLOP of a call, with attention as products of matrices: its fused kernel for CPUs is not counted."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        run()
    return counted.get_total_flops() / 1e9


def told(error: Exception) -> str:
    """What an error says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
