"""ADMA: first the rows that the network transforms unlike their class, later those in doubt."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_consistent_length

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import product_seconds
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import rows_inner, to_host
from skada_active.utils.rows import as_row, is_dataset, take_rows

__all__ = ["ADMA", "distinctiveness"]

# Numbers of a block of rows, which stay in the cache.
_BLOCK_NUMBERS = 2**17
# Differences below this share of the distances that they are between are rounding, and count as ties.
_ROUNDING = 1e-5
# Rows whose distances to the mean of a class differ by a smaller share are equally near.
_TIE = 1e-9
# Squares of what is farther from the source rows could leave the range of double precision.
_FARTHEST = 1e100
# What the comparison of a pair of classes takes for each row on one core.
_SECONDS_A_PAIR = 1e-8


def distinctiveness(
    inputs: ArrayLike,
    features: ArrayLike,
    proba: ArrayLike,
    source_inputs: ArrayLike,
    source_features: ArrayLike,
    source_y: ArrayLike,
) -> NDArray[np.float64]:
    r"""Return how unlike its class a row is transformed, from an early to a late representation.

    The landmark of a class is the source row nearest to the mean of the class in the late representation. The pattern
    of a row x is how its squared distances to the landmarks of all classes k change from early (A) to late (B):

    .. math::

        t_k(x) = \frac{\|x^A - l_k^A\|^2}{m^A} - \frac{\|x^B - l_k^B\|^2}{m^B}, \quad
        \delta(x) = \frac{1 - \tau(t(x), \sum_c p_c(x) \, t(l_c))}{2}

    with m the mean squared distance between two landmarks and :math:`\tau` Kendall's rank correlation (tau-b).

    Parameters
    ----------
    inputs, features : array-like of shape (n, E) and (n, D)
        Early and late representation of the rows.
    proba : array-like of shape (n, C)
        Class probabilities.
    source_inputs, source_features : array-like of shape (s, E) and (s, D)
        The same representations of the source rows.
    source_y : array-like of shape (s,) of int
        Class of each source row, a column of `proba`. Classes without a source row count for nothing.

    Returns
    -------
    ndarray of shape (n,), float64
        0: the pattern ranks the classes as the expected one does; 1: it reverses them; 0.5: neither, or nothing to rank
        by, as where the late representation is the early one.

    Raises
    ------
    ValueError
        If there is no source row, lengths do not agree, or rows are out of all proportion to the source rows.

    Notes
    -----
    Columns of both representations are standardised by the source rows, so units and offsets do not matter.
    O((n + s) (D + E) C + n C²) time, O((n + s) (D + E)) memory.

    References
    ----------
    .. [1] Huang, Zhao and Liu, "Cost-Effective Training of Deep CNNs with Active Model Adaptation", KDD 2018.

    Examples
    --------
    >>> from skada_active.query import distinctiveness
    >>> early = [[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]]
    >>> late = [[0.0], [1.0], [9.0]]
    >>> certain = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    >>> distinctiveness([[0.1, 0.0], [3.0, 1.0]], [[0.1], [8.0]], certain, early, late, [0, 1, 2]).round(3)
    array([0., 1.])
    """
    early, early_source = _scaled(inputs, source_inputs)
    late, late_source = _scaled(features, source_features)
    labels, weights = np.asarray(source_y), np.asarray(to_host(proba), dtype=np.float64)
    check_consistent_length(early, late, weights)
    check_consistent_length(early_source, late_source, labels)
    if not len(labels):
        raise ValueError("source_y is empty; distinctiveness needs a source row, for landmarks of the classes.")
    known, landmarks = _landmarks(late_source, labels)
    representations = [(early, early_source[landmarks]), (late, late_source[landmarks])]
    of_landmarks = [(centers, centers) for _, centers in representations]
    (pattern, noise), (typical, _) = _pattern(representations), _pattern(of_landmarks)
    weights = weights[:, known]
    total = weights.sum(axis=1, keepdims=True)
    expected = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0) @ typical
    return (1 - _kendall(pattern, expected, noise)) / 2


def _scaled(*given: ArrayLike) -> list[NDArray[np.float64]]:
    """Return rows and source rows with columns standardised by the source rows."""
    rows, source = (np.asarray(to_host(values), dtype=np.float64) for values in given)
    if not len(source):
        return [rows, source]
    largest = np.abs(source).max(axis=0)  # squares of any number stay in range
    unit = np.where(largest > 0, largest, 1)
    scaler = StandardScaler().fit(source / unit)
    rows, source = (np.asarray(scaler.transform(values / unit)) for values in (rows, source))
    if np.abs(rows).max(initial=0) > _FARTHEST:
        raise ValueError(
            f"Rows lie {np.abs(rows).max():.0e} deviations from the source rows in a column, farther than can be "
            "compared; scale X."
        )
    return [rows, source]


def _landmarks(features: NDArray[np.float64], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes that have rows and the number of the row nearest to the mean of each."""
    classes = np.unique(labels)
    nearest = []
    for label in classes:
        rows = np.flatnonzero(labels == label)
        distances = np.linalg.norm(features[rows] - features[rows].mean(axis=0), axis=1)
        # The first of equals: two rows are equally far from their mean but for rounding.
        nearest.append(rows[(distances <= (1 + _TIE) * distances.min()).argmax()])
    return classes, np.array(nearest)


def _pattern(
    representations: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how distances to landmarks (n, K) change between two representations, and their rounding (n, 1)."""
    distances = []
    for rows, landmarks in representations:
        n = len(landmarks)
        mean = euclidean_distances(landmarks, squared=True).sum() / max(1, n * (n - 1))
        distances.append(euclidean_distances(rows, landmarks, squared=True) / (mean if mean > 0 else 1))
    early, late = distances
    return early - late, _ROUNDING * np.maximum(early, late).max(axis=1, keepdims=True)


def _kendall(a: NDArray[np.float64], b: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return tau-b of each two rows (n, K); 0 where all of one are tied. What `noise` (n, 1) exceeds is a tie."""
    tau = np.zeros(len(a))
    for block in gen_batches(len(a), max(1, _BLOCK_NUMBERS // a.shape[1])):
        agreement, untied = np.zeros(1), np.zeros((2, 1))
        for place in range(a.shape[1] - 1):
            signs = [_signs(values[block, place, None] - values[block, place + 1 :], noise[block]) for values in (a, b)]
            agreement = agreement + rows_inner(*signs)
            untied = untied + np.stack([rows_inner(sign, sign) for sign in signs])
        pairs = np.sqrt(untied[0] * untied[1])
        tau[block] = np.divide(agreement, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    return tau


def _signs(differences: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float32]:
    return (differences > noise).astype(np.float32) - (differences < -noise)


class ADMA(QueryStrategy):
    """ADMA strategy: target rows that are transformed unlike their class at first, and rows in doubt as labels come in.

    Reads class probabilities, and the rows of candidates and source as they are in `X` and as the network embeds them.

    Parameters
    ----------
    full_doubt_share : float, default=0.1
        Share of the pool (as it was before the first round) with whose labels doubt alone counts. Up to it the weight
        of doubt grows in proportion to the labels, from 0.
    estimator : estimator, default=None
        See `QueryStrategy`. Give a network: where the embedding is the rows but for the scale of their columns, as with
        the default, there is no transformation, and all rows are equally distinctive.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    distinctiveness : The distinctiveness as a function.
    EntropySampling : Doubt alone.

    Notes
    -----
    The utility of a row is ``(1 - w) distinctiveness + w H(p) / ln C`` with ``w = min(1, l / (full_doubt_share n))``
    for l labelled target rows. Time is that of `distinctiveness`, and a choice of
    minutes is announced by a warning. The rows of `X` are
    held as a dense array, O((n + s) E) memory: 600 KB for each image of 224 x 224 in float32.

    Our reading: the idea and the trade-off are the paper's; the formulas are those of a replication by others, as its
    own were not at hand. Ours are the scales of columns and distances (a replication that adds distances of two layers
    as they are lets the wider one decide), the early layer, which is the input, the entropy over its maximum as doubt,
    and the pace of the trade-off. The network is that of the round, where the paper keeps the pretrained one.

    References
    ----------
    .. [1] Huang, Zhao and Liu, "Cost-Effective Training of Deep CNNs with Active Model Adaptation", KDD 2018.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import ADMA
    >>> view = PoolView(
    ...     inputs=[[0.1, 0.0], [3.0, 1.0]],
    ...     features=[[0.1], [8.0]],
    ...     proba=[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
    ...     source_inputs=[[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]],
    ...     source_features=[[0.0], [1.0], [9.0]],
    ...     source_y=[0, 1, 2],
    ... )
    >>> ADMA().select(view, 1)
    array([1])
    """

    fills = frozenset({"inputs", "source_inputs"})
    needs = fills | {"features", "proba", "source_features", "source_y", "labeled_y"}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "full_doubt_share": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, full_doubt_share: float = 0.1, estimator: Any = None, random_state: Any = None) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.full_doubt_share = full_doubt_share

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        distinct = distinctiveness(
            view.inputs, view.features, view.proba, view.source_inputs, view.source_features, view.source_y
        )
        weight = min(1.0, len(view.labeled_y) / (self.full_doubt_share * view.n_initial))
        doubt = view.entropy / math.log(max(2, view.proba.shape[1]))
        return (1 - weight) * distinct + weight * doubt

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        n_classes = view.proba.shape[1]
        n_products = float(len(view)) * n_classes * (view.features.shape[1] + view.inputs.shape[1])
        return product_seconds(view, n_products) + _SECONDS_A_PAIR * len(view) * n_classes * (n_classes - 1) / 2

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        """Return the rows of `X` of candidates and source."""
        return {"inputs": _flat(X, roles.candidates), "source_inputs": _flat(X, roles.source)}


def _flat(X: Any, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Return rows of `X` as a dense array (len(numbers), E)."""
    rows = take_rows(X, numbers)
    if is_dataset(rows):
        array = np.array([as_row(rows[place], place) for place in range(len(rows))])
    else:
        array = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    if array.dtype.kind not in "fiub":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X holds columns that are no numbers ({error}), but ADMA compares its rows with what the model makes "
                "of them; encode X beforehand, for example by OneHotEncoder."
            ) from error
    return array.reshape(len(array), math.prod(array.shape[1:]))
