"""The primitives against the formulas written out, on data full of ties, duplicates, zeros and constants.

Small integers are exact in either floating type, so that there picks are compared one by one, ties by position
included; elsewhere rounding may decide, and what is compared is the value of the criterion at each pick.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nasty_data import TOLERANCE, dtypes, matrices
from scipy.stats import chisquare
from sklearn.cluster import KMeans

from skada_active.selection import (
    OnDemand,
    Outer,
    farthest_first,
    kmeans,
    kmeans_picks,
    kmeans_plusplus,
    nearest_neighbors,
    nearest_to_centers,
    top_k,
)

counts = st.integers(0, 17)
layouts = st.sampled_from(["rows", "columns", "strided", "reversed"])
all_forms = pytest.mark.parametrize("form", ["plain", "outer", "on demand"])
held_forms = pytest.mark.parametrize("form", ["plain", "outer"])


def laid_out(X, layout):
    """Return the same values in other memory, read-only."""
    X = {
        "rows": np.array,
        "columns": np.asfortranarray,
        "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=-1)[::2, ..., ::3],
        "reversed": lambda X: X[::-1].copy()[::-1],
    }[layout](X)
    X.flags.writeable = False
    return X


@st.composite
def vector_sets(draw, form, n=None, largest=3):
    """Draw vectors of a form in either floating type and any layout, and the same vectors in float64."""
    n = draw(st.integers(1, 14)) if n is None else n
    dtype, layout = draw(dtypes), draw(layouts)
    left = draw(matrices(n, draw(st.integers(1, 3)), largest))
    right = draw(matrices(n, draw(st.integers(1, 3)), largest))
    return vectors_of(form, *(laid_out(part.astype(dtype), layout) for part in (left, right)))


def vectors_of(form, left, right):
    if form == "outer":
        return Outer(left, right), np.einsum("ij,ik->ijk", left, right, dtype=np.float64).reshape(len(left), -1)
    if form == "on demand":
        vectors = OnDemand(lambda rows: left[rows], [left], width=left.shape[1], dtype=left.dtype)
        return vectors, left.astype(np.float64)
    return left, left.astype(np.float64)


def normal_vectors(form, n, dtype, seed, distinct=None):
    """Return vectors that no floating type holds exactly, some of them several times."""
    rng = np.random.default_rng(seed)
    rows = np.arange(n) if distinct is None else rng.integers(0, min(n, distinct), n)
    return vectors_of(form, *(rng.normal(size=(n, width))[rows].astype(dtype) for width in (23, 5)))


def sq_distances(X, Y):
    return np.square(X[:, None] - Y[None]).sum(axis=2)


def naive_farthest_first(X, k, centers, first):
    distances, picks = np.full(len(X), np.inf), []
    for center in centers:
        distances = np.minimum(distances, np.square(X - center).sum(axis=1))
    while len(picks) < min(k, len(X)):
        picks.append(int(distances.argmax()) if picks or len(centers) else first)
        distances = np.minimum(distances, np.square(X - X[picks[-1]]).sum(axis=1))
        distances[picks] = -1
    return picks


def naive_means(X, labels, weights):
    """Return the weighted mean of every cluster that has members, the plain one where these weigh nothing."""
    means = {}
    for cluster in np.unique(labels):
        share = np.where(labels == cluster, weights, 0)
        means[int(cluster)] = np.average(X, axis=0, weights=share if share.any() else labels == cluster)
    return means


def naive_nearest_to_centers(X, labels, k, weights):
    picks = np.full(k, -1)
    for cluster, mean in naive_means(X, labels, weights).items():
        distances = np.square(X - mean).sum(axis=1)
        distances[picks[picks >= 0]] = np.inf
        picks[cluster] = distances.argmin()
    taken = picks[picks >= 0]
    distances = sq_distances(X, X[taken]).min(axis=1)
    for cluster in np.flatnonzero(picks < 0):
        distances[picks[picks >= 0]] = -1
        picks[cluster] = distances.argmax()
        distances = np.minimum(distances, np.square(X - X[picks[cluster]]).sum(axis=1))
    return picks.tolist()


def first_free_duplicates(X, picks):
    """Replace each pick by the first row that is identical to it and not yet taken."""
    found = []
    for pick in picks:
        found.append(next(i for i in range(len(X)) if i not in found and (X[i] == X[pick]).all()))
    return found


def is_distinct(picks, k, n):
    return picks.dtype == np.int64 and len(set(picks.tolist())) == len(picks) == min(max(k, 0), n)


# Farthest-first


@all_forms
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(-1, 17), st.integers(0, 3))
def test_farthest_first_picks_are_those_of_the_plain_loop_ties_by_position(form, data, k, n_centers):
    vectors, X = data.draw(vector_sets(form))
    rows = data.draw(arrays(np.int64, n_centers, elements=st.integers(0, len(X) - 1)))
    others, centers = {
        "plain": lambda: (vectors[rows] + 1, X[rows] + 1),
        "outer": lambda: (vectors[rows], X[rows]),
        "on demand": lambda: (
            OnDemand(lambda i: X[rows[i]] + 1, [rows], width=X.shape[1], dtype=vectors.dtype),
            X[rows] + 1,
        ),
    }[form]()
    first = data.draw(st.integers(0, len(X) - 1))
    picks = farthest_first(vectors, k, centers=others, first=first)
    assert is_distinct(picks, k, len(X))
    assert picks.tolist() == naive_farthest_first(X, k, centers, first)


@held_forms
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    largest=st.sampled_from([3, 20, 40]),
    dtype=dtypes,
    n=st.integers(3300, 4500),
    k=st.integers(100, 200),
)
def test_farthest_first_picks_are_those_of_the_plain_loop_where_few_rows_lead(form, seed, largest, dtype, n, k):
    rng = np.random.default_rng(seed)
    vectors, X = vectors_of(form, *(rng.integers(-largest, largest + 1, (n, 2)).astype(dtype) for _ in range(2)))
    assert farthest_first(vectors, k, first=n // 2).tolist() == naive_farthest_first(X, k, [], n // 2)


@all_forms
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), dtype=dtypes, n=st.integers(1, 60), distinct=st.integers(1, 60))
def test_farthest_first_picks_are_at_the_largest_distance_and_the_first_of_their_duplicates(
    form, seed, dtype, n, distinct
):
    vectors, X = normal_vectors(form, n, dtype, seed, distinct)
    picks = farthest_first(vectors, n).tolist()
    assert picks == first_free_duplicates(X, picks)
    from_mean = np.square(X - X.mean(axis=0)).sum(axis=1)
    assert from_mean[picks[0]] <= from_mean.min() + TOLERANCE[dtype]
    for t in range(1, n):
        distances = sq_distances(X, X[picks[:t]]).min(axis=1)
        assert distances[picks[t]] >= distances.max() - TOLERANCE[dtype] * max(1, np.square(X).sum(axis=1).max())


@held_forms
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_farthest_first_starts_at_the_first_of_the_rows_nearest_to_the_mean(form, dtype):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        parts = [np.tile(rng.normal(size=(11 + seed, width)).astype(dtype), (3, 1)) for width in (5, 4)]
        assert farthest_first(vectors_of(form, *parts)[0], 1)[0] < 11 + seed


# k-means++


def law_of_sets(X, k, weights, first, n_trials):
    """Return the probability of every set of k picks, over all ways to draw the trials of each pick."""
    sq, law = sq_distances(X, X), {frozenset([first]): 1.0}
    for _ in range(k - 1):
        longer = defaultdict(float)
        for picks, p in law.items():
            current = sq[:, list(picks)].min(axis=1)
            shares = weights * current
            if not shares.any():
                shares, trials_each = np.array([float(i not in picks) for i in range(len(X))]), 1
            else:
                trials_each = n_trials
            left = [float(weights @ np.minimum(current, sq[i])) for i in range(len(X))]
            drawable = np.flatnonzero(shares).tolist()
            shares = (shares / shares.sum()).tolist()
            for trials in product(drawable, repeat=trials_each):
                best = min(trials, key=left.__getitem__)
                longer[picks | {best}] += p * math.prod(shares[i] for i in trials)
        law = longer
    return law


def assert_law(draw, law, n_draws=2000):
    rng = np.random.RandomState(0)
    found = Counter(frozenset(draw(rng).tolist()) for _ in range(n_draws))
    assert found.keys() <= law.keys()
    expected = np.array([n_draws * p for p in law.values()])
    observed = np.array([found[picks] for picks in law])
    rare = expected < 5
    expected, observed = (np.append(v[~rare], v[rare].sum()) for v in (expected, observed))
    if expected[-1] < 5:
        expected, observed = (np.append(v[:-2], v[-2:].sum()) for v in (expected, observed))
    assert chisquare(observed, expected * (observed.sum() / expected.sum())).pvalue > 1e-3


LEFT = np.array([[0, 0], [2, 1], [1, 0], [0, 2], [3, 1], [-1, -2], [2, 1]])
RIGHT = np.array([[1, 2], [1, 1], [-1, 0], [0, 0], [2, -1], [1, 1], [1, 1]])


@all_forms
@pytest.mark.parametrize("n_trials", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_kmeans_plusplus_law_of_several_picks_in_a_block_with_twins_zeros_and_weights(form, n_trials, weighted):
    dtype = np.float32 if weighted else np.float64
    vectors, X = vectors_of(form, LEFT.astype(dtype), RIGHT.astype(dtype))
    weights = np.array([1.0, 2, 0, 1, 4, 2, 1]) if weighted else np.ones(7)
    options = {"first": 1, "n_trials": n_trials}
    assert_law(
        lambda rng: kmeans_plusplus(vectors, 4, sample_weight=weights, random_state=rng, **options),
        law_of_sets(X, 4, weights, 1, n_trials),
    )


@pytest.mark.parametrize("n_trials", [1, 2])
def test_kmeans_plusplus_law_of_the_third_block(n_trials):
    X = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9], [8, 9], [1, 0], [0, 1], [4, 4]])
    assert_law(
        lambda rng: kmeans_plusplus(X, 6, first=0, n_trials=n_trials, random_state=rng),
        law_of_sets(X, 6, np.ones(8), 0, n_trials),
    )


def test_kmeans_plusplus_law_of_the_rest_once_all_distances_or_weights_are_zero():
    X, weights = np.array([[0.0], [0], [1], [1], [5], [7]]), np.array([1.0, 1, 1, 1, 0, 0])
    assert_law(
        lambda rng: kmeans_plusplus(X, 4, sample_weight=weights, first=0, random_state=rng),
        law_of_sets(X, 4, weights, 0, 1),
    )


@all_forms
@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(-1, 17), st.integers(1, 4), st.integers(0, 2**16))
def test_kmeans_plusplus_draws_all_distinct_rows_before_any_twin(form, data, k, n_trials, seed):
    vectors, X = data.draw(vector_sets(form))
    picks = kmeans_plusplus(vectors, k, n_trials=n_trials, random_state=seed)
    assert is_distinct(picks, k, len(X))
    n_distinct = min(len(picks), len(np.unique(X, axis=0)))
    assert len(np.unique(X[picks[:n_distinct]], axis=0)) == n_distinct


@all_forms
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), dtype=dtypes, distinct=st.integers(1, 40), n_trials=st.integers(1, 3))
def test_kmeans_plusplus_knows_twins_by_their_rounded_distances(form, seed, dtype, distinct, n_trials):
    vectors, X = normal_vectors(form, 60, dtype, seed, distinct)
    picks = kmeans_plusplus(vectors, 60, n_trials=n_trials, random_state=seed)
    n_distinct = len(np.unique(X, axis=0))
    assert sorted(picks.tolist()) == list(range(60))
    assert len(np.unique(X[picks[:n_distinct]], axis=0)) == n_distinct


@pytest.mark.parametrize("form", ["outer", "on demand"])
@pytest.mark.parametrize("n_trials", [1, 3])
def test_kmeans_plusplus_knows_twins_though_distances_are_hardly_above_rounding(form, n_trials):
    """Squared distances of 4e-6 between rows of length 1 in float32, where 1e-6 cannot be told from 0."""
    for seed in range(40):
        base, *steps = np.linalg.qr(np.random.default_rng(seed).normal(size=(24, 24)))[0]
        rows = np.tile(base + 2**0.5 * 1e-3 * np.array(steps), (3, 1)).astype(np.float32)
        vectors, _ = vectors_of(form, *((np.ones((69, 1), np.float32), rows)[:: 1 if form == "outer" else -1]))
        picks = kmeans_plusplus(vectors, 69, n_trials=n_trials, random_state=seed)
        assert len(set((picks[:23] % 23).tolist())) == 23


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 17), st.integers(1, 3))
def test_kmeans_plusplus_draws_rows_of_positive_weight_before_the_others(data, k, n_trials):
    vectors, X = data.draw(vector_sets("plain"))
    weights = data.draw(arrays(np.float64, len(X), elements=st.sampled_from([0.0, 1e-300, 1.0, 1e6])))
    picks = kmeans_plusplus(vectors, k, sample_weight=weights, n_trials=n_trials, random_state=0)
    assert is_distinct(picks, k, len(X))
    heavy = X[weights == 1e6]
    if len(heavy):
        n_heavy = min(k, len(np.unique(heavy, axis=0)))
        assert (weights[picks[:n_heavy]] > 0).all()


# k-means


def naive_inertia(X, labels, weights):
    means = naive_means(X, labels, weights)
    return sum(w * np.square(x - means[int(c)]).sum() for x, c, w in zip(X, labels, weights, strict=True))


# Rounding may send a run of float32 to another local optimum, hence the fixed examples.
@held_forms
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 90), k=st.integers(1, 12), dtype=dtypes, weighted=st.booleans())
def test_kmeans_ends_where_scikit_learn_does_from_the_same_seeds(form, seed, n, k, dtype, weighted):
    vectors, X = normal_vectors(form, n, dtype, seed)
    weights = np.random.default_rng(seed).random(n) ** 4 if weighted else np.ones(n)
    k, options = min(k, n), {"sample_weight": weights, "random_state": seed}
    seeds = kmeans_plusplus(vectors, k, n_trials=2 + int(math.log(k)), **options)
    expected = KMeans(k, init=X[seeds], n_init=1).fit(X, sample_weight=weights).inertia_
    found = naive_inertia(X, kmeans(vectors, k, **options), weights)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@held_forms
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 14), st.integers(0, 2**16))
def test_kmeans_ends_at_a_fixed_point_without_empty_clusters_whatever_the_ties(form, data, k, seed):
    """Each row is as near to its mean as to any other one, and no cluster is empty while rows are off their mean."""
    vectors, X = data.draw(vector_sets(form))
    weights = data.draw(arrays(np.float64, len(X), elements=st.sampled_from([0.0, 0.1, 1.0, 3.0])))
    labels = kmeans(vectors, k, sample_weight=weights, tol=0, random_state=seed)
    means = naive_means(X, labels, weights if weights.any() else np.ones(len(X)))
    distances = sq_distances(X, np.stack(list(means.values())))
    own = distances[np.arange(len(X)), np.searchsorted(list(means), labels)]
    np.testing.assert_allclose(own, distances.min(axis=1), atol=1e-3)
    assert len(means) == min(k, len(X)) or np.allclose(own, 0, atol=1e-3)


@held_forms
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), n_init=st.integers(1, 4), weighted=st.booleans())
def test_kmeans_keeps_the_start_of_least_inertia(form, seed, n_init, weighted):
    vectors, X = normal_vectors(form, 40, np.float64, seed)
    weights = np.random.default_rng(seed).random(40) if weighted else np.ones(40)
    rng = np.random.RandomState(seed)
    runs = [kmeans(vectors, 6, sample_weight=weights, random_state=rng) for _ in range(n_init)]
    labels = kmeans(vectors, 6, sample_weight=weights, n_init=n_init, random_state=seed)
    least = min(naive_inertia(X, run, weights) for run in runs)
    assert naive_inertia(X, labels, weights) == pytest.approx(least, rel=1e-5)


@held_forms
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), dtype=dtypes, distinct=st.integers(1, 30))
def test_kmeans_of_fewer_distinct_rows_than_clusters_puts_none_together_that_differ(form, seed, dtype, distinct):
    vectors, X = normal_vectors(form, 60, dtype, seed, distinct)
    labels = kmeans(vectors, 40, random_state=seed)
    _, twins = np.unique(X, axis=0, return_inverse=True)
    assert len(set(zip(labels.tolist(), twins.ravel().tolist(), strict=True))) == len(set(labels.tolist()))


# One row a cluster


def dyadic(weights, labels):
    """Raise the first weight of each cluster until their sum is a power of two: shares are exact."""
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        total = weights[members].sum()
        weights[members[0]] += 2 ** math.ceil(math.log2(max(1, total))) - total
    return weights


@held_forms
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 14))
def test_nearest_to_centers_takes_the_rows_of_the_plain_loop_ties_by_position(form, data, k):
    vectors, X = data.draw(vector_sets(form))
    k = min(k, len(X))
    labels = data.draw(arrays(np.int64, len(X), elements=st.integers(0, k - 1)))
    weights = dyadic(data.draw(arrays(np.int64, len(X), elements=st.integers(0, 4))), labels)
    picks = nearest_to_centers(vectors, labels, k, sample_weight=weights)
    assert picks.tolist() == naive_nearest_to_centers(X, labels, k, weights)


@held_forms
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), dtype=dtypes, distinct=st.integers(1, 90), k=st.integers(1, 45))
def test_nearest_to_centers_takes_the_nearest_free_rows_and_the_first_of_their_duplicates(
    form, seed, dtype, distinct, k
):
    vectors, X = normal_vectors(form, 90, dtype, seed, distinct)
    rng = np.random.default_rng(seed)
    labels, weights = rng.integers(0, k, 90), rng.integers(0, 3, 90) * rng.random(90)
    picks = nearest_to_centers(vectors, labels, k, sample_weight=weights)
    assert is_distinct(picks, k, 90)
    taken = []
    for cluster, mean in naive_means(X, labels, weights if weights.any() else np.ones(90)).items():
        distances = np.square(X - mean).sum(axis=1)
        distances[taken] = np.inf
        taken.append(picks[cluster])
        assert distances[taken[-1]] <= distances.min() + 10 * TOLERANCE[dtype] * max(1, np.square(X).sum(axis=1).max())
    assert taken == first_free_duplicates(X, taken)


@held_forms
@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(-1, 17), st.integers(0, 2**16))
def test_kmeans_picks_are_the_rows_nearest_to_the_means_of_kmeans(form, data, k, seed):
    vectors, X = data.draw(vector_sets(form))
    weights = data.draw(arrays(np.float64, len(X), elements=st.sampled_from([0.0, 0.1, 1.0, 3.0])))
    options = {"sample_weight": weights, "random_state": seed}
    picks = kmeans_picks(vectors, k, **options)
    assert is_distinct(picks, k, len(X))
    labels = kmeans(vectors, k, **options)
    taken = []
    for cluster, mean in naive_means(X, labels, weights if weights.any() else np.ones(len(X))).items() if k > 0 else ():
        distances = np.square(X - mean).sum(axis=1)
        distances[taken] = np.inf
        taken.append(picks[cluster])
        assert distances[taken[-1]] <= distances.min() + 1e-3


# Nearest neighbours


def naive_neighbors(similarity, k):
    """Return values and positions of a stable sort of the n x n similarities."""
    similarity = similarity.copy()
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : max(0, min(k, len(similarity) - 1))]
    return np.take_along_axis(similarity, order, axis=1), order


def similarities(X):
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    unit = X / np.where(norms == 0, 1, norms)
    return unit @ unit.T


@held_forms
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(-1, 17), st.sampled_from([None, 1, 3]))
def test_euclidean_neighbors_are_those_of_a_full_sort_ties_by_position(form, data, k, block_size):
    vectors, X = data.draw(vector_sets(form))
    values, indices = nearest_neighbors(vectors, k, metric="euclidean", block_size=block_size)
    expected, order = naive_neighbors(-sq_distances(X, X), k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(np.square(values), -expected, rtol=1e-5)


@held_forms
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(0, 17), dtypes)
def test_cosine_neighbors_of_scaled_unit_vectors_and_zeros_are_those_of_a_full_sort(form, data, k, dtype):
    n = data.draw(st.integers(1, 14))
    signs = arrays(np.int64, n, elements=st.sampled_from([-4, -1, 0, 1, 2]))
    parts = [
        np.eye(3)[data.draw(arrays(np.int64, n, elements=counts)) % 3] * data.draw(signs)[:, None] for _ in range(2)
    ]
    vectors, X = vectors_of(form, *(part.astype(dtype) for part in parts))
    values, indices = nearest_neighbors(vectors, k)
    expected, order = naive_neighbors(similarities(X), k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, expected)


@held_forms
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16), dtype=dtypes, n=st.integers(1, 150), distinct=st.integers(1, 150), k=st.integers(0, 9)
)
def test_neighbors_are_the_nearest_rows_and_twins_are_in_order(form, metric, seed, dtype, n, distinct, k):
    vectors, X = normal_vectors(form, n, dtype, seed, distinct)
    values, indices = nearest_neighbors(vectors, k, metric=metric)
    similarity = similarities(X) if metric == "cosine" else -np.sqrt(sq_distances(X, X))
    expected, order = naive_neighbors(similarity, k)
    sign, tolerance = (1 if metric == "cosine" else -1), 30 * np.sqrt(TOLERANCE[dtype] * TOLERANCE[np.float64] ** 0.5)
    assert values.dtype == dtype
    assert indices.shape == order.shape
    np.testing.assert_allclose(sign * values, expected, atol=tolerance)
    np.testing.assert_allclose(np.take_along_axis(similarity, indices, axis=1), expected, atol=tolerance)
    for i, row in enumerate(indices):
        others = np.delete(np.arange(n), i).tolist()
        assert row.tolist() == [others[j] for j in first_free_duplicates(X[others], [others.index(j) for j in row])]


# The largest scores


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.int64, counts, elements=st.integers(-3, 3)),
    st.integers(-1, 20),
    st.sampled_from([np.float16, np.float32, np.float64, np.int64]),
    layouts,
)
def test_top_k_is_the_beginning_of_a_stable_descending_sort(scores, k, dtype, layout):
    scores = scores.astype(dtype)
    if dtype != np.int64:
        scores = np.where(scores == -3, -np.inf, scores)
    picks = top_k(laid_out(scores[:, None], layout)[:, 0], k)
    assert is_distinct(picks, k, len(scores))
    assert picks.tolist() == sorted(range(len(scores)), key=lambda i: -scores[i])[: max(k, 0)]
