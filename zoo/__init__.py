"""One diffusion engine, a small adapter for each domain, pretrained models that load by name.

Everything public is imported on first use, so that ``import zoo`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo.garbage import postponed

if TYPE_CHECKING:
    from zoo.catalog import list_models
    from zoo.errors import ZooError
    from zoo.exporting import export
    from zoo.loading import load
    from zoo.model import Model
    from zoo.shards import Shards
    from zoo.training import finetune, train
    from zoo.upkeep import migrate, pull, verify

__version__ = "0.1.0"

_HOMES = {
    "Model": "zoo.model",
    "Shards": "zoo.shards",
    "ZooError": "zoo.errors",
    "export": "zoo.exporting",
    "finetune": "zoo.training",
    "list_models": "zoo.catalog",
    "load": "zoo.loading",
    "migrate": "zoo.upkeep",
    "pull": "zoo.upkeep",
    "train": "zoo.training",
    "verify": "zoo.upkeep",
}

__all__ = [
    "Model",
    "Shards",
    "ZooError",
    "export",
    "finetune",
    "list_models",
    "load",
    "migrate",
    "pull",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with postponed():
            value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
