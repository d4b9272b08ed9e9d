"""Metrics that a user adds to the history."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, get_scorer, make_scorer, matthews_corrcoef
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.query import RandomSampling

GROUPS = ["transductive", "unqueried", "holdout"]


def loop_of(scoring=None, estimator=None, **params):
    settings = {"budget": 6, "n_rounds": 2, "random_state": 0, **params}
    return ActiveAdaptationLoop(estimator or LogisticRegression(), scoring=scoring, **settings)


def fitted(data, scoring=None, **params):
    X, y, sample_domain = data
    return loop_of(scoring, **params).fit(X, y, sample_domain=sample_domain, eval_set=(X[60:90], y[60:90]))


def two_numbers(estimator, X, y):
    return {"n": len(y), "certainty": estimator.predict_proba(X).max(axis=1).mean()}


def test_balanced_accuracy_stands_beside_accuracy(blobs):
    X, y, sample_domain = blobs
    loop = fitted(blobs)
    entry, target = loop.history_[-1], sample_domain < 0
    never = np.flatnonzero(target & (loop.query_round_ == -1))
    for group, rows in zip(GROUPS, [np.flatnonzero(target), never, np.arange(60, 90)], strict=True):
        assert entry["balanced_accuracy"][group] == pytest.approx(
            balanced_accuracy_score(y[rows], loop.predict(X[rows]))
        )


@pytest.mark.parametrize(
    ("scoring", "names"),
    [
        ("f1_macro", ["f1_macro"]),
        (["accuracy", "roc_auc_ovr"], ["roc_auc_ovr"]),
        (("recall_macro", "neg_log_loss"), ["recall_macro", "neg_log_loss"]),
        ({"f1_macro"}, ["f1_macro"]),
        ({"mine": make_scorer(matthews_corrcoef), "f": "f1_macro"}, ["mine", "f"]),
        (make_scorer(f1_score, average="macro"), ["score"]),
        (two_numbers, ["n", "certainty"]),
        ("balanced_accuracy", []),
        ([], []),
    ],
    ids=["name", "list", "tuple", "set", "dict", "scorer", "dict from a callable", "measured anyway", "empty"],
)
def test_a_history_holds_what_scoring_names(blobs, scoring, names):
    loop, plain = fitted(blobs, scoring), fitted(blobs)
    assert [name for name in loop.history_[-1] if name not in plain.history_[-1]] == names
    for name in names:
        assert list(loop.history_[-1][name]) == GROUPS
        assert {type(value) for value in loop.history_[-1][name].values()} == {float}


@pytest.mark.parametrize(
    "labels", [np.arange(3), np.array(["a", "b", "c"]), np.array([1, 2, 3], dtype=object)], ids=repr
)
def test_scorers_are_given_known_labels_in_a_type_that_they_take(blobs, labels):
    X, y, sample_domain = blobs
    answers = labels[y].astype(object)
    answers[100:] = None
    loop = loop_of("f1_macro").fit(X, answers, sample_domain=sample_domain)
    model, rows = loop.estimator_, slice(60, 100)
    expected = get_scorer("f1_macro")(
        model, X[rows], labels[y[rows]] if labels.dtype != object else labels[y[rows]].astype(int)
    )
    assert loop.history_[-1]["f1_macro"]["transductive"] == expected
    assert loop.history_[-1]["f1_macro"]["holdout"] is None


def test_scoring_changes_neither_model_nor_questions(blobs):
    loop, plain = fitted(blobs, "f1_macro"), fitted(blobs)
    assert loop.queried_ids_.tolist() == plain.queried_ids_.tolist()
    np.testing.assert_array_equal(loop.estimator_.coef_, plain.estimator_.coef_)


def test_a_learning_curve_of_any_metric(blobs):
    loop = fitted(blobs, "f1_macro")
    entries = [loop.initial_, *loop.history_]
    for metric in ("balanced_accuracy", "f1_macro"):
        assert loop.learning_curve("holdout", metric=metric)[1].tolist() == [
            entry[metric]["holdout"] for entry in entries
        ]
    with pytest.raises(ValueError, match=r"metric must be one of \['accuracy', 'balanced_accuracy', 'f1_macro'\]"):
        loop.learning_curve(metric="f1")


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("f1_makro", "'f1_makro' is not a valid scoring value"),
        (["f1_macro", "zzz"], "'zzz' is not a valid scoring value"),
        (f1_score, "looks like it is a metric function"),
        (3, "The 'scoring' parameter"),
        ({"loss": "f1_macro"}, "scoring names a metric 'loss', which entries of the history hold already"),
        ({"accuracy": "f1_macro"}, "scoring names a metric 'accuracy'"),
    ],
    ids=repr,
)
def test_scoring_that_cannot_be_is_refused_before_any_training(blobs, no_training, scoring, message):
    with pytest.raises(ValueError, match=message):
        fitted(blobs, scoring)


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("roc_auc", "multi_class must be in"),
        (lambda estimator, X, y: "good", "'score' is 'good', which is no number"),
        (lambda estimator, X, y: {"ids": 1.0}, "scoring names a metric 'ids'"),
    ],
    ids=["labels", "no number", "name"],
)
def test_a_metric_that_fails_is_an_error_before_a_label_is_bought(blobs, scoring, message):
    with pytest.raises(ValueError, match=rf"(?s)scoring=.* cannot be computed on the 60 transductive row.*{message}"):
        fitted(blobs, scoring)
    with pytest.raises(ValueError, match="LinearSVC has none of the following attributes: predict_proba"):
        loop_of("roc_auc_ovr", LinearSVC(), strategy=RandomSampling()).fit(blobs[0], blobs[1], sample_domain=blobs[2])


def test_a_metric_that_fails_later_is_nan_and_buys_on(blobs):
    def fails_with_labels(estimator, X, y):
        if len(y) < 60:
            raise RuntimeError("too few")
        return 1.0

    X, y, sample_domain = blobs
    eager = loop_of({"mine": fails_with_labels})
    with pytest.raises(ValueError, match="too few"):
        eager.fit(X, y, sample_domain=sample_domain, eval_set=(X[:5], y[:5]))
    words = r"cannot be computed on the 5[74] unqueried row\(s\): too few. It is NaN"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = eager.fit(X, y, sample_domain=sample_domain)
    assert [re.search(words, str(warning.message)) is not None for warning in caught] == [True, True]
    assert loop.n_queries_ == 6
    assert loop.history_[0]["mine"]["transductive"] == 1.0
    assert np.isnan(loop.history_[0]["mine"]["unqueried"])


def test_a_session_may_be_opened_again_with_other_metrics(open_session, blobs, finish):
    X, y, _ = blobs
    known = {"eval_set": (X[:60], y[:60])}
    finish(open_session(session=known), y)
    with pytest.warns(UserWarning, match="not trained with the scoring of the session"):
        session = open_session(scoring={"f1_macro", "recall_macro"}, session=known)
    assert session.history_[0]["f1_macro"]["holdout"] > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            open_session(scoring=["f1_macro", "recall_macro"], session=known).history_[0].keys()
            == session.history_[0].keys()
        )


def test_nothing_is_known_in_a_session_without_labels_to_measure(start):
    session = start(scoring="f1_macro")
    assert set(session.initial_["f1_macro"].values()) == {None}


def test_metrics_of_names_are_saved_and_functions_are_given_again(blobs, tmp_path):
    fitted(blobs, ["f1_macro"]).save(tmp_path / "names.skops")
    loop = ActiveAdaptationLoop.load(tmp_path / "names.skops").resume(budget=2, n_rounds=1)
    assert "f1_macro" in loop.history_[-1]
    with pytest.warns(UserWarning, match="scoring holds functions, which are not saved"):
        fitted(blobs, two_numbers).save(tmp_path / "functions.skops")
    loop = ActiveAdaptationLoop.load(tmp_path / "functions.skops", scoring=two_numbers).resume(budget=2, n_rounds=1)
    assert loop.history_[-1]["n"]["transductive"] == 60


def test_a_loop_from_a_session_keeps_its_metrics(blobs):
    X, y, sample_domain = blobs
    session = loop_of("f1_macro").session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    assert ActiveAdaptationLoop.from_session(session).scoring == "f1_macro"


def test_a_majority_shows_in_balanced_accuracy():
    from skada_active.datasets import load_heart_disease

    X, y, sample_domain = load_heart_disease(source="cleveland", target="switzerland")
    always_ill = LogisticRegression(class_weight={0: 1e-9, 1: 1})
    rows = np.nan_to_num(np.asarray(X, dtype=float))
    entry = loop_of(estimator=always_ill, budget=0).fit(rows, y, sample_domain=sample_domain).initial_
    assert entry["accuracy"]["transductive"] == pytest.approx(0.935, abs=5e-4)
    assert entry["balanced_accuracy"]["transductive"] == 0.5
