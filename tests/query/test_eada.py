from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import EADA, energy_margin, free_energy

ENERGIES = np.array([[-2.0, 0.0, 1.0], [-0.1, 0.0, 0.1], [3.0, 3.5, 4.0]])


def make_view(n=60, n_classes=3, seed=0, **fields):
    return PoolView(logits=2 * np.random.default_rng(seed).normal(size=(n, n_classes)), **fields)


def naive(logits, n_queries, first_stage, beta, n_initial):
    """Return the rows that the two stages keep, written out for distinct scores."""
    free = [-np.log(sum(np.exp(beta * z) for z in row)) / beta for row in logits]
    n_kept = max(n_queries, int(np.ceil(first_stage * n_initial)))
    kept = sorted(range(len(logits)), key=lambda i: -free[i])[:n_kept]
    margins = {i: np.sort(-logits[i])[0] - np.sort(-logits[i])[1] for i in kept}
    return sorted(kept, key=lambda i: -margins[i])[:n_queries]


def test_scores_of_the_worked_example():
    np.testing.assert_allclose(free_energy(-ENERGIES), [-2.169846, -1.101943, 2.319730], atol=1e-6)
    np.testing.assert_allclose(energy_margin(-ENERGIES), [-2.0, -0.1, -0.5], atol=1e-12)


@pytest.mark.parametrize("beta", [0.1, 1.0, 3.0])
def test_the_free_energy_is_that_of_the_naive_loop(beta):
    logits = np.random.default_rng(0).normal(size=(20, 4))
    expected = [-np.log(sum(np.exp(beta * z) for z in row)) / beta for row in logits]
    np.testing.assert_allclose(free_energy(logits, beta), expected)


def test_a_cold_free_energy_is_the_lowest_energy():
    np.testing.assert_allclose(free_energy(-ENERGIES, 1e6), ENERGIES.min(axis=1), atol=1e-5)


def test_large_logits_do_not_overflow():
    assert free_energy([[3e4, -3e4], [-3e4, -3e4]]).tolist() == [-3e4, 3e4 - np.log(2)]


@pytest.mark.parametrize(
    ("first_stage", "n_queries", "n_initial"), [(0.5, 6, 60), (0.2, 5, 60), (1.0, 9, 60), (0.1, 5, 200), (0.05, 9, 60)]
)
@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_the_choice_is_that_of_the_naive_loop(first_stage, n_queries, n_initial, beta):
    view = make_view(n_initial=n_initial)
    chosen = EADA(first_stage, beta).select(view, n_queries, random_state=0).tolist()
    expected = naive(view.logits, n_queries, first_stage, beta, n_initial)
    assert set(chosen) == set(expected)
    if n_queries <= first_stage * n_initial:
        assert chosen == expected


def test_utilities_are_margins_in_the_first_stage_and_never_first_outside():
    view = make_view()
    utilities = EADA(first_stage=0.25).utilities(view)
    kept = np.argsort(-free_energy(view.logits))[:15]
    assert set(np.flatnonzero(np.isfinite(utilities))) == set(kept)
    np.testing.assert_allclose(utilities[kept], energy_margin(view.logits)[kept])


def test_a_first_stage_that_is_too_small_goes_on_by_free_energy():
    view = make_view()
    strategy = EADA(first_stage=0.05)
    chosen = strategy.select(view, 8)
    assert np.isfinite(strategy.utilities(view)[chosen]).tolist() == [True] * 3 + [False] * 5
    assert chosen[3:].tolist() == np.argsort(-free_energy(view.logits))[3:8].tolist()


def test_rows_that_tie_with_the_last_one_of_the_first_stage_belong_to_it():
    view = PoolView(logits=[[0.0, 5.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert np.isfinite(EADA(first_stage=0.4).utilities(view)).tolist() == [False, True, True, True, True]


def test_among_some_candidates_the_first_stage_stays_that_of_the_whole_pool():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    model = FrozenEstimator(LogisticRegression().fit(X[sample_domain > 0], y[sample_domain > 0]))
    strategy = EADA(0.2, estimator=model).fit(X, mask_target(y, sample_domain), sample_domain)
    pool = strategy.pool_
    utilities = strategy.utilities(pool)
    part = np.arange(0, 60, 3)
    n_kept = int(np.isfinite(utilities[part]).sum())
    ids, found = strategy.query(n_kept + 2, candidates=pool.index[part], return_utilities=True)
    np.testing.assert_array_equal(found, utilities[np.searchsorted(pool.index, ids)])
    assert np.isfinite(found).sum() == n_kept
    further = np.sort(free_energy(pool.logits)[part][~np.isfinite(utilities[part])])[::-1][:2]
    np.testing.assert_allclose(free_energy(pool.logits)[np.searchsorted(pool.index, ids[n_kept:])], further)


@pytest.mark.parametrize("changes", [{"first_stage": 0.1}, {"beta": 0.05}], ids=repr)
def test_every_parameter_changes_the_choice(changes):
    def choices(**parameters):
        return [EADA(**parameters).select(make_view(seed=s), 6).tolist() for s in range(5)]

    assert choices(**changes) != choices()


def test_with_one_class_nothing_is_ambiguous():
    assert energy_margin([[3.0], [5.0]]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("parameters", [{"first_stage": 0}, {"first_stage": 1.1}, {"beta": 0}, {"beta": "cold"}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of EADA must be"):
        EADA(**parameters).select(make_view(), 1)


def test_functions_refuse_what_they_cannot_compute_with():
    with pytest.raises(ValueError, match="beta must be above 0, got 0"):
        free_energy(ENERGIES, 0)
    with pytest.raises(ValueError, match="logits contains NaN"):
        energy_margin([[np.nan, 0.0]])


def test_a_model_of_probabilities_alone_is_refused():
    with pytest.raises(ValueError, match="cannot supply 'logits'"):
        EADA().check_model(GaussianNB())


def test_in_the_loop_it_buys_rows_of_the_first_stage():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    loop = ActiveAdaptationLoop(LogisticRegression(), EADA(), budget=9, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(set(loop.queried_ids_.tolist())) == 9
    assert (sample_domain[loop.queried_ids_] < 0).all()
    assert all(np.isfinite(entry["utilities"]).all() for entry in loop.history_ if len(entry.get("utilities", ())))
