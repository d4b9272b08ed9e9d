"""The two gradients that SDM compares, in closed form, with respect to the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.utils.arrays import as_floats

__all__ = ["sdm_loss_gradient", "sdm_margin_gradient"]

# A shorter vector has no direction.
MIN_NORM = 1e-12


@dataclass(frozen=True)
class QueryLoss:
    """Loss whose gradient SDM compares: cross-entropy or none, plus a margin loss.

    Parameters
    ----------
    margin : float
        Margin m.
    cross_entropy, dynamic, max_logit, normalize_logits : bool
        Whether there is cross-entropy; the others as in `skada_active.deep.functional.margin_loss`.
    reduction : {"mean_over_classes", "sum"}
        Likewise.
    """

    margin: float
    cross_entropy: bool
    dynamic: bool
    max_logit: bool
    normalize_logits: bool
    reduction: str

    @classmethod
    def named(cls, query_loss: str, margin: float, **options: Any) -> QueryLoss:
        """Return the loss of this name, with those of its options changed that are not None."""
        if query_loss not in _QUERY_LOSSES:
            raise ValueError(f'query_loss must be "official" or "margin", got {query_loss!r}.')
        given = {name: value for name, value in options.items() if value is not None}
        loss = cls(**{"margin": margin, **_QUERY_LOSSES[query_loss], **given})
        if loss.reduction not in ("mean_over_classes", "sum"):
            raise ValueError(f'reduction must be "mean_over_classes", "sum" or None, got {loss.reduction!r}.')
        return loss


#: The loss of the published code, and Eq. 1.
_QUERY_LOSSES: dict[str, dict[str, Any]] = {
    "official": {
        **{"cross_entropy": True, "dynamic": False, "max_logit": True},
        **{"normalize_logits": True, "reduction": "mean_over_classes"},
    },
    "margin": {
        **{"cross_entropy": False, "dynamic": False, "max_logit": False},
        **{"normalize_logits": False, "reduction": "sum"},
    },
}


def sdm_loss_gradient(
    logits: ArrayLike,
    *,
    query_loss: str = "official",
    margin: float = 1.0,
    dynamic: bool | None = None,
    max_logit: bool | None = None,
    normalize_logits: bool | None = None,
    reduction: str | None = None,
) -> NDArray[Any]:
    r"""Return the expected gradient of the training loss with respect to the logits.

    The expectation is over the two likeliest labels, :math:`\sum_{y \in \{(1), (2)\}} p_y \nabla_z L(z, y)`, with the
    probabilities taken as constants. The loss is either

    .. math::

        L_{official}(z, y) = -\ln \mathrm{softmax}(z)_y + \tfrac{1}{C} \sum_{i \neq y} [m - u_y + u_i]_+ - u_y,
        \quad u = z / \|z\|_2

    which the published code differentiates: cross-entropy, hinge and max-logit term on normalised logits; or Eq. 1,
    :math:`L_{margin}(z, y) = \sum_{i \neq y} [m - z_y + z_i]_+`. The other parameters change its parts, so that it is
    the loss of a `skada_active.deep.MarginLoss` beside the labelled cross-entropy where they have the same values.

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Finite logits z.
    query_loss : {"official", "margin"}, default="official"
        Which loss: with cross-entropy, or without; and what stands for None below.
    margin : float, default=1.0
        Margin m.
    dynamic : bool, default=None
        Whether the hinges are squared and divided by m (Eq. 7); ``None``: no.
    max_logit : bool, default=None
        Whether the true logit is subtracted; ``None``: for ``"official"``.
    normalize_logits : bool, default=None
        Whether the margin loss is that of the normalised logits u; ``None``: for ``"official"``.
    reduction : {"mean_over_classes", "sum"}, default=None
        Whether hinges are divided by C; ``None``: for ``"official"``.

    Returns
    -------
    ndarray of shape (n, C)
        Coefficients; times `head_weight` they are the gradients with respect to the embedding. Logits shorter than
        1e-12 have no direction: their normalised terms count as constant.

    Raises
    ------
    ValueError
        If `query_loss` or `reduction` is unknown.

    Notes
    -----
    O(n C) time and memory. It is the derivative of `skada_active.deep.functional.margin_loss`, written out a second
    time because strategies run on numpy arrays, without torch.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1, 7 and 9.

    Examples
    --------
    >>> from skada_active.query import sdm_loss_gradient
    >>> sdm_loss_gradient([[0.0, 0.0]], query_loss="margin")
    array([[0., 0.]])
    """
    options = {"dynamic": dynamic, "max_logit": max_logit, "normalize_logits": normalize_logits, "reduction": reduction}
    loss = QueryLoss.named(query_loss, margin, **options)
    (z,) = as_floats(logits)
    return np.zeros_like(z) if z.shape[1] == 1 else TopTwo.from_logits(z).loss_gradient(loss)


def sdm_margin_gradient(logits: ArrayLike, *, jacobian: str = "exact") -> NDArray[Any]:
    r"""Return the gradient of the margin uncertainty with respect to the logits.

    .. math:: \nabla_z Q = (p_{(1)} - p_{(2)})\, p - p_{(1)} e_{(1)} + p_{(2)} e_{(2)}

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Finite logits z.
    jacobian : {"exact", "official"}, default="exact"
        The exact gradient, or that of the published code, which leaves out ``p_(1) p_(2) (e_(2) - e_(1))``.

    Returns
    -------
    ndarray of shape (n, C)
        Coefficients; times `head_weight` they are the gradients with respect to the embedding.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 3.

    Examples
    --------
    >>> from skada_active.query import sdm_margin_gradient
    >>> sdm_margin_gradient([[0.0, 0.0]])
    array([[-0.5,  0.5]])
    """
    (z,) = as_floats(logits)
    return np.zeros_like(z) if z.shape[1] == 1 else TopTwo.from_logits(z).margin_gradient(jacobian)


@dataclass(frozen=True)
class TopTwo:
    """Softmax of rows of logits, split into the two likeliest classes (ties: the first) and the rest.

    Parameters
    ----------
    logits : ndarray of shape (n, C)
        At least two classes.
    labels : tuple of two ndarray of shape (n,), int64
        The likeliest class and the second one.
    proba : tuple of two ndarray of shape (n,)
        Their probabilities.
    others : ndarray of shape (n, C)
        Probabilities of the other classes; 0 at the two labels.
    rest : ndarray of shape (n,)
        Sum of `others`, precise where ``1 - p`` has lost all digits.
    """

    logits: NDArray[Any]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    proba: tuple[NDArray[Any], NDArray[Any]]
    others: NDArray[Any]
    rest: NDArray[Any]

    @classmethod
    def from_logits(cls, logits: NDArray[Any]) -> TopTwo:
        """Return the split of finite logits."""
        rows = np.arange(len(logits))
        first = logits.argmax(axis=1)
        largest = logits[rows, first]
        others = logits - largest[:, None]
        others[rows, first] = -np.inf
        second = others.argmax(axis=1)
        relative = np.exp(others[rows, second])
        others[rows, second] = -np.inf
        np.exp(others, out=others)
        rest = _row_sums(others)
        total = 1 + relative + rest
        others /= total[:, None]
        return cls(logits, (first, second), (1 / total, relative / total), others, rest / total)

    def margin_gradient(self, jacobian: str) -> NDArray[Any]:
        """Return the gradient of the margin uncertainty with respect to the logits; see `sdm_margin_gradient`."""
        (p1, p2), rest = self.proba, self.rest
        # The published code leaves out the cross term p1 p2 (e2 - e1).
        cross = p1 * p2 if jacobian == "exact" else 0
        return self._with_top((p1 - p2)[:, None] * self.others, -p1 * (rest + p2) - cross, p2 * (rest + p1) + cross)

    def loss_gradient(self, loss: QueryLoss) -> NDArray[Any]:
        """Return the expected gradient of the loss with respect to the logits; see `sdm_loss_gradient`."""
        gradient = self._normalized_gradient(loss) if loss.normalize_logits else self._hinge_gradient(self.logits, loss)
        if loss.cross_entropy:
            gradient += self._cross_entropy_gradient()
        return gradient

    def _normalized_gradient(self, loss: QueryLoss) -> NDArray[Any]:
        norms = np.sqrt(np.einsum("ij,ij->i", self.logits, self.logits))
        scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms >= MIN_NORM)[:, None]
        units = self.logits * scale
        gradient = self._hinge_gradient(units, loss)
        # From the unit sphere back to the logits: drop the radial part, divide by the length.
        gradient -= units * np.einsum("ij,ij->i", units, gradient)[:, None]
        gradient *= scale
        return gradient

    def _cross_entropy_gradient(self) -> NDArray[Any]:
        """Return sum_y p_y (p - e_y) over the two labels."""
        p1, p2 = self.proba
        return self._with_top((p1 + p2)[:, None] * self.others, -p1 * self.rest, -p2 * self.rest)

    def _hinge_gradient(self, values: NDArray[Any], loss: QueryLoss) -> NDArray[Any]:
        """Return sum_y p_y d/dvalues of the margin loss over the two labels."""
        rows, share = np.arange(len(values)), 1 / values.shape[1] if loss.reduction == "mean_over_classes" else 1.0
        gradient = np.zeros_like(values)
        for label, p in zip(self.labels, self.proba, strict=True):
            bound = values[rows, label] - loss.margin
            if loss.dynamic:  # d/dh of h^2 / m
                slope = 2 / loss.margin * np.maximum(values - bound[:, None], 0)
            else:
                slope = (values > bound[:, None]).astype(values.dtype)
            gradient += (p * share)[:, None] * slope
            # The sum runs over the other classes, so what the label added to itself goes out again.
            gradient[rows, label] -= p * (share * _row_sums(slope) + loss.max_logit)
        return gradient

    def _with_top(self, gradient: NDArray[Any], first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        rows = np.arange(len(gradient))
        for label, values in zip(self.labels, (first, second), strict=True):
            gradient[rows, label] = values
        return gradient


def _row_sums(values: NDArray[Any]) -> NDArray[Any]:
    # Several times as fast as sum(axis=1) where the rows are short.
    return values @ np.ones(values.shape[1], dtype=values.dtype)
