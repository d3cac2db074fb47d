"""One diffusion engine, a small adapter for each domain, pretrained models that load by name.

Everything public is imported on first use, so that ``import zoo`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.catalog import list_models
    from zoo.errors import ZooError
    from zoo.model import Model, load
    from zoo.training import finetune, train

__version__ = "0.1.0"

_HOMES = {
    "Model": "zoo.model",
    "ZooError": "zoo.errors",
    "finetune": "zoo.training",
    "list_models": "zoo.catalog",
    "load": "zoo.model",
    "train": "zoo.training",
}

__all__ = ["Model", "ZooError", "finetune", "list_models", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
