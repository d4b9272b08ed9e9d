from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from skada_active.pool import PoolView
from skada_active.query import CLUE, KMeansSampling, clue_weights

LOGITS = np.array([[2.0, 0.0, -1.0], [0.2, 0.1, 0.0]])


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 3))
    return PoolView(logits=logits, features=rng.normal(size=(60, 2)))


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, [0.524267, 1.095287]), (0.1, [0.0, 0.832396])])
def test_weights_of_the_worked_example(temperature, expected):
    np.testing.assert_allclose(clue_weights(LOGITS, temperature), expected, atol=1e-6)


def test_log_probabilities_weigh_like_logits():
    log_proba = np.log(softmax(LOGITS, axis=1))
    np.testing.assert_allclose(clue_weights(log_proba, 0.5), clue_weights(LOGITS, 0.5), atol=1e-12)


def test_a_probability_of_zero_weighs_nothing():
    with np.errstate(divide="ignore"):
        assert clue_weights(np.log([[1.0, 0.0]])).tolist() == [0.0]


def test_a_tiny_temperature_does_not_overflow():
    assert clue_weights(LOGITS, 1e-308).tolist() == [0.0, 0.0]


def test_utilities_are_the_weights(view):
    np.testing.assert_allclose(CLUE(temperature=0.5).utilities(view), clue_weights(view.logits, 0.5), atol=1e-12)


def test_centroids_are_drawn_to_uncertain_candidates():
    proba = np.tile([[0.99, 0.01], [0.5, 0.5]], (2, 1))
    view = PoolView(proba=proba, features=[[0.0], [1.0], [8.0], [9.0]])
    assert sorted(CLUE().select(view, 2, random_state=0).tolist()) == [1, 3]


def test_certain_predictions_leave_plain_k_means(view):
    certain = PoolView(proba=np.eye(3)[np.arange(60) % 3], features=view.features)
    expected = KMeansSampling().select(view, 6, random_state=0)
    np.testing.assert_array_equal(CLUE().select(certain, 6, random_state=0), expected)


def test_fewer_uncertain_candidates_than_queries_are_no_error(view):
    proba = np.eye(3)[np.arange(60) % 3]
    proba[:2] = 1 / 3
    chosen = CLUE().select(PoolView(proba=proba, features=view.features), 6, random_state=0)
    assert len(set(chosen.tolist())) == 6


def test_temperature_changes_the_choice(view):
    cold, hot = (CLUE(temperature=t).select(view, 8, random_state=0) for t in (0.05, 10.0))
    assert sorted(cold.tolist()) != sorted(hot.tolist())


def test_n_init_changes_the_choice(view):
    one, many = ([CLUE(n_init=n).select(view, 8, random_state=s).tolist() for s in range(5)] for n in (1, 5))
    assert one != many


@pytest.mark.parametrize("parameters", [{"temperature": 0}, {"temperature": "low"}, {"n_init": 0}])
def test_parameters_out_of_range_are_refused_by_name(parameters, view):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of CLUE must be"):
        CLUE(**parameters).select(view, 1)
