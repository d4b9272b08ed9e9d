"""Intervals of class shares, with labels and where nothing is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from skada_active.inspection._class_shares import estimate_shares, with_labels


def outputs(n, shares, distance, rng):
    """Return the exact posteriors under equal shares of rows of two classes."""
    y = rng.choice(2, n, p=shares)
    x = rng.normal(size=n) + distance * (2 * y - 1)
    return softmax(np.column_stack([-x * distance, x * distance]), axis=1), y


def test_intervals_cover_the_shares_about_as_often_as_they_say():
    rng, covered = np.random.RandomState(0), np.zeros(2)
    for _ in range(25):
        source, codes = outputs(150, [0.5, 0.5], 1.0, rng)
        target, hidden = outputs(150, [0.2, 0.8], 1.0, rng)
        found = estimate_shares(source, codes, target, 40, rng)
        for number, draws in enumerate([found.em_draws, found.bbse_draws]):
            low, high = np.quantile(draws[:, 1], [0.025, 0.975])
            covered[number] += low <= hidden.mean() <= high
    assert (covered >= 21).all()


def test_a_classifier_that_guesses_says_nothing_of_the_shares():
    rng = np.random.RandomState(0)
    codes, proba = np.arange(60) % 2, rng.dirichlet([30, 30], size=120)
    found = estimate_shares(proba[:60], codes, proba[60:], 100, rng)
    for draws in (found.em_draws, found.bbse_draws):
        assert np.ptp(draws[:, 0]) > 0.8
    always = np.tile([0.7, 0.3], (60, 1))
    found = estimate_shares(always, codes, always, 100, rng)
    np.testing.assert_allclose(found.bbse, [0.5, 0.5])


@pytest.mark.parametrize(("distance", "near"), [(0.02, 0.05), (1.5, 0.06)])
def test_labelled_rows_decide_where_outputs_do_not(distance, near):
    rng = np.random.RandomState(1)
    source, codes = outputs(300, [0.5, 0.5], distance, rng)
    target, hidden = outputs(2000, [0.2, 0.8], distance, rng)
    found = estimate_shares(source, codes, target, 50, rng)
    counts = np.bincount(hidden[:400], minlength=2)
    mixed = with_labels(found, counts, rng)
    np.testing.assert_allclose(mixed.sum(axis=1), 1)
    assert mixed[0, 1] == pytest.approx(0.8, abs=near)
    assert mixed[1:, 1].std() < found.em_draws[:, 1].std()
    np.testing.assert_array_equal(with_labels(found, None, rng)[0], found.em)
