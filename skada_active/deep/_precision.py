"""Full precision inside of mixed precision: what small differences matter to is computed in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["in_full_precision"]

T = TypeVar("T")


def in_full_precision(function: Callable[..., T], *args: object, device: torch.device) -> T:
    """Return ``function(*args)``, computed without autocast on a device.

    Parameters
    ----------
    function : callable
        Its tensors should be float32.
    *args
        Its arguments.
    device : torch.device
        Device of the tensors.
    """
    if not torch.is_autocast_enabled(device.type):
        return function(*args)
    try:
        torch.set_autocast_enabled(device.type, False)
        return function(*args)
    finally:
        torch.set_autocast_enabled(device.type, True)  # one call of C, which no interrupt can keep from being made
