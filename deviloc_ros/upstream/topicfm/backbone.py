"""Compute features at 1/8 and at 1/2 of an image's resolution: the convolutional backbone of TopicFM-fast.

Modules are named as in the released checkpoint. Weights are never trained here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STEM, WIDTHS = 128, (128, 192, 256, 384)  # channels at 1/2, then at 1/2, 1/4, 1/8 and 1/16
COARSE_SIZE, FINE_SIZE = WIDTHS[2], WIDTHS[0]


class ConvBlock(nn.Module):
    """Apply convolution, batch normalization, GELU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.norm(self.conv(x)))

    def fuse_norm(self) -> None:
        """Fold the normalization into the convolution, once the weights are loaded."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class ChannelNorm(nn.Module):
    """Normalize over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


def make_conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    """Make a convolution of single pixels."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def make_head(inputs: int, outputs: int) -> nn.Sequential:
    """Make the two convolutions that end a level of the pyramid."""
    return nn.Sequential(ConvBlock(inputs, outputs), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False))


def make_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Make two convolutions, of which the first has the stride."""
    return nn.Sequential(ConvBlock(inputs, outputs, stride), ConvBlock(outputs, outputs))


def double_size(x: Tensor) -> Tensor:
    """Enlarge a feature map to twice its size, bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class TopicBackbone(nn.Module):
    """Build a feature pyramid of plain convolutions."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = WIDTHS
        self.layer0 = ConvBlock(1, STEM, 2, 7)
        self.layer1 = make_stage(STEM, half, 1)
        self.layer2 = make_stage(half, quarter, 2)
        self.layer3 = make_stage(quarter, eighth, 2)
        self.layer4 = make_stage(eighth, sixteenth, 2)
        self.layer3_outconv, self.layer3_outconv2 = make_conv1x1(eighth, sixteenth), make_head(sixteenth, eighth)
        self.norm_outlayer3 = ChannelNorm(eighth)
        self.layer2_outconv, self.layer2_outconv2 = make_conv1x1(quarter, eighth), make_head(eighth, quarter)
        self.layer1_outconv, self.layer1_outconv2 = make_conv1x1(half, quarter), make_head(quarter, half)
        self.norm_outlayer1 = ChannelNorm(half)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 256, H / 8, W / 8) and (B, 128, H / 2, W / 2) of (B, 1, H, W) in [0, 1], sides multiples of 16."""
        half = self.layer1(self.layer0(images))
        quarter = self.layer2(half)
        eighth = self.layer3(quarter)
        sixteenth = self.layer4(eighth)
        coarse = self.layer3_outconv2(self.layer3_outconv(eighth) + double_size(sixteenth))
        middle = self.layer2_outconv2(self.layer2_outconv(quarter) + double_size(coarse))
        fine = self.layer1_outconv2(self.layer1_outconv(half) + double_size(middle))
        return self.norm_outlayer3(coarse), self.norm_outlayer1(fine)
