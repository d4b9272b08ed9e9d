"""Many domain discriminators in one module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["ParallelDiscriminators", "packed_rows", "reversed_logit", "take_rows"]


#: Most weights of a layer that one tensor holds (8 MB). Gradients are allocated in every step, and for much larger
#: ones allocators ask the system each time, whose fresh pages then cost as much as the products.
_MOST_WEIGHTS = 2**21


class ParallelDiscriminators(nn.Module):
    """K ReLU networks of one shape that are evaluated at once, each on rows of its own.

    Every layer is one batched matrix product over all networks, or over blocks of them where their weights are large.
    Initial weights follow the law of ``nn.Linear``; those of a single network are the same as of an ``nn.Sequential``
    made in its place.

    Parameters
    ----------
    n_networks : int
        Number of networks K.
    n_features : int
        Width D of the features.
    hidden : sequence of int
        Widths of the hidden layers; empty: linear discriminators.

    Notes
    -----
    The blocks have at most 2^21 weights in a layer, but one network at least: up to 128 networks of width 64 on 256
    features are one block. The smaller the networks, the more is saved on a loop over them, whose time goes into calls;
    from width 512 on both are matrix products alone.
    """

    def __init__(self, n_networks: int, n_features: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = list(pairwise([n_features, *hidden, 1]))
        in_block = max(1, _MOST_WEIGHTS // max(width_in * width_out for width_in, width_out in widths))
        self.sizes = [len(block) for block in torch.arange(n_networks).tensor_split(-(-n_networks // in_block))]
        blocks = [_Block(size, widths) for size in self.sizes]
        for layer in range(len(widths)):
            _initialize([block.weights[layer] for block in blocks], [block.biases[layer] for block in blocks])
        self.blocks = nn.ModuleList(blocks)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logit of P(source) of the rows (K, m, D) of each network, shape (K, m)."""
        return _joined([block(part) for block, part in self._with_rows(rows)])

    def with_gradient(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (K, m) and their gradients with respect to the rows (K, m, D), both in the graph.

        The gradient of a ReLU network is a product of its weights and of masks. The masks are constants wherever they
        have a derivative, so this form replaces a backward pass that would itself have to be differentiated.
        """
        logits, gradients = zip(*(block.with_gradient(part) for block, part in self._with_rows(rows)), strict=True)
        return _joined(logits), _joined(gradients)

    def _with_rows(self, rows: Tensor) -> Iterator[tuple[_Block, Tensor]]:
        # Not `tensor_split`, whose gradient is a sum of as many tensors of the size of `rows` as there are parts.
        return zip(cast(Iterable[_Block], self.blocks), rows.split(self.sizes), strict=True)


class _Block(nn.Module):
    """Block of networks whose layers are single tensors: weights (K, out, in), biases (K, 1, out)."""

    def __init__(self, n_networks: int, widths: list[tuple[int, int]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(n_networks, width_out, width_in) for width_in, width_out in widths)
        self.biases = nn.ParameterList(torch.empty(n_networks, 1, width_out) for _, width_out in widths)

    def forward(self, rows: Tensor) -> Tensor:
        return self._layers(rows)[-1][:, :, 0]

    def with_gradient(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        *hidden, logit = self._layers(rows)
        *inner, last = self.weights
        gradient = last.expand(-1, rows.shape[1], -1)
        for weight, layer in zip(reversed(inner), reversed(hidden), strict=True):
            gradient = torch.bmm(gradient * (layer > 0), weight)
        return logit[:, :, 0], gradient

    def _layers(self, rows: Tensor) -> list[Tensor]:
        (weight, bias), *others = zip(self.weights, self.biases, strict=True)
        outputs = [_affine(bias, rows, weight)]
        for weight, bias in others:
            outputs.append(_affine(bias, outputs[-1].relu(), weight))
        return outputs


@torch.no_grad()
def _initialize(weights: list[Tensor], biases: list[Tensor]) -> None:
    # Layer by layer, weights first: where blocks end has no influence on what is drawn.
    for weight in weights:
        for network in weight:
            nn.init.kaiming_uniform_(network, a=5**0.5)
    bound = weights[0].shape[2] ** -0.5
    for bias in biases:
        bias.uniform_(-bound, bound)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class _Affine(torch.autograd.Function):
    # `baddbmm` would make the weights' gradient as the transpose of what is needed, and copy it.
    @staticmethod
    def forward(ctx: Any, bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return torch.baddbmm(bias, rows, weight.mT)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        by_rows = torch.bmm(grad, weight) if ctx.needs_input_grad[1] else None
        return grad.sum(dim=1, keepdim=True), by_rows, torch.bmm(grad.mT, rows)


def _affine(bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """Return ``rows @ weight.mT + bias`` of each network."""
    device = rows.device.type
    if torch.is_autocast_enabled(device):
        # Inside the function autocast would be forgotten on the way back.
        bias, rows, weight = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (bias, rows, weight))
    return _Affine.apply(bias, rows, weight)


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
