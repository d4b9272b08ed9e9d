from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import LFTL, MarginSampling, lftl_scores

PROBA = np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])


def random_proba(n=40, n_classes=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_classes), size=n)


def naive_scores(proba, previous, contrast, class_weight, n_confident):
    n_classes = proba.shape[1]
    margins = []
    for p, q in zip(proba, previous, strict=True):
        changed = sorted((p[c] + contrast * (p[c] - q[c]) for c in range(n_classes)), reverse=True)
        margins.append(changed[0] - changed[1])
    predicted = [int(np.argmax(p)) for p in proba]
    order = sorted(range(len(proba)), key=lambda i: -margins[i])[:n_confident]
    counts = [sum(predicted[i] == c for i in order) for c in range(n_classes)]
    weights = [count / max(counts) for count in counts]
    top = max(margins)
    return np.array([-m / top - class_weight * weights[c] for m, c in zip(margins, predicted, strict=True)])


def test_the_example_of_two_rows():
    np.testing.assert_allclose(lftl_scores(PROBA, PROBA, class_weight=0), [-1, -1 / 6])
    assert LFTL(class_weight=0).select(PoolView(proba=PROBA), 2).tolist() == [1, 0]


@pytest.mark.parametrize(("contrast", "class_weight", "n_confident"), [(0.03, 1.0, 500), (0.5, 0.3, 7), (0.0, 2.0, 1)])
def test_scores_are_those_of_a_naive_loop(contrast, class_weight, n_confident):
    proba, previous = random_proba(), random_proba(seed=1)
    found = lftl_scores(proba, previous, contrast, class_weight, n_confident)
    np.testing.assert_allclose(found, naive_scores(proba, previous, contrast, class_weight, n_confident))


def test_of_two_equal_margins_the_one_that_grew_comes_later():
    proba, previous = np.array([[0.6, 0.4], [0.6, 0.4]]), np.array([[0.5, 0.5], [0.7, 0.3]])
    assert LFTL().select(PoolView(proba=proba, previous_proba=previous), 2).tolist() == [1, 0]


def test_without_contrast_and_class_term_it_is_margin_sampling():
    view = PoolView(proba=random_proba(), previous_proba=random_proba(seed=1))
    chosen = LFTL(contrast=0, class_weight=0).select(view, 20)
    np.testing.assert_array_equal(chosen, MarginSampling().select(view, 20))
    assert LFTL(contrast=0).needs == {"proba"}


def test_a_class_that_is_seldom_predicted_surely_comes_first():
    proba = np.array([[0.9, 0.1, 0.0], [0.85, 0.15, 0.0], [0.1, 0.9, 0.0], [0.05, 0.1, 0.85]])
    weights = -lftl_scores(proba, proba, class_weight=1.0) + lftl_scores(proba, proba, class_weight=0)
    np.testing.assert_allclose(weights, [1, 1, 0.5, 0.5])
    weights = -lftl_scores(proba, proba, n_confident=2) + lftl_scores(proba, proba, class_weight=0)
    np.testing.assert_allclose(weights, [1, 1, 1, 0])


def test_rows_tied_with_the_last_confident_one_count_whatever_their_order():
    proba = np.repeat(np.eye(2), [3, 5], axis=0)
    scores = lftl_scores(proba, proba, n_confident=3)
    np.testing.assert_allclose(scores, np.repeat([-1.6, -2.0], [3, 5]))
    np.testing.assert_array_equal(lftl_scores(proba[::-1], proba[::-1], n_confident=3), scores[::-1])


def test_margins_that_are_all_zero_stay_zero():
    proba = np.full((5, 2), 0.5)
    np.testing.assert_array_equal(lftl_scores(proba, proba), np.full(5, -1.0))
    np.testing.assert_array_equal(lftl_scores(proba, proba, class_weight=0), np.zeros(5))


def test_no_row_and_one_class_are_no_error():
    assert lftl_scores(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    np.testing.assert_array_equal(lftl_scores(np.ones((3, 1)), np.ones((3, 1))), np.full(3, -2.0))


def test_the_change_since_the_previous_round_is_that_of_float32_too():
    proba, previous = random_proba(), random_proba(seed=1)
    single = lftl_scores(proba.astype(np.float32), previous.astype(np.float32), contrast=0.5)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, lftl_scores(proba, previous, contrast=0.5), rtol=1e-4)


def test_models_of_different_classes_are_refused_by_their_shapes():
    with pytest.raises(ValueError, match=r"one shape, got \(40, 4\) and \(40, 3\)"):
        lftl_scores(random_proba(), random_proba(n_classes=3))


@pytest.mark.parametrize("parameters", [{"contrast": -0.1}, {"class_weight": -1}, {"n_confident": 0}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of LFTL must be"):
        LFTL(**parameters).select(PoolView(proba=PROBA), 1)
