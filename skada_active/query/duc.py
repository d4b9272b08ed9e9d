"""DUC: rows that are unlike what was learned, and among them those whose classes overlap."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import psi
from sklearn.utils import check_array, gen_batches

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.selection import top_k
from skada_active.utils._sklearn import Interval
from skada_active.utils.entropy import row_entropy
from skada_active.utils.shares import n_in_share

__all__ = ["DUC", "dirichlet_uncertainty"]

#: Logits are cut off here, at both ends: their exponentials must be neither infinite nor zero.
_MAX_LOGIT = 50.0
# Rows whose exponentials are computed at a time.
_BLOCK_ROWS = 1024


def dirichlet_uncertainty(logits: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return distributional and data uncertainty of every row under the Dirichlet distribution of its logits.

    .. math::

        \alpha = e^z, \quad S = \sum_c \alpha_c, \quad p = \alpha / S, \quad
        u_{data} = \sum_c p_c (\psi(S + 1) - \psi(\alpha_c + 1)), \quad u_{dist} = H(p) - u_{data}

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Logits z, cut off at 50 (and -50).

    Returns
    -------
    distributional, data : ndarray of shape (n,), float64
        In nats, at least 0. The first is high where there is little evidence for any class, the second where there is
        as much for several. Together they are the entropy of the prediction.

    Raises
    ------
    ValueError
        If `logits` is no finite table.

    Notes
    -----
    O(n C) time, O(n) memory. A softmax does not change when all logits grow by the same, but the evidence does.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> from skada_active.query import dirichlet_uncertainty
    >>> distributional, data = dirichlet_uncertainty([[0.0, 0.0], [5.0, 5.0]])
    >>> distributional.round(4), data.round(4)
    (array([0.1931, 0.0017]), array([0.5   , 0.6915]))
    """
    table: NDArray[Any] = check_array(logits, dtype=[np.float64, np.float32], input_name="logits")
    distributional, data = np.empty(len(table)), np.empty(len(table))
    for rows in gen_batches(len(table), _BLOCK_ROWS):
        alpha = np.exp(np.clip(table[rows].astype(np.float64), -_MAX_LOGIT, _MAX_LOGIT))
        total = alpha.sum(axis=1, keepdims=True)
        proba = alpha / total
        data[rows] = (proba * (psi(total + 1) - psi(alpha + 1))).sum(axis=1)
        distributional[rows] = row_entropy(proba) - data[rows]
    return np.maximum(distributional, 0), np.maximum(data, 0)


class DUC(QueryStrategy):
    """DUC strategy: of the target rows of highest distributional uncertainty, those of highest data uncertainty.

    Reads logits, whose exponentials are the evidence of a Dirichlet distribution over class probabilities. The first
    stage keeps the rows that are unlike what was learned, the second asks for those of them whose classes overlap.

    Parameters
    ----------
    first_stage : float, default=10
        How many rows the first stage keeps for each row that is asked for, at least 1; rounded up to whole rows. The
        paper's kappa, whose value here is a recollection.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network, and of the order of ties.

    See Also
    --------
    dirichlet_uncertainty : Both scores as a function.
    skada_active.deep.EvidentialLoss : The training loss of the method, which gives the logits their meaning.
    EADA : Two stages as well, by energies.

    Notes
    -----
    The utility of a row is its data uncertainty, also outside of the first stage, whose size depends on how many rows
    are asked for. Among some candidates, the first stage is one of these. The cross-entropy alone does not fix the
    evidence, for it stays the same where all logits of a row grow alike; `skada_active.deep.EvidentialLoss` does.

    O(n C) time, O(n) memory.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import DUC
    >>> view = PoolView(logits=[[3.0, 3.0], [0.0, 0.0], [0.5, -0.5], [9.0, 0.0]])
    >>> DUC(first_stage=2).select(view, 1), DUC(first_stage=3).select(view, 1)
    (array([1]), array([0]))
    """

    needs = frozenset({"logits"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "first_stage": [Interval(Real, 1, None, closed="left")],
    }

    def __init__(self, first_stage: float = 10, estimator: Any = None, random_state: Any = None) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.first_stage = first_stage

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return _uncertainty_of(view)[1]

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        distributional, data = _uncertainty_of(view)
        n_kept = int(n_in_share(min(self.first_stage, len(view)), n_queries, up=True))
        kept = np.sort(top_k(distributional, n_kept, rng))
        return kept[top_k(data[kept], n_queries, rng)]


def _uncertainty_of(view: PoolView) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return view.once("_dirichlet_uncertainty", lambda: dirichlet_uncertainty(view.logits))
