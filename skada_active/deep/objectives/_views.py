"""Further passes of target rows through a network in training mode."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["logits_of", "outputs_of"]

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
