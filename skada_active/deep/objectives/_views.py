"""Further passes of rows through a network in training mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["logits_of", "outputs_of", "running_statistics_kept"]

Network = Callable[[Tensor], tuple[Tensor, Tensor]]


def outputs_of(network: Network, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and features of rows that pass by themselves; a single one twice, which has no batch statistics."""
    if len(rows) > 1:
        return network(rows)
    logits, features = network(rows.repeat(2, *[1] * (rows.ndim - 1)))
    return logits[:1], features[:1]


def logits_of(network: Network, rows: Tensor) -> Tensor:
    """Return the logits of rows that pass by themselves."""
    return outputs_of(network, rows)[0]


@contextmanager
def running_statistics_kept(network: Any) -> Iterator[None]:
    """Normalise by the statistics of each batch without adding them to the running ones."""
    modules = network.modules() if isinstance(network, nn.Module) else ()
    tracking = [module for module in modules if getattr(module, "track_running_stats", False)]
    try:
        for module in tracking:
            module.track_running_stats = False  # type: ignore[assignment]
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True  # type: ignore[assignment]
