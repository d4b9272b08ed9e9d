"""What the objectives with a domain discriminator share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

from torch import nn

__all__ = ["check_hidden", "make_discriminator"]


def check_hidden(hidden: Any) -> None:
    """Raise a ValueError unless `hidden` holds widths of layers; that it is a sequence has been checked."""
    if not all(isinstance(width, Integral) and width >= 1 for width in hidden):
        raise ValueError(f"hidden must hold integers >= 1, the widths of the layers, got {hidden!r}.")


def make_discriminator(n_features: int, hidden: Sequence[int], n_outputs: int) -> nn.Sequential:
    """Return linear layers with a ReLU between any two of them."""
    widths = [n_features, *hidden]
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))
