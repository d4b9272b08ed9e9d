"""The stochastic adversarial gradient embedding, without an array of n C D numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length

from skada_active.selection import OnDemand
from skada_active.utils.arrays import Array, as_floats, empty_like, host_dtype, namespace, rows_inner

__all__ = ["positive_orthogonal_projection", "sage_embedding"]

# Rows whose activations are computed at a time.
_BLOCK_ROWS = 1024


def positive_orthogonal_projection(gradients: ArrayLike, proba: ArrayLike) -> NDArray[Any]:
    r"""Return what annotation would change: gradients without, or with twice, their part along the expected one.

    .. math::

        \tilde g_c = g_c - \lambda_c \hat g, \quad \hat g = \sum_c h_c g_c, \quad
        \lambda_c = \frac{|g_c \cdot \hat g|}{\|\hat g\|^2}

    A gradient in the direction of :math:`\hat g`, which the annotation would confirm, loses its part along it; one
    against it, which the annotation would contradict, has it doubled.

    Parameters
    ----------
    gradients : array-like of shape (n, C, D)
        Gradient g_c of every class.
    proba : array-like of shape (n, C)
        Class probabilities h.

    Returns
    -------
    ndarray of shape (n, C, D)
        The projections; the gradients themselves where :math:`\hat g = 0`.

    Raises
    ------
    ValueError
        If the shapes do not agree.

    Notes
    -----
    O(n C D) time and memory.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Eq. 5.

    Examples
    --------
    >>> from skada_active.query import positive_orthogonal_projection
    >>> positive_orthogonal_projection([[[1.0, 0.0], [-1.0, 1.0]]], [[0.75, 0.25]])
    array([[[ 0.2, -0.4],
            [-1.4,  0.8]]])
    """
    g, h = as_floats(gradients, proba)
    if g.ndim != 3 or h.shape != g.shape[:2]:
        raise ValueError(f"gradients and proba must have shapes (n, C, D) and (n, C), got {g.shape} and {h.shape}.")
    expected = (h[:, None, :] @ g)[:, 0]
    along = (g @ expected[:, :, None])[:, :, 0]
    return g - _shares(along, rows_inner(expected, expected))[:, :, None] * expected[:, None, :]


def sage_embedding(
    proba: ArrayLike,
    features: ArrayLike,
    discriminator: tuple[ArrayLike, ...] | ArrayLike | Callable[[NDArray[np.int64]], ArrayLike],
    *,
    projection: str | None = "pop",
) -> OnDemand:
    r"""Return the stochastic adversarial gradient embedding of every candidate.

    .. math::

        S = (\sqrt{h_1} \, \tilde g_1, \dots, \sqrt{h_C} \, \tilde g_C) \in R^{C \times D}, \quad
        g_c = - \frac{\partial \ln d_c(z)}{\partial z}

    with :math:`\tilde g` the `positive_orthogonal_projection` of the gradients g. Its squared length
    :math:`\sum_c h_c \|\tilde g_c\|^2` is how much the annotation is expected to change the gradient of the
    transferability loss.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities h.
    features : array-like of shape (n, D)
        Embedding z.
    discriminator : tuple of array-like (W1, b1, W2, b2), array-like of shape (n, C, D), or callable
        The class-wise discriminator d = sigmoid(W2 relu(W1 z + b1) + b2), of shapes (H, D), (H,), (C, H) and (C,); or
        the gradients g; or a function from row numbers to the block of gradients, which depend on `features` alone.
    projection : {"pop", None}, default="pop"
        ``None``: the gradients themselves take the place of their projections.

    Returns
    -------
    OnDemand
        n vectors of length C D, of which only blocks are ever formed.

    Raises
    ------
    ValueError
        If `projection` is unknown, `proba` and `features` differ in length, or the parameters of the discriminator do
        not fit them; when they are read, if blocks of gradients have another shape than (m, C, D).

    Notes
    -----
    With the parameters of the discriminator a vector is a linear combination of the H rows of W1, and everything is
    computed in these coordinates: to read all vectors costs O(n C H), their norms O(n C H min(H, D)), once. Extra
    memory O(n (C + H)), H as bytes. With gradients it is O(n C D) each time they are read, on top of the callable's
    own, and no memory.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Eq. 3 to 6.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import sage_embedding
    >>> gradients = np.array([[[1.0, 0.0], [-1.0, 1.0]]])
    >>> np.sqrt(sage_embedding([[0.75, 0.25]], [[0.0, 0.0]], gradients).sq_norms()).round(6)
    array([0.894427])
    """
    if projection not in ("pop", None):
        raise ValueError(f'projection must be "pop" or None, got {projection!r}.')
    check_consistent_length(proba, features)
    if isinstance(discriminator, tuple):
        h, z, *layers = as_floats(proba, features, *discriminator)
        _check_layers(layers, h.shape[1], z.shape[1])
        hidden = _HiddenGradients.from_layers(h, z, layers, projection)
        return OnDemand(hidden, (z, h), width=h.shape[1] * len(layers[0]), basis=layers[0], dtype=host_dtype(h))
    h, z = as_floats(proba, features)
    key: Array
    if callable(discriminator):
        key, gradients = z, discriminator
    else:
        (key,) = as_floats(discriminator)
        gradients = key.__getitem__
    given = _GivenGradients(gradients, h, key.shape[-1], projection)
    dtype = np.result_type(host_dtype(h), host_dtype(key))
    return OnDemand(given, (key, h), width=h.shape[1] * given.width, dtype=dtype)


def _check_layers(layers: list[NDArray[Any]], n_classes: int, n_features: int) -> None:
    shapes = [layer.shape for layer in layers]
    n_hidden = shapes[0][0] if shapes and shapes[0] else 0
    expected = [(n_hidden, n_features), (n_hidden,), (n_classes, n_hidden), (n_classes,)]
    if shapes != expected:
        raise ValueError(
            f"discriminator must be (W1, b1, W2, b2) of shapes (H, D), (H,), (C, H) and (C,) with D={n_features} "
            f"features and C={n_classes} classes, got {shapes}."
        )


@dataclass(frozen=True)
class _GivenGradients:
    """Compute embeddings from gradients that an array or a function holds."""

    gradients: Callable[[NDArray[np.int64]], ArrayLike]
    proba: NDArray[Any]
    width: int
    projection: str | None

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        proba, gradients = as_floats(self.proba[rows], self.gradients(rows))
        shape = (*proba.shape, self.width)
        if gradients.shape != shape:
            raise ValueError(
                f"The gradients of {len(rows)} rows must have shape {shape}, got {tuple(gradients.shape)}."
            )
        if self.projection == "pop":
            gradients = positive_orthogonal_projection(gradients, proba)
        return (proba[:, :, None] ** 0.5 * gradients).reshape(len(rows), -1)


@dataclass
class _HiddenGradients:
    """Compute embeddings as combinations of the rows of W1: the coordinates of all classes, in the hidden units.

    With the active units m of a row, ``g_c = slope_c (m * W2_c) W1``, slope = d - 1.
    """

    output_weight: NDArray[Any]
    active: NDArray[np.bool_]
    slope: NDArray[Any]
    share: NDArray[Any] | None
    proba: NDArray[Any]
    scratch: NDArray[Any]

    @classmethod
    def from_layers(
        cls, proba: NDArray[Any], features: NDArray[Any], layers: list[NDArray[Any]], projection: str | None
    ) -> _HiddenGradients:
        """Return the factors of all rows, computed block by block."""
        weight, bias, output_weight, output_bias = layers
        metric, xp = weight @ weight.T, namespace(weight)
        active, slope = empty_like((len(proba), len(weight)), proba[:0] > 0), empty_like(proba.shape, proba)
        share = empty_like(proba.shape, proba) if projection == "pop" else None
        for start in range(0, len(proba), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            # d - 1 = -1 / (1 + exp(logit)), which is 0 where the exponential overflows; what else does is refused when
            # the lengths are computed.
            with np.errstate(over="ignore", invalid="ignore"):
                hidden = features[block] @ weight.T + bias
                active[block] = hidden > 0
                slope[block] = -1 / (1 + xp.exp(hidden * active[block] @ output_weight.T + output_bias))
            if share is not None:
                expected = (proba[block] * slope[block]) @ output_weight * active[block]
                dual = expected @ metric
                along = slope[block] * ((dual * active[block]) @ output_weight.T)
                share[block] = _shares(along, rows_inner(expected, dual))
        scratch = empty_like((2, 0, *output_weight.shape), proba)
        return cls(output_weight, active, slope, share, proba, scratch)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        proba, slope = self.proba[rows], self.slope[rows]
        root, xp = proba**0.5, namespace(proba)
        if len(rows) > self.scratch.shape[1]:
            # Made once, for new memory costs more than what is computed in it.
            self.scratch = empty_like((2, len(rows), *self.output_weight.shape), proba)
        coordinates, part = self.scratch[:, : len(rows)]
        xp.multiply((root * slope)[:, :, None], self.output_weight, out=coordinates)
        if self.share is not None:
            expected = (proba * slope) @ self.output_weight
            coordinates -= xp.multiply((root * self.share[rows])[:, :, None], expected[:, None, :], out=part)
        coordinates *= self.active[rows][:, None, :]
        return coordinates.reshape(len(rows), -1)


def _shares(along: NDArray[Any], sq_lengths: NDArray[Any]) -> NDArray[Any]:
    """Return lambda (n, C), 0 where the expected gradient is."""
    sq_lengths = sq_lengths[:, None]
    known = sq_lengths > 0
    return abs(along) / (sq_lengths + ~known) * known
