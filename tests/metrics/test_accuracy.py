from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

import skada_active
from skada_active import model_selection
from skada_active.domains import mask_target
from skada_active.metrics import per_class_accuracy, target_accuracy

ONES = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
ROWS = np.zeros((4, 1))


def test_target_accuracy_takes_all_rows_for_target_rows():
    assert target_accuracy(ONES, ROWS, [1, 0, 1, 1]) == 0.75


@pytest.mark.parametrize("y", [[1, 0, -1, -1], [1.0, 0.0, np.nan, np.nan], [1, 0, None, None]], ids=repr)
def test_target_accuracy_leaves_missing_labels_out(y):
    assert target_accuracy(ONES, ROWS, y) == 0.5


def test_target_accuracy_of_strings():
    model = DummyClassifier(strategy="constant", constant="b").fit([[0], [1]], ["a", "b"])
    assert target_accuracy(model, ROWS, ["b", "a", None, "b"]) == 2 / 3


def test_target_accuracy_counts_target_rows_only():
    assert target_accuracy(ONES, ROWS, [0, 0, 1, 0], sample_domain=[1, 1, -1, -1]) == 0.5
    assert target_accuracy(ONES, ROWS, [0, 0, 1, -1], sample_domain=[1, 1, -1, -1]) == 1.0


def test_target_accuracy_is_a_plain_float():
    assert type(target_accuracy(ONES, ROWS, [1, 0, 1, 1])) is float


@pytest.mark.parametrize(("y", "sample_domain"), [([-1] * 4, None), ([0, 0, 1, 1], [1, 1, 1, 1])])
def test_nothing_to_score_against_is_an_error(y, sample_domain):
    with pytest.raises(ValueError, match="no label of a target row to score against"):
        target_accuracy(ONES, ROWS, y, sample_domain)


@pytest.mark.parametrize(("y", "sample_domain"), [([1] * 3, None), ([1] * 4, [-1] * 3)])
def test_lengths_that_differ_are_an_error(y, sample_domain):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        target_accuracy(ONES, ROWS, y, sample_domain)


def test_target_accuracy_is_the_same_wherever_it_is_imported_from():
    assert skada_active.target_accuracy is model_selection.target_accuracy is target_accuracy


def test_minus_one_counts_where_it_is_a_class_of_the_model():
    model = DummyClassifier(strategy="constant", constant=-1).fit([[0], [1]], [-1, 1])
    assert target_accuracy(model, ROWS, [-1, -1, -1, 1]) == 0.75


def test_labels_of_another_type_are_an_error():
    with pytest.raises(ValueError, match="Mix of label input types"):
        target_accuracy(ONES, ROWS, ["1", "0", "1", "1"])


@pytest.mark.parametrize("label", ["nan", "", "?", "None"])
def test_a_label_that_stands_for_a_missing_one_is_said(label):
    model = DummyClassifier(strategy="constant", constant="b").fit([[0], [1]], ["a", "b"])
    with pytest.warns(UserWarning, match=r"for 2 of 4 row\(s\), which is no class of the model"):
        assert target_accuracy(model, ROWS, ["b", label, "b", label]) == 0.5


def test_labels_that_are_no_class_at_all_are_said():
    with pytest.warns(UserWarning, match=r"y holds labels such as 7, none of which is among the 2 classes"):
        assert target_accuracy(ONES, ROWS, [7, 8, 7, 8]) == 0


def test_a_class_that_the_model_does_not_know_is_wrong_without_a_word(recwarn):
    assert target_accuracy(ONES, ROWS, [1, 1, 2, 2]) == 0.5
    assert not recwarn.list


@pytest.mark.parametrize("kind", [int, float, str, object])
def test_accuracy_per_class_has_the_balanced_accuracy_as_its_mean(blobs, kind):
    X, y, sample_domain = blobs
    labels = y.astype(float) if kind is float else y if kind is int else np.array(["a", "b", "c"], dtype=kind)[y]
    model = LogisticRegression().fit(X[:40], labels[:40].astype(str) if kind is object else labels[:40])
    found = per_class_accuracy(model, X, labels, sample_domain)
    rows = sample_domain < 0
    assert list(found) == sorted(found) == np.unique(labels.tolist()).tolist()
    for label, share in found.items():
        assert share == pytest.approx((model.predict(X[rows & (labels == label)]) == label).mean())
    expected = balanced_accuracy_score(labels[rows].tolist(), model.predict(X[rows]))
    assert np.mean(list(found.values())) == pytest.approx(expected)


def test_accuracy_per_class_leaves_out_what_is_not_known(blobs):
    X, y, sample_domain = blobs
    model = LogisticRegression().fit(X, y)
    hidden = mask_target(y, sample_domain)
    hidden[60:70] = y[60:70]
    assert per_class_accuracy(model, X, hidden, sample_domain) == per_class_accuracy(model, X[60:70], y[60:70])
    with pytest.raises(ValueError, match="no label of a target row"):
        per_class_accuracy(model, X, mask_target(y, sample_domain), sample_domain)
