"""Label-free accuracy of an estimator, from clones that did not see the rows that they predict."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skada_active.datasets import make_label_shift, make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.metrics import average_thresholded_confidence, label_free_accuracy
from skada_active.metrics.held_out import held_out_proba, spread_folds

METHODS = ["atc", "doc", "agreement", "em", "bbse"]


@pytest.fixture(scope="module")
def task():
    return make_label_shift(300, 300, source_proportions=(0.5, 0.5), target_proportions=(0.2, 0.8), random_state=2)


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_near_the_accuracy_where_label_shift_is_all(task, method):
    X, y, sample_domain = task
    estimate = label_free_accuracy(LogisticRegression(), *task, method=method, n_bootstrap=20, random_state=0)
    model = LogisticRegression().fit(X[sample_domain > 0], y[sample_domain > 0])
    accuracy = model.score(X[sample_domain < 0], y[sample_domain < 0])
    assert estimate.value == pytest.approx(accuracy, abs=0.08)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert (estimate.method, estimate.n_audit, estimate.level) == (method, 0, 0.95)


@pytest.mark.parametrize("method", ["atc", "agreement"])
def test_no_label_of_the_target_is_read(task, method):
    X, y, sample_domain = task
    estimates = [
        label_free_accuracy(
            DecisionTreeClassifier(max_depth=3), X, labels, sample_domain, method=method, n_bootstrap=20, random_state=0
        )
        for labels in (y, mask_target(y, sample_domain))
    ]
    assert estimates[0] == estimates[1]


def test_a_model_that_learns_rows_by_heart_is_measured_on_others():
    X, y, sample_domain = make_shifted_blobs(200, 200, shift=0.0, cluster_std=6.0, random_state=0)
    estimate = label_free_accuracy(KNeighborsClassifier(1), X, y, sample_domain, n_bootstrap=20, random_state=0)
    assert estimate.value < 0.75


def test_a_frozen_model_predicts_as_it_is(task):
    X, y, sample_domain = task
    source = np.flatnonzero(sample_domain > 0)
    model = LogisticRegression().fit(X[source[::2]], y[source[::2]])
    rows = np.setdiff1d(np.arange(len(y)), source[::2])
    estimate = label_free_accuracy(
        FrozenEstimator(model), X[rows], y[rows], sample_domain[rows], n_bootstrap=20, random_state=0
    )
    held_out = source[1::2]
    proba = [model.predict_proba(X[part]) for part in (held_out, sample_domain < 0)]
    assert estimate.value == average_thresholded_confidence(proba[0], y[held_out], proba[1])


def test_parameters_change_the_estimate_and_a_seed_repeats_it(task):
    def estimate(**params):
        return label_free_accuracy(LogisticRegression(), *task, **{"n_bootstrap": 20, "random_state": 0, **params})

    assert estimate() == estimate()
    assert estimate(cv=2).value != estimate().value
    assert estimate(level=0.5).high < estimate().high
    assert estimate(n_bootstrap=40).low != estimate().low


def test_labels_may_be_texts(task):
    X, y, sample_domain = task
    texts = np.array(["no", "yes"])[y]
    found = [
        label_free_accuracy(LogisticRegression(), X, labels, sample_domain, n_bootstrap=20, random_state=0)
        for labels in (y, texts)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "mano"}, "method must be"),
        ({"cv": 1}, "cv must be an integer >= 2"),
        ({"n_bootstrap": 3}, "n_bootstrap must be"),
        ({"level": 1.0}, "level must be"),
        ({"estimator": LinearSVC()}, "CalibratedClassifierCV"),
        ({"estimator": FrozenEstimator(LogisticRegression()), "method": "agreement"}, "FrozenEstimator cannot become"),
        ({"sample_domain": np.ones(600, dtype=int)}, "must name source rows"),
    ],
)
def test_arguments_that_cannot_be_are_errors(task, params, message):
    X, y, sample_domain = task
    arguments = {"estimator": LogisticRegression(), "X": X, "y": y, "sample_domain": sample_domain, **params}
    with pytest.raises(ValueError, match=message):
        label_free_accuracy(**arguments)


def test_a_class_with_one_source_row_cannot_be_held_out(task):
    X, y, sample_domain = task
    rows = np.concatenate([np.flatnonzero((sample_domain > 0) & (y == 0)), np.flatnonzero(y == 1)[:1]])
    rows = np.concatenate([rows, np.flatnonzero(sample_domain < 0)])
    with pytest.raises(ValueError, match="Class 1 has one source row"):
        label_free_accuracy(LogisticRegression(), X[rows], y[rows], sample_domain[rows])


def test_strata_are_spread_over_the_folds_evenly():
    strata = np.repeat([0, 1, 2], [50, 3, 20])
    folds = spread_folds(strata, 5, np.random.RandomState(0))
    assert sorted(np.bincount(folds, minlength=5).tolist()) == [14, 14, 15, 15, 15]
    for stratum in range(3):
        counts = np.bincount(folds[strata == stratum], minlength=5)
        assert counts.max() - counts.min() <= 1


class DomainAware(ClassifierMixin, BaseEstimator):
    """Classifier that remembers what its training saw."""

    seen = None

    def fit(self, X, y, sample_domain=None):
        DomainAware.seen.append((X[:, 0], np.asarray(y), np.asarray(sample_domain)))
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_domain_aware_clones_see_the_target_without_its_labels_and_no_held_out_source_row():
    from skada_active.domains import resolve_roles

    DomainAware.seen = []
    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    sample_domain = np.repeat([1, -2], 10)
    held_out_proba(DomainAware(), X, y, resolve_roles(y, sample_domain), 5, np.random.RandomState(0))
    assert len(DomainAware.seen) == 5
    for ids, labels, domains in DomainAware.seen:
        assert len(ids) == 18
        assert set(range(10, 20)) <= set(ids.astype(int))
        assert (labels[domains < 0] == -1).all()
    left_out = np.concatenate([np.setdiff1d(np.arange(20), ids) for ids, *_ in DomainAware.seen])
    assert sorted(left_out.tolist()) == list(range(10))
