from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active.datasets import make_shifted_blobs
from skada_active.deep import DANN, AdaptationClassifier
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import AADA, EntropySampling, aada_scores
from skada_active.selection import top_k


def make_view(n=60, n_classes=3, seed=0, **fields):
    rng = np.random.default_rng(seed)
    return PoolView(proba=rng.dirichlet(np.ones(n_classes), size=n), source_logit=2 * rng.normal(size=n), **fields)


def with_entropy(entropy):
    """Return the distribution of two classes that has this entropy in nats, by bisection."""
    low, high = 0.0, 0.5
    for _ in range(100):
        p = (low + high) / 2
        low, high = (p, high) if -p * np.log(p) - (1 - p) * np.log1p(-p) < entropy else (low, p)
    return [1 - p, p]


def test_scores_of_the_worked_example():
    d = np.array([0.8, 0.5, 0.2])
    proba = [with_entropy(entropy) for entropy in (0.2, 0.5, 0.6)]
    scores = np.exp(aada_scores(np.log(d / (1 - d)), proba))
    np.testing.assert_allclose(scores, [0.05, 0.5, 2.4], rtol=1e-9)


def test_scores_are_those_of_the_naive_loop():
    view = make_view()
    for score, p, logit in zip(aada_scores(view.source_logit, view.proba), view.proba, view.source_logit, strict=True):
        d = 1 / (1 + np.exp(-logit))
        assert np.isclose(np.exp(score), (1 - d) / d * -sum(p * np.log(p)))


def test_utilities_are_the_scores():
    view = make_view()
    np.testing.assert_allclose(AADA().utilities(view), aada_scores(view.source_logit, view.proba), rtol=1e-12)


def test_a_sure_discriminator_neither_overflows_nor_ties():
    scores = aada_scores([-5000.0, -4000.0, 5000.0], [[0.5, 0.5]] * 3)
    assert scores.argsort().tolist() == [2, 1, 0]
    assert np.isfinite(scores).all()


def test_a_certain_prediction_is_never_asked_for_first():
    view = PoolView(proba=[[1.0, 0.0], [0.999, 0.001], [1.0005, 0.0]], source_logit=[-900.0, 900.0, -900.0])
    assert AADA().utilities(view).tolist()[::2] == [-np.inf, -np.inf]
    assert AADA().select(view, 1).tolist() == [1]


def test_without_a_fraction_the_highest_scores_come_in_order():
    view = make_view()
    assert AADA().select(view, 7, random_state=3).tolist() == top_k(AADA().utilities(view), 7).tolist()


@pytest.mark.parametrize(("n_queries", "n_top"), [(3, 12), (20, 20)])
def test_a_fraction_draws_among_the_best_of_so_much_of_the_initial_pool(n_queries, n_top):
    view = make_view(n_initial=120)
    strategy = AADA(top_fraction=0.1)
    drawn = [strategy.select(view, n_queries, random_state=seed).tolist() for seed in range(60)]
    assert set(np.concatenate(drawn)) == set(top_k(strategy.utilities(view), n_top).tolist())
    assert len({tuple(rows) for rows in drawn}) > 50


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        aada_scores([0.0], [[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize("value", [0, 1.5, "all"])
def test_a_fraction_out_of_range_is_refused_by_name(value):
    with pytest.raises(ValueError, match="'top_fraction' parameter of AADA must be"):
        AADA(top_fraction=value).select(make_view(), 1)


@pytest.fixture(scope="module")
def data():
    return make_shifted_blobs(60, 50, random_state=0)


def loop_of(model, strategy):
    return ActiveAdaptationLoop(model, strategy, budget=6, n_rounds=2, random_state=0)


def test_in_the_loop_it_reads_the_discriminator_that_was_trained(data):
    X, y, sample_domain = data
    model = AdaptationClassifier(DANN(), max_epochs=2, random_state=0)
    loops = [loop_of(model, strategy) for strategy in (AADA(), EntropySampling())]
    chosen = [loop.fit(X, y, sample_domain=sample_domain).queried_ids_.tolist() for loop in loops]
    assert len(set(chosen[0])) == 6
    assert (sample_domain[chosen[0]] < 0).all()
    assert chosen[0] != chosen[1]


def test_a_discriminator_that_was_never_trained_is_refused(data):
    X, y, sample_domain = data
    with pytest.raises(ValueError, match=r"domain discriminator is untrained.*trade_off"):
        loop_of(AdaptationClassifier(DANN(trade_off=0), max_epochs=1), AADA()).fit(X, y, sample_domain=sample_domain)


def test_a_model_without_a_discriminator_is_refused_before_any_training(data):
    X, y, sample_domain = data
    with pytest.raises(ValueError, match=r"cannot supply 'source_logit'.*such as DANN"):
        loop_of(LogisticRegression(), AADA()).fit(X, y, sample_domain=sample_domain)
