"""What is taken for an answer, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from skada_active.labels import is_missing, label_kinds
from skada_active.session._validation import check_answers

OPEN = [4, 7, 9]
INTEGERS = np.array([0, 1, -1, -1])
FLOATS = np.array([0.0, 1.0, np.nan])
STRINGS = np.array(["a", "b", None], dtype=object)


def kinds_of(y):
    return label_kinds(y[~is_missing(y)])


def check(labels, y=INTEGERS, ids=(7, 4)):
    return check_answers(list(ids), labels, OPEN, y, kinds=kinds_of(y))


def test_answers_keep_their_order():
    ids, labels = check([1, 0])
    assert ids == [7, 4]
    assert labels.tolist() == [1, 0]


def test_one_answer_may_be_a_scalar():
    ids, labels = check_answers(7, 1, OPEN, INTEGERS, kinds={"i"})
    assert (ids, labels.tolist()) == ([7], [1])
    assert check_answers(7, "a", OPEN, STRINGS, kinds={"U"})[1].tolist() == ["a"]
    assert check_answers(7, np.array("a"), OPEN, STRINGS, kinds={"U"}, classes=["a"])[1].tolist() == ["a"]


@pytest.mark.parametrize("labels", [{7: 1, 4: 0}, {0, 1}, iter([1, 0])], ids=lambda labels: type(labels).__name__)
def test_labels_without_an_order_are_refused(labels):
    with pytest.raises(ValueError, match=f"labels must hold one label.*got {type(labels).__name__}; give a list"):
        check(labels)


@pytest.mark.parametrize(
    ("y", "missing"),
    [(y, missing) for y in (INTEGERS, FLOATS, STRINGS) for missing in (-1, None)] + [(FLOATS, np.nan)],
    ids=repr,
)
def test_a_missing_label_is_an_abstention_in_the_convention_of_y(y, missing):
    labels = check([missing, missing], y)[1]
    assert labels.dtype == y.dtype
    assert is_missing(labels).all()


@pytest.mark.parametrize("labels", [[1.0, 0.0], [1, None], np.array([1, 0], dtype=np.uint8)], ids=repr)
def test_labels_are_converted_without_loss(labels):
    converted = check(labels)[1]
    assert converted.dtype == INTEGERS.dtype
    assert converted[0] == 1


@pytest.mark.parametrize("y", [INTEGERS, STRINGS, np.array([True, False, None])], ids=["int", "str", "bool"])
@pytest.mark.parametrize(
    "labels", [[np.nan, np.nan], [None, float("nan")], np.array([np.nan, 1], np.float32)], ids=repr
)
def test_nan_is_no_answer_unless_labels_are_floats(y, labels):
    with pytest.raises(ValueError, match="labels holds NaN at position"):
        check(labels, y)


@pytest.mark.parametrize(
    ("y", "labels", "classes", "new"),
    [
        (INTEGERS, [1, 3], [0, 1], 3),
        (STRINGS, ["a", "dog"], np.array(["a", "b"]), "dog"),
        (FLOATS, [2, 1], [0.0, 1.0], 2.0),
    ],
    ids=["int", "str", "float"],
)
def test_a_class_that_is_not_known_is_refused(y, labels, classes, new):
    with pytest.raises(ValueError, match=f'labels holds {new!r}, which is none of the 2 classes.*new_classes="learn"'):
        check_answers([7, 4], labels, OPEN, y, kinds=kinds_of(y), classes=classes)


def test_an_abstention_is_of_no_class():
    assert check_answers([7, 4], [1, -1], OPEN, INTEGERS, kinds={"i"}, classes=[0, 1])[1].tolist() == [1, -1]


def test_strings_may_be_longer_than_those_known():
    assert check(["elephant", "a"], STRINGS)[1].tolist() == ["elephant", "a"]


@pytest.mark.parametrize("labels", [[1], [1, 0, 1], []])
def test_as_many_labels_as_ids(labels):
    with pytest.raises(ValueError, match=f"labels must hold one label for each of the 2 ids, got {len(labels)}"):
        check(labels)


@pytest.mark.parametrize("ids", [[4.0, 7.0], ["4", "7"], [True, False]])
def test_ids_are_integers(ids):
    with pytest.raises(ValueError, match="ids must be row numbers"):
        check([1, 0], ids=ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.ma.array([4, 7], mask=[True, False]), r"masked array.*ids\.compressed"),
        (np.array([True, True]), r"boolean mask; turn it into them by numpy\.flatnonzero"),
        ([[4], [7, 9]], "lists of several lengths"),
        ({4, 7}, "ids must be row numbers"),
        (np.array([4, 7], dtype="M8[ns]"), "ids must be row numbers"),
        ([4, None], "ids must be row numbers"),
        ([4, 2**70], f"ids holds row {2**70}"),
        (np.array([4, 2**63 + 5], dtype=np.uint64), f"ids holds row {2**63 + 5}"),
    ],
    ids=repr,
)
def test_ids_that_are_no_row_numbers_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        check_answers(ids, [1, 0], OPEN, INTEGERS, kinds={"i"})


@pytest.mark.parametrize("ids", [np.array(7), np.uint8(7), np.array([7], dtype=object), pd.Series([7], dtype="Int64")])
def test_ids_may_be_integers_of_any_kind(ids):
    assert check_answers(ids, [1], OPEN, INTEGERS, kinds={"i"})[0] == [7]


# Labels in a Series

LABELS = np.array([0, 1, 1])
IDS = [9, 4, 7]


@pytest.mark.parametrize(
    ("ids", "labels"),
    [
        (IDS, pd.Series(LABELS, index=IDS)),
        (IDS, pd.Series(LABELS, index=IDS)[::-1]),
        (IDS, pd.Series(LABELS, index=IDS).sort_index()),
        (np.array(IDS), pd.Series(LABELS, index=IDS, dtype="Int64")[::-1]),
        (IDS, pd.Series(LABELS)),
        (pd.Series(IDS, index=list("abc")), pd.Series(LABELS, index=list("abc"))[::-1]),
        (pd.Series(IDS, index=list("abc")), pd.Series(LABELS, index=IDS)[::-1]),
        (pd.Series(IDS, index=list("abc")), pd.Series(LABELS)),
        (pd.Series(IDS, index=[2, 1, 0]), pd.Series(LABELS, index=[2, 1, 0])),
        (pd.Series(IDS, index=list("abc")), LABELS.tolist()),
    ],
    ids=[
        "ids",
        "upside down",
        "sorted",
        "nullable",
        "order",
        "index of ids",
        "ids in a Series",
        "plain",
        "equal",
        "list",
    ],
)
def test_a_series_of_labels_goes_by_its_index(ids, labels):
    rows, answers = check_answers(ids, labels, OPEN, INTEGERS, kinds={"i"})
    assert (rows, answers.tolist()) == (IDS, LABELS.tolist())


@pytest.mark.parametrize("index", [list("abc"), [9, 9, 9], [9, 4, 0], [2, 1, 0], [1, 2, 3]], ids=repr)
def test_a_series_of_labels_for_nobody_knows_whom_is_refused(index):
    with pytest.raises(ValueError, match=r"holds neither the ids nor 0, 1, 2, .*labels\.to_numpy\(\)"):
        check_answers(IDS, pd.Series(LABELS, index=index), OPEN, INTEGERS, kinds={"i"})


def test_a_series_that_can_be_read_in_two_ways_is_refused():
    with pytest.raises(ValueError, match="may mean the ids or their order, and the two disagree"):
        check_answers([2, 0, 1], pd.Series(LABELS), [0, 1, 2], INTEGERS, kinds={"i"})
    assert check_answers([0, 1, 2], pd.Series(LABELS), [0, 1, 2], INTEGERS, kinds={"i"})[1].tolist() == [0, 1, 1]


def test_a_series_may_name_the_rows_as_the_data_do():
    names = pd.Index([f"row {i}" for i in range(10)])
    labels = pd.Series(LABELS, index=names[IDS])
    for given in (labels, labels[::-1]):
        rows, answers = check_answers(IDS, given, OPEN, INTEGERS, kinds={"i"}, index=names)
        assert (rows, answers.tolist()) == (IDS, LABELS.tolist())


def test_ids_are_a_list():
    with pytest.raises(ValueError, match=r"ids must be a list of row numbers, got an array of shape \(2, 1\)"):
        check([1, 0], ids=[[4], [7]])


def test_no_row_twice():
    with pytest.raises(ValueError, match="ids names a row twice"):
        check([1, 0], ids=[4, 4])


@pytest.mark.parametrize("row", [5, -1, 10**6])
def test_only_open_questions_are_answered(row):
    with pytest.raises(ValueError, match=rf"row {row}, which is not an open question; 3 row\(s\) are: \[4, 7, 9\]"):
        check([1, 0], ids=[4, row])


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (INTEGERS, ["cat", "dog"]),
        (INTEGERS, ["1", "0"]),
        (INTEGERS, [0.5, 1.0]),
        (INTEGERS, [np.inf, 1.0]),
        (INTEGERS, [1, "b"]),
        (INTEGERS.astype(np.int8), [300, 1]),
        (FLOATS, ["a", "b"]),
        (FLOATS, [0.5, 1.0]),
        (FLOATS, [np.inf, 1.0]),
        (STRINGS, [0, 1]),
        (STRINGS, ["a", 1]),
        (STRINGS, [True, False]),
        (np.array([True, False, None], dtype=object), [1, 0]),
        (np.array([1, 2, None], dtype=object), ["a", "b"]),
    ],
    ids=repr,
)
def test_labels_of_another_type_are_refused(y, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="labels must be of the type of y"):
            check(labels, y)


def test_minus_one_is_not_missing_where_it_is_a_class_of_floats():
    y = np.array([-1.0, 1.0, np.nan])
    assert check([-1.0, 1.0], y)[1].tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match=r"-1\.0 is one of its classes; give floats"):
        check([-1, 1], y)


def test_anything_goes_where_no_label_is_known():
    y = np.array([None, None], dtype=object)
    assert check(["a", "b"], y)[1].tolist() == ["a", "b"]


def test_two_dimensional_labels_are_refused():
    with pytest.raises(ValueError, match="1d array"):
        check([[1, 0], [0, 1]])
