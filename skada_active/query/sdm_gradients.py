"""The two gradients that SDM compares, in closed form, with respect to the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

__all__ = ["sdm_loss_gradient", "sdm_margin_gradient"]

# A shorter vector has no direction.
MIN_NORM = 1e-12


def sdm_loss_gradient(logits: ArrayLike, *, query_loss: str = "official", margin: float = 1.0) -> NDArray[Any]:
    r"""Return the expected gradient of the training loss with respect to the logits.

    The expectation is over the two likeliest labels, :math:`\sum_{y \in \{(1), (2)\}} p_y \nabla_z L(z, y)`, with the
    probabilities taken as constants. The loss is either

    .. math::

        L_{official}(z, y) = -\ln \mathrm{softmax}(z)_y + \tfrac{1}{C} \sum_{i \neq y} [m - u_y + u_i]_+ - u_y,
        \quad u = z / \|z\|_2

    which the published code differentiates: cross-entropy, hinge and max-logit term on normalised logits; or Eq. 1,
    :math:`L_{margin}(z, y) = \sum_{i \neq y} [m - z_y + z_i]_+`.

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Finite logits z.
    query_loss : {"official", "margin"}, default="official"
        Which loss.
    margin : float, default=1.0
        Margin m.

    Returns
    -------
    ndarray of shape (n, C)
        Coefficients; times `head_weight` they are the gradients with respect to the embedding. Logits shorter than
        1e-12 have no direction: their normalised terms count as constant.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1, 7 and 9.

    Examples
    --------
    >>> from skada_active.query import sdm_loss_gradient
    >>> sdm_loss_gradient([[0.0, 0.0]], query_loss="margin")
    array([[0., 0.]])
    """
    (logits,) = as_floats(logits)
    return TopTwo.of(logits).loss_gradient(query_loss, margin)


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
    Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 3.

    Examples
    --------
    >>> from skada_active.query import sdm_margin_gradient
    >>> sdm_margin_gradient([[0.0, 0.0]])
    array([[-0.5,  0.5]])
    """
    (logits,) = as_floats(logits)
    return TopTwo.of(logits).margin_gradient(jacobian)


@dataclass(frozen=True)
class TopTwo:
    """Logits, probabilities and the two likeliest classes of a block of rows, ties by class."""

    logits: NDArray[Any]
    proba: NDArray[Any]
    top: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, logits: NDArray[Any]) -> TopTwo:
        first = logits.argmax(axis=1)
        if logits.shape[1] == 1:
            return cls(logits, np.ones_like(logits), (first,))
        others = logits.copy()
        others[np.arange(len(logits)), first] = -np.inf
        return cls(logits, softmax(logits, axis=1), (first, others.argmax(axis=1)))

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.logits))

    def top_proba(self) -> list[NDArray[Any]]:
        """Return p_(1) and, with more than one class, p_(2)."""
        return [self.proba[self.rows, label] for label in self.top]

    def rest(self) -> NDArray[Any]:
        """Return what the two likeliest classes leave, summed up and not subtracted: 1 - p loses all digits."""
        others = self.proba.copy()
        for label in self.top:
            others[self.rows, label] = 0
        return others.sum(axis=1)

    def margin_gradient(self, jacobian: str) -> NDArray[Any]:
        if len(self.top) == 1:
            return np.zeros_like(self.logits)
        (first, second), (p1, p2) = self.top, self.top_proba()
        # d(p1 - p2): the published code leaves out the cross term p1 p2 (e1 - e2).
        cross = p1 * p2 if jacobian == "exact" else 0
        gradient = (p1 - p2)[:, None] * self.proba
        gradient[self.rows, first] = -p1 * (self.rest() + p2) - cross
        gradient[self.rows, second] = p2 * (1 - p2) + cross
        return gradient

    def loss_gradient(self, query_loss: str, margin: float) -> NDArray[Any]:
        if query_loss == "margin":
            return self._hinge_gradient(self.logits, margin)
        norms = np.sqrt(np.einsum("ij,ij->i", self.logits, self.logits))
        scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms >= MIN_NORM)[:, None]
        units = self.logits * scale
        gradient = self._hinge_gradient(units, margin) / self.logits.shape[1]
        for label, p in zip(self.top, self.top_proba(), strict=True):
            gradient[self.rows, label] -= p
        # From the unit sphere back to the logits: drop the radial part, divide by the length.
        gradient -= units * np.einsum("ij,ij->i", units, gradient)[:, None]
        gradient *= scale
        return gradient + self._cross_entropy_gradient()

    def _cross_entropy_gradient(self) -> NDArray[Any]:
        """Return sum_y p_y (p - e_y) over the two likeliest labels."""
        gradient, rest = sum(self.top_proba())[:, None] * self.proba, self.rest()
        for label, p in zip(self.top, self.top_proba(), strict=True):
            gradient[self.rows, label] = -p * rest
        return gradient

    def _hinge_gradient(self, values: NDArray[Any], margin: float) -> NDArray[Any]:
        """Return sum_y p_y d/dvalues sum_{i != y} [margin - values_y + values_i]_+ over the two likeliest labels."""
        gradient = np.zeros_like(values)
        for label, p in zip(self.top, self.top_proba(), strict=True):
            active = values > (values[self.rows, label] - margin)[:, None]
            active[self.rows, label] = False
            gradient += p[:, None] * active
            gradient[self.rows, label] -= p * active.sum(axis=1)
        return gradient


def as_floats(*arrays: ArrayLike) -> list[NDArray[Any]]:
    """Return arrays in their common floating type, float32 or float64."""
    arrays = [np.asarray(array) for array in arrays]
    dtype = np.result_type(np.float32, *arrays)
    return [array.astype(dtype, copy=False) for array in arrays]
