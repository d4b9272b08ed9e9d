"""Class shares of the target by BBSE and EM, and the calibration they rest on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from skada_active.metrics import bbse_shares, calibrate_proba, em_shares


def gaussian_rows(n, shares, rng):
    """Return exact posteriors, under equal shares, of rows of overlapping classes, and their classes."""
    y = rng.choice(len(shares), n, p=shares)
    x = rng.normal(size=n) + 2.0 * y
    return softmax(-0.5 * (x[:, None] - 2.0 * np.arange(len(shares))) ** 2, axis=1), y


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return *gaussian_rows(4000, [1 / 3] * 3, rng), gaussian_rows(4000, [0.1, 0.3, 0.6], rng)[0]


@pytest.mark.parametrize("soft", [False, True])
def test_bbse_solves_the_system_of_the_confusion_matrix(rows, soft):
    source, y, target = rows
    outputs = [proba if soft else np.eye(3)[proba.argmax(axis=1)] for proba in (source, target)]
    confusion = np.column_stack([outputs[0][y == c].mean(axis=0) for c in range(3)])
    expected = np.linalg.solve(confusion, outputs[1].mean(axis=0))
    np.testing.assert_allclose(bbse_shares(source, y, target, soft=soft), expected, atol=1e-9)


def test_both_find_the_shares_of_a_label_shift(rows):
    source, y, target = rows
    np.testing.assert_allclose(bbse_shares(source, y, target), [0.1, 0.3, 0.6], atol=0.05)
    np.testing.assert_allclose(em_shares([1, 1, 1], target), [0.1, 0.3, 0.6], atol=0.03)


def test_em_does_the_updates_of_saerens(rows):
    target, prior = rows[2][:50], np.array([0.2, 0.3, 0.5])
    shares = prior
    for _ in range(7):
        posterior = target * shares / prior
        shares = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(em_shares(prior, target, max_iter=7, tol=0), shares)


def test_em_raises_the_likelihood_until_it_stops(rows):
    target = rows[2][:200]

    def likelihood(shares):
        return np.log((target * 3) @ shares).sum()

    values = [likelihood(em_shares([1, 1, 1], target, max_iter=n, tol=0)) for n in (1, 5, 50)]
    assert values == sorted(values)
    assert likelihood(em_shares([1, 1, 1], target)) > likelihood(np.array([0.1, 0.3, 0.6])) - 1e-9
    assert not np.allclose(em_shares([1, 1, 1], target, tol=0.5), em_shares([1, 1, 1], target))


def test_known_rows_count_in_em_as_rows_without_doubt(rows):
    target = rows[2][:100]
    known = np.repeat(np.eye(3), [5, 0, 2], axis=0)
    expected = em_shares([1, 1, 1], np.vstack([target, known]))
    np.testing.assert_allclose(em_shares([1, 1, 1], target, known_counts=[5, 0, 2]), expected, atol=1e-9)


def test_shares_stay_between_0_and_1_where_the_system_has_a_negative_solution():
    source = [[0.6, 0.4], [0.4, 0.6], [0.4, 0.6]]
    shares = bbse_shares(source, [0, 0, 1], [[0.9, 0.1]])
    np.testing.assert_allclose(shares, [1, 0], atol=1e-6)


@pytest.mark.parametrize("target", [[[0.0, 1]], [[1.0, 0]]])
def test_predictions_that_say_nothing_of_the_classes_leave_the_shares_of_the_source(target):
    shares = bbse_shares([[1.0, 0], [1, 0], [1, 0], [1, 0]], [0, 0, 0, 1], target)
    np.testing.assert_allclose(shares, [0.75, 0.25], atol=1e-3)


def test_labels_may_be_texts_and_lack_no_class_that_is_named(rows):
    source, y, target = rows
    texts = np.array(["a", "b", "c"])[y]
    np.testing.assert_array_equal(bbse_shares(source, texts, target), bbse_shares(source, y, target))
    with pytest.raises(ValueError, match="no row of class 'd'"):
        bbse_shares(np.pad(source, ((0, 0), (0, 1))), texts, np.pad(target, ((0, 0), (0, 1))), classes=list("abcd"))


def test_calibration_makes_sure_outputs_as_sure_as_they_are_right(rows):
    source, y, target = rows
    too_sure, of_target = (softmax(5 * np.log(proba), axis=1) for proba in (source, target))
    calibrated, other = calibrate_proba(too_sure, y, of_target)
    assert log_loss(y, calibrated) < log_loss(y, source) + 0.01
    np.testing.assert_allclose(other, target, atol=0.05)


def test_calibration_bends_a_class_that_is_named_too_often(rows):
    source, y, target = rows
    calibrated, _ = calibrate_proba(source * [5, 1, 1] / (source @ [5, 1, 1])[:, None], y, target)
    np.testing.assert_allclose(calibrated.mean(axis=0), np.bincount(y) / len(y), atol=0.02)


def test_calibration_of_rows_without_an_error_stays_finite():
    calibrated, target = calibrate_proba(np.eye(3), [0, 1, 2], np.eye(3))
    assert np.isfinite(calibrated).all()
    np.testing.assert_allclose(target.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5, 0.6]], [0], [[0.5, 0.5]]), "source_proba must hold numbers >= 0 that add up to 1"),
        (([[0.5, 0.5]], [0, 1], [[0.5, 0.5]]), "one label for each of 1"),
        (([[0.5, 0.5], [0.5, 0.5]], [0, 1], [[0.5, 0.2, 0.3]]), "2 columns and target_proba 3"),
        (([[0.5, 0.5]], [0], [[0.5, 0.5]]), "pass classes=estimator.classes_"),
        (([[0.5, 0.5]], [0], np.empty((0, 2))), "target_proba must be class probabilities"),
        (([[np.nan, 0.5]], [0], [[0.5, 0.5]]), "source_proba must hold"),
    ],
)
def test_arrays_that_do_not_fit_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        bbse_shares(*arguments)


def test_em_refuses_a_class_that_the_source_lacks_and_counts_that_do_not_fit():
    with pytest.raises(ValueError, match="source_shares must hold one number above 0"):
        em_shares([1, 0], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="known_counts must hold 2 counts"):
        em_shares([1, 1], [[0.5, 0.5]], known_counts=[1])
