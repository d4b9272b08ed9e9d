"""Tests of what stayed the same keep their level, and see what changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from skada_active.inspection._hypotheses import (
    conditional_p,
    moments_p,
    outputs_p,
    shares_p,
    surprise_p,
    within_class_p,
)
from skada_active.inspection._separation import rank_z, weighted_auc
from skada_active.inspection._verdict import Evidence, decide

NOTHING = Evidence(0.5, 0.5, 0.55, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 150.0)


def mixture(n, shares, rng, shift=0.0, flipped=0.0):
    """Return rows of two classes with their exact posteriors and their labels."""
    y = rng.choice(2, n, p=shares)
    X = rng.normal(size=(n, 3)) + 1.5 * y[:, None] + [shift, 0, 0]
    odds = np.exp(1.5 * X.sum(axis=1) - 3 * 1.5**2 / 2)
    y = np.where(rng.random(n) < flipped, 1 - y, y)
    return X, np.column_stack([1 / (1 + odds), odds / (1 + odds)]), y


def pair(rng, shares=(0.5, 0.5), **change):
    X, proba, y = (
        np.concatenate(parts)
        for parts in zip(mixture(300, [0.5, 0.5], rng), mixture(200, shares, rng, **change), strict=True)
    )
    return X, proba, y, np.arange(500) >= 300


def p_values(rng, **change):
    X, proba, y, is_target = pair(rng, **change)
    half = np.full(500, is_target.mean())
    shares = np.bincount(y[is_target]) / 200
    return {
        "outputs": outputs_p(proba, is_target),
        "shares": shares_p(y, is_target, 2),
        "surprise": surprise_p(proba[~is_target], y[~is_target], proba[is_target], np.bincount(y[is_target])),
        "within": within_class_p(rng.normal(size=500), proba, y, is_target),
        "rows": moments_p(X, is_target, np.zeros(500, dtype=int), np.ones(1), rng),
        "mixture": moments_p(X, is_target, y, shares, rng),
        "conditional": conditional_p(proba, proba, y, is_target, half, rng)[0],
    }


def test_tests_reject_at_their_level_where_nothing_changed():
    rng = np.random.RandomState(0)
    drawn = [p_values(rng) for _ in range(30)]
    for name in drawn[0]:
        assert np.mean([values[name] < 0.05 for values in drawn]) <= 0.2, name


@pytest.mark.parametrize(
    ("change", "rejected"),
    [
        ({"shares": (0.15, 0.85)}, {"outputs", "shares", "rows"}),
        ({"shift": 1.5}, {"outputs", "rows", "mixture", "surprise", "within", "conditional"}),
        ({"flipped": 0.4}, {"within", "conditional"}),
    ],
)
def test_tests_see_what_changed_and_nothing_else(change, rejected):
    found = p_values(np.random.RandomState(1), **change)
    # Under label shift P(y | x) changes, too, and under the others the shares may.
    open_to_either = {"conditional", "surprise", "shares", "outputs"} - rejected
    assert {name for name, p in found.items() if p < 0.01} - open_to_either == rejected - open_to_either


def test_no_moments_are_left_where_class_shares_explain_any():
    rng = np.random.RandomState(0)
    X, is_target = rng.normal(size=(90, 1)), np.arange(90) >= 60
    X[is_target] += 2
    assert moments_p(X, is_target, np.arange(90) % 4, np.full(4, 0.25), rng) == 1


def test_auc_is_that_of_scikit_learn_with_weights_and_ties():
    rng = np.random.RandomState(0)
    scores, is_target = rng.randint(10, size=200) + 0.0, rng.rand(200) < 0.4
    weight = np.where(is_target, 1.0, rng.rand(200) + 0.5)
    auc, error = weighted_auc(scores, is_target, weight)
    assert auc == pytest.approx(roc_auc_score(is_target, scores, sample_weight=weight))
    assert 0.01 < error < 0.1


def test_standard_error_of_the_auc_is_that_of_further_samples():
    rng = np.random.RandomState(0)
    is_target = np.arange(150) >= 100
    drawn = [weighted_auc(rng.normal(size=150) + is_target, is_target) for _ in range(300)]
    aucs, errors = np.array(drawn).T
    assert errors.mean() == pytest.approx(aucs.std(), rel=0.15)


def test_ranks_in_one_stratum_are_those_of_mann_and_whitney():
    rng = np.random.RandomState(0)
    scores, is_target = rng.randint(8, size=120) + 0.0, rng.rand(120) < 0.4
    test = mannwhitneyu(scores[is_target], scores[~is_target], method="asymptotic", use_continuity=False)
    z = rank_z(scores, is_target)
    assert 2 * (1 - ndtr(abs(z))) == pytest.approx(test.pvalue, rel=1e-6)


def test_ranks_compare_within_strata_alone():
    scores, is_target = np.array([0.0, 1, 10, 11]), np.array([False, False, True, True])
    assert rank_z(scores, is_target, np.array([0, 0, 1, 1])) == 0
    assert rank_z(scores, is_target, np.array([0, 1, 0, 1])) > 0


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        ({}, "none"),
        ({"p_rows": 1e-9, "auc": 0.7, "p_mixture": 1e-9, "auc_mixture": 0.7, "p_within": 1e-3}, "covariate"),
        ({"p_rows": 1e-9, "auc": 0.7, "p_shares": 1e-9, "p_conditional": 1e-3}, "label"),
        ({"p_shares": 1e-9}, "label"),
        ({"p_within": 1e-9, "p_conditional": 1e-3}, "concept"),
        ({"p_surprise": 1e-9, "p_shares": 1e-9}, "concept"),
        ({"p_rows": 1e-9, "auc": 0.7, "p_mixture": 1e-9, "p_conditional": 1e-3}, "several"),
        ({"information": 5.0}, "cannot tell"),
        ({"auc_high": 0.8}, "cannot tell"),
        ({"p_rows": 1e-9, "auc": 0.6, "auc_mixture": 0.58}, "cannot tell"),
        ({"p_rows": 1e-9, "auc": 0.6, "auc_mixture": 0.58, "p_mixture": 0.02}, "covariate"),
    ],
)
def test_the_kind_that_no_test_speaks_against_is_the_cause(evidence, cause):
    assert decide(replace(NOTHING, **evidence), 0.005).cause == cause
