"""Blocks that the domains' backbones share.

A backbone maps (x_t, noise level, cond, mask) to something like x.
"""

from zoo.nn.blocks import FourierFeatures, ModulatedBlock, ResidualBlock, once
from zoo.nn.images import Attention, ModulatedConvBlock, groups, start_at_zero

__all__ = [
    "Attention",
    "FourierFeatures",
    "ModulatedBlock",
    "ModulatedConvBlock",
    "ResidualBlock",
    "groups",
    "once",
    "start_at_zero",
]
