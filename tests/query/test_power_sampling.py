from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.query import (
    LFTL,
    CoreSet,
    EntropySampling,
    MarginSampling,
    PowerSampling,
    Prefilter,
    QueryByCommittee,
    QueryStrategy,
)


class Scores(QueryStrategy):
    """Take the score of each row from its only feature."""

    needs = frozenset({"features"})

    def _utilities(self, view):
        return view.features[:, 0].astype(float)


def view_of(scores):
    return PoolView(features=np.array(scores, dtype=float)[:, None])


def probability_of(order, weights):
    """Return the probability to draw rows in an order, in proportion to their weights among those that are left."""
    probability, left = 1.0, list(range(len(weights)))
    for row in order:
        probability *= weights[row] / sum(weights[other] for other in left)
        left.remove(row)
    return probability


def naive_inclusion(weights, n_drawn):
    inclusion = np.zeros(len(weights))
    for order in permutations(range(len(weights)), n_drawn):
        inclusion[list(order)] += probability_of(order, weights)
    return inclusion


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("n_queries", [0, 1, 2, 3, 4, 5])
def test_inclusion_probabilities_are_those_of_an_enumeration(power, n_queries):
    scores = np.array([0.1, 0.5, 2.0, 0.3, 1.0])
    found = PowerSampling(Scores(), power).inclusion_probabilities(view_of(scores), n_queries)
    np.testing.assert_allclose(found, naive_inclusion(scores**power, n_queries), atol=1e-9)


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("n_queries", [1, 2, 50, 399, 400, 999])
def test_inclusion_probabilities_sum_to_the_number_of_draws_and_follow_the_scores(spread, n_queries):
    scores = np.sort(np.exp(spread * np.random.default_rng(0).uniform(-1, 0, size=400)))
    found = PowerSampling(Scores()).inclusion_probabilities(view_of(scores), n_queries)
    assert found.sum() == pytest.approx(min(n_queries, 400), abs=1e-7)
    assert (found >= 0).all()
    assert (np.diff(found) >= -1e-12).all()


def test_rows_are_drawn_in_proportion_to_the_power_of_the_score():
    scores, view = np.array([1.0, 2.0, 4.0, 8.0]), view_of([1.0, 2.0, 4.0, 8.0])
    rng, strategy = np.random.RandomState(0), PowerSampling(Scores(), 0.5)
    orders = Counter(tuple(strategy.select(view, 2, random_state=rng)) for _ in range(1500))
    for order in permutations(range(4), 2):
        expected = probability_of(order, np.sqrt(scores))
        assert orders[order] / 1500 == pytest.approx(expected, abs=4 * np.sqrt(expected / 1500))


def test_sums_over_the_pool_are_estimated_without_bias():
    rng = np.random.RandomState(0)
    scores, values = rng.gamma(0.5, size=60) + 1e-3, rng.normal(3, 1, size=60)
    view, strategy = view_of(scores), PowerSampling(Scores())
    inclusion = strategy.inclusion_probabilities(view, 15)
    chosen = [strategy.select(view, 15, random_state=rng) for _ in range(1500)]
    estimates = np.array([(values[rows] / inclusion[rows]).sum() for rows in chosen])
    assert estimates.mean() == pytest.approx(values.sum(), abs=4 * estimates.std() / np.sqrt(1500))
    unweighted = np.array([60 * scores[rows].mean() for rows in chosen])
    assert unweighted.mean() > scores.sum() + 20 * unweighted.std() / np.sqrt(1500)


def test_rows_of_score_zero_come_last_and_all_alike():
    view, strategy = view_of([0.0, 1e-300, 0.0, 5.0]), PowerSampling(Scores())
    firsts = {tuple(sorted(strategy.select(view, 2, random_state=seed))) for seed in range(20)}
    assert firsts == {(1, 3)}
    thirds = Counter(int(strategy.select(view, 3, random_state=seed)[2]) for seed in range(200))
    assert set(thirds) == {0, 2}
    assert min(thirds.values()) > 70
    np.testing.assert_allclose(strategy.inclusion_probabilities(view, 2), [0, 1, 0, 1])
    np.testing.assert_allclose(strategy.inclusion_probabilities(view, 3), [0.5, 1, 0.5, 1])


def test_without_any_score_the_draw_is_uniform():
    view, strategy = view_of(np.zeros(4)), PowerSampling(Scores())
    np.testing.assert_allclose(strategy.inclusion_probabilities(view, 3), np.full(4, 0.75))
    assert {int(strategy.select(view, 1, random_state=seed)[0]) for seed in range(40)} == {0, 1, 2, 3}


class Second(Scores):
    """Never ask for the first row first."""

    def _utilities(self, view):
        return np.where(np.arange(len(view)) == 0, -np.inf, super()._utilities(view))


def test_what_is_never_asked_for_first_has_no_chance_whatever_the_power():
    for power in (0, 1):
        strategy = PowerSampling(Second(), power)
        assert 0 not in {int(strategy.select(view_of([9.0, 1.0, 1.0]), 1, random_state=seed)[0]) for seed in range(30)}
        np.testing.assert_allclose(strategy.inclusion_probabilities(view_of([9.0, 1.0, 1.0]), 1), [0, 0.5, 0.5])


def test_power_zero_is_uniform_and_a_large_power_takes_the_highest_scores():
    scores = np.linspace(0, 1, 30)
    np.testing.assert_allclose(PowerSampling(Scores(), 0).inclusion_probabilities(view_of(scores), 6), 0.2)
    chosen = PowerSampling(Scores(), 1e6).select(view_of(scores), 5, random_state=0)
    assert chosen.tolist() == [29, 28, 27, 26, 25]


def test_huge_and_tiny_scores_are_no_error():
    view = view_of([1e300, 1e-300, 1.0, 0.0])
    assert PowerSampling(Scores(), 10.0).select(view, 4, random_state=0).tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(PowerSampling(Scores(), 10.0).inclusion_probabilities(view, 2), [1, 0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("scores", [[-1.0, 2.0], [-0.01, 2.0], [-1.0, -2.0]])
def test_a_negative_score_is_refused_with_the_name_of_the_strategy(scores):
    strategy = PowerSampling(Scores())
    for call in (strategy.select, strategy.inclusion_probabilities):
        with pytest.raises(ValueError, match=r"by=Scores\(\) gives the score -.*at least 0.*MarginSampling"):
            call(view_of(scores), 1)


def test_rounding_below_zero_counts_as_zero():
    view = view_of([-1e-8, 1.0, 2.0])
    np.testing.assert_allclose(PowerSampling(Scores()).inclusion_probabilities(view, 2), [0, 1, 1])


def test_nothing_is_included_where_nothing_is_asked_or_no_row_is_there():
    assert PowerSampling(Scores()).inclusion_probabilities(view_of([1.0, 2.0]), 0).tolist() == [0, 0]
    empty = PoolView(index=[], features=np.empty((0, 1)))
    assert PowerSampling(Scores()).inclusion_probabilities(empty, 3).shape == (0,)
    with pytest.raises(ValueError, match="n_queries must be an integer >= 0"):
        PowerSampling(Scores()).inclusion_probabilities(view_of([1.0]), -1)


def test_the_probabilities_of_chosen_rows_are_found_by_their_ids():
    X, y, domain = make_shifted_blobs(60, 60, random_state=0)
    strategy = PowerSampling(random_state=0).fit(X, mask_target(y, domain), domain)
    ids = strategy.query(10)
    inclusion = strategy.inclusion_probabilities(strategy.pool_, 10)[np.searchsorted(strategy.pool_.index, ids)]
    assert (inclusion > 0).all()
    assert strategy.utilities(strategy.pool_).tolist() == MarginSampling().utilities(strategy.pool_).tolist()


def test_needs_and_fills_are_those_of_the_score():
    strategy = PowerSampling(QueryByCommittee(n_members=2))
    assert (strategy.needs, strategy.fills) == (frozenset({"committee_proba"}), frozenset({"committee_proba"}))
    assert PowerSampling(LFTL()).needs == {"proba", "previous_proba"}


@pytest.mark.parametrize("by", [CoreSet(), EntropySampling(estimator=LogisticRegression())])
def test_a_strategy_without_scores_or_with_a_model_of_its_own_is_refused(by):
    X, y, domain = make_shifted_blobs(20, 20, random_state=0)
    with pytest.raises(ValueError, match="must have a score per row and no estimator of its own"):
        PowerSampling(by).fit(X, mask_target(y, domain), domain)
    if not by.has_utilities():
        with pytest.raises(ValueError, match="must have a score per row"):
            PowerSampling(by).select(PoolView(features=X, index=np.arange(40)), 2)


@pytest.mark.parametrize("strategy", [PowerSampling(Prefilter(EntropySampling(), n_candidates=20)), PowerSampling()])
def test_a_loop_repeats_its_draws_by_its_seed(strategy):
    X, y, domain = make_shifted_blobs(60, 60, random_state=0)

    def asked(seed):
        loop = ActiveAdaptationLoop(LogisticRegression(), strategy, budget=12, n_rounds=2, random_state=seed)
        return loop.fit(X, y, sample_domain=domain).queried_ids_.tolist()

    assert asked(0) == asked(0) != asked(1)


@pytest.mark.parametrize("parameters", [{"power": -1}, {"by": "margin"}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of PowerSampling must be"):
        PowerSampling(**parameters).select(view_of([1.0]), 1)
