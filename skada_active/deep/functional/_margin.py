"""Max-margin losses on labelled rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["margin_loss"]


def margin_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    dynamic: bool = False,
    max_logit: bool | None = None,
    normalize_logits: bool = True,
    detach_alpha: bool = False,
    reduction: str = "mean_over_classes",
) -> Tensor:
    r"""Return SDM's max-margin loss of every row.

    .. math:: L(x, y) = \sum_{i \ne y} \alpha_i [m - z_y + z_i]_+ - z_y

    Static (Eq. 1): :math:`\alpha_i = 1` and no last term. Dynamic (Eq. 7): :math:`\alpha_i = 1 - (z_y - z_i) / m`;
    where the hinge is active this is hinge / m, so the sum is that of the squared hinges over m.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z.
    labels : Tensor of shape (n,), int64
        Column positions of the labels.
    margin : float, default=1.0
        The margin m > 0, in the units of the (normalised) logits.
    dynamic : bool, default=False
        Whether to modulate the hinges (SDM-A).
    max_logit : bool, default=None
        Whether to subtract the true logit; ``None`` follows `dynamic`.
    normalize_logits : bool, default=True
        Whether to scale each row of logits to length 1 first. On raw logits the hinges of a fitted model are all zero
        and the last term is unbounded below.
    detach_alpha : bool, default=False
        Whether the modulation is a constant for the gradient, which halves the gradient of the dynamic hinge.
    reduction : {"mean_over_classes", "sum"}, default="mean_over_classes"
        Whether the sum over classes is divided by C, as the published code does, or not, as in the equations.

    Returns
    -------
    Tensor of shape (n,)
        Loss per row.

    Raises
    ------
    ValueError
        If `margin` is not positive or `reduction` is unknown.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1 and 7.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import margin_loss
    >>> z, y = torch.tensor([[2.0, 1.5, -1.0]]), torch.tensor([0])
    >>> margin_loss(z, y, normalize_logits=False, reduction="sum")
    tensor([0.5000])
    >>> margin_loss(z, y, dynamic=True, normalize_logits=False, reduction="sum")
    tensor([-1.7500])
    """
    if margin <= 0:
        raise ValueError(f"margin must be positive, got {margin!r}.")
    if reduction not in ("mean_over_classes", "sum"):
        raise ValueError(f'reduction must be "mean_over_classes" or "sum", got {reduction!r}.')
    if normalize_logits:
        logits = F.normalize(logits, dim=1)
    true_logit = logits.gather(1, labels[:, None])
    hinge = (margin - true_logit + logits).clamp_min(0)
    # The true class contributes a hinge of exactly m; it is taken out by position, right for any m.
    others = torch.ones_like(hinge).scatter_(1, labels[:, None], 0)
    if dynamic:
        alpha = hinge / margin
        hinge = (alpha.detach() if detach_alpha else alpha) * hinge
    loss = (hinge * others).sum(dim=1)
    if reduction == "mean_over_classes":
        loss = loss / logits.shape[1]
    return loss - true_logit[:, 0] if (dynamic if max_logit is None else max_logit) else loss
