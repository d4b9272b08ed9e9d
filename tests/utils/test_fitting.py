"""Fitting any classifier on what is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skada_active.deep import DANN, AdaptationClassifier
from skada_active.domains import resolve_roles
from skada_active.utils.fitting import (
    continue_fitting,
    continues_training,
    domain_params,
    fit_estimator,
    is_domain_aware,
    known_labels,
    seed_estimator,
)

X = np.arange(24.0).reshape(8, 3)
Y = np.array([0, 1, 0, 1, 1, -1, -1, -1])
DOMAIN = np.array([1, 1, 1, 1, -2, -2, -2, -2])
ROLES = resolve_roles(Y, DOMAIN)


class Recorder(ClassifierMixin, BaseEstimator):
    """Record what `fit` was given."""

    def fit(self, X, y):
        self.classes_, self.given_ = np.unique(y), (X, y)
        return self


class DomainRecorder(Recorder):
    """Record it, and the domains too."""

    __metadata_request__fit = {"sample_domain": True}  # noqa: RUF012

    def fit(self, X, y, sample_domain=None):
        self.domain_ = sample_domain
        return super().fit(X, y)


@pytest.mark.parametrize(
    ("estimator", "aware"),
    [
        (LogisticRegression(), False),
        (AdaptationClassifier(), True),
        (make_pipeline(StandardScaler(), AdaptationClassifier()), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (GridSearchCV(AdaptationClassifier(), {}), False),
        (FrozenEstimator(AdaptationClassifier()), False),
        (make_pipeline(StandardScaler(), FrozenEstimator(AdaptationClassifier())), False),
    ],
    ids=["linear", "network", "pipeline", "linear pipeline", "search", "frozen", "frozen pipeline"],
)
def test_domain_aware_is_whose_fit_takes_the_domains(estimator, aware):
    assert is_domain_aware(estimator) is aware
    assert continues_training(estimator) is aware


def test_partial_fit_alone_does_not_go_on_training():
    assert not continues_training(SGDClassifier())


def test_any_other_estimator_sees_the_labelled_rows():
    rows, labels = fit_estimator(Recorder(), X, Y, ROLES).given_
    np.testing.assert_array_equal(rows, X[:5])
    assert labels.tolist() == [0, 1, 0, 1, 1]


def test_a_domain_aware_estimator_sees_all_rows():
    fitted = fit_estimator(DomainRecorder(), X, Y, ROLES)
    assert fitted.given_[0] is X
    assert fitted.given_[1].tolist() == Y.tolist()
    assert fitted.domain_.tolist() == DOMAIN.tolist()


def test_labels_that_are_not_known_are_missing():
    hidden = resolve_roles(Y, DOMAIN).hide(np.arange(8) == 4)
    y = np.array([0, 1, 0, 1, 77, 88, 99, -5])
    assert fit_estimator(DomainRecorder(), X, y, hidden).given_[1].tolist() == [0, 1, 0, 1, -1, -1, -1, -1]
    assert y[4] == 77


def test_labels_that_are_all_known_are_not_copied():
    y = np.array([0, 1, 1])
    assert known_labels(y, resolve_roles(y)) is y


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["a", "b"], [0.0, 1.0]], ids=repr)
def test_labels_held_as_objects_are_given_in_their_own_type(labels):
    y = np.array([labels[0], labels[1], None], dtype=object)
    given = fit_estimator(Recorder(), X[:3], y, resolve_roles(y, [1, 1, -1])).given_[1]
    assert given.dtype == np.array(labels).dtype
    assert given.tolist() == labels


def test_a_frozen_estimator_is_returned_as_it_is():
    frozen = FrozenEstimator(LogisticRegression().fit(X[:4], Y[:4]))
    assert fit_estimator(frozen, X, Y, ROLES) is frozen


def test_no_label_at_all_is_an_error():
    with pytest.raises(ValueError, match=r"No row has a label.*FrozenEstimator"):
        fit_estimator(LogisticRegression(), X[5:], Y[5:], resolve_roles(Y[5:], DOMAIN[5:]))


def test_continuous_labels_are_an_error():
    y = np.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="continuous"):
        fit_estimator(LogisticRegression(), X[:3], y, resolve_roles(y))


def test_without_domains_none_are_given():
    assert domain_params(DomainRecorder(), resolve_roles(Y)) == {}


@pytest.mark.parametrize("routing", [False, True])
def test_domains_reach_the_last_step_of_nested_pipelines(routing):
    pipeline = Pipeline([("outer", StandardScaler()), ("inner", make_pipeline(StandardScaler(), DomainRecorder()))])
    with config_context(enable_metadata_routing=routing):
        fitted = fit_estimator(pipeline, X, Y, ROLES)
    assert fitted[-1][-1].domain_.tolist() == DOMAIN.tolist()


def test_going_on_leaves_earlier_steps_and_keeps_the_network():
    fitted = fit_estimator(
        make_pipeline(StandardScaler(), AdaptationClassifier(max_epochs=1, random_state=0)), X, Y, ROLES
    )
    mean, net = fitted[0].mean_.copy(), fitted[-1].net_
    continue_fitting(fitted, X + 1, Y, ROLES, epochs=2)
    np.testing.assert_array_equal(fitted[0].mean_, mean)
    assert fitted[-1].net_ is net
    assert len(net.history) == 3


def test_every_seed_that_is_none_is_set():
    estimator = BaggingClassifier(make_pipeline(StandardScaler(), AdaptationClassifier(DANN())))
    params = seed_estimator(estimator, 0).get_params()
    seeds = [params["random_state"], params["estimator__adaptationclassifier__random_state"]]
    assert len(set(seeds)) == 2
    assert all(isinstance(seed, int) for seed in seeds)


def test_seeds_that_are_set_stay():
    estimator = BaggingClassifier(LogisticRegression(random_state=5))
    assert seed_estimator(estimator, 0).get_params()["estimator__random_state"] == 5


def test_seeds_depend_on_the_seed_and_nothing_else():
    seeds = [seed_estimator(clone(AdaptationClassifier()), seed).random_state for seed in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]


def test_a_frozen_estimator_gets_no_seed():
    model = LogisticRegression()
    seed_estimator(make_pipeline(StandardScaler(), FrozenEstimator(model)), 0)
    seed_estimator(FrozenEstimator(model), 0)
    assert model.random_state is None


def test_an_error_of_the_estimator_names_the_rarest_class():
    y = np.array(["a", "a", "a", "b", "b", "b", "b", "c"])
    with pytest.raises(ValueError, match=r"5-fold.*\(The rarest class, 'c', has 1 labelled row\(s\)\.\)"):
        fit_estimator(CalibratedClassifierCV(LinearSVC(), cv=5), X, y, resolve_roles(y))
