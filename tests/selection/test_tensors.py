"""Tensors in, positions out, and all large products where the tensors are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from skada_active.selection import (
    OnDemand,
    Outer,
    _bfloat16_prefilter,
    _neighbors,
    farthest_first,
    greedy_cover,
    kmeans,
    kmeans_picks,
    kmeans_plusplus,
    nearest_neighbors,
    nearest_to_centers,
)

N, K = 400, 40


kinds = pytest.mark.parametrize("kind", ["plain", "outer", "on demand"])


def make(kind, dtype, move=np.asarray, rows=slice(None)):
    """Return vectors of small whole numbers, some of them twice, whose products are exact."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(-3, 4, size=(2, N, 5)).astype(dtype)
    left[200:220], right[200:220] = left[:20], right[:20]
    left, right = move(left[rows]), move(right[rows])
    if kind == "plain":
        return right
    if kind == "outer":
        return Outer(left, right)
    return OnDemand(lambda index: right[index] * 2, [right], width=5, dtype=dtype)


RULES = {
    "farthest first": lambda vectors: farthest_first(vectors, K, first=3),
    "farthest first from the middle": lambda vectors: farthest_first(vectors, K),
    "k-means++": lambda vectors: kmeans_plusplus(vectors, K, random_state=0),
    "weighted k-means++": lambda vectors: kmeans_plusplus(
        vectors, K, sample_weight=np.arange(N), n_trials=3, random_state=0
    ),
    "k-means": lambda vectors: kmeans(vectors, 6, random_state=0),
    "k-means picks": lambda vectors: kmeans_picks(vectors, 6, random_state=0),
    "nearest to centers": lambda vectors: nearest_to_centers(vectors, np.arange(N) % 7, 9),
    "greedy cover": lambda vectors: greedy_cover(vectors, K, 4.0),
    "Euclidean neighbors": lambda vectors: nearest_neighbors(vectors, 5, metric="euclidean")[1],
}
ON_DEMAND = {name for name in RULES if name.startswith(("farthest", "k-means++", "weighted"))}


@kinds
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_give_what_arrays_give(to_tensor, kind, rule, dtype):
    if kind == "on demand" and rule not in ON_DEMAND:
        pytest.skip("not accepted by this primitive")
    found, expected = RULES[rule](make(kind, dtype, to_tensor)), RULES[rule](make(kind, dtype))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["plain", "outer"])
def test_similarities_of_tensors_are_those_of_arrays(to_tensor, kind):
    found, expected = (nearest_neighbors(make(kind, np.float32, library), 5)[0] for library in (to_tensor, np.asarray))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@kinds
def test_centers_may_be_tensors(to_tensor, kind):
    vectors, centers = (make(kind, np.float32, to_tensor, rows) for rows in (slice(None), slice(0, 90, 9)))
    expected = farthest_first(make(kind, np.float32), K, centers=make(kind, np.float32, rows=slice(0, 90, 9)))
    assert farthest_first(vectors, K, centers=centers).tolist() == expected.tolist()


def test_prefiltered_neighbors_of_tensors_are_those_of_arrays(to_tensor, monkeypatch):
    monkeypatch.setattr(_neighbors, "on_device", lambda factor: True)
    for module in (_neighbors, _bfloat16_prefilter):
        monkeypatch.setattr(module, "GROUP", 4)
    X = np.random.default_rng(1).normal(size=(300, 20)).astype(np.float32)
    values, indices = nearest_neighbors(to_tensor(X), 6)
    exact = nearest_neighbors(X.astype(np.float64), 6)
    assert indices.tolist() == exact[1].tolist()
    np.testing.assert_allclose(values, exact[0], atol=1e-6)


@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float32])
def test_shorter_floats_are_computed_with_in_single_precision(to_tensor, given):
    X = to_tensor(np.random.default_rng(2).normal(size=(60, 4)).astype(np.float32)).to(given)
    assert nearest_neighbors(X, 3)[0].dtype == np.float32


def test_a_tensor_takes_its_partner_along(to_device):
    """One factor on a device and one on the host are multiplied on the device."""
    vectors = make("outer", np.float32)
    mixed = Outer(vectors.left, to_device(vectors.right))
    assert farthest_first(mixed, K).tolist() == farthest_first(vectors, K).tolist()
    np.testing.assert_array_equal(mixed.sq_norms(), vectors.sq_norms())


def test_tensors_are_left_as_they_were():
    X = torch.randn(100, 4, requires_grad=True)
    before = X.detach().clone()
    kmeans_picks(X, 9, random_state=0)
    farthest_first(X, 9)
    assert torch.equal(X.detach(), before)


@pytest.mark.parametrize(("X", "message"), [(torch.zeros(3), "shape"), (torch.tensor([[torch.nan]]), "NaN")])
def test_bad_tensors_are_named(X, message):
    with pytest.raises(ValueError, match=f"vectors .*{message}"):
        farthest_first(X, 1)


def test_clusters_on_a_device_are_those_of_far_groups(to_device):
    rng = np.random.default_rng(0)
    truth = np.arange(N) % 5
    X = rng.normal(size=(5, 6))[truth] * 50 + rng.normal(size=(N, 6))
    assert adjusted_rand_score(truth, kmeans(to_device(X), 5, random_state=0)) == 1
