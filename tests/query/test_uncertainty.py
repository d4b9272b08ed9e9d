from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import (
    SDM,
    EntropySampling,
    LeastConfidenceSampling,
    MarginSampling,
    least_confidence,
    margin_uncertainty,
    prediction_entropy,
)

PROBA = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.5, 0.5, 0.0], [0.34, 0.33, 0.33]])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (prediction_entropy, [0.801819, 1.080528, 0.693147, 1.098513]),
        (least_confidence, [0.3, 0.6, 0.5, 0.66]),
        (margin_uncertainty, [0.5, 0.95, 1.0, 0.99]),
    ],
)
def test_scores_of_the_worked_example(function, expected):
    np.testing.assert_allclose(function(PROBA), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("strategy", "order"),
    [(EntropySampling(), [3, 1, 0, 2]), (LeastConfidenceSampling(), [3, 1, 2, 0]), (MarginSampling(), [2, 3, 1, 0])],
)
def test_orders_of_the_worked_example(strategy, order):
    assert strategy.select(PoolView(proba=PROBA), 4).tolist() == order


@pytest.mark.parametrize("strategy", [EntropySampling(), LeastConfidenceSampling(), MarginSampling()])
def test_equal_scores_are_taken_by_position(strategy):
    assert strategy.select(PoolView(proba=np.full((5, 2), 0.5)), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("strategy", "function"),
    [
        (EntropySampling(), prediction_entropy),
        (LeastConfidenceSampling(), least_confidence),
        (MarginSampling(), margin_uncertainty),
    ],
)
def test_the_strategy_is_the_function(strategy, function):
    np.testing.assert_array_equal(strategy.utilities(PoolView(proba=PROBA)), function(PROBA))


def test_a_single_class_has_full_margin():
    assert margin_uncertainty([[1.0]]).tolist() == [0.0]


def test_entropy_of_zero_probabilities_is_finite():
    assert prediction_entropy([[1.0, 0.0]]).tolist() == [0.0]


@pytest.mark.parametrize("function", [prediction_entropy, least_confidence, margin_uncertainty])
def test_rows_that_are_no_probabilities_are_refused(function):
    with pytest.raises(ValueError, match="must hold probabilities"):
        function([[2.0, -3.0]])


def test_margin_sampling_is_sdm_without_gradient():
    view = PoolView(proba=PROBA)
    np.testing.assert_array_equal(SDM(gradient_weight=0).utilities(view), MarginSampling().utilities(view))
