"""D3GU: ask where a label would help to classify and to align at once."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds
from skada_active.query._weights import floored_weights
from skada_active.query.badge import badge_embedding
from skada_active.selection import kmeans_picks, top_k
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import Floats, as_floats, normalized, rows_inner

__all__ = ["D3GU", "gradient_utility"]


def gradient_utility(proba: ArrayLike, head_weight: ArrayLike, domain_grad: ArrayLike) -> NDArray[np.float64]:
    r"""Return how much a row would move the embedding, more where it would move it towards the source.

    .. math::

        u_i = \|g_i\| \, (1 + \cos(g_i, a_i)), \quad g_i = (p_i - e_{\hat y_i}) W, \quad
        a_i = - \frac{\partial \ln d(z_i)}{\partial z_i}

    with g the gradient of the cross-entropy at the pseudo-label :math:`\hat y = \arg\max_c p_c`, a that of the domain
    alignment, and d the discriminator's P(source).

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities p.
    head_weight : array-like of shape (C, D)
        Weight W of the linear classifier.
    domain_grad : array-like of shape (n, D)
        Gradient a; only its direction counts. Where it is zero, so is the cosine.

    Returns
    -------
    ndarray of shape (n,), float64
        From 0 to ``2 ||g||``.

    Raises
    ------
    ValueError
        If gradients are out of the range of their type.

    Notes
    -----
    O(n C D) time, O(n (C + D)) memory.

    References
    ----------
    .. [1] Zhang et al., "D3GU: Multi-Target Active Domain Adaptation via Enhancing Domain Alignment", WACV 2024.

    Examples
    --------
    >>> from skada_active.query import gradient_utility
    >>> gradient_utility([[0.5, 0.5], [0.75, 0.25]], [[1.0, 0.0], [0.0, 1.0]], [[-1.0, 1.0], [2.0, 2.0]]).round(6)
    array([1.414214, 0.353553])
    """
    alignment, weight = as_floats(domain_grad, head_weight)
    # The left factor of BADGE's gradient is that of the logits.
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = badge_embedding(proba, alignment).left @ weight
        length, direction = _polar(gradient)
        utilities = length * (1 + np.clip(rows_inner(direction, _polar(alignment)[1]), -1, 1))
    if not np.isfinite(utilities).all():
        raise ValueError("head_weight holds numbers so large that the gradients are out of range; scale X down.")
    return utilities


def _polar(rows: Floats) -> tuple[NDArray[np.float64], Floats]:
    """Return the lengths (n,) of rows and their directions (n, D); squares of any row stay in range."""
    largest = np.abs(rows).max(axis=1, initial=0)
    shrunk = rows / np.where(largest > 0, largest, 1)[:, None]
    return largest * np.sqrt(rows_inner(shrunk, shrunk), dtype=np.float64), normalized(shrunk)


class D3GU(QueryStrategy):
    """D3GU strategy: varied target rows whose gradients of classification and of domain alignment are long and agree.

    Reads class probabilities, the linear head, the embedding and the gradient of a domain discriminator, which
    ``AdaptationClassifier(DANN())`` trains. The embedding is clustered by k-means, every row weighted by its gradient
    utility, and the row nearest to each centroid is asked for (GU-KMeans).

    Parameters
    ----------
    weight_power : float, default=4.0
        Power of the utility that is the weight. 0: all rows weigh the same; large: few rows make the centroids.
    diversity : {"kmeans", None}, default="kmeans"
        ``None``: the rows of the largest utility (GU), whatever `weight_power` and `n_init` are.
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    estimator : estimator, default=None
        See `QueryStrategy`; ``None``: ``AdaptationClassifier(DANN())``.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids and of the default estimator. See `QueryStrategy`.

    See Also
    --------
    gradient_utility : The utility as a function.
    CLUE : Clusters weighted by doubt alone.
    SAGE : The gradient of a class-wise alignment.
    skada_active.deep.DANN : A loss whose discriminator is read.

    Notes
    -----
    The utility of a row is its gradient utility. O(n C D) time for it and O(n_init n n_queries D) per pass of k-means,
    O(n (C + D)) memory; a choice that will take minutes is announced by a warning. A weight below 1e-8 of the mean
    weight is raised to it; where all are 0, the candidates weigh the same.

    The formula is that of the published code, whose configurations all have power 4. Its discriminator is decomposed:
    one loss tells the source from all targets, another one the domains from one another. Here, our reading, the first
    alone is differentiated: P(source) against all targets together, of whatever objective supplies it. With one target
    domain the two are the same task.

    References
    ----------
    .. [1] Zhang et al., "D3GU: Multi-Target Active Domain Adaptation via Enhancing Domain Alignment", WACV 2024.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import D3GU
    >>> view = PoolView(
    ...     proba=[[0.5, 0.5], [0.75, 0.25]],
    ...     head_weight=[[1.0, 0.0], [0.0, 1.0]],
    ...     features=[[0.0, 1.0], [1.0, 0.0]],
    ...     domain_grad=[[-1.0, 1.0], [2.0, 2.0]],
    ... )
    >>> D3GU(diversity=None).select(view, 1)
    array([0])
    """

    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "weight_power": [Interval(Real, 0, None, closed="left")],
        "diversity": [StrOptions({"kmeans"}), None],
        "n_init": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        weight_power: float = 4.0,
        diversity: str | None = "kmeans",
        n_init: int = 1,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.weight_power = weight_power
        self.diversity = diversity
        self.n_init = n_init

    @property
    def needs(self) -> frozenset[str]:
        """What the utility reads, and the embedding where it is clustered."""
        return frozenset({"proba", "head_weight", "domain_grad"} | ({"features"} if self.diversity else set()))

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return gradient_utility(view.proba, view.head_weight, view.domain_grad)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return 0.0 if self.diversity is None else cluster_seconds(view, n_queries, self.n_init)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        utilities = self._scores(view)
        if self.diversity is None:
            return top_k(utilities, n_queries, rng)
        largest = utilities.max()
        relative = utilities / largest if largest > 0 else utilities
        weights = floored_weights(relative**self.weight_power)
        return kmeans_picks(view.features, n_queries, sample_weight=weights, n_init=self.n_init, random_state=rng)
