"""GSDA: alignment in a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skada_active.deep import GSDA, AdaptationClassifier
from skada_active.utils.random import RandomStateLike

__all__ = ["gsda"]


def gsda(
    *,
    alpha: float = 0.02,
    beta: float = 1.0,
    n_groups: int | str = "auto",
    levels: Sequence[str] = ("domain", "group", "class"),
    confidence_threshold: float = 0.9,
    class_balanced: bool = True,
    max_reversal: float = 1.0,
    random_state: RandomStateLike = None,
    **params: Any,
) -> AdaptationClassifier:
    """Return GSDA: alignment of domain, groups and classes with synchronised gradients.

    Parameters
    ----------
    alpha : float, default=0.02
        Weight of the conditional entropy: 0.02 for Office-31 and Office-Home, 0.2 for VisDA-2017 and partial domain
        adaptation.
    beta : float, default=1.0
        Weight of the gradient synchronisation: 1 for Office-31 and Office-Home, 10 for VisDA-2017 and partial domain
        adaptation.
    n_groups : int or "auto", default="auto"
        Number of groups of classes; the paper has 6 for Office-31, 13 for Office-Home and 4 for VisDA-2017.
    levels : sequence of {"domain", "group", "class"}, default=("domain", "group", "class")
        What is aligned. With ``beta=0`` these are the rows of the paper's ablation study, see `GSDA`.
    confidence_threshold : float, default=0.9
        Smallest probability with which a target row takes part in groups and classes.
    class_balanced : bool, default=True
        Whether classes count the same in the alignment of a batch.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal, see `GSDA`.
    random_state : int, RandomState instance or None, default=None
        Seed of the classifier.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` or `lr`.

    Returns
    -------
    AdaptationClassifier
        Not fitted. It needs no target label and takes those there are; in an `ActiveAdaptationLoop` any query strategy
        goes with it.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020, Tables 1
       to 4.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.gsda(alpha=0.2, beta=10.0).objective
    GSDA(alpha=0.2, beta=10.0)
    """
    objective = GSDA(
        alpha=alpha,
        beta=beta,
        n_groups=n_groups,
        levels=levels,
        confidence_threshold=confidence_threshold,
        class_balanced=class_balanced,
        max_reversal=max_reversal,
    )
    return AdaptationClassifier(objective, random_state=random_state, **params)
