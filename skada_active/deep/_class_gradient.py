"""Gradients of a class-wise domain discriminator with respect to the embedding."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from skada_active.deep._precision import in_full_precision
from skada_active.utils.fitting import keeps_grad_mode

__all__ = ["ClassDomainGradient", "class_domain_gradient"]


def class_domain_gradient(discriminator: nn.Sequential, features: Tensor) -> Tensor:
    r"""Return the gradients :math:`-\partial \ln d_c(z) / \partial z` of a class-wise domain discriminator.

    With :math:`d_c = \sigma(o_c)` the gradient is :math:`-(1 - d_c) \, \partial o_c / \partial z`, finite even where d
    underflows. All classes go back through the layers together, one matrix product a layer.

    Parameters
    ----------
    discriminator : nn.Sequential
        Linear layers with a ReLU between any two of them: D inputs, one output o_c for each of C classes.
    features : Tensor of shape (n, D)
        Embedding z.

    Returns
    -------
    Tensor of shape (n, C, D)
        Without a graph.

    Notes
    -----
    O(n C sum_l H_l H_{l+1}) time over the widths H of the layers, and O(n C max_l H_l) memory: call it on blocks of
    rows.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Eq. 3.
    """
    with torch.no_grad():
        active = []
        output = features
        for layer in discriminator:
            output = layer(output)
            if isinstance(layer, nn.ReLU):
                active.append(output > 0)
        *earlier, last = (layer.weight for layer in discriminator if isinstance(layer, nn.Linear))
        gradient = -torch.sigmoid(-output)[:, :, None] * last
        for weight, mask in zip(reversed(earlier), reversed(active), strict=True):
            gradient = (gradient * mask[:, None]) @ weight
        return gradient


class ClassDomainGradient:
    """Function `class_domain_gradient` of a discriminator, for embedded rows as numpy arrays or tensors on any device.

    Parameters
    ----------
    discriminator : nn.Sequential
        Copied: what a pool view holds must not change with further training.
    """

    def __init__(self, discriminator: nn.Sequential) -> None:
        self.discriminator = copy.deepcopy(discriminator).requires_grad_(False)

    @keeps_grad_mode
    def __call__(self, features: Any) -> Any:
        """Return the gradients at the rows of `features` (m, D), shape (m, C, D), as what `features` are."""
        parameter = next(self.discriminator.parameters())
        rows = torch.as_tensor(features, dtype=parameter.dtype, device=parameter.device)
        gradients = in_full_precision(class_domain_gradient, self.discriminator, rows, device=rows.device)
        return gradients if isinstance(features, Tensor) else gradients.cpu().numpy()
