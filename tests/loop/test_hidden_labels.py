"""Labels that were not bought change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import MCC, AdaptationClassifier
from skada_active.query import BADGE, CoreSet, MarginSampling, QueryByCommittee

ESTIMATORS = {
    "linear": LogisticRegression(),
    "network": AdaptationClassifier(MCC(), max_epochs=2),
}
POISONS = {
    "permuted": lambda y, rows: np.random.default_rng(0).permutation(y[rows]),
    "missing": lambda y, rows: -1,
    "out of range": lambda y, rows: 10**9 + rows,
    "negative": lambda y, rows: -5,
    "one class": lambda y, rows: 0,
}
all_estimators = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
all_poisons = pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)


def weights(model):
    """Return all numbers that a model learned."""
    if isinstance(model, LogisticRegression):
        return [model.coef_, model.intercept_]
    return [value.numpy() for value in model.net_.module_.state_dict().values()]


def assert_same_model(one, other, X):
    for mine, yours in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(mine, yours)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def run(blobs, y=None, **params):
    X, truth, sample_domain = blobs
    settings = {"budget": 6, "n_rounds": 2, "round_epochs": 1, "random_state": 0}
    loop = ActiveAdaptationLoop(**{**settings, **params})
    return loop.fit(X, truth if y is None else y, sample_domain=sample_domain)


def poisoned(blobs, poison, rows):
    y = blobs[1].copy()
    y[rows] = poison(y, rows)
    return y


@all_poisons
@all_estimators
def test_hidden_labels_do_not_reach_the_first_model(blobs, estimator, poison):
    y = poisoned(blobs, poison, np.flatnonzero(blobs[2] < 0))
    clean, dirty = (run(blobs, labels, estimator=estimator, budget=0) for labels in (None, y))
    assert_same_model(clean.estimator_, dirty.estimator_, blobs[0])


@pytest.mark.parametrize("strategy", [MarginSampling(), BADGE(), CoreSet(), QueryByCommittee(n_members=2)], ids=repr)
@all_poisons
def test_hidden_labels_do_not_reach_the_first_questions(blobs, strategy, poison):
    y = poisoned(blobs, poison, np.flatnonzero(blobs[2] < 0))
    clean, dirty = (
        run(blobs, labels, estimator=LogisticRegression(), strategy=strategy, n_rounds=1) for labels in (None, y)
    )
    assert clean.session_.events[0].ids == dirty.session_.events[0].ids


@all_poisons
@all_estimators
def test_labels_that_are_never_bought_change_nothing(blobs, estimator, poison):
    clean = run(blobs, estimator=estimator)
    y = poisoned(blobs, poison, np.flatnonzero(clean.query_round_ == -1))
    dirty = run(blobs, y, estimator=estimator)
    assert clean.queried_ids_.tolist() == dirty.queried_ids_.tolist()
    assert_same_model(clean.estimator_, dirty.estimator_, blobs[0])
    for mine, yours in zip(clean.history_, dirty.history_, strict=True):
        np.testing.assert_array_equal(mine["utilities"], yours["utilities"])
        assert mine["loss"] == yours["loss"]


def test_a_model_never_sees_a_label_that_was_not_bought(blobs, monkeypatch):
    y = blobs[1]
    given = []
    plain_fit, plain_partial_fit = AdaptationClassifier.fit, AdaptationClassifier.partial_fit

    def fit(self, X, y, sample_domain=None):
        given.append(y.copy())
        return plain_fit(self, X, y, sample_domain)

    def partial_fit(self, X, y, sample_domain=None, **kwargs):
        given.append(y.copy())
        return plain_partial_fit(self, X, y, sample_domain, **kwargs)

    monkeypatch.setattr(AdaptationClassifier, "fit", fit)
    monkeypatch.setattr(AdaptationClassifier, "partial_fit", partial_fit)
    loop = run(blobs, estimator=AdaptationClassifier(max_epochs=1))
    assert len(given) == 3
    for number, labels in enumerate(given):
        bought = (loop.query_round_ >= 0) & (loop.query_round_ <= number)
        np.testing.assert_array_equal(labels, np.where(bought, y, -1))


def test_a_class_that_only_hidden_rows_have_is_unknown_until_it_is_bought(blobs):
    y = blobs[1].copy()
    y[blobs[2] < 0] = 7
    assert run(blobs, y, estimator=LogisticRegression(), budget=0).classes_.tolist() == [0, 1, 2]
    assert run(blobs, y, estimator=LogisticRegression(), budget=1).classes_.tolist() == [0, 1, 2, 7]
