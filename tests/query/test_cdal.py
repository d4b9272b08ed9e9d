from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import CDAL, contextual_diversity


def kl(p, q):
    p, q = np.maximum(p, 1e-12), np.maximum(q, 1e-12)
    return sum(p * np.log(p / q))


def make_proba(n=60, n_classes=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_classes), size=n)


def naive(proba, labeled, n_queries):
    taken = []
    if not len(labeled):
        taken = [int(np.argmax([-sum(p * np.log(p)) for p in proba]))]
    while len(taken) < n_queries:
        centers = [*labeled, *proba[taken]]
        nearest = [min((kl(p, q) + kl(q, p)) / 2 for q in centers) for p in proba]
        taken.append(max((i for i in range(len(proba)) if i not in taken), key=lambda i: nearest[i]))
    return taken


def test_the_divergence_of_the_worked_example():
    # KL([.7, .3] || [.4, .6]) = .183787, and .192043 the other way.
    found = contextual_diversity([[0.7, 0.3]], [[0.4, 0.6]])
    other = 0.4 * np.log(0.4 / 0.7) + 0.6 * np.log(0.6 / 0.3)
    np.testing.assert_allclose(found, [[(0.183787 + other) / 2]], atol=1e-6)


def test_divergences_are_those_of_the_naive_loop():
    proba, others = make_proba(), make_proba(7, seed=1)
    expected = [[(kl(p, q) + kl(q, p)) / 2 for q in others] for p in proba]
    np.testing.assert_allclose(contextual_diversity(proba, others), expected, atol=1e-12)


def test_certain_predictions_of_different_classes_are_a_finite_way_apart():
    found = contextual_diversity(np.eye(2), np.eye(2))
    np.testing.assert_allclose(found, -np.log(1e-12) * (1 - np.eye(2)), atol=1e-9)


@pytest.mark.parametrize("n_labeled", [0, 1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_that_of_the_naive_loop(n_labeled, seed):
    proba, labeled = make_proba(seed=seed), make_proba(n_labeled, seed=10 + seed)
    chosen = CDAL().select(PoolView(proba=proba, labeled_proba=labeled), 12)
    assert chosen.tolist() == naive(proba, labeled, 12)


def test_logits_of_any_size_give_a_choice():
    view = PoolView(logits=1e300 * np.eye(3)[np.arange(9) % 3])
    assert sorted(CDAL().select(view, 3) % 3) == [0, 1, 2]


def test_the_class_that_nobody_asked_about_comes_first():
    proba = np.repeat([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]], 5, axis=0)
    view = PoolView(proba=proba, labeled_proba=proba[[0, 7]])
    assert {int(CDAL().select(view, 1, random_state=seed)[0]) for seed in range(60)} == {10, 11, 12, 13, 14}


def test_equal_entropies_at_the_start_fall_by_the_seed():
    view = PoolView(proba=np.full((6, 2), 0.5))
    assert {int(CDAL().select(view, 1, random_state=seed)[0]) for seed in range(60)} == set(range(6))


def test_predictions_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        contextual_diversity([[0.5, 0.5]], [[0.2, 0.3, 0.5]])


def test_a_model_without_a_linear_head_is_read_too():
    X, y, sample_domain = make_shifted_blobs(60, 50, random_state=0)
    known = mask_target(y, sample_domain)
    known[60:64] = y[60:64]
    strategy = CDAL(estimator=GaussianNB()).fit(X, known, sample_domain)
    proba = strategy.estimator_.predict_proba(X)
    np.testing.assert_allclose(strategy.pool_.labeled_proba, proba[60:64])
    pool = strategy.pool_.index
    found = contextual_diversity(proba[pool], proba[60:64]).min(axis=1)
    assert found[np.searchsorted(pool, strategy.query())[0]] == pytest.approx(found.max())


def test_in_the_loop_it_buys_distinct_rows_of_the_target():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    loop = ActiveAdaptationLoop(LogisticRegression(), CDAL(), budget=9, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(set(loop.queried_ids_.tolist())) == 9
    assert (sample_domain[loop.queried_ids_] < 0).all()
