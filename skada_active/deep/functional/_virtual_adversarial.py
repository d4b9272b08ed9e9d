"""Virtual adversarial training: what the worst small step of the inputs does to the predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["virtual_adversarial_loss", "virtual_adversarial_perturbation"]


def virtual_adversarial_perturbation(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    logits: Tensor,
    *,
    epsilon: float,
    xi: float = 1e-6,
    n_iterations: int = 1,
) -> Tensor:
    r"""Return the step of length `epsilon` per row that changes the predictions most, by power iteration.

    Parameters
    ----------
    forward : callable
        Maps inputs (n, ...) to logits (n, C).
    inputs : Tensor of shape (n, ...)
        Rows.
    logits : Tensor of shape (n, C)
        Logits of the rows; no gradient reaches them.
    epsilon : float
        Length of the step.
    xi : float, default=1e-6
        Length of the step for the finite difference.
    n_iterations : int, default=1
        Power iterations, each a forward and a backward pass.

    Returns
    -------
    Tensor of shape (n, ...)
        The step; random directions come from torch's global generator.

    References
    ----------
    .. [1] Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised
       Learning", TPAMI 2018, Algorithm 1.
    """
    direction = _unit(torch.randn_like(inputs))
    log_proba = F.log_softmax(logits.detach(), dim=1)
    for _ in range(n_iterations):
        direction.requires_grad_()
        with torch.enable_grad():
            divergence = _divergence(log_proba, forward(inputs.detach() + xi * direction))
            (gradient,) = torch.autograd.grad(divergence, direction)
        direction = _unit(gradient)
    return epsilon * direction


def virtual_adversarial_loss(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    logits: Tensor,
    *,
    epsilon: float,
    xi: float = 1e-6,
    n_iterations: int = 1,
) -> Tensor:
    r"""Return the mean divergence KL(p(x) || p(x + r)) for the step r that changes the predictions most.

    Parameters
    ----------
    forward, inputs, logits, epsilon, xi, n_iterations
        As in `virtual_adversarial_perturbation`. The gradient reaches the network through the perturbed rows alone.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Notes
    -----
    ``n_iterations + 1`` forward passes more, and as many backward.

    References
    ----------
    .. [1] Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised
       Learning", TPAMI 2018, Eq. 5 to 7.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import virtual_adversarial_loss
    >>> classifier = torch.nn.Linear(3, 2)
    >>> rows = torch.zeros(4, 3)
    >>> bool(virtual_adversarial_loss(classifier, rows, classifier(rows), epsilon=1.0) > 0)
    True
    """
    step = virtual_adversarial_perturbation(forward, inputs, logits, epsilon=epsilon, xi=xi, n_iterations=n_iterations)
    return _divergence(F.log_softmax(logits.detach(), dim=1), forward(inputs + step))


def _divergence(log_proba: Tensor, logits: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(logits, dim=1), log_proba, reduction="batchmean", log_target=True)


def _unit(rows: Tensor) -> Tensor:
    lengths = rows.flatten(1).norm(dim=1).clamp_min(torch.finfo(rows.dtype).tiny)
    return rows / lengths.view(-1, *[1] * (rows.ndim - 1))
