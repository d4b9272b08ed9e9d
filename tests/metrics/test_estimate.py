"""Estimates from audited rows: values, intervals and the draw."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score

from skada_active.metrics import (
    AccuracyEstimate,
    audit_estimate,
    audit_metric_estimate,
    systematic_sample,
    weighted_estimate,
)


def make_pool(n=600, slope=3.0, seed=0):
    """Return the confidence of a model in a pool, and where it is right: the more often, the surer it is."""
    rng = np.random.RandomState(seed)
    confidence = rng.uniform(size=n)
    return confidence, rng.uniform(size=n) < 1 / (1 + np.exp(-slope * (2 * confidence - 0.6)))


def draw(confidence, correct, n, seed):
    rows = systematic_sample(confidence, n, seed)
    return audit_estimate(correct[rows], len(correct), confidence, rows)


@pytest.mark.parametrize("n", [20, 50, 100])
def test_intervals_cover_the_accuracy_of_the_pool(n):
    confidence, correct = make_pool()
    estimates = [draw(confidence, correct, n, seed) for seed in range(150)]
    covered = [estimate.low <= correct.mean() <= estimate.high for estimate in estimates]
    assert np.mean(covered) >= 0.935
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(correct.mean(), abs=0.01)


def test_a_confidence_that_ranks_errors_shortens_the_interval():
    confidence, correct = make_pool(slope=6.0)
    rows = systematic_sample(confidence, 100, 0)
    assisted = audit_estimate(correct[rows], len(correct), confidence, rows)
    plain = audit_estimate(correct[rows], len(correct))
    assert assisted.high - assisted.low < 0.9 * (plain.high - plain.low)


def test_only_the_order_of_the_confidence_counts():
    confidence, correct = make_pool()
    rows = systematic_sample(confidence, 50, 0)
    first, second = (audit_estimate(correct[rows], len(correct), c, rows) for c in (confidence, np.exp(5 * confidence)))
    assert first == second


def test_a_constant_confidence_is_of_no_use():
    _, correct = make_pool()
    rows = np.arange(50)
    without = audit_estimate(correct[rows], len(correct))
    constant = audit_estimate(correct[rows], len(correct), np.ones(len(correct)), rows)
    assert (constant.value, constant.low, constant.high) == pytest.approx((without.value, without.low, without.high))


def test_the_plain_interval_is_the_mid_p_interval():
    estimate = audit_estimate([True] * 17 + [False] * 3, n_pool=10**9)
    for share, tail in (
        (estimate.low, binom.sf(17, 20, estimate.low)),
        (estimate.high, binom.cdf(16, 20, estimate.high)),
    ):
        assert tail + binom.pmf(17, 20, share) / 2 == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.6, 1.0), (False, 0.0, 0.4)])
def test_rows_that_are_all_right_or_all_wrong_leave_an_interval(right, low, high):
    estimate = audit_estimate([right] * 10, 1000, np.linspace(0, 1, 1000), np.arange(10))
    assert low <= estimate.low <= estimate.value == float(right)
    assert estimate.high <= high
    assert estimate.high - estimate.low > 0.1


def test_a_pool_that_is_audited_whole_is_known():
    estimate = audit_estimate([True, False, True, True], 4)
    assert estimate.low == estimate.value == estimate.high == 0.75


def test_nothing_audited_tells_nothing():
    estimate = audit_estimate([], 100)
    assert (estimate.low, estimate.high, estimate.n_audit) == (0, 1, 0)
    assert np.isnan(estimate.value)
    assert str(estimate) == "unknown (0 to 100)"
    assert estimate == audit_estimate([], 100)


def test_a_higher_level_widens_the_interval():
    narrow, wide = (audit_estimate([True, False] * 10, 500, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audit_estimate([True] * 5, 4), "n_pool=4 is less than the 5 audited"),
        (lambda: audit_estimate([True, False], 4, [1, 2, np.nan, 3], [0, 1]), "1 that are not finite"),
        (lambda: audit_estimate([True, False], 4, [1, 2, 3], [0, 1]), r"got shape \(3,\)"),
        (lambda: audit_estimate([True, False], 4, [1, 2, 3, 4], [1, 1]), "2 distinct positions"),
        (lambda: audit_estimate([True, False], 4, [1, 2, 3, 4]), "2 distinct positions"),
        (lambda: audit_estimate([True], 4, level=95), "level must be between 0 and 1, got 95"),
        (lambda: weighted_estimate([True], [0.0], 4), r"must be in \(0, 1\], got 0"),
        (lambda: weighted_estimate([True], [0.5, 0.5], 4), "inconsistent"),
    ],
)
def test_what_does_not_fit_together_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_estimate_is_a_number_and_plain_values():
    estimate = AccuracyEstimate(0.84, 0.79, 0.88, 50, 0.95, "binomial")
    assert float(estimate) == 0.84
    assert f"{estimate:.3f} {estimate}" == "0.840 84 % (79 to 88)"
    assert json.loads(json.dumps(asdict(estimate)))["n_audit"] == 50


def test_rows_are_drawn_at_equal_steps_with_equal_probability():
    confidence = np.random.RandomState(0).permutation(20).astype(float)
    drawn = np.array([systematic_sample(confidence, 4, seed) for seed in range(300)])
    assert all(len(set(rows)) == 4 for rows in drawn)
    assert {tuple(sorted(confidence[rows] // 5)) for rows in drawn} == {(0, 1, 2, 3)}
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert abs(counts - 60).max() < 4.5 * np.sqrt(60)


def test_a_draw_of_more_rows_than_there_are_takes_all():
    assert systematic_sample([0.5, 0.2], 5, 0).tolist() == [0, 1]


def test_a_metric_is_estimated_by_the_jackknife():
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=2000)
    predicted = np.where(rng.uniform(size=2000) < 0.7, y, rng.randint(3, size=2000))
    truth, covered = f1_score(y, predicted, average="macro"), []
    for seed in range(20):
        rows = np.random.RandomState(seed).choice(2000, 60, replace=False)
        of_rows = y[rows], predicted[rows]
        estimate = audit_metric_estimate(
            lambda picks, of_rows=of_rows: f1_score(of_rows[0][picks], of_rows[1][picks], average="macro"),
            y[rows],
            2000,
        )
        covered.append(estimate.low <= truth <= estimate.high)
    assert np.mean(covered) >= 0.9


def test_a_metric_without_a_value_tells_nothing():
    estimate = audit_metric_estimate(lambda rows: float("nan"), ["a", "b"], 10)
    assert (estimate.low, estimate.high, estimate.method) == (0, 1, "none")


def test_a_metric_beyond_one_gets_a_symmetric_interval():
    values = np.array([-3.0, -1.0, -2.0, -4.0])
    estimate = audit_metric_estimate(lambda rows: float(values[rows].mean()), [0, 1, 0, 1], 1000)
    assert estimate.high - estimate.value == pytest.approx(estimate.value - estimate.low)


def test_weights_undo_what_the_draw_preferred():
    confidence, correct = make_pool()
    probability = np.clip(0.5 * (1 - confidence), 0.02, 1)
    values = []
    for seed in range(200):
        rows = np.flatnonzero(np.random.RandomState(seed).uniform(size=len(correct)) < probability)
        values.append(weighted_estimate(correct[rows], probability[rows], len(correct)).value)
    assert np.mean(values) == pytest.approx(correct.mean(), abs=0.01)
