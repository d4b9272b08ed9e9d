"""Epochs of a training that goes on: said by whoever trains, heard by whoever shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["hearing_epochs", "say_epoch"]

_listener: ContextVar[Callable[[int, int], None] | None] = ContextVar("listener", default=None)


def say_epoch(done: int, total: int) -> None:
    """Say that `done` of `total` epochs of a training are over."""
    if (listener := _listener.get()) is not None:
        listener(done, total)


@contextmanager
def hearing_epochs(listener: Callable[[int, int], None] | None) -> Iterator[None]:
    """Call `listener(done, total)` after every epoch that this thread trains inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
