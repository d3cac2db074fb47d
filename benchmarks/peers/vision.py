"""torchvision beside a CPU build of torch."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch


@cache
def declare_operators() -> torch.library.Library | None:
    """Lets torchvision's build for GPUs, which peers import, load beside a CPU build of torch.

    Where its compiled operators do not load, two that it looks for are declared, as long as the result lives,
    which the cache sees to; no peer calls them here.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None
