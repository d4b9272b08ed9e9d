from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import psi
from scipy.stats import dirichlet
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skada_active.datasets import make_shifted_blobs
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import DUC, dirichlet_uncertainty


def make_view(n=60, n_classes=3, seed=0):
    return PoolView(logits=2 * np.random.default_rng(seed).normal(size=(n, n_classes)))


def naive_uncertainty(row):
    alpha = [math.exp(z) for z in row]
    total = sum(alpha)
    data = sum(a / total * (psi(total + 1) - psi(a + 1)) for a in alpha)
    return -sum(a / total * math.log(a / total) for a in alpha) - data, data


def naive(logits, n_queries, first_stage):
    """Return the rows that the two stages choose, written out for distinct scores."""
    scores = [naive_uncertainty(row) for row in logits]
    n_kept = min(len(logits), math.ceil(round(first_stage * n_queries, 9)))
    kept = sorted(range(len(logits)), key=lambda i: -scores[i][0])[:n_kept]
    return sorted(kept, key=lambda i: -scores[i][1])[:n_queries]


def test_uncertainties_of_the_worked_example():
    distributional, data = dirichlet_uncertainty([[0.0, 0.0]])
    assert data == pytest.approx([0.5])
    assert distributional == pytest.approx([0.193147], abs=1e-6)


def test_uncertainties_are_those_of_the_naive_loop():
    logits = 3 * np.random.default_rng(0).normal(size=(2500, 4))
    expected = np.array([naive_uncertainty(row) for row in logits])
    np.testing.assert_allclose(np.transpose(dirichlet_uncertainty(logits)), expected, atol=1e-12)


def test_data_uncertainty_is_the_mean_entropy_of_the_distribution():
    logits = [1.0, 0.2, -0.5]
    drawn = dirichlet(np.exp(logits)).rvs(200_000, random_state=0)
    mean = -(drawn * np.log(np.maximum(drawn, 1e-300))).sum(axis=1).mean()
    assert dirichlet_uncertainty([logits])[1] == pytest.approx([mean], rel=5e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uncertainties_of_huge_logits_are_finite_and_not_negative(dtype):
    logits = np.array([[1e30, -1e30], [1e30, 1e30], [-1e30, -1e30], [50, 49.5], [0, 0]], dtype=dtype)
    distributional, data = dirichlet_uncertainty(logits)
    assert np.isfinite([distributional, data]).all()
    assert min(distributional.min(), data.min()) >= 0
    np.testing.assert_allclose(distributional + data, [0, np.log(2), np.log(2), 0.6628, np.log(2)], atol=1e-4)
    np.testing.assert_allclose(distributional[:3], [0, 0, np.log(2)], atol=1e-6)  # all, and no evidence


def test_evidence_tells_rows_of_one_prediction_apart():
    distributional, data = dirichlet_uncertainty([[z, z] for z in (-2.0, 0.0, 2.0, 4.0)])
    assert (np.diff(distributional) < 0).all()
    assert (np.diff(data) > 0).all()


@pytest.mark.parametrize(("first_stage", "n_queries"), [(10, 4), (1, 5), (1.1, 10), (2.5, 3), (10, 60), (1e300, 7)])
def test_the_choice_is_that_of_the_naive_loop(first_stage, n_queries):
    view = make_view()
    chosen = DUC(first_stage).select(view, n_queries, random_state=0)
    assert chosen.tolist() == naive(view.logits, n_queries, first_stage)


def test_one_row_for_each_that_is_asked_for_is_the_first_stage_alone():
    view = make_view()
    distributional, _ = dirichlet_uncertainty(view.logits)
    assert set(DUC(first_stage=1).select(view, 6)) == set(np.argsort(-distributional)[:6])


def test_a_first_stage_of_the_whole_pool_leaves_data_uncertainty():
    view = make_view()
    chosen = DUC(first_stage=60).select(view, 6)
    np.testing.assert_array_equal(chosen, np.argsort(-dirichlet_uncertainty(view.logits)[1])[:6])
    np.testing.assert_array_equal(DUC().utilities(view), dirichlet_uncertainty(view.logits)[1])


def test_ties_fall_by_position_or_by_the_seed():
    view = PoolView(logits=[[0.0, 0.0]] * 5 + [[9.0, 0.0]])
    assert DUC().select(view, 3).tolist() == [0, 1, 2]
    assert len({tuple(DUC().select(view, 3, random_state=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("first_stage", [0.5, 0, -1, "all", None])
def test_a_first_stage_out_of_range_is_refused_by_name(first_stage):
    with pytest.raises(ValueError, match="'first_stage' parameter of DUC must be"):
        DUC(first_stage).select(make_view(), 1)


def test_what_is_no_finite_table_is_refused():
    with pytest.raises(ValueError, match="logits contains NaN"):
        dirichlet_uncertainty([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="cannot supply 'logits'"):
        DUC().check_model(GaussianNB())


def test_in_the_loop_the_history_holds_data_uncertainties():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    loop = ActiveAdaptationLoop(LogisticRegression(), DUC(), budget=9, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(set(loop.queried_ids_.tolist())) == 9
    assert all((entry["utilities"] > 0).all() for entry in loop.history_)
