from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import MHPL, neighbor_ambient_uncertainty
from skada_active.selection import top_k

FEATURES = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
PROBA = np.eye(2)[[0, 0, 1, 0]]


def make_view(n=60, width=3, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return PoolView(proba=rng.dirichlet(np.ones(n_classes), size=n), features=rng.normal(size=(n, width)))


def neighbors_of(features, n_neighbors):
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarities = directions @ directions.T
    np.fill_diagonal(similarities, -np.inf)
    found = np.argsort(-similarities, axis=1)[:, :n_neighbors]
    return found, np.take_along_axis(similarities, found, axis=1)


def naive_scores(proba, features, n_neighbors):
    scores = []
    for found, similarities in zip(*neighbors_of(features, n_neighbors), strict=True):
        labels = [int(proba[j].argmax()) for j in found]
        shares = [labels.count(c) / len(labels) for c in set(labels)]
        scores.append(-sum(s * np.log(s) for s in shares) * np.mean(similarities))
    return np.array(scores)


def naive_choice(scores, nearest, n_queries):
    order, taken = np.argsort(-scores, kind="stable"), []
    for row in order:
        if nearest[row] not in taken:
            taken.append(int(row))
    return (taken + [int(row) for row in order if row not in taken])[:n_queries]


def test_scores_of_the_worked_example():
    found = neighbor_ambient_uncertainty(PROBA, FEATURES, 2)
    np.testing.assert_allclose(found, [0, 0, 0, 0.60997], atol=1e-5)


@pytest.mark.parametrize("n_neighbors", [1, 2, 5, 10])
def test_scores_are_those_of_the_naive_loop(n_neighbors):
    view = make_view()
    found = neighbor_ambient_uncertainty(view.proba, view.features, n_neighbors)
    np.testing.assert_allclose(found, naive_scores(view.proba, view.features, n_neighbors), atol=1e-12)
    np.testing.assert_array_equal(MHPL(n_neighbors).utilities(view), found)


@pytest.mark.parametrize("n_queries", [1, 5, 30, 60])
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_that_of_the_naive_loop(n_queries, seed):
    view = make_view(seed=seed)
    scores, (found, _) = naive_scores(view.proba, view.features, 5), neighbors_of(view.features, 5)
    chosen = MHPL(n_neighbors=5).select(view, n_queries)
    expected = naive_choice(np.round(scores, 12), found[:, 0], n_queries)
    assert chosen.tolist() == expected


def test_of_two_rows_next_to_each_other_the_second_comes_last():
    features = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.3, 1.0], [-1.0, 0.4], [-1.0, -0.1]])
    view = PoolView(proba=np.eye(2)[[0, 1, 0, 1, 0, 1]], features=features)
    chosen = MHPL(n_neighbors=3).select(view, 6).tolist()
    assert sorted(chosen) == list(range(6))
    assert {row // 2 for row in chosen[:3]} == {0, 1, 2}


def test_many_ties_at_zero_fall_by_the_seed():
    rng = np.random.default_rng(0)
    features = np.repeat(5 * np.eye(3), 20, axis=0) + 0.1 * rng.normal(size=(60, 3))
    view = PoolView(proba=np.eye(3)[np.repeat(np.arange(3), 20)], features=features)
    assert (MHPL(n_neighbors=5).utilities(view) == 0).all()
    chosen = [tuple(MHPL(n_neighbors=5).select(view, 4, random_state=seed)) for seed in range(30)]
    assert len(set(chosen)) > 25
    assert MHPL(n_neighbors=5).select(view, 1).tolist() == [0]


def test_opposite_neighbours_of_many_classes_score_below_zero():
    scores = neighbor_ambient_uncertainty(np.eye(2)[[0, 1, 0]], [[1.0, 0.0], [-0.8, 0.6], [-0.8, -0.6]], 2)
    assert scores[0] == pytest.approx(-0.8 * np.log(2))
    assert scores[1] == 0


def test_a_row_without_neighbours_scores_zero_and_is_chosen():
    view = PoolView(proba=[[0.5, 0.5]], features=[[1.0, 2.0]])
    assert MHPL().utilities(view).tolist() == [0.0]
    assert MHPL().select(view, 1).tolist() == [0]


def test_among_some_candidates_scores_and_neighbours_are_those_of_the_whole_pool():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    model = FrozenEstimator(LogisticRegression().fit(X[sample_domain > 0], y[sample_domain > 0]))
    strategy = MHPL(5, estimator=model, random_state=0).fit(X, mask_target(y, sample_domain), sample_domain)
    whole = dict(zip(strategy.pool_.index, strategy.utilities(strategy.pool_), strict=True))
    part = strategy.pool_.index[::3]
    ids, utilities = strategy.query(8, candidates=part, return_utilities=True)
    assert set(ids) <= set(part)
    assert utilities.tolist() == [whole[row] for row in ids]


def test_a_candidate_whose_nearest_row_is_no_candidate_is_not_passed_over():
    # Rows 0 and 2 are nearest to row 1, which cannot be chosen.
    features = np.array([[1.0, 0.0], [1.0, 0.05], [1.0, 0.12], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.0]])
    view = PoolView(proba=np.eye(2)[[0, 1, 1, 0, 1, 0]], features=features)
    part = view.restrict([0, 2, 5])
    utilities = MHPL(n_neighbors=2).utilities(view)[[0, 2, 5]]
    assert MHPL(n_neighbors=2).select(part, 2).tolist() == top_k(utilities, 2).tolist()


def test_the_number_of_neighbours_changes_the_choice():
    def choices(n_neighbors):
        return [MHPL(n_neighbors).select(make_view(seed=s), 6).tolist() for s in range(5)]

    assert choices(3) != choices(10)


def test_no_neighbours_at_all_are_refused():
    with pytest.raises(ValueError, match="n_neighbors must be at least 1, got 0"):
        neighbor_ambient_uncertainty(PROBA, FEATURES, 0)
    with pytest.raises(ValueError, match="'n_neighbors' parameter of MHPL must be"):
        MHPL(n_neighbors=0).select(make_view(), 1)


def test_predictions_and_features_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        neighbor_ambient_uncertainty(PROBA[:3], FEATURES)


def test_in_the_loop_it_buys_distinct_rows_of_the_target():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    loop = ActiveAdaptationLoop(LogisticRegression(), MHPL(n_neighbors=5), budget=9, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(set(loop.queried_ids_.tolist())) == 9
    assert (sample_domain[loop.queried_ids_] < 0).all()
