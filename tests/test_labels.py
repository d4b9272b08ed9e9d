"""Labels of any container, without loss."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import resolve_roles
from skada_active.labels import as_labels, is_missing, native_labels

BIG = 2**60


def arrow(values, **params):
    return pytest.importorskip("pyarrow").array(values, **params)


def containers(values):
    """Return functions that make containers of integers or booleans next to a missing one."""
    kind = "boolean" if isinstance(values[0], bool) else "Int64"
    return {
        "extension": lambda: pd.Series(values, dtype=kind),
        "index": lambda: pd.Index(values, dtype=kind),
        "frame of one column": lambda: pd.DataFrame({"y": pd.array(values, dtype=kind)}),
        "category": lambda: pd.Series(pd.array(values, dtype=kind)).astype("category"),
        "categorical": lambda: pd.Categorical(values),
        "pandas on arrow": lambda: pd.Series(arrow(values).to_pandas(types_mapper=pd.ArrowDtype)),
        "arrow": lambda: arrow(values),
        "chunks of arrow": lambda: pytest.importorskip("pyarrow").chunked_array([values]),
        "polars": lambda: pytest.importorskip("polars").Series(values),
        "objects": lambda: np.array(values, dtype=object),
        "list": lambda: list(values),
    }


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("name", containers([0]))
@pytest.mark.parametrize("known", [[BIG, BIG + 1, 5], [1, 2, 5], [True, False, True]], ids=repr)
def test_labels_next_to_a_missing_one_stay_what_they_are(name, known):
    labels = as_labels(containers([*known, None])[name]())
    missing = is_missing(labels)
    assert missing.tolist() == [False, False, False, True]
    native = native_labels(labels[~missing])
    assert native.tolist() == known
    assert native.dtype == np.array(known).dtype


def test_large_integers_in_a_list_with_nan_stay_what_they_are():
    labels = as_labels([BIG, BIG + 1, float("nan")])
    assert labels[:2].tolist() == [BIG, BIG + 1]
    assert is_missing(labels).tolist() == [False, False, True]


def test_floats_of_an_extension_array_stay_floats():
    labels = as_labels(pd.Series([0.0, 1.0, None], dtype="Float64"))
    assert labels.dtype == float
    assert is_missing(labels).tolist() == [False, False, True]


def test_a_loop_predicts_the_integers_of_an_extension_array():
    X = np.array([[0.0], [1.0], [5.0], [6.0], [0.5], [5.5]])
    y = pd.Series([BIG, BIG, BIG + 1, BIG + 1, None, None], dtype="Int64")
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=2, n_rounds=1)
    session = loop.session(X, y, sample_domain=[1, 1, 1, 1, -1, -1])
    session.tell(sorted(session.ask()), [BIG, BIG + 1])
    assert session.estimator_.predict(X).tolist() == [BIG, BIG, BIG + 1, BIG + 1, BIG, BIG + 1]


def test_integers_among_objects_are_answered_by_whole_floats_too():
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=1, n_rounds=1)
    session = loop.session([[0.0], [1.0], [2.0]], pd.Series([3, 4, None], dtype="Int64"), sample_domain=[1, 1, -1])
    with pytest.raises(ValueError, match="labels must be of the type of y"):
        session.tell(session.ask(), [4.5])
    session.tell(session.ask(), np.array([4.0]))
    assert session.answers()["label"].tolist() == [4]
    assert isinstance(session.answers()["label"][0], int)


@pytest.mark.parametrize(
    "y", [["abc\0", "b"], np.array(["abc\0", None], dtype=object), pd.Series(["abc\0", "b"]), ["abc\0", None]], ids=repr
)
def test_a_string_that_numpy_would_cut_is_refused(y):
    with pytest.raises(ValueError, match=r"'abc\\x00' ends in a NUL character"):
        as_labels(y)


def test_a_nul_within_a_string_stays():
    assert as_labels(["a\0b", "b"]).tolist() == ["a\0b", "b"]


@pytest.mark.parametrize("labels", ["red\0", ["red\0"]], ids=["one", "list"])
def test_an_answer_that_numpy_would_cut_is_refused(labels):
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=1, n_rounds=1, new_classes="learn")
    session = loop.session([[0.0], [1.0], [2.0]], ["red", "blue", None], sample_domain=[1, 1, -1])
    with pytest.raises(ValueError, match="ends in a NUL"):
        session.tell(session.ask(), labels)


@pytest.mark.parametrize("y", [np.array(["2020", "NaT"], "M8[D]"), pd.Series(pd.to_datetime(["2020", None]))], ids=str)
def test_dates_are_refused(y):
    with pytest.raises(ValueError, match=r"y holds dates or times.*strings"):
        as_labels(y)


def test_a_missing_date_among_objects_is_missing():
    assert is_missing(np.array(["a", pd.NaT], dtype=object)).tolist() == [False, True]


def test_a_matrix_of_classes_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"y should be a 1d array.*y\.argmax\(axis=1\)"):
        as_labels(np.eye(3))


def test_unsigned_integers_beyond_signed_ones_are_refused():
    with pytest.raises(ValueError, match="y holds 18446744073709551615, more than int64 holds"):
        as_labels(np.array([0, -1]).astype(np.uint64))


Colour = Enum("Colour", "RED BLUE")


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        ([1, "a", None], "int and str"),
        ([True, 2, None], "bool and int"),
        ([1, 2.5, None], "float and int"),
        ([Decimal(1), Decimal(2)], "Decimal"),
        (list(Colour), "Colour"),
        ([pd.Timestamp("2020", tz="UTC"), None], "Timestamp"),
    ],
    ids=str,
)
def test_labels_that_are_no_one_type_of_class_are_refused(labels, types):
    y = np.array(labels, dtype=object)
    domain = [1 if label is not None else -1 for label in labels]
    with pytest.raises(ValueError, match=f"y holds labels of type {types}, such as .*None where a label is missing"):
        resolve_roles(y, domain)


@pytest.mark.parametrize("y", [{0, 1}, {0: "a"}, (label for label in [0, 1]), "ab", 3], ids=lambda y: type(y).__name__)
def test_what_is_no_list_of_labels_is_refused_by_its_type(y):
    with pytest.raises(ValueError, match=f"y should be a 1d array, got {type(y).__name__} instead"):
        as_labels(y)
