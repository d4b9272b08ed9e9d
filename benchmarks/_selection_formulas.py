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


@contender("MHPL", "written out", at="a b b2")
def _(arrays: Arrays) -> NDArray[np.int64]:
    unit = arrays.features / np.linalg.norm(arrays.features, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :10]
    labels = np.eye(arrays.proba.shape[1])[arrays.proba.argmax(axis=1)]
    share = labels[nearest].mean(axis=1)
    scores = -(share * np.log(share + 1e-9)).sum(axis=1) * np.take_along_axis(similarity, nearest, axis=1).mean(axis=1)
    chosen: list[int] = []
    for row in np.argsort(-scores):
        if len(chosen) < arrays.n_queries and nearest[row, 0] not in chosen:
            chosen.append(int(row))
    return np.array(chosen)


@contender("CDAL", "written out", at="a b b2")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Take one pass over the data for each choice."""
    proba = np.maximum(arrays.proba, 1e-12, dtype=np.float64)
    logs = np.log(proba)
    nearest, chosen = np.full(len(proba), np.inf), [int((proba * logs).sum(axis=1).argmin())]
    while len(chosen) < arrays.n_queries:
        last = chosen[-1]
        nearest = np.minimum(nearest, ((proba - proba[last]) * (logs - logs[last])).sum(axis=1) / 2)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


@contender("S3VAADA", "written out", at="a b b2")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Form both n x n tables, and the gains of all rows for each choice."""
    proba = arrays.proba.astype(np.float64)
    logs = np.log(np.maximum(proba, 1e-12))
    divergence = _scaled((proba * logs).sum(axis=1)[:, None] - proba @ logs.T)
    similarity = _scaled(-np.log(1 - np.minimum(np.sqrt(proba) @ np.sqrt(proba).T, 1) + 1e-6))
    score = _scaled(arrays.divergence)
    chosen = [int(score.argmax())]
    while len(chosen) < arrays.n_queries:
        covered = similarity[:, chosen].max(axis=1, keepdims=True)
        gains = 0.5 * score + 0.3 * divergence[chosen].min(axis=0)
        gains += 0.2 * np.maximum(similarity - covered, 0).mean(axis=0)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
    return np.array(chosen)


def _scaled(values: NDArray[Any]) -> NDArray[Any]:
    return (values - values.min()) / (values.max() - values.min())


@contender("LAMDA", "written out", at="a b b2")
def _(arrays: Arrays) -> NDArray[np.int64]:
    """Form the n x n kernel."""
    squares = np.square(arrays.features).sum(axis=1)
    distances = squares[:, None] + squares - 2 * arrays.features @ arrays.features.T
    kernel = np.exp(-distances / arrays.features.shape[1])
    density = 2 * kernel.mean(axis=0)
    ranked = np.sort(arrays.proba, axis=1)
    is_free = ranked[:, -1] - ranked[:, -2] > 0.8
    chosen: list[int] = []
    bought: list[int] = []
    free: list[int] = []
    while len(bought) < arrays.n_queries:
        gains = density - (2 * kernel[chosen].sum(axis=0) + 1) / (len(chosen) + 1)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        (free if is_free[chosen[-1]] else bought).append(chosen[-1])
        if len(free) > 2 * arrays.n_queries:
            bought.append(free.pop(0))
    return np.array(bought)
