"""SDM: margin sampling that looks where the gradient of the training loss points."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query.sdm_gradients import MIN_NORM, QueryLoss, TopTwo
from skada_active.query.uncertainty import margin_uncertainty
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import as_floats

__all__ = ["SDM", "sdm_scores"]

# Rows are worked on in blocks whose temporaries stay in the cache.
_BLOCK_BYTES = 2**19
# The squares of longer weights could be out of the range of float32.
_LARGE_EXPONENT = 32


def sdm_scores(
    logits: ArrayLike,
    head_weight: ArrayLike,
    *,
    gradient_weight: float = 0.01,
    query_loss: str = "official",
    margin: float = 1.0,
    jacobian: str = "exact",
    dynamic: bool | None = None,
    max_logit: bool | None = None,
    normalize_logits: bool | None = None,
    reduction: str | None = None,
) -> NDArray[np.float64]:
    r"""Return the margin uncertainty plus its weighted alignment with the gradient of the training loss.

    .. math::

        \tilde Q = Q + \lambda \cos(\nabla_f \hat L, \nabla_f Q), \quad Q = 1 - (p_{(1)} - p_{(2)}), \quad
        \nabla_f \hat L = p_{(1)} \nabla_f L(x, y_{(1)}) + p_{(2)} \nabla_f L(x, y_{(2)})

    with the gradients with respect to the embedding f, the input of the linear head.

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Finite logits of the candidates.
    head_weight : array-like of shape (C, D)
        Weight of the linear head, ``logits == features @ head_weight.T + bias``.
    gradient_weight : float, default=0.01
        Weight of the cosine; 0 is plain margin sampling.
    query_loss : {"official", "margin"}, default="official"
        Loss L whose gradient is used; see `sdm_loss_gradient`.
    margin : float, default=1.0
        Margin m of its hinge.
    jacobian : {"exact", "official"}, default="exact"
        How Q is differentiated; see `sdm_margin_gradient`.
    dynamic, max_logit, normalize_logits : bool, default=None
        Parts of the loss, see `sdm_loss_gradient`.
    reduction : {"mean_over_classes", "sum"}, default=None
        Likewise.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores between ``-gradient_weight`` and ``1 + gradient_weight``. The cosine is 0 where a gradient is shorter
        than 1e-12, and with one class.

    Notes
    -----
    Both gradients are ``head_weight.T`` times a vector of C coefficients, so their cosine needs C dimensions only:
    O(n C min(C, D) + C² D) time; extra memory O(C min(C, D)) and a block of rows.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 3, 8 and 9.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import sdm_scores
    >>> logits, head_weight = np.array([[2.0, 1.0, 0.0], [0.3, 0.2, -0.5]]), np.eye(3)
    >>> sdm_scores(logits, head_weight, gradient_weight=0.0).round(4)
    array([0.5795, 0.9596])
    """
    options = {"dynamic": dynamic, "max_logit": max_logit, "normalize_logits": normalize_logits, "reduction": reduction}
    training_loss = QueryLoss.named(query_loss, margin, **options)
    z, weight = as_floats(logits, head_weight)
    if gradient_weight == 0 or z.shape[1] == 1:
        return margin_uncertainty(softmax(z, axis=1))
    scores = np.empty(len(z))
    root = _root(weight)
    block = max(1, _BLOCK_BYTES // (z.shape[1] * z.itemsize))
    for start in range(0, len(z), block):
        rows = slice(start, start + block)
        prediction = TopTwo.from_logits(z[rows])
        loss = prediction.loss_gradient(training_loss) @ root
        query = prediction.margin_gradient(jacobian) @ root
        # 1 - (p1 - p2), as a sum that keeps its digits where p1 is close to 1.
        uncertainty = prediction.rest + 2 * prediction.proba[1]
        scores[rows] = uncertainty + gradient_weight * _cosine(loss, query)
    return scores


class SDM(QueryStrategy):
    """SDM-G strategy: target rows of small margin whose training gradient would widen it.

    Reads logits and the weight of the linear head; with ``gradient_weight=0`` class probabilities only.

    Parameters
    ----------
    gradient_weight : float, default=0.01
        Weight of the cosine of the two gradients; 0 is plain margin sampling.
    query_loss : {"official", "margin"}, default="official"
        Loss whose gradient is used: that of the published code (cross-entropy, static hinge and max-logit on normalised
        logits), or Eq. 1 on raw logits. See `sdm_loss_gradient`.
    margin : float, default=1.0
        Margin of its hinge.
    jacobian : {"exact", "official"}, default="exact"
        The exact derivative of the margin, or that of the published code, which lacks a term. See
        `sdm_margin_gradient`.
    dynamic, max_logit, normalize_logits : bool, default=None
        Parts of `query_loss`, as those of `skada_active.deep.MarginLoss`; ``None`` leaves them as the name says. Where
        they have the values of the `MarginLoss` that the network is trained with, the query looks at the gradient of
        the training loss, as that of `recipes.sdm` does.
    reduction : {"mean_over_classes", "sum"}, default=None
        Likewise.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    sdm_scores : The score as a function.
    MarginSampling : The same without gradients.
    skada_active.deep.MarginLoss : The training loss of the method.
    skada_active.recipes : Query and training of the method together.

    Notes
    -----
    O(n C min(C, D) + C² D) time; extra memory O(n + C min(C, D)) and a block of rows. Where the paper and its code
    differ, the default follows the loss of the code with an exact derivative; on raw logits the sign of the cosine
    often turns round.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 8 and 9.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import SDM
    >>> view = PoolView(logits=[[2.0, 0.0, 0.0], [0.3, 0.2, 0.0]], head_weight=[[1.0, 0], [0, 1], [-1, -1]])
    >>> SDM().select(view, 1)
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "gradient_weight": [Interval(Real, None, None, closed="neither")],
        "query_loss": [StrOptions({"official", "margin"})],
        "margin": [Interval(Real, 0, None, closed="neither")],
        "jacobian": [StrOptions({"exact", "official"})],
        "dynamic": ["boolean", None],
        "max_logit": ["boolean", None],
        "normalize_logits": ["boolean", None],
        "reduction": [StrOptions({"mean_over_classes", "sum"}), None],
    }

    def __init__(
        self,
        gradient_weight: float = 0.01,
        query_loss: str = "official",
        margin: float = 1.0,
        jacobian: str = "exact",
        dynamic: bool | None = None,
        max_logit: bool | None = None,
        normalize_logits: bool | None = None,
        reduction: str | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.gradient_weight = gradient_weight
        self.query_loss = query_loss
        self.margin = margin
        self.jacobian = jacobian
        self.dynamic = dynamic
        self.max_logit = max_logit
        self.normalize_logits = normalize_logits
        self.reduction = reduction

    @property
    def needs(self) -> frozenset[str]:
        """``logits`` and ``head_weight``, or ``proba`` alone where the gradients count nothing."""
        return frozenset({"proba"} if self.gradient_weight == 0 else {"logits", "head_weight"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        if self.gradient_weight == 0:
            return 1 - view.margin
        return sdm_scores(
            view.logits,
            view.head_weight,
            gradient_weight=self.gradient_weight,
            query_loss=self.query_loss,
            margin=self.margin,
            jacobian=self.jacobian,
            dynamic=self.dynamic,
            max_logit=self.max_logit,
            normalize_logits=self.normalize_logits,
            reduction=self.reduction,
        )


def _root(head_weight: NDArray[Any]) -> NDArray[Any]:
    """Return R (C, min(C, D)) with R R^T = W W^T: coefficients times R have the lengths and angles of those times W."""
    # Angles are the same at any scale, and a power of two changes no digit; what is far too short stays so.
    exponent = int(np.frexp(np.abs(head_weight).max(initial=0))[1])
    head_weight = np.ldexp(head_weight, -exponent) if exponent > _LARGE_EXPONENT else head_weight
    n_classes, width = head_weight.shape
    if n_classes >= width:
        return head_weight
    return cast("NDArray[Any]", np.linalg.qr(head_weight.T, mode="r")).T  # an array, with this mode


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    norms = np.sqrt(np.einsum("ij,ij->i", a, a)), np.sqrt(np.einsum("ij,ij->i", b, b))
    known = np.minimum(*norms) >= MIN_NORM
    inner = np.einsum("ij,ij->i", a, b)
    return np.clip(np.divide(inner, norms[0] * norms[1], out=np.zeros_like(inner), where=known), -1, 1)
