"""Seeded torch work that leaves the global generators as they were, in one thread or several."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

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
    kind = torch.device(device).type
    devices = [] if kind == "cpu" else [torch.device(device)]
    with _LOCK, torch.random.fork_rng(devices, device_type="cuda" if kind == "cpu" else kind):
        # Not torch.manual_seed, which seeds every device there is: the others would stay seeded after the block.
        torch.default_generator.manual_seed(seed)
        for used in devices:
            _seed_device(used, seed)
        yield


def _seed_device(device: torch.device, seed: int) -> None:
    backend = torch.get_device_module(device)
    with backend.device(device) if hasattr(backend, "device") else nullcontext():
        backend.manual_seed(seed)
