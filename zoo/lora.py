"""Fine-tuning by small changes: low-rank adaptation (Hu et al. 2021) with the library peft.

Every linear and convolutional layer W of a denoiser becomes W + (alpha/rank) B A. Only A and B are trained
and stored. B starts at 0, so that training starts from the base as it is.
"""

from copy import deepcopy
from types import ModuleType
from typing import Any

import torch
from torch import nn

from zoo.engine.denoiser import NetworkDenoiser
from zoo.errors import MissingExtraError, OptionError, TrainingError
from zoo.manifest import MAX_RANK

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def adapt(denoiser: NetworkDenoiser, rank: int, alpha: float) -> None:
    """Adds A and B to the layers, in place, and freezes all else. Draws from torch's global generator.

    Raises:
        OptionError: if the rank is no number of rows.
        TrainingError: if the denoiser has none of these layers, or is adapted already.
        MissingExtraError: without peft.
    """
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise OptionError(f"the rank must be a whole number from 1 to {MAX_RANK}, not {rank!r}")
    if tensors_of(denoiser):
        raise TrainingError("this model is an adapter already: merge it first, with model.merge()")
    # the very classes: PyTorch's own attention has a subclass whose weight it reads past the layer
    layers = [name for name, module in denoiser.named_modules() if type(module) in KINDS]
    if not layers:
        raise TrainingError("the network has no linear or convolutional layer that could be adapted")
    peft = _peft()
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers)
    peft.inject_adapter_in_model(config, denoiser)


def tensors_of(denoiser: NetworkDenoiser) -> dict[str, torch.Tensor]:
    """All A and B, by name; empty if the denoiser is not adapted."""
    return {name: tensor for name, tensor in denoiser.state_dict().items() if ".lora_" in name}


def merged(denoiser: NetworkDenoiser) -> NetworkDenoiser:
    """A denoiser as before `adapt`, whose layers hold the sums W + (alpha/rank) B A."""
    layer_class = _peft().tuners.lora.LoraLayer
    whole = deepcopy(denoiser)
    layers: list[tuple[str, Any]] = list(whole.named_modules())
    for name, module in layers:
        if isinstance(module, layer_class):
            module.merge(safe_merge=True)
            whole.set_submodule(name, module.get_base_layer())
    del whole.peft_config
    return whole.requires_grad_(True)


def _peft() -> ModuleType:
    try:
        import peft
        import peft.tuners.lora
    except ImportError:
        raise MissingExtraError("peft", "lora") from None
    return peft
