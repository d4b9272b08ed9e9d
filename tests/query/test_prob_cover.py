from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.query import ProbCover
from skada_active.selection import greedy_cover, kmeans, pure_radius

RNG = np.random.default_rng(0)
FEATURES = np.concatenate([8 * number + RNG.normal(size=(40, 2)) for number in range(3)])
LABELED = FEATURES[[3, 50]] + 0.1


def view_of(n_classes=3, labeled=LABELED):
    proba = np.full((120, n_classes), 1 / n_classes)
    return PoolView(features=FEATURES, labeled_features=labeled, proba=proba)


@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_balls_of_labelled_rows_are_covered_first_and_the_rest_greedily(delta):
    covered = (np.linalg.norm(FEATURES[:, None] - LABELED, axis=2) < delta).any(axis=1)
    near = np.linalg.norm(FEATURES[:, None] - FEATURES, axis=2) < delta
    first = (near & ~covered).sum(axis=1)
    chosen = ProbCover(delta=delta).select(view_of(), 10)
    assert first[chosen[0]] == first.max()
    assert chosen.tolist() == greedy_cover(FEATURES, 10, delta, centers=LABELED).tolist()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_radius_is_the_pure_one_of_as_many_clusters_as_classes(n_classes):
    rows, rng = np.concatenate([FEATURES, LABELED]), np.random.RandomState(5)
    radius = pure_radius(rows, kmeans(rows, n_classes, random_state=rng), 0.95)
    expected = greedy_cover(FEATURES, 10, radius, centers=LABELED, random_state=rng)
    assert ProbCover().select(view_of(n_classes), 10, random_state=5).tolist() == expected.tolist()
    assert ProbCover(n_clusters=n_classes).select(view_of(7), 10, random_state=5).tolist() == expected.tolist()


def test_three_clusters_are_covered_by_three_rows():
    chosen = ProbCover(n_clusters=3, n_init=5).select(view_of(labeled=np.empty((0, 2))), 3, random_state=0)
    assert sorted(chosen // 40) == [0, 1, 2]


def test_probabilities_are_needed_for_the_number_of_classes_alone():
    assert ProbCover().needs == {"features", "labeled_features", "proba"}
    assert ProbCover(delta=1.0).needs == ProbCover(n_clusters=3).needs == {"features", "labeled_features"}
    X, y, domain = make_shifted_blobs(40, 40, random_state=0)
    known = mask_target(y, domain)
    with pytest.raises(ValueError, match="cannot supply 'proba'"):
        ProbCover(estimator=LinearSVC()).fit(X, known, domain)
    assert len(ProbCover(n_clusters=3, estimator=LinearSVC(), random_state=0).fit(X, known, domain).query(5)) == 5


def test_every_parameter_is_read():
    def chosen(**parameters):
        return ProbCover(**parameters).select(view_of(), 12, random_state=1).tolist()

    for parameters in ({"delta": 0.4}, {"n_clusters": 30}, {"normalize": True}):
        assert chosen(**parameters) != chosen(), parameters
    assert chosen(n_clusters=30, purity=0.5) != chosen(n_clusters=30)
    assert chosen(n_clusters=30, n_init=5) != chosen(n_clusters=30)


def test_normalized_rows_are_those_of_length_one():
    def directions(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    expected = greedy_cover(directions(FEATURES), 8, 0.1, centers=directions(LABELED))
    assert ProbCover(delta=0.1, normalize=True).select(view_of(), 8).tolist() == expected.tolist()


@pytest.mark.parametrize("n_classes", [1, 3, 200])
def test_rows_that_coincide_are_chosen_all_the_same(n_classes):
    view = PoolView(features=np.repeat(FEATURES[:4], 3, axis=0), proba=np.full((12, n_classes), 1 / n_classes))
    chosen = ProbCover().select(view, 12, random_state=0)
    assert sorted(chosen) == list(range(12))
    assert sorted(chosen[:4] // 3) == [0, 1, 2, 3]


def test_a_pool_that_is_covered_is_covered_more_closely():
    chosen = ProbCover(delta=100.0).select(view_of(), 8)
    labeled_and_chosen = np.concatenate([LABELED, FEATURES[chosen]])
    assert np.linalg.norm(FEATURES[:, None] - labeled_and_chosen, axis=2).min(axis=1).max() < 2
    assert chosen[0] // 40 == 2  # where no label is


def test_the_whole_pool_is_covered_where_some_rows_can_be_chosen():
    X, y, domain = make_shifted_blobs(40, 60, random_state=0)
    strategy = ProbCover(delta=0.7, random_state=0).fit(X, mask_target(y, domain), domain)
    pool = strategy.pool_
    some = strategy.query(6, candidates=pool.index[::3])
    expected = greedy_cover(
        pool.features, 6, 0.7, centers=pool.labeled_features, among=np.arange(0, 60, 3), random_state=0
    )
    assert some.tolist() == pool.index[expected].tolist()


def test_a_loop_buys_rows_of_all_regions_and_repeats_itself():
    X, y, domain = make_shifted_blobs(60, 60, random_state=0)
    loops = [
        ActiveAdaptationLoop(LogisticRegression(), ProbCover(), budget=9, n_rounds=3, random_state=0).fit(
            X, y, sample_domain=domain
        )
        for _ in range(2)
    ]
    assert loops[0].queried_ids_.tolist() == loops[1].queried_ids_.tolist()
    assert set(y[loops[0].queried_ids_]) == set(y)


@pytest.mark.parametrize(
    "parameters", [{"delta": 0}, {"purity": 0}, {"purity": 1.1}, {"n_clusters": 0}, {"n_init": 0}, {"normalize": 2.5}]
)
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of ProbCover must be"):
        ProbCover(**parameters).select(view_of(), 1)


def test_a_choice_of_minutes_is_announced(monkeypatch):
    view = PoolView(features=np.zeros((400_000, 2), dtype=np.float32))
    monkeypatch.setattr(ProbCover, "_select", lambda self, view, n_queries, rng: np.arange(n_queries))
    with pytest.warns(UserWarning, match="ProbCover will take about .*Prefilter"):
        ProbCover(delta=1.0).select(view, 1)
