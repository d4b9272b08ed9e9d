"""Probabilities with which rows are among those that are drawn one after the other, without replacement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammainccinv, gammaincinv, logsumexp, roots_legendre
from sklearn.utils import gen_batches

__all__ = ["successive_inclusion"]

# What is less probable than this counts as never.
_TAIL = 1e-13
# Nodes of a panel of the quadrature, and how many standard deviations of the time of a draw it is wide.
_PANEL_NODES, _PANEL_WIDTH = 16, 4
# Numbers of a block of rows, one for each node, stay in the cache.
_BLOCK_SIZE = 2**15


def successive_inclusion(log_weights: NDArray[np.float64], n_drawn: int) -> NDArray[np.float64]:
    r"""Return the probability of every row to be among `n_drawn` that are drawn by their weights, one after the other.

    Rows that arrive at independent exponential times of rates :math:`w_i` come in the order of such a draw. Row i is
    among the first where fewer than `n_drawn` others come before it:

    .. math:: \pi_i = \int_0^\infty w_i e^{-w_i t} \, P(N_{-i}(t) < n_{drawn}) \, dt

    with the Poisson binomial number :math:`N_{-i}(t)` of the others that have come by the time t.

    Parameters
    ----------
    log_weights : ndarray of shape (n,)
        Finite logarithms of the weights, up to a constant.
    n_drawn : int
        How many rows are drawn, from 0 to n.

    Returns
    -------
    ndarray of shape (n,), float64
        Probabilities; they sum to `n_drawn` within about 1e-9.

    Notes
    -----
    Gauss-Legendre quadrature over the logarithm of the time, with about 70 nodes where the weights are of one size and
    more where they differ by orders of magnitude. O(n n_drawn) time a node, O(n) memory.
    """
    n = len(log_weights)
    if n_drawn in (0, n):
        return np.full(n, float(n_drawn > 0))
    if n_drawn == 1:
        return np.exp(log_weights - logsumexp(log_weights))
    start, stop = _span(log_weights, n_drawn)
    nodes, shares = _quadrature(log_weights, start, stop)
    up_to = _distribution(log_weights, nodes, n_drawn)
    distinct, inverse = np.unique(log_weights, return_inverse=True)
    inclusion = np.empty(len(distinct))
    for rows in gen_batches(len(distinct), max(1, _BLOCK_SIZE // len(nodes))):
        logs = distinct[rows, None] + nodes
        rates = _exp(logs)
        inclusion[rows] = (np.exp(logs - rates) * _few_others(rates, up_to, n_drawn)) @ shares
    # Before the first node, fewer than `n_drawn` have come for sure.
    return np.minimum(inclusion - np.expm1(-_exp(distinct + start)), 1)[inverse]


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # so late that a row has come for sure
        return np.exp(values)


def _span(log_weights: NDArray[np.float64], n_drawn: int) -> tuple[float, float]:
    """Return logarithms of times: before the first fewer than `n_drawn` have come, after the last one more than that.

    By the tails of Poisson distributions, of the number of rows that have come or of those that have not.
    """
    n = len(log_weights)
    earliest, latest = -log_weights.max() - math.log(n) - 40, -log_weights.min() + 5

    def when(count: Callable[[float], float], wanted: float) -> float:
        return brentq(lambda time: count(time) - wanted, earliest, latest)

    def come(time: float) -> float:
        return float(-np.expm1(-_exp(log_weights + time)).sum())

    def left(time: float) -> float:
        return float(np.exp(-_exp(log_weights + time)).sum())

    start, stop = when(come, gammaincinv(n_drawn, _TAIL)), when(left, gammaincinv(n - n_drawn, _TAIL))
    if (many_left := gammainccinv(n - n_drawn + 1, _TAIL)) < left(earliest):
        start = max(start, when(left, many_left))
    if (many_come := gammainccinv(n_drawn + 1, _TAIL)) < come(latest):
        stop = min(stop, when(come, many_come))
    return start, stop


def _quadrature(
    log_weights: NDArray[np.float64], start: float, stop: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights in panels between two times; where no row comes, there are none."""
    arrivals = np.quantile(np.clip(-log_weights, start, stop), np.linspace(0, 1, 32))
    width = _PANEL_WIDTH * min(_pace(log_weights, time)[1] for time in [*np.linspace(start, stop, 16), *arrivals])
    edges = np.linspace(start, stop, 1 + math.ceil((stop - start) / width))
    comes = np.array([_pace(log_weights, time)[0] for time in edges]) > _TAIL / 100
    panels = np.flatnonzero(comes[1:] | comes[:-1])
    nodes, shares = roots_legendre(_PANEL_NODES)
    half = (edges[1] - edges[0]) / 2
    return (edges[panels, None] + half * (1 + nodes)).ravel(), np.tile(half * shares, len(panels))


def _pace(log_weights: NDArray[np.float64], time: float) -> tuple[float, float]:
    """Return how many rows come in a unit of the logarithm of the time, and how far it spreads when a row comes.

    The latter is the standard deviation of their number over the former, or 1 where that is less.
    """
    rates = _exp(log_weights + time)
    speed = float(np.exp(log_weights + time - rates).sum())
    deviation = math.sqrt((np.exp(-rates) * -np.expm1(-rates)).sum())
    return speed, min(1.0, deviation / speed) if speed > _TAIL else 1.0


def _distribution(log_weights: NDArray[np.float64], nodes: NDArray[np.float64], n_drawn: int) -> NDArray[np.float64]:
    """Return the probabilities (m, T) that at most 0, 1, ... rows have come, up to a number that is never exceeded."""
    most = -np.expm1(-_exp(log_weights + nodes.max())).sum()
    counts = np.zeros((min(len(log_weights), max(n_drawn, int(most + 8 * math.sqrt(most) + 30))) + 1, len(nodes)))
    counts[0] = 1
    for log_weight in log_weights:
        rates = _exp(log_weight + nodes)
        absent = np.exp(-rates)
        more = counts[:-1] * -np.expm1(-rates)
        counts *= absent
        counts[1:] += more
    return np.cumsum(counts, axis=0)


def _few_others(rates: NDArray[np.float64], up_to: NDArray[np.float64], n_drawn: int) -> NDArray[np.float64]:
    """Return the probabilities (r, T) that fewer than `n_drawn` of all rows but this one have come.

    ``up_to[m] = absent * others[m] + present * others[m - 1]`` is solved in the direction in which errors do not grow.
    """
    absent, present = np.exp(-rates), -np.expm1(-rates)
    has_come = present > 0.5
    others, ratio = np.zeros_like(rates), np.where(has_come, 0.0, present / np.maximum(absent, 0.5))
    scale = 1 / np.maximum(absent, 0.5)
    for total in up_to[:n_drawn]:
        others *= ratio
        np.subtract(total * scale, others, out=others)
    times = np.nonzero(has_come)[1]
    absent, present = absent[has_come], present[has_come]
    later = np.ones(len(times))
    for total in up_to[: n_drawn - 1 : -1]:
        later = (total[times] - absent * later) / present
    others[has_come] = later
    return np.clip(others, 0, 1)
