"""EADA: rows whose free energy is unlike the source, and among them those of ambiguous energies."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, gen_batches

from skada_active.pool import PoolView
from skada_active.pool.view import row_margin
from skada_active.query._base import QueryStrategy
from skada_active.selection import top_k
from skada_active.utils._sklearn import Interval
from skada_active.utils.shares import n_in_share

__all__ = ["EADA", "energy_margin", "free_energy"]

# Rows whose exponentials are computed at a time.
_BLOCK_ROWS = 1024


def free_energy(logits: ArrayLike, beta: float = 1.0) -> NDArray[np.float64]:
    r"""Return the free energy of every row.

    .. math::

        F(x) = -\frac{1}{\beta} \ln \sum_c e^{-\beta E_c(x)}, \qquad E_c(x) = -z_c(x)

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Logits z, the negative energies of the classes.
    beta : float, default=1.0
        Inverse temperature, above 0; the larger, the nearer is the free energy to the lowest energy.

    Returns
    -------
    ndarray of shape (n,), float64
        Free energies. They are high where no class fits: training lowers those of the rows that it sees.

    Raises
    ------
    ValueError
        If `logits` is no finite table, or `beta` is not above 0.

    Notes
    -----
    O(n C) time, O(n) memory. The published code of the query swaps `beta` and its inverse; this is the form of the
    training loss, and with ``beta=1`` both are the same.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022.

    Examples
    --------
    >>> from skada_active.query import free_energy
    >>> free_energy([[2.0, 0.0, -1.0], [0.1, 0.0, -0.1], [-3.0, -3.5, -4.0]]).round(4)
    array([-2.1698, -1.1019,  2.3197])
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta!r}; it is an inverse temperature.")
    logits = _as_table(logits)
    energy = np.empty(len(logits))
    for rows in gen_batches(len(logits), _BLOCK_ROWS):
        block = logits[rows].astype(np.float64)
        largest = block.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            energy[rows] = -largest[:, 0] - np.log(np.exp(beta * (block - largest)).sum(axis=1)) / beta
    return energy


def energy_margin(logits: ArrayLike) -> NDArray[np.float64]:
    """Return the lowest minus the second lowest energy of every row.

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Logits, the negative energies of the classes.

    Returns
    -------
    ndarray of shape (n,), float64
        Margins, at most 0, which is ambiguous; with one class, 0.

    Raises
    ------
    ValueError
        If `logits` is no finite table.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022 ("min versus
       second-min").

    Examples
    --------
    >>> from skada_active.query import energy_margin
    >>> energy_margin([[2.0, 0.0, -1.0], [0.1, 0.0, -0.1], [-3.0, -3.5, -4.0]])
    array([-2. , -0.1, -0.5])
    """
    logits = _as_table(logits)
    with np.errstate(over="ignore"):
        return -row_margin(logits) if logits.shape[1] > 1 else np.zeros(len(logits))


class EADA(QueryStrategy):
    """EADA strategy: of the target rows of highest free energy, those whose two lowest energies are closest.

    Reads logits, whose negatives are the energies of the classes. The first stage keeps the rows that fit the source
    least, the second asks for the most ambiguous of them.

    Parameters
    ----------
    first_stage : float, default=0.5
        Share of the initial pool that the first stage keeps, above 0 and at most 1. Where it keeps fewer rows than are
        asked for, the next ones by free energy follow.
    beta : float, default=1.0
        Inverse temperature of the free energy, above 0; see `free_energy`.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    free_energy : The score of the first stage as a function.
    energy_margin : That of the second.
    skada_active.deep.functional.free_energy_alignment_loss : The training loss of the method.
    MarginSampling : The second stage alone, on probabilities.

    Notes
    -----
    The utility of a row is its margin of energies, and ``-inf`` outside of the first stage. The first stage is one of
    the whole pool, also where only some of it can be chosen, and holds all rows that tie with its last one. As its size
    is a share of the pool before the first round, late rounds may keep every row. O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import EADA
    >>> view = PoolView(logits=[[2.0, 0.0, -1.0], [0.1, 0.0, -0.1], [-3.0, -3.5, -4.0]])
    >>> EADA().utilities(view)
    array([-inf, -0.1, -0.5])
    """

    needs = frozenset({"logits"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "first_stage": [Interval(Real, 0, 1, closed="right")],
        "beta": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, first_stage: float = 0.5, beta: float = 1.0, estimator: Any = None, random_state: Any = None
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.first_stage = first_stage
        self.beta = beta

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return np.where(self._is_kept(view)[1], energy_margin(view.logits), -np.inf)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        energy, is_kept = self._is_kept(view)
        n_kept = min(n_queries, int(is_kept.sum()))
        chosen = top_k(self._scores(view), n_kept, rng)
        # All that the first stage kept is chosen: it is enlarged by the rows that come next in its own order.
        further = top_k(np.where(is_kept, -np.inf, energy), n_queries - n_kept, rng)
        return np.concatenate([chosen, further])

    def _is_kept(self, view: PoolView) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the free energies (n,), and which of the candidates the first stage of the whole pool keeps."""
        pool, positions = view.surroundings
        energy = free_energy(pool.logits, self.beta)
        n_kept = min(len(pool), int(n_in_share(self.first_stage, view.n_initial, up=True)))
        least = energy[top_k(energy, n_kept)[-1]]
        return energy[positions], energy[positions] >= least


def _as_table(logits: ArrayLike) -> NDArray[Any]:
    return check_array(logits, dtype=[np.float64, np.float32], input_name="logits")
