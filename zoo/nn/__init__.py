"""Blocks that the domains' backbones share.

A backbone maps (x_t, noise level, cond, mask) to something like x.
"""

from zoo.nn.blocks import FourierFeatures, ModulatedBlock, ResidualBlock

__all__ = ["FourierFeatures", "ModulatedBlock", "ResidualBlock"]
