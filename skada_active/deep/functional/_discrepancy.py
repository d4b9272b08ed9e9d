"""Discrepancies between the feature distributions of source and target: kernels and covariances."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul

import torch
from torch import Tensor

__all__ = ["KERNEL_SCALES", "coral_loss", "fused_mmd", "joint_mmd", "multi_kernel_mmd", "squared_distances"]

#: Bandwidths of the Gaussian kernels, as multiples of the mean squared distance of the rows.
KERNEL_SCALES = (2.0**-3, 2.0**-2, 2.0**-1, 1.0, 2.0)


def multi_kernel_mmd(source: Tensor, target: Tensor, *, kernel_scales: Sequence[float] = KERNEL_SCALES) -> Tensor:
    r"""Return DAN's squared maximum mean discrepancy under a sum of Gaussian kernels.

    With :math:`k(x, y) = \sum_a \exp(-|x - y|^2 / (2 a \sigma^2))`, :math:`\sigma^2` the mean squared distance of all
    pairs of rows (a constant for the gradient), it is the unbiased estimate, lifted by what keeps it positive:

    .. math:: \frac{\sum_{i \neq j} k(s_i, s_j)}{n_s (n_s - 1)} + \frac{\sum_{i \neq j} k(t_i, t_j)}{n_t (n_t - 1)}
              - \frac{2 \sum_{ij} k(s_i, t_j)}{n_s n_t} + \frac{1}{n_s - 1} + \frac{1}{n_t - 1}

    Parameters
    ----------
    source, target : Tensor of shape (n_s, D) and (n_t, D)
        Features, two rows or more each; the numbers of rows may differ.
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        Factors a > 0, one kernel each.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows, or a scale is not positive.

    Notes
    -----
    O((n_s + n_t)^2 D) time, O((n_s + n_t)^2) memory.

    References
    ----------
    .. [1] Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import multi_kernel_mmd
    >>> rows = torch.tensor([[0.0], [1.0]])
    >>> multi_kernel_mmd(rows, rows + 5) > multi_kernel_mmd(rows, rows + 1)
    tensor(True)
    """
    rows = torch.cat([source, target])
    return _mmd(_gaussian_kernels(squared_distances(rows, rows), kernel_scales), len(source))


def joint_mmd(
    source_layers: Sequence[Tensor],
    target_layers: Sequence[Tensor],
    *,
    kernel_scales: Sequence[float] = KERNEL_SCALES,
    proba_bandwidth: float = 0.92,
) -> Tensor:
    r"""Return JAN's joint maximum mean discrepancy: that under the product of the kernels of several layers.

    Every layer but the last has the kernels of `multi_kernel_mmd`; the last one, the class probabilities, has one
    Gaussian kernel :math:`\exp(-|x - y|^2 / (2 \sigma^2))` of fixed bandwidth.

    Parameters
    ----------
    source_layers, target_layers : sequence of Tensor of shape (n_s, D_l) and (n_t, D_l)
        Activations of the layers, two rows or more each, the class probabilities last.
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        As in `multi_kernel_mmd`.
    proba_bandwidth : float, default=0.92
        Bandwidth sigma > 0 of the last layer's kernel.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows, the numbers of layers differ, or a scale or bandwidth is not positive.

    Notes
    -----
    O((n_s + n_t)^2 D) time and O((n_s + n_t)^2) memory a layer.

    References
    ----------
    .. [1] Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017, Eq. 9.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import joint_mmd
    >>> features, proba = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    >>> joint_mmd([features + 3, proba], [features, proba]) > joint_mmd([features, proba], [features, proba])
    tensor(True)
    """
    if len(source_layers) != len(target_layers) or not source_layers:
        raise ValueError(
            f"source_layers and target_layers must hold the same layers, got {len(source_layers)} and "
            f"{len(target_layers)}; give the activations of every layer for both domains."
        )
    if proba_bandwidth <= 0:
        raise ValueError(f"proba_bandwidth must be positive, got {proba_bandwidth!r}.")
    *hidden, proba = (torch.cat(pair) for pair in zip(source_layers, target_layers, strict=True))
    kernels = [_gaussian_kernels(squared_distances(rows, rows), kernel_scales) for rows in hidden]
    kernels.append(torch.exp(squared_distances(proba, proba) / (-2 * proba_bandwidth**2)))
    return _mmd(reduce(mul, kernels), len(source_layers[0]))


def fused_mmd(
    source_features: Tensor,
    target_features: Tensor,
    source_proba: Tensor,
    target_proba: Tensor,
    *,
    kernel_scales: Sequence[float] = KERNEL_SCALES,
) -> Tensor:
    r"""Return RTN's tensor discrepancy: `multi_kernel_mmd` of the outer products of features and class probabilities.

    The products :math:`f \otimes p` are never made. With the difference :math:`\delta` and the mean :math:`\mu` of two
    rows' features (probabilities), :math:`|f \otimes p - f' \otimes p'|^2 = |\delta_f|^2 |\mu_p|^2 + |\mu_f|^2
    |\delta_p|^2 + 2 (\mu_f \cdot \delta_f) (\mu_p \cdot \delta_p)`, exact also for rows that are near.

    Parameters
    ----------
    source_features, target_features : Tensor of shape (n_s, D) and (n_t, D)
        Features, two rows or more each; the numbers of rows may differ.
    source_proba, target_proba : Tensor of shape (n_s, C) and (n_t, C)
        Class probabilities of the same rows.
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        As in `multi_kernel_mmd`.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows, or a scale is not positive.

    Notes
    -----
    O((n_s + n_t)^2 (D + C)) time, O((n_s + n_t)^2) memory.

    References
    ----------
    .. [1] Long et al., "Unsupervised Domain Adaptation with Residual Transfer Networks", NeurIPS 2016, section 4.1.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import fused_mmd
    >>> features, proba = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    >>> fused_mmd(features, features, proba, proba.flip(1)) > fused_mmd(features, features, proba, proba)
    tensor(True)
    """
    features, proba = torch.cat([source_features, target_features]), torch.cat([source_proba, target_proba])
    parts = [(squared_distances(rows, rows), rows.square().sum(dim=1)) for rows in (features, proba)]
    (apart_f, mean_f, along_f), (apart_p, mean_p, along_p) = (
        (apart, (norm[:, None] + norm) / 2 - apart / 4, (norm[:, None] - norm) / 2) for apart, norm in parts
    )
    squared = apart_f * mean_p + mean_f * apart_p + 2 * along_f * along_p
    return _mmd(_gaussian_kernels(squared.clamp_min(0), kernel_scales), len(source_features))


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    r"""Return Deep CORAL's distance of the covariances, :math:`|C_S - C_T|_F^2 / (4 D^2)`.

    Parameters
    ----------
    source, target : Tensor of shape (n_s, D) and (n_t, D)
        Features, two rows or more each; the numbers of rows may differ.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows.

    Notes
    -----
    O((n_s + n_t) D^2) time, O(D^2) memory. Covariances are unbiased (divided by n - 1), as in the paper.

    References
    ----------
    .. [1] Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016 workshops, Eq. 1.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import coral_loss
    >>> rows = torch.tensor([[-1.0], [1.0]])
    >>> coral_loss(rows, 2 * rows)  # variances 2 and 8
    tensor(9.)
    """
    _check_sizes(len(source), len(target))
    return (_covariance(source) - _covariance(target)).square().sum() / (4 * source.shape[1] ** 2)


def _covariance(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / (len(rows) - 1)


def squared_distances(rows: Tensor, others: Tensor) -> Tensor:
    """Return the squared Euclidean distances of rows (..., n, D) to others (..., m, D), shape (..., n, m)."""
    # By differences of one coordinate set: |x|^2 + |y|^2 - 2xy loses all digits of near rows in float32.
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").square()


def _gaussian_kernels(squared: Tensor, scales: Sequence[float]) -> Tensor:
    if not len(scales) or min(scales) <= 0:
        raise ValueError(f"kernel_scales must hold one positive number or more, got {scales!r}.")
    # Rows that are all the same have no scale; every kernel is then 1, whatever the bandwidth.
    mean = squared.detach().mean().clamp_min(torch.finfo(squared.dtype).tiny)
    return reduce(torch.add, (torch.exp(squared / (-2 * scale * mean)) for scale in scales))


def _mmd(kernel: Tensor, n_source: int) -> Tensor:
    n_target = len(kernel) - n_source
    _check_sizes(n_source, n_target)
    diagonal = kernel.diagonal()
    source = (kernel[:n_source, :n_source].sum() - diagonal[:n_source].sum()) / (n_source * (n_source - 1))
    target = (kernel[n_source:, n_source:].sum() - diagonal[n_source:].sum()) / (n_target * (n_target - 1))
    across = kernel[:n_source, n_source:].mean()
    return source + target - 2 * across + 1 / (n_source - 1) + 1 / (n_target - 1)


def _check_sizes(n_source: int, n_target: int) -> None:
    if min(n_source, n_target) < 2:
        raise ValueError(
            f"source and target need two rows or more each, got {n_source} and {n_target}; use larger batches."
        )
