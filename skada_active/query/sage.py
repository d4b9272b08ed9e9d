"""SAGE: ask where a label would change the alignment of the domains most."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import product_seconds
from skada_active.query.sage_vectors import sage_embedding
from skada_active.selection import OnDemand, farthest_first, kmeans_plusplus, top_k
from skada_active.utils._sklearn import StrOptions

__all__ = ["SAGE"]


class SAGE(QueryStrategy):
    """SAGE strategy: diverse target rows whose label would change the gradient of the class-wise domain alignment most.

    Reads class probabilities, the embedding and a class-wise domain discriminator, which
    ``AdaptationClassifier(TSF())`` trains. The stochastic adversarial gradient embedding of a row holds, class by
    class, what the gradient of the transferability loss would become if the row were of that class; see
    `sage_embedding`.

    Parameters
    ----------
    projection : {"pop", None}, default="pop"
        Whether gradients are compared with the expected one, by `positive_orthogonal_projection`, or taken as they are
        (our reading of SAGE without the projection, for which the paper has no formula).
    diversity : {"farthest_first", "kmeans++", None}, default="farthest_first"
        How rows follow the first, the one with the longest embedding: each the farthest from all before (Algorithm 1 of
        the paper, deterministic), drawn by D² sampling (what its text calls k-means++), or, with ``None``, in the order
        of their lengths.
    estimator : estimator, default=None
        See `QueryStrategy`; ``None``: ``AdaptationClassifier(TSF())``.
    random_state : int, RandomState instance or None, default=None
        Seed of the D² sampling and of the default estimator. See `QueryStrategy`.

    See Also
    --------
    sage_embedding : The embedding as a function.
    positive_orthogonal_projection : Its projection.
    skada_active.deep.TSF : The training loss, whose discriminator is read.
    skada_active.recipes : Query and training of the method together.

    Notes
    -----
    The utility of a row is the length of its embedding.

    With a discriminator of one hidden layer of H units, O(n C H min(H, D)) time once and O(n C H n_queries) for the
    choice: on one core seconds for 12 classes, 256 units and 550 of 55,000 rows, minutes for 345 classes,
    announced by a warning; `Prefilter` chooses among fewer rows. Other
    discriminators are differentiated again in each of about 5 to 20 passes over the pool. The n x C D embeddings are
    never held; the extra memory is O(n (C + H)), H as bytes, and at most about 150 MB for blocks of rows.

    Where the prediction is certain, the embedding is zero: only rows in doubt are asked for early, and among them those
    far from all others.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Alg. 1.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import SAGE
    >>> proba, features = [[0.75, 0.25], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]
    >>> gradients = [[[1.0, 0.0], [-1.0, 1.0]], [[1.0, 0.0], [1.0, 0.5]]]
    >>> SAGE().utilities(PoolView(proba=proba, features=features, class_domain_grad=gradients)).round(4)
    array([0.8944, 0.2425])
    """

    needs = frozenset({"proba", "features", "class_domain_grad"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "projection": [StrOptions({"pop"}), None],
        "diversity": [StrOptions({"farthest_first", "kmeans++"}), None],
    }

    def __init__(
        self,
        projection: str | None = "pop",
        diversity: str | None = "farthest_first",
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.projection = projection
        self.diversity = diversity

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return np.sqrt(self._embedding(view).sq_norms(), dtype=np.float64)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        embedding = self._embedding(view)
        if self.diversity is None:
            return top_k(embedding.sq_norms(), n_queries, rng)
        first = int(top_k(embedding.sq_norms(), 1, rng)[0])
        if self.diversity == "farthest_first":
            return farthest_first(embedding, n_queries, first=first, random_state=rng)
        return kmeans_plusplus(embedding, n_queries, first=first, random_state=rng)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        layers = vars(view).get("class_discriminator")
        width = view.features.shape[1] if layers is None else len(layers[0])
        return product_seconds(view, float(len(view)) * view.proba.shape[1] * width * (n_queries + width))

    def _embedding(self, view: PoolView) -> OnDemand:
        # Where the discriminator itself is there, the embedding stays factored.
        has_parameters = "class_discriminator" in vars(view)
        discriminator = view.class_discriminator if has_parameters else view.class_domain_grad
        return sage_embedding(view.proba, view.features, discriminator, projection=self.projection)
