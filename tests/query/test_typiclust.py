from __future__ import annotations

import numpy as np
import pytest

from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.query import TypiClust, typicality
from skada_active.selection import kmeans


def naive_typicality(features, n_neighbors):
    scores = []
    for i in range(len(features)):
        others = sorted(np.linalg.norm(features[i] - features[j]) for j in range(len(features)) if j != i)
        scores.append(1 / np.mean(others[:n_neighbors]))
    return np.array(scores)


def clouds(*sizes, width=2, seed=0, apart=50.0):
    """Return a cloud of rows of each size, far from the others."""
    rng = np.random.default_rng(seed)
    return np.concatenate([apart * number + rng.normal(size=(size, width)) for number, size in enumerate(sizes)])


def most_typical(features, rows, n_neighbors=20):
    return rows[np.argmax(naive_typicality(features[rows], n_neighbors))]


@pytest.mark.parametrize("n_neighbors", [1, 5, 20, 99])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_typicality_is_that_of_a_naive_loop(n_neighbors, dtype):
    features = clouds(30).astype(dtype)
    expected = naive_typicality(features.astype(float), n_neighbors)
    np.testing.assert_allclose(typicality(features, n_neighbors), expected, rtol=1e-4)


def test_a_row_that_coincides_with_its_neighbours_is_infinitely_typical_and_one_without_not_at_all():
    np.testing.assert_array_equal(typicality(np.ones((3, 2))), np.full(3, np.inf))
    assert typicality(np.ones((1, 2))).tolist() == [0]
    assert typicality(np.empty((0, 2))).shape == (0,)
    with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
        typicality(np.ones((3, 2)), 0)


def test_the_most_typical_row_of_every_cluster_comes_the_largest_cluster_first():
    features = clouds(8, 20, 12)
    clusters = [np.arange(8), np.arange(8, 28), np.arange(28, 40)]
    expected = [most_typical(features, clusters[cluster], 5) for cluster in (1, 2, 0)]
    chosen = TypiClust(n_neighbors=5, n_init=5).select(PoolView(features=features), 3, random_state=0)
    assert chosen.tolist() == expected


def test_clusters_with_a_labelled_row_are_passed_over():
    features = clouds(8, 20, 12)
    view = PoolView(features=features, labeled_features=features[[9]] + 0.01)
    chosen = TypiClust(n_init=5).select(view, 2, random_state=0)
    assert chosen.tolist() == [most_typical(features, np.arange(28, 40)), most_typical(features, np.arange(8))]


def test_labelled_rows_count_as_neighbours_but_are_never_chosen():
    features = clouds(6, 6)
    labeled = features[:1] + np.linspace(0, 0.01, 9)[:, None]
    view = PoolView(features=features, labeled_features=labeled)
    chosen = TypiClust(n_neighbors=3, max_clusters=2, n_init=5).select(view, 12, random_state=0)
    assert sorted(chosen) == list(range(12))
    assert set(chosen[:6]) == set(range(6, 12))  # the other cluster has nine labelled rows
    assert chosen[6] == 0


@pytest.mark.parametrize("max_clusters", [1, 3, 6])
def test_where_clusters_run_out_the_fewest_known_rows_come_first_and_then_the_largest(max_clusters):
    features, labeled = clouds(9, 14, 30), clouds(2, 1)
    strategy = TypiClust(n_neighbors=4, max_clusters=max_clusters)
    rows = np.concatenate([features, labeled])
    labels = kmeans(rows, max_clusters, random_state=np.random.RandomState(3))
    known = np.bincount(labels[53:], minlength=max_clusters)
    sizes, taken, expected = np.bincount(labels, minlength=max_clusters), set(), []
    typical = {c: naive_typicality(rows[labels == c], 4) for c in range(max_clusters) if sizes[c] > 1}
    while len(expected) < 20:
        free = {c: [i for i in np.flatnonzero(labels == c) if i < 53 and i not in taken] for c in range(max_clusters)}
        cluster = min((c for c in free if free[c]), key=lambda c: (known[c], -sizes[c], c))
        place = {row: number for number, row in enumerate(np.flatnonzero(labels == cluster))}
        row = max(free[cluster], key=lambda i, c=cluster, p=place: typical[c][p[i]] if c in typical else 0)
        known[cluster] += 1
        taken.add(row)
        expected.append(row)
    view = PoolView(features=features, labeled_features=labeled)
    assert strategy.select(view, 20, random_state=3).tolist() == expected


def test_every_parameter_is_read():
    view = PoolView(features=clouds(40, 40, apart=2.0), labeled_features=clouds(3))

    def chosen(**parameters):
        return TypiClust(**parameters).select(view, 8, random_state=0).tolist()

    for parameters in ({"n_neighbors": 1}, {"max_clusters": 3}, {"n_init": 4}, {"normalize": True}):
        assert chosen(**parameters) != chosen(), parameters


def test_normalized_rows_are_those_of_length_one():
    features = clouds(20, 20, width=3)
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    labeled = clouds(2, width=3, seed=1)
    found = TypiClust(normalize=True).select(PoolView(features=features, labeled_features=labeled), 5, random_state=0)
    labeled = labeled / np.linalg.norm(labeled, axis=1, keepdims=True)
    expected = TypiClust().select(PoolView(features=directions, labeled_features=labeled), 5, random_state=0)
    assert found.tolist() == expected.tolist()


def test_rows_that_coincide_are_all_chosen_in_an_order_of_the_seed():
    view = PoolView(features=np.zeros((7, 3)))
    orders = {tuple(TypiClust().select(view, 7, random_state=seed)) for seed in range(5)}
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(orders) > 1


def test_of_a_pair_either_row_may_come_first():
    view = PoolView(features=[[0.1, 0.7], [0.3, 0.2]])
    assert {int(TypiClust().select(view, 1, random_state=seed)[0]) for seed in range(20)} == {0, 1}


def test_clusters_are_those_of_the_whole_pool_where_some_rows_can_be_chosen():
    X, y, domain = make_shifted_blobs(40, 60, random_state=0)
    strategy = TypiClust(random_state=0).fit(X, mask_target(y, domain), domain)
    whole = strategy.query(10)
    some = strategy.query(10, candidates=np.append(whole, np.setdiff1d(strategy.pool_.index, whole)[:5]))
    assert some.tolist() == whole.tolist()
    assert set(strategy.query(4, candidates=whole[::2])) <= set(whole[::2])


@pytest.mark.parametrize("parameters", [{"n_neighbors": 0}, {"max_clusters": 0}, {"n_init": 0}, {"normalize": 2.5}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of TypiClust must be"):
        TypiClust(**parameters).select(PoolView(features=clouds(4)), 1)


def test_a_choice_of_minutes_is_announced(monkeypatch):
    view = PoolView(features=np.zeros((400_000, 2), dtype=np.float32))
    monkeypatch.setattr(TypiClust, "_select", lambda self, view, n_queries, rng: np.arange(n_queries))
    with pytest.warns(UserWarning, match="TypiClust will take about .*Prefilter"):
        TypiClust().select(view, 1)
