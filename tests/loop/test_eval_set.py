"""Held-out rows of a loop: what is measured on them, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop


def holdout(data, X_held, y_held, y=None):
    X, labels, sample_domain = data
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=2, n_rounds=1, random_state=0)
    loop.fit(X, labels if y is None else y, sample_domain=sample_domain, eval_set=(X_held, y_held))
    return loop.history_[-1]["accuracy"]["holdout"]


NAMES = np.array(["a", "b", "c"])
HALF = np.arange(60) % 2 == 0


@pytest.mark.parametrize(
    "incomplete",
    [
        lambda names: np.where(HALF, names, None),
        lambda names: np.where(HALF, names, pd.NA),
        lambda names: np.where(HALF, names, np.nan),
        lambda names: pd.array(np.where(HALF, names, None), dtype="string"),
        lambda names: pd.Series(np.where(HALF, names, None), dtype="string"),
        lambda names: pd.Series(np.where(HALF, names, None)).astype("category"),
        lambda names: np.where(HALF, names, None).tolist(),
    ],
    ids=["None", "NA", "nan", "string", "Series", "category", "list"],
)
def test_only_held_out_rows_with_a_label_count(blobs, incomplete):
    names = NAMES[blobs[1]].astype(object)
    expected = holdout(blobs, blobs[0][60:][HALF], names[60:][HALF], names)
    assert holdout(blobs, blobs[0][60:], incomplete(names[60:]), names) == expected


@pytest.mark.parametrize(
    "incomplete",
    [
        lambda y: np.where(HALF, y, -1),
        lambda y: np.where(HALF, y, np.nan),
        lambda y: pd.array(np.where(HALF, y.astype(object), None), dtype="Int64"),
        lambda y: pd.array(np.where(HALF, y, np.nan), dtype="Float64"),
    ],
    ids=["integers", "floats", "Int64", "Float64"],
)
@pytest.mark.parametrize("dtype", [int, float])
def test_numbers_miss_by_their_convention(blobs, incomplete, dtype):
    X, y, _ = blobs
    expected = holdout(blobs, X[60:][HALF], y[60:][HALF])
    assert holdout(blobs, X[60:], incomplete(y[60:]), y.astype(dtype)) == expected


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((2, 3)), [-1, -1], r"eval_set=\(X, y\) has no label"),
        (np.ones((2, 3)), [None, None], r"eval_set=\(X, y\) has no label"),
        (np.ones((0, 3)), [], r"eval_set=\(X, y\) has no label"),
        (np.ones((2, 3)), ["a", "b"], r"eval_set=\(X, y\) has labels such as 'a', and the data such as \d: text"),
        (np.ones((2, 3)), [0], r"eval_set=\(X, y\): Found input variables with inconsistent numbers"),
    ],
    ids=["-1", "None", "empty", "text", "lengths"],
)
def test_held_out_rows_that_tell_nothing_are_refused_before_any_training(blobs, no_training, X, y, message):
    with pytest.raises(ValueError, match=message):
        holdout(blobs, X, y)


def test_truth_values_are_no_labels_of_three_classes(blobs, no_training):
    with pytest.raises(ValueError, match="booleans and numbers"):
        holdout(blobs, blobs[0], blobs[1] == 1)


def test_truth_values_are_measured_against_zero_and_one(blobs):
    y = (blobs[1] == 1).astype(int)
    assert holdout(blobs, blobs[0], y == 1, y) == holdout(blobs, blobs[0], y, y)


def test_held_out_bytes_are_no_text(blobs, no_training):
    names = NAMES[blobs[1]]
    with pytest.raises(ValueError, match="bytes and text"):
        holdout(blobs, blobs[0], names.astype("S1"), names)


def test_held_out_labels_that_are_all_strange_are_said(blobs):
    y = blobs[1].astype(str)
    with pytest.warns(UserWarning, match=r"eval_set=\(X, y\) holds labels such as '\d\.0', none of which"):
        assert holdout(blobs, blobs[0], blobs[1].astype(float).astype(str), y) == 0


def test_a_held_out_label_that_stands_for_a_missing_one_is_said(blobs):
    y = blobs[1].astype(str)
    with pytest.warns(UserWarning, match=r"eval_set=\(X, y\) holds 'nan' for 30 of 60 row\(s\)"):
        holdout(blobs, blobs[0][60:], np.where(HALF, "nan", y[60:]), y)
