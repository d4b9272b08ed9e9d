from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from skada_active.datasets import load_gas_drift
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
from skada_active.pool import PoolView
from skada_active.query import (
    EADA,
    LAS,
    SDM,
    CoreSet,
    EntropySampling,
    LeastConfidenceSampling,
    MarginSampling,
    QueryByCommittee,
    local_inconsistency,
)
from skada_active.selection import kmeans_picks, top_k

FEATURES = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
PROBA = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
SMOOTHED = [-1.066494, -1.057143, -0.989870, -1.008146]


def make_view(n=60, width=3, n_classes=3, seed=0, **fields):
    rng = np.random.default_rng(seed)
    return PoolView(proba=rng.dirichlet(np.ones(n_classes), size=n), features=rng.normal(size=(n, width)), **fields)


@pytest.fixture
def view():
    return make_view()


def naive_scores(proba, features, n_neighbors, coef=1.0, n_iter=1):
    """Return the scores by loops over rows and neighbours."""
    n = len(proba)
    directions = normalize(features)
    k = min(n_neighbors, n - 1)
    weights, neighbors, scores = [], [], []
    for i in range(n):
        similarity = [-np.inf if j == i else float(directions[i] @ directions[j]) for j in range(n)]
        nearest = sorted(range(n), key=lambda j: (-similarity[j], j))[:k]
        clipped = [max(0.0, similarity[j]) for j in nearest]
        total = sum(clipped)
        w = [1 / max(1, k)] * k if total < 1e-12 else [value / total for value in clipped]
        weights.append(w)
        neighbors.append(nearest)
        scores.append(-sum(w[m] * float(proba[nearest[m]] @ proba[i]) for m in range(k)))
    factor = 1 / max(1, k) if coef == "1/K" else coef
    for _ in range(n_iter):
        scores = [
            scores[i] + factor * sum(w * scores[j] for w, j in zip(weights[i], neighbors[i], strict=True))
            for i in range(n)
        ]
    return np.array(scores) * (factor if coef == "1/K" else 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"smoothing_iter": 0}, [-0.545714, -0.536364, -0.474286, -0.5]),
        ({}, SMOOTHED),
        ({"smoothing_coef": "1/K"}, [-0.403052, -0.398377, -0.366039, -0.377037]),
    ],
    ids=["inconsistency", "smoothed", "literal paper"],
)
def test_scores_of_the_worked_example(options, expected):
    np.testing.assert_allclose(local_inconsistency(PROBA, FEATURES, 2, **options), expected, atol=1e-6)


def test_utilities_are_the_smoothed_scores():
    utilities = LAS(n_neighbors=2).utilities(PoolView(proba=PROBA, features=FEATURES))
    np.testing.assert_allclose(utilities, SMOOTHED, atol=1e-6)


# Features without two equal similarities: rounding would decide between them.
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 14),
    width=st.integers(2, 5),
    n_neighbors=st.integers(1, 15),
    coef=st.sampled_from([0.0, 0.5, 1.0, "1/K"]),
    n_iter=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_are_those_of_a_loop_over_rows_and_neighbours(n, width, n_neighbors, coef, n_iter, seed):
    view = make_view(n, width, seed=seed)
    scores = local_inconsistency(view.proba, view.features, n_neighbors, smoothing_coef=coef, smoothing_iter=n_iter)
    np.testing.assert_allclose(scores, naive_scores(view.proba, view.features, n_neighbors, coef, n_iter), atol=1e-12)


def test_scores_do_not_depend_on_the_size_of_the_blocks(view, monkeypatch):
    expected = local_inconsistency(view.proba, view.features)
    monkeypatch.setattr("skada_active.query.las._BLOCK_BYTES", 1)
    np.testing.assert_allclose(local_inconsistency(view.proba, view.features), expected, atol=1e-15)


def test_scores_do_not_depend_on_the_scale_of_the_features(view):
    expected = local_inconsistency(view.proba, view.features)
    np.testing.assert_allclose(local_inconsistency(view.proba, 1e6 * view.features), expected, atol=1e-12)


def test_float32_gives_the_scores_of_float64(view):
    scores = local_inconsistency(view.proba.astype(np.float32), view.features.astype(np.float32))
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, local_inconsistency(view.proba, view.features), atol=1e-5)


def test_neighbours_of_negative_similarity_count_nothing():
    features = [[1.0, 0.0], [0.8, 0.6], [-1.0, 0.1]]
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    score = local_inconsistency(proba, features, 2, smoothing_iter=0)[0]
    assert score == pytest.approx(-proba[0] @ proba[1])


def test_without_a_positive_similarity_all_neighbours_weigh_the_same():
    features = [[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]]
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    score = local_inconsistency(proba, features, 2, smoothing_iter=0)[0]
    assert score == pytest.approx(-proba[0] @ (proba[1] + proba[2]) / 2)


def test_a_row_of_zeros_weighs_its_neighbours_the_same():
    features = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    scores = local_inconsistency(proba, features, 2, smoothing_iter=0)
    assert scores[0] == pytest.approx(-proba[0] @ (proba[1] + proba[2]) / 2)
    assert np.isfinite(scores).all()


def test_a_row_is_no_neighbour_of_its_own_but_its_duplicate_is():
    features = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    scores = local_inconsistency(proba, features, 1, smoothing_iter=0)
    np.testing.assert_allclose(scores[:2], [-proba[0] @ proba[1]] * 2)


def test_more_neighbours_than_other_rows_are_all_of_them(view):
    few, many = (local_inconsistency(view.proba, view.features, k) for k in (59, 1000))
    np.testing.assert_array_equal(few, many)


def test_one_row_has_no_neighbour_and_is_still_chosen():
    view = make_view(1)
    assert LAS().utilities(view).tolist() == [0.0]
    assert LAS().select(view, 1).tolist() == [0]


def test_one_hot_predictions_agree_or_do_not():
    proba = np.eye(2)[[0, 0, 1]]
    scores = local_inconsistency(proba, [[1.0, 0.0], [1.0, 0.1], [1.0, 0.3]], 1, smoothing_iter=0)
    assert scores.tolist() == [-1.0, -1.0, 0.0]


@pytest.mark.parametrize("n_neighbors", [0, -1])
def test_no_neighbours_at_all_are_refused(n_neighbors):
    with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
        local_inconsistency(PROBA, FEATURES, n_neighbors)


def test_another_word_for_the_coefficient_is_refused():
    with pytest.raises(ValueError, match="smoothing_coef must be a number or '1/K', got '1/k'"):
        local_inconsistency(PROBA, FEATURES, 2, smoothing_coef="1/k")


def test_smoothing_less_than_not_at_all_is_refused():
    with pytest.raises(ValueError, match="smoothing_iter must be at least 0, got -1"):
        local_inconsistency(PROBA, FEATURES, 2, smoothing_iter=-1)


def test_predictions_and_features_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        local_inconsistency(PROBA[:3], FEATURES)


def test_without_oversampling_the_highest_scores_come_in_order(view):
    strategy = LAS(oversampling=0)
    assert strategy.select(view, 7).tolist() == top_k(strategy.utilities(view), 7).tolist()


def test_the_candidates_are_the_highest_scores_and_k_means_picks_among_them(view):
    strategy = LAS(oversampling=2)
    candidates = top_k(strategy.utilities(view), 15)
    expected = candidates[kmeans_picks(normalize(view.features[candidates]), 5, random_state=0)]
    assert strategy.select(view, 5, random_state=0).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("n_initial", "n_queries", "expected"),
    [(2000, 20, 220), (4000, 40, 440), (1000, 100, 200), (2000, 19, 228), (300, 1, 33), (3, 1, 2)],
)
def test_auto_makes_eleven_percent_of_the_initial_pool_candidates_and_at_least_two_a_query(
    n_initial, n_queries, expected
):
    view = PoolView(index=np.arange(10_000), n_initial=n_initial)
    assert LAS()._n_candidates(view, n_queries) == expected


# Pools of Office-31 (amazon, dslr, webcam), Office-Home (Art, Clipart, Product, Real) and VisDA-2017.
POOLS = [2817, 498, 795, 2427, 4365, 4439, 4357, 55388]


@pytest.mark.parametrize(("budget", "ratio"), [(0.05, 10), (0.1, 5)])
@pytest.mark.parametrize("n_initial", POOLS)
def test_auto_is_the_ratio_of_the_paper_in_every_round_of_its_budgets(n_initial, budget, ratio):
    left = n_initial
    sizes = BudgetSchedule(budget, n_rounds=5).rounds(n_initial)
    for n_queries in sizes:
        view = PoolView(index=np.arange(left), n_initial=n_initial)
        assert LAS()._n_candidates(view, n_queries) == (1 + ratio) * n_queries
        left -= n_queries
    assert (len(sizes), n_initial - left) == (5, round(n_initial * budget))


def test_auto_follows_the_formula_where_a_budget_is_none_of_the_paper():
    assert LAS()._n_candidates(PoolView(index=np.arange(2817)), 28) == 11 * 28
    assert LAS()._n_candidates(PoolView(index=np.arange(2817)), 27) == 12 * 27


@pytest.mark.parametrize(("oversampling", "expected"), [(0, 10), (0.1, 11), (0.5, 15), (3, 40), (1e300, 60)])
def test_a_given_ratio_adds_candidates_up_to_the_whole_pool(view, oversampling, expected):
    assert LAS(oversampling=oversampling)._n_candidates(view, 10) == expected


def test_auto_counts_the_initial_pool_not_what_is_left(view):
    strategy = LAS(oversampling="auto")
    early, late = (strategy.select(make_view(n_initial=n), 3, random_state=0).tolist() for n in (60, 600))
    assert early != late


@pytest.mark.parametrize(
    "changes",
    [
        {"n_neighbors": 2},
        {"oversampling": 1},
        {"oversampling": 0},
        {"smoothing_coef": 0.0},
        {"smoothing_coef": "1/K"},
        {"smoothing_iter": 5},
        {"n_init": 20},
    ],
    ids=repr,
)
def test_every_parameter_changes_the_choice(changes):
    def choices(**parameters):
        return [
            sorted(LAS(**{"oversampling": 2, **parameters}).select(make_view(seed=s), 6, random_state=0).tolist())
            for s in range(5)
        ]

    assert choices(**changes) != choices()


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_neighbors": 0},
        {"n_neighbors": 2.5},
        {"n_neighbors": "all"},
        {"oversampling": -1},
        {"oversampling": "none"},
        {"smoothing_coef": -0.1},
        {"smoothing_coef": "1/k"},
        {"smoothing_iter": -1},
        {"n_init": 0},
    ],
    ids=repr,
)
def test_parameters_out_of_range_are_refused_by_name(parameters, view):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of LAS must be"):
        LAS(**parameters).select(view, 1)


def test_the_neighbours_of_a_view_are_looked_for_once(view, monkeypatch):
    calls = []
    search = PoolView.neighbors.__globals__["nearest_neighbors"]

    def counted(*args, **kwargs):
        calls.append(args)
        return search(*args, **kwargs)

    monkeypatch.setitem(PoolView.neighbors.__globals__, "nearest_neighbors", counted)
    strategy = LAS()
    strategy.choose(view, 5, random_state=0)
    assert len(calls) == 1


def test_a_lone_mistake_among_certain_rows_is_asked_for_before_a_certain_region():
    # Two certain regions, and a row of the first predicted like the second.
    rng = np.random.default_rng(0)
    centers = np.array([[4.0, 0.0], [0.0, 4.0]])
    features = centers[np.arange(40) % 2] + 0.3 * rng.normal(size=(40, 2))
    proba = np.where(np.arange(40)[:, None] % 2 == 0, [[0.98, 0.02]], [[0.02, 0.98]])
    proba[0] = [0.02, 0.98]
    view = PoolView(proba=proba, features=features)
    assert LAS(n_neighbors=5, oversampling=0, smoothing_coef=0).select(view, 1).tolist() == [0]


def test_alone_it_asks_for_rows_of_the_sensor_data():
    X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
    is_source = sample_domain >= 0
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(X[is_source], y[is_source])
    strategy = LAS(estimator=FrozenEstimator(model), random_state=0).fit(
        X, mask_target(y, sample_domain), sample_domain
    )
    ids, utilities = strategy.query(12, return_utilities=True)
    assert len(set(ids.tolist())) == 12
    assert (sample_domain[ids] < 0).all()
    candidates = top_k(strategy.utilities(strategy.pool_), LAS()._n_candidates(strategy.pool_, 12))
    assert set(ids.tolist()) <= set(strategy.pool_.index[candidates].tolist())
    assert utilities.min() >= strategy.utilities(strategy.pool_)[candidates].min()


def test_in_the_loop_it_buys_labels_that_help():
    X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    loop = ActiveAdaptationLoop(model, LAS(n_neighbors=5), budget=30, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    accuracy = loop.learning_curve("unqueried")[1]
    assert len(set(loop.queried_ids_.tolist())) == 30
    assert accuracy[-1] > accuracy[0]


# Other scores in place of the local inconsistency


SCORES = [EntropySampling(), MarginSampling(), LeastConfidenceSampling()]


@pytest.mark.parametrize("by", SCORES, ids=repr)
def test_another_score_takes_the_place_of_the_inconsistency(view, by):
    strategy = LAS(by=by)
    np.testing.assert_array_equal(strategy.utilities(view), by.utilities(view))
    np.testing.assert_array_equal(LAS(oversampling=0, by=by).select(view, 5, 0), by.select(view, 5, 0))


@pytest.mark.parametrize("by", SCORES, ids=repr)
def test_candidates_of_another_score_are_clustered_alike(view, by):
    rng = np.random.RandomState(3)
    candidates = top_k(by.utilities(view), 20, rng)
    picks = kmeans_picks(normalize(view.features[candidates]), 4, n_init=1, random_state=rng)
    np.testing.assert_array_equal(LAS(oversampling=4, by=by).select(view, 4, 3), candidates[picks])


def test_what_the_score_never_asks_for_first_is_not_clustered_with_the_rest():
    view = make_view(n=12, logits=np.random.default_rng(1).normal(size=(12, 3)))
    by = EADA(first_stage=0.4)
    kept = np.flatnonzero(np.isfinite(by.utilities(view)))
    assert len(kept) == 5
    assert set(LAS(oversampling=9, by=by).select(view, 3, 0)) < set(kept)
    assert set(LAS(oversampling=9, by=by).select(view, 6, 0)) > set(kept)


def test_its_own_score_by_name_changes_nothing(view):
    np.testing.assert_array_equal(LAS(by=LAS()).select(view, 6, 0), LAS().select(view, 6, 0))


def test_what_is_read_follows_the_score(view):
    assert LAS().needs == LAS(by=MarginSampling()).needs == {"proba", "features"}
    assert LAS(by=SDM()).needs == {"features"} | SDM().needs
    committee = LAS(by=QueryByCommittee(n_members=2))
    assert committee.fills == QueryByCommittee().fills
    assert LAS().fills == frozenset()


def test_a_committee_is_formed_for_its_score_by_its_own_seed(blobs):
    X, y, sample_domain = blobs
    known = mask_target(y, sample_domain)
    strategies = [QueryByCommittee(n_members=2, random_state=7), LAS(by=QueryByCommittee(n_members=2, random_state=7))]
    votes = [strategy.fit(X, known, sample_domain).pool_.committee_proba for strategy in strategies]
    np.testing.assert_array_equal(*votes)


def test_restricted_candidates_have_the_score_that_they_have_in_the_pool(view):
    positions = np.arange(0, 60, 2)
    for by in [EntropySampling(), LAS(n_neighbors=4)]:
        scores = LAS(by=by).utilities(view.restrict(positions))
        np.testing.assert_array_equal(scores, by.utilities(view)[positions])


@pytest.mark.parametrize("by", [CoreSet(), MarginSampling(estimator=LogisticRegression())], ids=repr)
def test_a_score_that_is_none_or_of_another_model_is_refused_before_any_training(blobs, by):
    X, y, sample_domain = blobs
    with pytest.raises(ValueError, match="must have a score per row and no estimator of its own"):
        LAS(by=by).fit(X, mask_target(y, sample_domain), sample_domain)


def test_a_loop_asks_by_another_score_and_repeats_itself(blobs):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), LAS(by=EntropySampling()), budget=6, n_rounds=2, random_state=0)
    ids = loop.fit(X, y, sample_domain=sample_domain).queried_ids_.tolist()
    assert loop.fit(X, y, sample_domain=sample_domain).queried_ids_.tolist() == ids
    assert loop.set_params(strategy__by=None).fit(X, y, sample_domain=sample_domain).queried_ids_.tolist() != ids
