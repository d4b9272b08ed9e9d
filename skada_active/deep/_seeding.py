"""Seeded torch work that leaves torch as it was, in one thread or several, and whenever an interrupt ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from skada_active.utils.fitting import keeps_grad_mode

__all__ = ["run_seeded"]

# torch has one global generator per device, which layers and dropout draw from: two seeded blocks must not interleave.
_LOCK = threading.RLock()

T = TypeVar("T")


@keeps_grad_mode
def run_seeded(work: Callable[[], T], seed: int, device: str | torch.device = "cpu") -> T:
    """Return ``work()``, done with torch's global generators seeded, and restore them after it.

    Threads take turns, so that each draws what it would draw alone.

    Parameters
    ----------
    work : callable
        What to do.
    seed : int
        Seed of the work.
    device : str or torch.device, default="cpu"
        Device that the work is done on, whose generator is seeded too.
    """
    with _LOCK:
        return _seeded(work, seed, _generators(torch.device(device)))


def _seeded(work: Callable[[], T], seed: int, generators: list[Any]) -> T:
    # An interrupt comes between two steps of Python, and could keep a context manager from restoring anything; one call
    # of C is whole. A level of calls for each generator: in a loop it could come between two of them.
    if not generators:
        return work()
    generator, *others = generators
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        return _seeded(work, seed, others)
    finally:
        generator.set_state(state)


def _generators(device: torch.device) -> list[Any]:
    # Not torch.manual_seed, which seeds every device there is: the others would stay seeded after the work.
    if device.type == "cpu":
        return [torch.default_generator]
    backend = torch.get_device_module(device)
    if device.type == "mps":
        return [torch.default_generator, backend._get_default_mps_generator()]
    backend.init()
    number = backend.current_device() if device.index is None else device.index
    return [torch.default_generator, backend.default_generators[number]]
