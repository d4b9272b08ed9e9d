"""A small convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ["ConvNet"]


class ConvNet(nn.Sequential):
    """Map small images to an embedding by two or more convolution blocks and a linear bottleneck.

    A block is a 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling; the last feature map is averaged to
    4x4, and a linear layer with batch normalisation makes the embedding. Works for any image of 8x8 pixels or more.

    Parameters
    ----------
    in_channels : int, default=1
        Number of channels C of the input (n, C, H, W).
    channels : sequence of int, default=(32, 64)
        Channels of the convolution blocks.
    out_features : int, default=256
        Width of the embedding.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import ConvNet
    >>> ConvNet(in_channels=1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 256])
    """

    def __init__(self, in_channels: int = 1, channels: Sequence[int] = (32, 64), out_features: int = 256) -> None:
        layers: list[nn.Module] = []
        for width in channels:
            # Batch normalisation takes a bias out again, but for the lag of its running mean.
            layers += [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
            in_channels = width
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * in_channels, out_features, bias=False)]
        super().__init__(*layers, nn.BatchNorm1d(out_features))
