"""Blocks that the domains' backbones share.

A backbone maps (x_t, noise level, cond, mask) to something like x.
"""

from zoo.nn.blocks import FourierFeatures, ModulatedBlock, ResidualBlock
from zoo.nn.images import Attention, ModulatedConvBlock, groups

__all__ = [
    "Attention",
    "FourierFeatures",
    "ModulatedBlock",
    "ModulatedConvBlock",
    "ResidualBlock",
    "groups",
]
