"""Seeded torch work that leaves the global generators as they were, in one thread or several."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded_torch"]

# torch has one global generator per device, which layers and dropout draw from: two seeded blocks must not interleave.
_LOCK = threading.RLock()


@contextmanager
def seeded_torch(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block, and restore them after it.

    Threads take turns, so that each block draws what it would draw alone.

    Parameters
    ----------
    seed : int
        Seed of the block.
    device : str or torch.device, default="cpu"
        Device that the block works on, whose generator is seeded too.
    """
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with _LOCK, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
