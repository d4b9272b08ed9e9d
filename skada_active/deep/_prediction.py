"""Outputs of a trained net for many rows, from one forward pass."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from skada_active.deep.net import AdaptationNet
from skada_active.utils.arrays import empty_like, to_host

__all__ = ["net_outputs"]

_OUTPUTS = frozenset({"proba", "logits", "features", "source_logit"})


def net_outputs(net: AdaptationNet, rows: Any, names: Collection[str], on_device: Collection[str]) -> dict[str, Any]:
    """Return the named outputs of a net for rows, those that it has.

    Parameters
    ----------
    net : AdaptationNet
        A trained net.
    rows : Tensor of shape (n, ...) or dataset
        The rows; a tensor on the device of the net.
    names : collection of str
        Among ``proba``, ``logits``, ``features`` and ``source_logit``; others are left out.
    on_device : collection of str
        Which of them are tensors on the device of the net; the others are ndarrays.
    """
    wanted = [name for name in sorted(names) if name in _OUTPUTS]
    outputs: dict[str, Any] = {}
    start = 0
    for logits, features in net.forward_iter(rows, device=net.device):
        stop = start + len(logits)
        for name in wanted:
            output = _output(net, name, logits, features)
            values = output if name in on_device else to_host(output)
            if name not in outputs:
                # Filled batch by batch: a list of all batches would take the memory twice.
                outputs[name] = empty_like((len(rows), *values.shape[1:]), values)
            outputs[name][start:stop] = values
        start = stop
    return outputs


@torch.no_grad()
def _output(net: AdaptationNet, name: str, logits: Tensor, features: Tensor) -> Tensor:
    if name == "proba":
        return logits.softmax(dim=1)
    if name == "source_logit":
        source_logit = net.criterion_.objective.source_logit
        reads_logits = "logits" in signature(source_logit).parameters
        return source_logit(features, logits) if reads_logits else source_logit(features)
    return logits if name == "logits" else features
