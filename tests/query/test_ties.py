"""Ties are broken by the seed, for files are sorted by class; on a bare view without one, by position."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skada_active.query
from skada_active.datasets import load_gas_drift
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    CLUE,
    GALA,
    LAS,
    SAGE,
    SDM,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    Prefilter,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
    gala_local,
)
from skada_active.testing._views import make_fields, take_fields, view_of

DETERMINISTIC = [
    EntropySampling(),
    LeastConfidenceSampling(),
    MarginSampling(),
    CoreSet(),
    CoreSet(initial_centers=None),
    QueryByCommittee("kl", n_members=2),
    SDM(),
    SDM(gradient_weight=0),
    LAS(oversampling=0),
    GALA(mode="local"),
    GALA(mode="local", target_budget="need", outlier_neighbors=2),
    SAGE(),
    SAGE(diversity=None),
    Prefilter(SDM(), EntropySampling(), n_candidates=30),
]
EXPORTED = [
    found(**({"max_epochs": 1} if name == "VAAL" else {}))  # which trains networks whenever it is asked
    for name in skada_active.query.__all__
    if isinstance(found := getattr(skada_active.query, name), type)
    if issubclass(found, QueryStrategy) and found is not QueryStrategy
]
RANDOM = [
    QueryByCommittee(n_members=2),
    BADGE(first=None),
    BADGE(first="residual_norm", n_trials=3),
    CLUE(temperature=1.0, n_init=2),
    LAS(n_neighbors=3, oversampling=1.0),
    GALA(mode="global"),
    GALA(embedding="reduced", target_budget="proportional", outlier_neighbors=3),
    SAGE(diversity="kmeans++"),
    Prefilter(by=RandomSampling(), n_candidates=6),
    Prefilter(KMeansSampling(), n_candidates=6),
]
STRATEGIES = list({repr(strategy): strategy for strategy in [*EXPORTED, *DETERMINISTIC, *RANDOM]}.values())
TOP = [MarginSampling(), EntropySampling(), LeastConfidenceSampling()]


class Constant(QueryStrategy):
    """A strategy of somebody else, which finds all candidates the same."""

    def _utilities(self, view):
        return np.zeros(len(view))


def alike(strategy, n=12):
    """Return a view whose candidates are identical in all that the strategy reads."""
    return view_of(take_fields(make_fields(n), np.zeros(n, dtype=int)), strategy.needs)


def assert_uniform(chosen, n):
    """Chi-square of how often each of n rows was chosen, far beyond chance."""
    counts = np.bincount(np.concatenate(chosen), minlength=n)
    expected = counts.sum() / n
    assert np.square(counts - expected).sum() / expected < chi2.ppf(1 - 1e-6, n - 1)


@pytest.mark.parametrize("strategy", [*STRATEGIES, Constant()], ids=repr)
def test_among_identical_candidates_the_choice_is_a_uniform_sample(strategy):
    view = alike(strategy)
    assert_uniform([strategy.select(view, 3, random_state=seed) for seed in range(100)], len(view))


@pytest.mark.parametrize("strategy", [*STRATEGIES, Constant()], ids=repr)
def test_one_seed_gives_one_order_of_ties(strategy):
    view = alike(strategy)
    chosen = [clone(strategy).select(view, 5, random_state=7).tolist() for _ in range(2)]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("strategy", [*DETERMINISTIC, Constant()], ids=repr)
def test_without_a_seed_ties_stay_in_the_order_of_the_positions(strategy):
    assert sorted(strategy.select(alike(strategy), 4).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("strategy", DETERMINISTIC, ids=repr)
def test_without_ties_the_seed_changes_nothing(strategy):
    view = view_of(make_fields(40, n_classes=4, seed=3), strategy.needs)
    expected = strategy.select(view, 12).tolist()
    for seed in range(10):
        assert strategy.select(view, 12, random_state=seed).tolist() == expected


@pytest.mark.parametrize("strategy", TOP, ids=repr)
def test_on_constant_probabilities_the_choice_is_a_uniform_sample(strategy):
    view = PoolView(proba=np.full((20, 4), 0.25))
    assert_uniform([strategy.choose(view, 5, random_state=seed)[0] for seed in range(400)], 20)


@pytest.mark.parametrize("strategy", [*TOP, Constant()], ids=repr)
def test_a_smaller_choice_is_the_beginning_of_a_larger_one(strategy):
    view = PoolView(proba=np.repeat([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]], [3, 10, 7], axis=0))
    larger = strategy.select(view, 15, random_state=1).tolist()
    assert all(strategy.select(view, n, random_state=1).tolist() == larger[:n] for n in range(16))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_the_utilities_returned_are_those_of_the_chosen_among_ties(strategy):
    view = view_of(take_fields(make_fields(12), np.repeat(np.arange(4), 3)), strategy.needs)
    positions, utilities = clone(strategy).set_params(random_state=5).choose(view, 6, random_state=0)
    if strategy.has_utilities():
        expected = clone(strategy).set_params(random_state=5).utilities(view)[positions]
        np.testing.assert_array_equal(utilities, expected)


@pytest.mark.parametrize("strategy", TOP, ids=repr)
def test_classes_in_blocks_are_all_asked_about_where_all_utilities_are_equal(strategy):
    X, y, domain = load_gas_drift(source=[1, 2], target=[8])
    order = np.lexsort([y, domain])
    X, y, domain = X[order], y[order], domain[order]
    known = mask_target(y, domain)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    fitted = clone(strategy).set_params(estimator=model, random_state=0).fit(X, known, domain)
    ids = fitted.query(60)
    asked, there = Counter(y[ids].tolist()), Counter(y[domain < 0].tolist())
    assert all(abs(asked[label] / 60 - count / there.total()) < 0.2 for label, count in there.items())
    np.testing.assert_array_equal(fitted.query(60), ids)


def test_a_query_of_a_nearest_neighbour_is_as_good_as_a_random_one():
    X, y, domain = load_gas_drift(source=[1, 2], target=[8])
    accuracy = {}
    for strategy in (MarginSampling(), RandomSampling()):
        loops = [
            ActiveAdaptationLoop(KNeighborsClassifier(1), strategy, budget=15, n_rounds=3, random_state=seed)
            for seed in range(4)
        ]
        accuracy[type(strategy)] = np.mean(
            [loop.fit(X, y, sample_domain=domain).score(X[domain < 0], y[domain < 0]) for loop in loops]
        )
    assert accuracy[MarginSampling] > accuracy[RandomSampling] - 0.08


def test_repeating_a_query_repeats_the_order_of_ties():
    fitted = Constant().fit(np.zeros((30, 2)), [0, 1] + [-1] * 28, [1, 1] + [-1] * 28)
    assert fitted.query(9).tolist() == fitted.query(9).tolist()


def test_a_random_state_instance_gives_another_order_each_time():
    rng, view = np.random.RandomState(0), PoolView(proba=np.full((30, 2), 0.5))
    assert (
        MarginSampling().select(view, 9, random_state=rng).tolist()
        != MarginSampling().select(view, 9, random_state=rng).tolist()
    )


def test_rows_at_equal_distances_are_no_matter_of_position():
    corners = PoolView(
        features=np.array([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]]), labeled_features=np.zeros((1, 2))
    )
    first = {int(CoreSet().select(corners, 1, random_state=seed)[0]) for seed in range(40)}
    assert first == {1, 2, 3, 4}
    middle = PoolView(features=np.concatenate([np.eye(4), -np.eye(4)]))
    assert {int(KMeansSampling().select(middle, 1, random_state=seed)[0]) for seed in range(80)} == set(range(8))


def test_the_first_of_badge_is_drawn_among_the_longest_gradients():
    view = PoolView(proba=np.eye(3)[[0, 0, 1, 2]], features=np.ones((4, 2)))
    assert {int(BADGE().select(view, 1, random_state=seed)[0]) for seed in range(40)} == {0, 1, 2, 3}
    assert BADGE().select(view, 1).tolist() == [0]


def test_of_a_cluster_s_equals_gala_takes_one_by_the_seed():
    labels, flat = np.zeros(4, dtype=int), np.ones(4)
    assert {int(gala_local(labels, flat, flat, 0.5, random_state=seed)[0]) for seed in range(60)} == {0, 1, 2, 3}
    assert gala_local(labels, flat, flat, 0.5).tolist() == [0]


def test_the_cut_of_a_short_list_goes_by_the_seed():
    view = PoolView(proba=np.full((12, 2), 0.5), features=np.arange(12.0)[:, None])
    strategy = Prefilter(CoreSet(), n_candidates=4)
    assert len({tuple(strategy.select(view, 2, random_state=seed)) for seed in range(20)}) > 5
    assert set(strategy.select(view, 4).tolist()) == {0, 1, 2, 3}
