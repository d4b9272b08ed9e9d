"""Accuracies and class counts of one round."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from skada_active.domains import resolve_roles
from skada_active.metrics.accuracy import accuracies, class_counts, known_accuracies

X = np.arange(6.0)[:, None]
DOMAIN = np.array([1, -1, -1, -1, -1, -1])
ROLES = resolve_roles([0, -1, -1, -1, -1, -1], DOMAIN)
QUERY_ROUND = np.array([0, 0, 1, -1, -1, 2])
SAYS_ONE = DummyClassifier(strategy="constant", constant=1).fit(X[:2], [0, 1])


def report(answers=None, eval_set=None, model=SAYS_ONE, roles=ROLES):
    return accuracies(model, X, roles, QUERY_ROUND, answers, eval_set)["accuracy"]


def test_three_accuracies_are_kept_apart():
    accuracy = report(np.array([1, 1, 1, 0, 1, 1]), (X[:4], [1, 0, 0, 0]))
    assert accuracy == {"transductive": 4 / 5, "unqueried": 1 / 2, "holdout": 1 / 4}


def test_source_rows_do_not_count():
    answers = np.array([1, 1, 1, 0, 0, 1])
    changed = np.array([0, *answers[1:]])
    assert report(answers) == report(changed)


def test_rows_without_a_label_do_not_count():
    accuracy = report(np.array([1, -1, 1, -1, 0, -1]))
    assert (accuracy["transductive"], accuracy["unqueried"]) == (1 / 2, 0.0)


def test_nothing_is_said_where_nobody_knows_the_labels():
    assert report() == {"transductive": None, "unqueried": None, "holdout": None}
    assert set(report(np.full(6, -1)).values()) == {None}


def test_nothing_is_said_of_unqueried_rows_where_there_are_none():
    answers = np.array([1, 1, 1, -1, -1, 1])
    assert report(answers) == {"transductive": 1.0, "unqueried": None, "holdout": None}


def test_nothing_is_said_of_a_target_that_does_not_exist():
    answers = np.ones(6, dtype=int)
    assert report(answers, roles=resolve_roles(answers))["transductive"] is None


@pytest.mark.parametrize("known", [np.array([0, 1]), np.array(["0", "1"])])
def test_hidden_labels_of_another_type_are_wrong_and_no_error(known):
    model = DummyClassifier(strategy="constant", constant=known[1]).fit(X[:2], known)
    answers = np.array([known[0], known[1], known[1], None, 3.5, "x"], dtype=object)
    assert report(answers, model=model)["transductive"] == 2 / 4


def test_labels_held_as_objects_are_compared_by_value():
    answers = np.array([1, 1, 1, 0, None, 1], dtype=object)
    accuracy = report(answers, (X[:2], np.array([1, 0], dtype=object)))
    assert accuracy == {"transductive": 3 / 4, "unqueried": 0.0, "holdout": 1 / 2}


def test_class_counts_are_plain_numbers_by_label():
    counts = class_counts(np.array([2, 0, 2]))
    assert counts == {0: 1, 2: 2}
    assert {type(item) for item in [*counts, *counts.values()]} == {int}
    assert class_counts(np.array(["b", "a"], dtype=object)) == {"a": 1, "b": 1}
    assert class_counts(np.array([], dtype=int)) == {}


def test_only_known_accuracies_are_shown():
    assert known_accuracies({"transductive": 0.5, "unqueried": None}) == {"transductive": "0.500"}
