"""Many domain discriminators in one module."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ParallelDiscriminators", "packed_rows", "reversed_logit", "take_rows"]


class ParallelDiscriminators(nn.Module):
    """Evaluate K ReLU networks of one shape at once, each on rows of its own.

    Every layer is one batched matrix product over all networks. Initial weights follow the law of ``nn.Linear``; those
    of a single network are the same as of an ``nn.Sequential`` made in its place.

    Parameters
    ----------
    n_networks : int
        Number of networks K.
    n_features : int
        Width D of the features.
    hidden : sequence of int
        Widths of the hidden layers; empty: linear discriminators.
    """

    def __init__(self, n_networks: int, n_features: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = list(pairwise([n_features, *hidden, 1]))
        self.weights = nn.ParameterList(torch.empty(n_networks, width_out, width_in) for width_in, width_out in widths)
        self.biases = nn.ParameterList(torch.empty(n_networks, 1, width_out) for _, width_out in widths)
        with torch.no_grad():
            for weight, bias in zip(self.weights, self.biases, strict=True):
                for network in range(n_networks):
                    nn.init.kaiming_uniform_(weight[network], a=5**0.5)
                bias.uniform_(-(weight.shape[2] ** -0.5), weight.shape[2] ** -0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logit of P(source) of the rows (K, m, D) of each network, shape (K, m)."""
        return self._layers(rows)[-1][:, :, 0]

    def with_gradient(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (K, m) and their gradients with respect to the rows (K, m, D), both in the graph.

        The gradient of a ReLU network is a product of its weights and of masks. The masks are constants wherever they
        have a derivative, so this form replaces a backward pass that would itself have to be differentiated.
        """
        *hidden, logit = self._layers(rows)
        *inner, last = self.weights
        gradient = last.expand(-1, rows.shape[1], -1)
        for weight, layer in zip(reversed(inner), reversed(hidden), strict=True):
            gradient = torch.bmm(gradient * (layer > 0), weight)
        return logit[:, :, 0], gradient

    def _layers(self, rows: Tensor) -> list[Tensor]:
        (weight, bias), *others = zip(self.weights, self.biases, strict=True)
        outputs = [torch.baddbmm(bias, rows, weight.mT)]
        for weight, bias in others:
            outputs.append(torch.baddbmm(bias, outputs[-1].relu(), weight.mT))
        return outputs


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logit: Tensor, rows: Tensor, gradient: Tensor, coefficient: float) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.coefficient = coefficient
        return logit.view_as(logit)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # The logits pass `grad * gradient` on to the rows; what is added here makes it -coefficient times that.
        return grad, -(1 + ctx.coefficient) * grad[:, :, None] * gradient, None, None


def reversed_logit(logit: Tensor, rows: Tensor, gradient: Tensor, coefficient: float) -> Tensor:
    """Return the logits of rows as if the rows had passed through a gradient reversal.

    It saves a second pass through the discriminators where logits are needed with and without reversal.

    Parameters
    ----------
    logit, rows, gradient : Tensor of shape (K, m), (K, m, D) and (K, m, D)
        Logits of rows and their gradients, as `ParallelDiscriminators.with_gradient` returns them.
    coefficient : float
        The gradient is multiplied by ``-coefficient`` on its way to the rows.

    Returns
    -------
    Tensor of shape (K, m)
        The values of `logit`.
    """
    return _Reversed.apply(logit, rows, gradient, coefficient)


def packed_rows(weight: Tensor) -> Tensor:
    """Return the numbers of the rows that each of K networks has a weight for, as a table.

    A source row matters to one class only, so that most of the pairs of rows and class-wise networks have no weight.

    Parameters
    ----------
    weight : Tensor of shape (K, n)
        Weight of each row for each network.

    Returns
    -------
    Tensor of shape (K, m), int64
        Row numbers, in order; m is the largest number of rows that one network has a weight for. Networks with fewer
        are filled up by rows of weight 0, which add nothing to a weighted sum.
    """
    used = weight != 0
    n_used = int(used.sum(dim=1).max())
    return used.int().argsort(dim=1, descending=True, stable=True)[:, :n_used]


def take_rows(features: Tensor, rows: Tensor) -> Tensor:
    """Return the rows of `features` (n, D) that a table (K, m) of their numbers names, shape (K, m, D)."""
    # Indexing by the table would add the gradients up in an order that depends on the threads.
    return features.index_select(0, rows.flatten()).unflatten(0, rows.shape)
