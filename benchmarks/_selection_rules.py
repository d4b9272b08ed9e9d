"""The query rules that `selection_speed.py` times: this package's, other packages', and the formulas written out.

A contender is a function of `Arrays` that returns the positions it chooses. It starts from ready arrays, as a strategy
does after the forward pass, and does all of its own validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Contender = Callable[["Arrays"], NDArray[np.int64]]

#: Candidates, classes, features and queries.
SIZES = {
    "a": (2500, 31, 256, 25),
    "b": (4400, 65, 256, 44),
    "b2": (4400, 65, 2048, 44),
    "c": (55000, 12, 256, 550),
    "d": (50000, 345, 512, 500),
}
OURS = "skada_active"
RULES: dict[str, dict[str, Contender]] = {}
#: At which sizes a contender runs, where it does not at all.
AT: dict[tuple[str, str], tuple[str, ...]] = {}
_HIDDEN, _MEMBERS, _SOURCE = 256, 5, 10_000


@dataclass(frozen=True)
class Arrays:
    """What a model says of a pool: float32 arrays of clustered ReLU features and a linear head's predictions."""

    n_queries: int
    proba: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    head: NDArray[np.float32]
    discriminator: tuple[NDArray[np.float32], ...]
    source: NDArray[np.float32]
    committee: NDArray[np.float32]

    @classmethod
    def of(cls, n: int, n_classes: int, n_features: int, n_queries: int) -> Arrays:
        """Return the arrays of one size, the same in every process."""
        rng = np.random.default_rng(0)
        centers = rng.standard_normal((n_classes, n_features), dtype=np.float32)
        features = _cloud(rng, centers, n)
        head = centers * np.float32(1.5 / np.sqrt(n_features))
        logits = features @ head.T
        hidden = min(_HIDDEN, n_features)
        shapes = ((hidden, n_features), (hidden,), (n_classes, hidden), (n_classes,))
        layers = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
        layers[0] /= np.float32(np.sqrt(n_features))
        layers[2] /= np.float32(np.sqrt(hidden))
        noise = (
            rng.standard_normal((_MEMBERS, *logits.shape), dtype=np.float32) if n * n_classes < 10**6 else logits[None]
        )
        return cls(
            n_queries,
            softmax(logits, axis=1),
            logits,
            features,
            head,
            tuple(layers),
            _cloud(rng, centers, min(n, _SOURCE)) + np.float32(0.2),
            softmax(logits + noise, axis=2),
        )


def _cloud(rng: np.random.Generator, centers: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    rows = rng.standard_normal((n, centers.shape[1]), dtype=np.float32)
    rows += centers[rng.integers(len(centers), size=n)]
    return np.maximum(rows, 0, out=rows)


def contender(rule: str, name: str, at: str = "") -> Callable[[Contender], Contender]:
    """Enter a function under a rule; `at` names the sizes it can do, by default all."""

    def enter(function: Contender) -> Contender:
        RULES.setdefault(rule, {})[name] = function
        if at:
            AT[rule, name] = tuple(at.split())
        return function

    return enter


# This package.


def _ours(rule: str, strategy: str, *fields: str, **parameters: Any) -> None:
    def choose(arrays: Arrays) -> NDArray[np.int64]:
        import skada_active.query
        from skada_active.pool import PoolView

        view = PoolView(**{name: _field(arrays, name) for name in fields})
        return getattr(skada_active.query, strategy)(**parameters).select(view, arrays.n_queries, random_state=0)

    contender(rule, OURS)(choose)


def _field(arrays: Arrays, name: str) -> Any:
    if name == "source_domain":
        return np.arange(len(arrays.source)) % 3
    names = {
        "head_weight": "head",
        "class_discriminator": "discriminator",
        "source_features": "source",
        "committee_proba": "committee",
    }
    return getattr(arrays, names.get(name, name))


_ours("random", "RandomSampling", "proba")
_ours("entropy", "EntropySampling", "proba")
_ours("least confidence", "LeastConfidenceSampling", "proba")
_ours("margin", "MarginSampling", "proba")
_ours("committee", "QueryByCommittee", "committee_proba")
_ours("SDM-G", "SDM", "logits", "head_weight")
_ours("CoreSet", "CoreSet", "features", initial_centers=None)
_ours("k-means", "KMeansSampling", "features")
_ours("BADGE", "BADGE", "proba", "features")
_ours("CLUE", "CLUE", "logits", "features", temperature=1.0)
_ours("LAS", "LAS", "proba", "features")
_ours("SAGE", "SAGE", "proba", "features", "class_discriminator")
_ours("GALA", "GALA", "proba", "features", "source_features", "source_domain", embedding="auto")
_ours("GALA local", "GALA", "proba", "features", "source_features", "source_domain", mode="local")


# scikit-activeml.


def _ready(proba: NDArray[np.float32], embedding: NDArray[np.float32] | None = None) -> Any:
    """Return a classifier of scikit-activeml that answers with ready arrays."""
    from skactiveml.base import SkactivemlClassifier

    class Ready(SkactivemlClassifier):
        def fit(self, X: Any, y: Any) -> Any:
            return self

        def predict_proba(self, X: Any) -> Any:
            return proba if embedding is None else (proba, embedding)

        def predict(self, X: Any) -> Any:
            return proba.argmax(axis=1)

    model = Ready(classes=np.arange(proba.shape[1]))
    model.classes_ = np.arange(proba.shape[1])
    return model


def _unlabeled(arrays: Arrays, X: NDArray[Any] | None = None) -> dict[str, Any]:
    n = len(arrays.proba)
    X = np.zeros((n, 1)) if X is None else X
    return {"X": X, "y": np.full(n, np.nan), "batch_size": arrays.n_queries}


def _uncertainty(rule: str, method: str) -> None:
    def choose(arrays: Arrays) -> NDArray[np.int64]:
        from skactiveml.pool import UncertaintySampling

        strategy = UncertaintySampling(method=method, random_state=0)
        return strategy.query(clf=_ready(arrays.proba), fit_clf=False, **_unlabeled(arrays))

    contender(rule, "scikit-activeml")(choose)


_uncertainty("entropy", "entropy")
_uncertainty("least confidence", "least_confident")
_uncertainty("margin", "margin_sampling")


@contender("random", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import RandomSampling

    return RandomSampling(random_state=0).query(**_unlabeled(arrays))


@contender("committee", "scikit-activeml", at="a b b2 c")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import QueryByCommittee

    ensemble = [_ready(proba) for proba in arrays.committee]
    strategy = QueryByCommittee(method="vote_entropy", random_state=0)
    return strategy.query(ensemble=ensemble, fit_ensemble=False, **_unlabeled(arrays))


@contender("CoreSet", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import CoreSet

    return CoreSet(random_state=0).query(**_unlabeled(arrays, arrays.features))


@contender("BADGE", "scikit-activeml", at="a b")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import Badge

    model = _ready(arrays.proba)
    return Badge(random_state=0).query(clf=model, fit_clf=False, **_unlabeled(arrays, arrays.features))


@contender("CLUE", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import Clue

    strategy = Clue(random_state=0, cluster_algo_dict={"n_init": 1, "random_state": 0})
    model = _ready(arrays.proba)
    return strategy.query(estimator=model, fit_estimator=False, **_unlabeled(arrays, arrays.features))


# The formulas written out, and other libraries put together.


@contender("entropy", "written out")
def _(arrays: Arrays) -> NDArray[np.int64]:
    entropy = -(arrays.proba * np.log(arrays.proba + 1e-12)).sum(axis=1)
    return np.argsort(-entropy)[: arrays.n_queries]


@contender("least confidence", "written out")
def _(arrays: Arrays) -> NDArray[np.int64]:
    return np.argsort(arrays.proba.max(axis=1))[: arrays.n_queries]


@contender("margin", "written out")
def _(arrays: Arrays) -> NDArray[np.int64]:
    ranked = np.sort(arrays.proba, axis=1)
    return np.argsort(ranked[:, -1] - ranked[:, -2])[: arrays.n_queries]


@contender("SDM-G", "written out", at="a b c")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Differentiate the loss automatically and form every row's class vectors, an n x C x D array."""
    import torch
    from torch.nn import functional as F

    head = torch.as_tensor(arrays.head)
    features = torch.as_tensor(arrays.features).clone().requires_grad_()
    logits = features @ head.T
    proba = logits.detach().softmax(dim=1)
    top, labels = proba.topk(2, dim=1)
    loss = 0.0
    for rank in range(2):
        unit = F.normalize(logits)
        chosen = unit.gather(1, labels[:, rank : rank + 1])[:, 0]
        hinge = F.multi_margin_loss(unit, labels[:, rank], reduction="none")
        each = F.cross_entropy(logits, labels[:, rank], reduction="none") + hinge - chosen
        loss = loss + (top[:, rank] * each).sum()
    of_loss = torch.autograd.grad(loss, features)[0]
    weighted = proba[:, :, None] * head
    expected = weighted.sum(dim=1)
    of_margin = top[:, :1] * (head[labels[:, 0]] - expected) - top[:, 1:] * (head[labels[:, 1]] - expected)
    scores = 1 - (top[:, 0] - top[:, 1]) + 0.01 * F.cosine_similarity(of_loss, -of_margin)
    return scores.argsort(descending=True)[: arrays.n_queries].numpy()


@contender("CoreSet", "PyTorch loop")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Take one matrix-vector product a pick."""
    import torch

    features = torch.as_tensor(arrays.features)
    norms = features.square().sum(dim=1)
    picks = [int((norms - 2 * features @ features.mean(dim=0)).argmin())]
    nearest = torch.full_like(norms, torch.inf)
    while len(picks) < arrays.n_queries:
        row = features[picks[-1]]
        torch.minimum(nearest, norms - 2 * (features @ row) + norms[picks[-1]], out=nearest)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
    return np.array(picks)


@contender("BADGE", "loop on factors")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Draw one row at a time, with distances from the factors."""
    rng = np.random.default_rng(0)
    left = arrays.proba - np.eye(arrays.proba.shape[1], dtype=np.float32)[arrays.proba.argmax(axis=1)]
    right = arrays.features
    norms = (left**2).sum(axis=1) * (right**2).sum(axis=1)
    picks = [int(norms.argmax())]
    nearest = np.full(len(norms), np.inf, dtype=np.float32)
    while len(picks) < arrays.n_queries:
        inner = (left @ left[picks[-1]]) * (right @ right[picks[-1]])
        nearest = np.minimum(nearest, np.maximum(norms - 2 * inner + norms[picks[-1]], 0))
        nearest[picks] = 0
        weights = nearest.astype(np.float64)
        picks.append(int(rng.choice(len(weights), p=weights / weights.sum())))
    return np.array(picks)


@contender("SAGE", "written out", at="a b")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Differentiate the discriminator class by class and hold the n x C x D embeddings."""
    import torch

    first, bias, second, second_bias = map(torch.as_tensor, arrays.discriminator)
    features = torch.as_tensor(arrays.features).clone().requires_grad_()
    target = ((features @ first.T + bias).relu() @ second.T + second_bias).sigmoid()
    n_classes = target.shape[1]
    losses = [-target[:, c].log().sum() for c in range(n_classes)]
    gradients = torch.stack([torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in losses], dim=1)
    proba = torch.as_tensor(arrays.proba)
    expected = (proba[:, :, None] * gradients).sum(dim=1)
    along = (gradients * expected[:, None]).sum(dim=2).abs() / expected.square().sum(dim=1, keepdim=True)
    vectors = (proba.sqrt()[:, :, None] * (gradients - along[:, :, None] * expected[:, None])).flatten(1)
    picks = [int(vectors.norm(dim=1).argmax())]
    nearest = torch.full((len(vectors),), torch.inf)
    while len(picks) < arrays.n_queries:
        torch.minimum(nearest, (vectors - vectors[picks[-1]]).norm(dim=1), out=nearest)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
    return np.array(picks)


def _cluster(vectors: NDArray[Any], n_clusters: int, weights: NDArray[Any] | None = None) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=1, random_state=0).fit(vectors, sample_weight=weights)


def _nearest_rows(centers: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.int64]:
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(centers, vectors)


@contender("k-means", "scikit-learn")
def _(arrays: Arrays) -> NDArray[np.int64]:
    centers = _cluster(arrays.features, arrays.n_queries).cluster_centers_
    return _nearest_rows(centers, arrays.features)


@contender("CLUE", "scikit-learn")
def _(arrays: Arrays) -> NDArray[np.int64]:
    weights = -(arrays.proba * np.log(arrays.proba + 1e-12)).sum(axis=1)
    centers = _cluster(arrays.features, arrays.n_queries, weights).cluster_centers_
    return _nearest_rows(centers, arrays.features)


def _las(
    arrays: Arrays, unit: NDArray[Any], similarities: NDArray[Any], neighbors: NDArray[np.int64]
) -> NDArray[np.int64]:
    weights = np.maximum(similarities, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    scores = -np.einsum("ik,ikc,ic->i", weights, arrays.proba[neighbors], arrays.proba)
    scores += (weights * scores[neighbors]).sum(axis=1)
    candidates = np.argsort(-scores)[: int(0.11 * len(unit))]
    centers = _cluster(unit[candidates], arrays.n_queries).cluster_centers_
    return candidates[_nearest_rows(centers, unit[candidates])]


@contender("LAS", "faiss + scikit-learn")
def _(arrays: Arrays) -> NDArray[np.int64]:
    import faiss

    faiss.omp_set_num_threads(1)
    unit = arrays.features / np.linalg.norm(arrays.features, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    similarities, neighbors = index.search(unit, 11)
    return _las(arrays, unit, similarities[:, 1:], neighbors[:, 1:])


@contender("LAS", "written out", at="a b b2")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Hold the n x n similarities."""
    unit = arrays.features / np.linalg.norm(arrays.features, axis=1, keepdims=True)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    neighbors = np.argsort(-similarities, axis=1)[:, :10]
    return _las(arrays, unit, np.take_along_axis(similarities, neighbors, axis=1), neighbors)


@contender("GALA", "k-means on outer products", at="a b")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Hold the n x C D gradients; the clustering alone, without the domain gap."""
    left = arrays.proba - np.eye(arrays.proba.shape[1], dtype=np.float32)[arrays.proba.argmax(axis=1)]
    gradients = (left[:, :, None] * arrays.features[:, None, :]).reshape(len(left), -1)
    centers = _cluster(gradients, arrays.n_queries).cluster_centers_
    return _nearest_rows(centers, gradients)
