from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skada_active.pool import PoolView
from skada_active.query import QueryByCommittee, mean_kl_to_consensus, vote_entropy


class Recorder(ClassifierMixin, BaseEstimator):
    """Note what every clone is fitted on."""

    fits: list = []  # noqa: RUF012

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        type(self).fits.append((X[:, 0].tolist(), np.asarray(y).tolist(), self.random_state))
        self.classes_ = np.unique([label for label in y if label is not None and label != -1])
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


class DomainAware(Recorder):
    fits: list = []  # noqa: RUF012

    def fit(self, X, y, sample_domain=None):
        super().fit(X, y)
        type(self).fits[-1] += (np.asarray(sample_domain).tolist(),)
        return self


class ThreadOf(Recorder):
    """Note the thread that every clone is fitted in."""

    threads: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.threads.append(threading.current_thread().name)
        return super().fit(X, y)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(50) % 3
    X = np.column_stack([np.arange(50), rng.normal(size=(50, 3)) + 0.5 * y[:, None]])
    domain = np.repeat([1, 2, -1], [15, 15, 20])
    y[35:] = -1
    return X, y, domain


@pytest.fixture(autouse=True)
def _forget_fits():
    Recorder.fits, DomainAware.fits, ThreadOf.threads = [], [], []


def votes(*labels):
    return np.eye(3)[list(labels)][:, None, :]


@pytest.mark.parametrize(("labels", "expected"), [((0, 0, 1), 0.636514), ((1, 1, 1), 0.0), ((0, 1, 2), 1.098612)])
def test_vote_entropy_of_the_worked_examples(labels, expected):
    assert vote_entropy(votes(*labels))[0] == pytest.approx(expected, abs=1e-6)


def test_mean_kl_of_the_worked_example():
    assert mean_kl_to_consensus([[[0.8, 0.2]], [[0.4, 0.6]]])[0] == pytest.approx(0.086305, abs=1e-6)


@pytest.mark.parametrize("function", [vote_entropy, mean_kl_to_consensus])
def test_members_that_agree_have_no_disagreement(function):
    proba = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    np.testing.assert_allclose(function(np.stack([proba] * 3)), 0, atol=1e-15)


def test_mean_kl_of_certain_members_is_finite():
    assert mean_kl_to_consensus(votes(0, 1))[0] == pytest.approx(np.log(2))


@pytest.mark.parametrize("function", [vote_entropy, mean_kl_to_consensus])
def test_a_committee_of_the_wrong_shape_is_refused(function):
    with pytest.raises(ValueError, match=r"committee_proba must have shape \(M, n, C\)"):
        function([[0.5, 0.5]])


@pytest.mark.parametrize(("disagreement", "function"), [("vote_entropy", vote_entropy), ("kl", mean_kl_to_consensus)])
def test_the_strategy_is_the_function(disagreement, function):
    proba = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 6))
    utilities = QueryByCommittee(disagreement).utilities(PoolView(committee_proba=proba))
    np.testing.assert_array_equal(utilities, function(proba))


@pytest.mark.parametrize("n_members", [2, 4])
def test_the_committee_has_n_members_that_differ(data, n_members):
    view = QueryByCommittee(n_members=n_members, random_state=0).fit(*data).pool_
    assert view.committee_proba.shape == (n_members, 15, 3)
    assert not np.allclose(view.committee_proba[0], view.committee_proba[1])


def test_every_bootstrap_keeps_the_classes_of_every_domain(data):
    X, y, domain = data
    QueryByCommittee(estimator=Recorder(), random_state=0).fit(X, y, domain)
    (plain, *_), *bootstraps = Recorder.fits
    assert plain == list(range(35))
    assert len(bootstraps) == 5
    for rows, labels, _ in bootstraps:
        rows = np.array(rows, dtype=int)
        assert len(set(rows)) < len(rows) == 35
        np.testing.assert_array_equal(labels, y[rows])
        for strata in (domain, 10 * domain + y):
            assert sorted(strata[rows]) == sorted(strata[:35])


def test_members_have_seeds_of_their_own(data):
    for _ in range(2):
        QueryByCommittee(estimator=Recorder(random_state=0), random_state=3).fit(*data)
    seeds = [fit[2] for fit in Recorder.fits]
    assert seeds[0] == 0
    assert len(set(seeds[1:6])) == 5
    assert seeds[:6] == seeds[6:]


def test_a_domain_aware_estimator_gets_all_unlabelled_target_rows(data):
    X, y, domain = data
    QueryByCommittee(estimator=DomainAware(), n_members=2, random_state=0).fit(X, y, domain)
    (plain, *_), *bootstraps = DomainAware.fits
    assert plain == list(range(50))
    assert len(bootstraps) == 2
    for rows, labels, _, domains in bootstraps:
        rows = np.array(rows, dtype=int)
        np.testing.assert_array_equal(rows[35:], np.arange(35, 50))
        assert len(set(rows[:35])) < 35
        np.testing.assert_array_equal(domains, domain[rows])
        np.testing.assert_array_equal(labels, y[rows])
        assert set(labels[35:]) == {-1}


def test_fitted_members_are_used_as_they_are(data):
    X, y, domain = data
    members = [LogisticRegression(C=c).fit(X[:35], y[:35]) for c in (0.01, 1.0, 100.0)]
    view = QueryByCommittee(members=members).fit(X, y, domain).pool_
    np.testing.assert_array_equal(view.committee_proba, [member.predict_proba(X[35:]) for member in members])


def test_members_without_a_fit_are_fitted_on_all_labelled_rows(data):
    X, y, domain = data
    members = [LogisticRegression(), KNeighborsClassifier()]
    view = QueryByCommittee(members=members).fit(X, y, domain).pool_
    expected = [clone(member).fit(X[:35], y[:35]).predict_proba(X[35:]) for member in members]
    np.testing.assert_allclose(view.committee_proba, expected)
    assert not hasattr(members[0], "coef_")


def test_members_keep_their_own_seeds_and_get_missing_ones(data):
    QueryByCommittee(members=[Recorder(random_state=5), Recorder()], random_state=0).fit(*data)
    assert [fit[2] for fit in Recorder.fits][1] == 5
    assert Recorder.fits[2][2] is not None


def test_frozen_members_survive_a_clone_of_the_strategy(data):
    X, y, domain = data
    members = [FrozenEstimator(LogisticRegression(C=c).fit(X[:35], y[:35])) for c in (0.01, 1.0)]
    strategy = clone(QueryByCommittee(members=members)).fit(X, y, domain)
    np.testing.assert_array_equal(strategy.pool_.committee_proba[0], members[0].predict_proba(X[35:]))


def test_with_members_no_other_model_is_trained(data):
    X, y, domain = data
    members = [LogisticRegression(C=c).fit(X[:35], y[:35]) for c in (0.01, 1.0)]
    strategy = QueryByCommittee(members=members).fit(X, y, domain)
    np.testing.assert_array_equal(strategy.estimator_.predict_proba(X), members[0].predict_proba(X))


def test_members_of_other_classes_are_compared_over_all_classes(data):
    X, y, domain = data
    y = np.array(["ant", "bee", "cow", None], dtype=object)[y]
    first_two = np.flatnonzero([label in ("ant", "bee") for label in y[:35]])
    members = [
        FrozenEstimator(LogisticRegression().fit(X[:35], y[:35].astype(str))),
        FrozenEstimator(LogisticRegression().fit(X[first_two], y[first_two].astype(str))),
    ]
    view = QueryByCommittee(members=members).fit(X, y, domain).pool_
    assert view.committee_proba.shape == (2, 15, 3)
    np.testing.assert_array_equal(view.committee_proba[1][:, :2], members[1].predict_proba(X[35:]))
    assert (view.committee_proba[1][:, 2] == 0).all()


def test_data_frames_pipelines_and_string_labels_work(data):
    X, y, domain = data
    y = np.array(["ant", "bee", "cow", None], dtype=object)[y]
    strategy = QueryByCommittee(
        "kl", estimator=make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3)), random_state=0
    ).fit(pd.DataFrame(X, columns=list("abcd")), y, domain)
    assert set(strategy.query(4)) <= set(range(35, 50))


def test_a_class_with_a_single_row_stays_in_every_bootstrap(data):
    X, y, domain = data
    y = y.copy()
    y[0] = 9
    assert QueryByCommittee(n_members=3, random_state=0).fit(X, y, domain).pool_.committee_proba.shape == (3, 15, 4)


def test_random_state_changes_the_committee(data):
    first, second = (QueryByCommittee(random_state=seed).fit(*data).pool_.committee_proba for seed in (0, 1))
    assert not np.allclose(first, second)


def test_the_disagreement_changes_the_choice():
    proba = np.stack([[[0.9, 0.1], [0.51, 0.49]], [[0.55, 0.45], [0.49, 0.51]]])
    view = PoolView(committee_proba=proba)
    assert QueryByCommittee().select(view, 1).tolist() == [1]
    assert QueryByCommittee("kl").select(view, 1).tolist() == [0]


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_a_frozen_estimator_cannot_be_bootstrapped(data, wrap):
    X, y, domain = data
    frozen = FrozenEstimator(LogisticRegression().fit(X[:35], y[:35]))
    with pytest.raises(ValueError, match=r"is frozen.*members=\[\.\.\.\]"):
        QueryByCommittee(estimator=wrap(frozen)).fit(X, y, domain)


def test_a_committee_of_one_is_refused(data):
    with pytest.raises(ValueError, match="members must hold at least two estimators, got 1"):
        QueryByCommittee(members=[LogisticRegression()]).fit(*data)


@pytest.mark.parametrize("parameters", [{"estimator": Perceptron()}, {"members": [Perceptron(), Perceptron()]}])
def test_members_without_probabilities_are_refused_before_any_training(data, parameters):
    with pytest.raises(ValueError, match="cannot supply 'proba'"):
        QueryByCommittee(**parameters).fit(*data)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
@pytest.mark.parametrize(
    "members", [None, [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]]
)
def test_the_committee_is_the_same_however_many_members_are_trained_at_a_time(data, backend, members):
    expected = QueryByCommittee(n_members=3, members=members, random_state=0).fit(*data).pool_.committee_proba
    with parallel_config(backend=backend):
        found = QueryByCommittee(n_members=3, members=members, n_jobs=2, random_state=0).fit(*data).pool_
    np.testing.assert_array_equal(found.committee_proba, expected)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_networks_are_the_same_however_many_are_trained_at_a_time(data, backend):
    from skada_active.deep import AdaptationClassifier

    network = AdaptationClassifier(max_epochs=1)
    expected = QueryByCommittee(n_members=2, estimator=network, random_state=0).fit(*data).pool_.committee_proba
    with parallel_config(backend=backend):
        found = QueryByCommittee(n_members=2, estimator=network, n_jobs=2, random_state=0).fit(*data).pool_
    np.testing.assert_array_equal(found.committee_proba, expected)
    assert not np.allclose(expected[0], expected[1])


def test_members_are_trained_through_the_backend_that_the_user_chose(data):
    with parallel_config(backend="threading", n_jobs=2):
        strategy = QueryByCommittee(n_members=2, estimator=ThreadOf(), random_state=0).fit(*data)
    assert len(ThreadOf.threads) == 3
    assert threading.main_thread().name not in ThreadOf.threads[1:]
    assert strategy.pool_.committee_proba.shape == (2, 15, 3)


@pytest.mark.parametrize(
    "parameters", [{"n_jobs": "all"}, {"disagreement": "votes"}, {"n_members": 1}, {"members": "all"}]
)
def test_parameters_out_of_range_are_refused_by_name(data, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of QueryByCommittee must be"):
        QueryByCommittee(**parameters).fit(*data)


def test_the_model_supplies_probabilities_and_the_committee_is_the_strategy_s_own():
    assert QueryByCommittee().needs == QueryByCommittee().fills == {"committee_proba"}
    QueryByCommittee(members=[LogisticRegression(), LogisticRegression()]).check_model(Perceptron())
    with pytest.raises(ValueError, match="cannot supply 'proba'"):
        QueryByCommittee().check_model(Perceptron())
