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
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1, 7 and 9.

    Examples
    --------
    >>> from skada_active.query import sdm_loss_gradient
    >>> sdm_loss_gradient([[0.0, 0.0]], query_loss="margin")
    array([[0., 0.]])
    """
    (z,) = as_floats(logits)
    return np.zeros_like(z) if z.shape[1] == 1 else TopTwo.from_logits(z).loss_gradient(query_loss, margin)


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

    def loss_gradient(self, query_loss: str, margin: float) -> NDArray[Any]:
        """Return the expected gradient of the loss with respect to the logits; see `sdm_loss_gradient`."""
        if query_loss == "margin":
            return self._hinge_gradient(self.logits, margin)
        norms = np.sqrt(np.einsum("ij,ij->i", self.logits, self.logits))
        scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms >= MIN_NORM)[:, None]
        units = self.logits * scale
        gradient = self._hinge_gradient(units, margin, max_logit=True)
        # From the unit sphere back to the logits: drop the radial part, divide by the length.
        gradient -= units * np.einsum("ij,ij->i", units, gradient)[:, None]
        gradient *= scale
        gradient += self._cross_entropy_gradient()
        return gradient

    def _cross_entropy_gradient(self) -> NDArray[Any]:
        """Return sum_y p_y (p - e_y) over the two labels."""
        p1, p2 = self.proba
        return self._with_top((p1 + p2)[:, None] * self.others, -p1 * self.rest, -p2 * self.rest)

    def _hinge_gradient(self, values: NDArray[Any], margin: float, *, max_logit: bool = False) -> NDArray[Any]:
        """Return sum_y p_y d/dvalues of Eq. 1 over the two labels; with max-logit, of Eq. 1 / C - values_y."""
        rows, share = np.arange(len(values)), 1 / values.shape[1] if max_logit else 1.0
        gradient = np.zeros_like(values)
        for label, p in zip(self.labels, self.proba, strict=True):
            bound = values[rows, label] - margin
            active = (values > bound[:, None]).astype(values.dtype)
            gradient += (p * share)[:, None] * active
            # The sum runs over the other classes, so what the label added to itself goes out again.
            gradient[rows, label] -= p * (share * _row_sums(active) + max_logit)
        return gradient

    def _with_top(self, gradient: NDArray[Any], first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        rows = np.arange(len(gradient))
        for label, values in zip(self.labels, (first, second), strict=True):
            gradient[rows, label] = values
        return gradient


def _row_sums(values: NDArray[Any]) -> NDArray[Any]:
    # Several times as fast as sum(axis=1) where the rows are short.
    return values @ np.ones(values.shape[1], dtype=values.dtype)
