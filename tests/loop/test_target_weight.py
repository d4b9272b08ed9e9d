"""How labelled target rows count against source rows in the model of a loop, a session and a strategy."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.metrics import target_accuracy
from skada_active.model_selection import TargetShuffleSplit
from skada_active.query import LAS, MarginSampling, Prefilter, QueryByCommittee, RandomSampling

# 60 source rows, and 60 target rows of which 8 are bought.
BALANCED = 60 / 8
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression())


def loop_of(estimator=None, strategy=None, **params):
    estimator = LogisticRegression() if estimator is None else estimator
    settings = {"budget": 8, "n_rounds": 2, "random_state": 0}
    return ActiveAdaptationLoop(estimator, strategy or RandomSampling(), **settings | params)


@pytest.fixture
def fit(blobs):
    """Return a function that fits a loop, with the rows and labels that its model has seen."""
    X, y, sample_domain = blobs

    def fit(*args, **params):
        loop = loop_of(*args, **params).fit(X, y, sample_domain=sample_domain)
        rows = np.flatnonzero(loop.query_round_ >= 0)
        return loop, X[rows], y[rows], np.where(rows < 60, 1.0, BALANCED)

    return fit


def test_by_default_bought_rows_weigh_as_much_as_the_source(fit):
    loop, X, y, weights = fit()
    np.testing.assert_array_equal(loop.estimator_.coef_, LogisticRegression().fit(X, y, weights).coef_)


def test_a_number_is_the_weight_of_a_bought_row(fit):
    loop, X, y, weights = fit(target_weight=2)
    expected = LogisticRegression().fit(X, y, np.where(weights == 1, 1.0, 2.0))
    np.testing.assert_array_equal(loop.estimator_.coef_, expected.coef_)


def test_none_is_a_plain_call_of_fit(fit):
    loop, X, y, _ = fit(target_weight=None)
    np.testing.assert_array_equal(loop.estimator_.coef_, LogisticRegression().fit(X, y).coef_)


def test_a_pipeline_weighs_its_last_step(fit):
    loop, X, y, weights = fit(PIPELINE)
    expected = clone(PIPELINE).fit(X, y, logisticregression__sample_weight=weights)
    np.testing.assert_array_equal(loop.estimator_[-1].coef_, expected[-1].coef_)


def test_neighbours_are_given_bought_rows_as_often_as_they_weigh(fit):
    loop, X, y, weights = fit(KNeighborsClassifier(9))
    copies = np.repeat(np.arange(68), np.where(weights == 1, 1, 8))
    expected = KNeighborsClassifier(9).fit(X[copies], y[copies])
    np.testing.assert_array_equal(loop.predict_proba(X), expected.predict_proba(X))


def test_a_vote_with_neighbours_is_neither_an_error_nor_unweighted(fit):
    vote = VotingClassifier([("a", KNeighborsClassifier()), ("b", LogisticRegression())], voting="soft")
    loop, X, y, _ = fit(vote)
    assert not np.allclose(loop.predict_proba(X), clone(vote).fit(X, y).predict_proba(X))


def test_rows_known_from_the_start_count_as_bought_ones_do(blobs):
    X, y, sample_domain = blobs
    loop = loop_of(budget=0).fit(X, y, sample_domain=sample_domain, labeled_target=np.arange(120) >= 110)
    rows = np.r_[0:60, 110:120]
    expected = LogisticRegression().fit(X[rows], y[rows], np.repeat([1.0, 6.0], [60, 10]))
    np.testing.assert_array_equal(loop.estimator_.coef_, expected.coef_)


def test_class_weights_keep_their_meaning(fit):
    loop, X, y, weights = fit(LogisticRegression(class_weight={0: 3.0}))
    expected = LogisticRegression().fit(X, y, weights * np.where(y == 0, 3.0, 1.0))
    np.testing.assert_allclose(loop.estimator_.coef_, expected.coef_, rtol=1e-3)


def test_a_network_is_untouched(fit):
    network = AdaptationClassifier(max_epochs=1)
    (first, X, *_), (second, *_) = (fit(network, target_weight=weight, round_epochs=1) for weight in ("balanced", None))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_before_anything_is_bought_there_is_nothing_to_weigh(fit):
    weighted, plain = fit()[0], fit(target_weight=None)[0]
    assert weighted.initial_["accuracy"] == plain.initial_["accuracy"]


@pytest.mark.parametrize("weight", [0, -1.0, np.nan, np.inf, "auto", True, [1.0]])
def test_what_is_no_weight_is_refused_before_any_training(blobs, weight):
    X, y, sample_domain = blobs
    with pytest.raises(ValueError, match="target_weight"):
        loop_of(target_weight=weight).fit(X, y, sample_domain=sample_domain)


def test_a_search_turns_the_weight(blobs):
    X, y, sample_domain = blobs
    search = GridSearchCV(
        loop_of(budget=4, n_rounds=1),
        {"target_weight": ["balanced", 2.0, None]},
        cv=TargetShuffleSplit(1, random_state=0),
        scoring=target_accuracy,
    )
    search.fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# A strategy's own models.


class Counting(KNeighborsClassifier):
    counts: ClassVar = []

    def fit(self, X, y):
        self.counts.append(len(y))
        return super().fit(X, y)


def counted(run):
    Counting.counts.clear()
    run()
    return Counting.counts


def test_a_strategys_own_estimator_is_weighted_as_the_loops_is(fit):
    assert counted(lambda: fit(strategy=MarginSampling(estimator=Counting()))) == [60, 60 + 4 * 15]
    assert counted(lambda: fit(strategy=MarginSampling(estimator=Counting()), target_weight=None)) == [60, 64]


@pytest.mark.parametrize(
    "strategy",
    [
        QueryByCommittee(n_members=2),
        LAS(by=QueryByCommittee(n_members=2)),
        Prefilter(QueryByCommittee(n_members=2), n_candidates=20),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_members_of_a_committee_are_weighted_as_the_model_is(fit, strategy):
    # The model before the first round, its members, the model after it, and so on.
    assert counted(lambda: fit(Counting(), strategy)) == [60] * 3 + [120] * 3 + [60 + 8 * 8]


def test_a_strategy_alone_counts_all_rows_the_same(blobs):
    X, y, sample_domain = blobs
    known = np.where(np.arange(120) < 70, y, -1)
    strategy = MarginSampling(estimator=Counting())
    assert counted(lambda: strategy.fit(X, known, sample_domain).query(3)) == [70]


# Sessions and files.


def test_a_loop_from_a_session_keeps_the_weight(blobs):
    X, y, sample_domain = blobs
    session = loop_of(target_weight=3.0).session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    assert ActiveAdaptationLoop.from_session(session).target_weight == 3.0


def test_a_journal_refuses_another_weight(open_session):
    session = open_session(target_weight=2)
    session.tell(ids := session.ask(), np.zeros(len(ids), dtype=int))
    open_session(target_weight=2.0)
    with pytest.raises(ValueError, match=r"target_weight was 2\.0, is 'balanced'"):
        open_session()


def test_a_saved_loop_keeps_its_weight(fit, tmp_path):
    fit(target_weight=2.5)[0].save(tmp_path / "loop.skops")
    assert ActiveAdaptationLoop.load(tmp_path / "loop.skops").target_weight == 2.5


def test_recipes_have_no_such_knob():
    assert "target_weight" not in recipes.lada().get_params()
    with pytest.raises(TypeError, match=r"target_weight.*source_weight"):
        recipes.lada(target_weight=2.0)
