"""Training on classes that an estimator cannot learn yet: it goes without them, and tries again."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.exceptions import TrainingError
from skada_active.query import MarginSampling, QueryByCommittee, RandomSampling

# Class 2 is met in the target only; the seed of the loop buys 1, 4, 5, 8, 10, 11 rows of it in the six rounds.
DOMAIN = np.repeat([1, -1], [60, 40])
Y = np.concatenate([np.arange(60) % 2, np.arange(20) % 2, np.full(20, 2)])
X = np.random.default_rng(0).normal(size=(100, 2)) + 3 * np.column_stack([Y == 1, Y == 2])
CALIBRATED = CalibratedClassifierCV(LinearSVC(), cv=5)

unlearned = pytest.mark.filterwarnings("ignore:.* could not be trained with the new class")


def loop_of(estimator=CALIBRATED, strategy=None, **params):
    strategy = RandomSampling() if strategy is None else strategy
    return ActiveAdaptationLoop(estimator, strategy, **{"budget": 18, "n_rounds": 6, "random_state": 0, **params})


def session_of(**params):
    return loop_of(new_classes="learn", **params).session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN)


def play(session, n_rounds=6, labels=Y):
    for _ in range(n_rounds):
        ids = session.ask()
        session.tell(ids, labels[ids])
    return session


def proba(session):
    return session.estimator_.predict_proba(X)


def test_a_class_with_too_few_labels_is_left_out_and_said_to_lack_them():
    lacking = r"CalibratedClassifierCV could not be trained with the new class 2 \(1 label\(s\)\): .*5-fold"
    with pytest.warns(UserWarning, match=lacking) as said:
        session = play(session_of(target_weight=None), 1)
    assert len(said) == 1
    assert session.estimator_.classes_.tolist() == [0, 1]
    rows = np.flatnonzero((session.query_round_ >= 0) & (Y != 2))
    assert len(rows) == 62
    np.testing.assert_array_equal(proba(session), clone(CALIBRATED).fit(X[rows], Y[rows]).predict_proba(X))


@unlearned
def test_of_two_new_classes_the_one_with_enough_labels_is_learned():
    labels = np.where((Y == 2) & (np.arange(100) % 4 == 0), 3, Y)
    session = play(session_of(budget=30, n_rounds=1), 1, labels)
    counts = session.history_[0]["class_counts"]
    assert counts[3] < 5 <= counts[2]
    assert session.estimator_.classes_.tolist() == [0, 1, 2]


@unlearned
def test_rows_of_a_class_that_is_not_learned_count_as_wrong():
    loop = loop_of(budget=3, n_rounds=1).fit(X, Y, sample_domain=DOMAIN)
    assert loop.history_[0]["accuracy"]["transductive"] == np.mean(loop.predict(X[60:]) == Y[60:]) <= 0.5
    assert loop.history_[0]["class_counts"][2] == 1


@unlearned
@pytest.mark.parametrize(
    "estimator",
    [
        CALIBRATED,
        HistGradientBoostingClassifier(early_stopping=True, max_iter=2),
        GradientBoostingClassifier(n_iter_no_change=1, n_estimators=2),
        SGDClassifier(loss="log_loss", early_stopping=True),
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        KNeighborsClassifier(3),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_buying_goes_on_until_the_class_is_learned(estimator):
    loop = loop_of(estimator).fit(X, Y, sample_domain=DOMAIN)
    assert loop.n_queries_ == 18
    assert loop.classes_.tolist() == [0, 1, 2]


@unlearned
@pytest.mark.parametrize("strategy", [MarginSampling(estimator=CALIBRATED), QueryByCommittee(n_members=2)], ids=repr)
def test_a_strategy_goes_on_too(strategy):
    estimator = CALIBRATED if strategy.estimator is None else LogisticRegression()
    assert loop_of(estimator, strategy).fit(X, Y, sample_domain=DOMAIN).n_queries_ == 18


@unlearned
@pytest.mark.parametrize("keeps_checkpoint", [True, False])
def test_a_journal_gives_the_same_models(tmp_path, keeps_checkpoint):
    expected = session_of()
    for _ in range(3):
        with loop_of(new_classes="learn").session(
            X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, journal=tmp_path / "labels.db"
        ) as session:
            play(session, 1)
        if not keeps_checkpoint:
            with sqlite3.connect(tmp_path / "labels.db") as file:
                file.execute("DELETE FROM checkpoint")
            file.close()
        play(expected, 1)
        np.testing.assert_array_equal(proba(session), proba(expected))
        assert [entry["ids"].tolist() for entry in session.history_] == [
            entry["ids"].tolist() for entry in expected.history_
        ]


@unlearned
def test_a_correction_gives_the_model_that_the_right_answers_give():
    slips = np.where(Y == 2, 0, Y)
    session, right = play(session_of(), 2, slips), play(session_of(), 2)
    ids = [row for row in session.queried_ids_ if Y[row] == 2]
    session.correct(ids, Y[ids])
    np.testing.assert_array_equal(proba(session), proba(right))
    np.testing.assert_array_equal(proba(play(session, 4)), proba(play(right, 4)))


@unlearned
def test_a_correction_that_makes_a_class_too_rare_forgets_it():
    session = play(session_of(), 3)
    assert session.estimator_.classes_.tolist() == [0, 1, 2]
    row = next(row for row in session.queried_ids_ if Y[row] == 2)
    session.correct([row], [0])
    expected = play(session_of(), 3, np.where(np.arange(100) == row, 0, Y))
    assert session.estimator_.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(proba(session), proba(expected))
    assert len(session.history_) == 3


def test_a_class_that_is_too_rare_at_the_start_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"5-fold.*The rarest class, 1, has 2 labelled row"):
        loop_of().fit(X[55:], np.where(np.arange(100) == 55, 0, Y)[55:], sample_domain=DOMAIN[55:])


def test_a_training_that_fails_without_a_new_class_is_an_error():
    class FailsOnMore(LogisticRegression):
        def fit(self, X, y):
            if len(y) > 60:
                raise ValueError("no more")
            return super().fit(X, y)

    session = session_of(estimator=FailsOnMore())
    ids = session.ask()
    with pytest.raises(TrainingError, match="no more"):
        session.tell(ids, np.zeros(len(ids), dtype=int))


def test_a_network_learns_a_class_from_one_row(recwarn):
    loop = loop_of(AdaptationClassifier(max_epochs=1), budget=3, n_rounds=1).fit(X, Y, sample_domain=DOMAIN)
    assert loop.classes_.tolist() == [0, 1, 2]
    assert not [said for said in recwarn if "could not be trained" in str(said.message)]
