"""The formulas of the query rules written out, and other libraries put together, as contenders."""

from __future__ import annotations

from typing import Any

import numpy as np
from _selection import Arrays, contender
from numpy.typing import NDArray


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
    picks = [0]
    nearest = torch.full_like(norms, torch.inf)
    while len(picks) <= arrays.n_queries:
        row = features[picks[-1]]
        torch.minimum(nearest, norms - 2 * (features @ row) + norms[picks[-1]], out=nearest)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
    return np.array(picks[1:])


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


def cluster(vectors: NDArray[Any], n_clusters: int, weights: NDArray[Any] | None = None, seed: int = 0) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=1, random_state=seed).fit(vectors, sample_weight=weights)


def _nearest_rows(centers: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.int64]:
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(centers, vectors)


@contender("k-means", "scikit-learn")
def _(arrays: Arrays) -> NDArray[np.int64]:
    centers = cluster(arrays.features, arrays.n_queries).cluster_centers_
    return _nearest_rows(centers, arrays.features)


@contender("CLUE", "scikit-learn")
def _(arrays: Arrays) -> NDArray[np.int64]:
    weights = -(arrays.proba * np.log(arrays.proba + 1e-12)).sum(axis=1)
    centers = cluster(arrays.features, arrays.n_queries, weights).cluster_centers_
    return _nearest_rows(centers, arrays.features)


def _las(
    arrays: Arrays, unit: NDArray[Any], similarities: NDArray[Any], neighbors: NDArray[np.int64]
) -> NDArray[np.int64]:
    weights = np.maximum(similarities, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    scores = -np.einsum("ik,ikc,ic->i", weights, arrays.proba[neighbors], arrays.proba)
    scores += (weights * scores[neighbors]).sum(axis=1)
    candidates = np.argsort(-scores)[: int(0.11 * len(unit))]
    centers = cluster(unit[candidates], arrays.n_queries).cluster_centers_
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
    centers = cluster(gradients, arrays.n_queries).cluster_centers_
    return _nearest_rows(centers, gradients)
