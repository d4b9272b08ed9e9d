"""Domains of one's own become X, y and sample_domain, or an error that names the domain."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.naive_bayes import GaussianNB
from torch.utils.data import ConcatDataset, IterableDataset, TensorDataset

from skada_active import ActiveAdaptationLoop, domains, stack_domains

XA, XB = np.arange(6.0).reshape(3, 2), np.ones((2, 2))
FRAME_A = pd.DataFrame({"age": [1, 2, 3], "dose": [1.0, np.nan, 3.0]}, index=[7, 8, 9])
FRAME_B = pd.DataFrame({"dose": [5.0, 6.0], "age": [4, 5]}, index=[9, 7])


def stacked(X_a=XA, y_a=(0, 1, 0), X_b=XB, y_b=None, target="B"):
    return stack_domains({"A": (X_a, list(y_a) if isinstance(y_a, tuple) else y_a), "B": (X_b, y_b)}, target=target)


def labels(y_a, y_b):
    return stacked(y_a=y_a, y_b=y_b)[1]


def test_it_is_public_in_two_places():
    assert stack_domains is domains.stack_domains


def test_the_kth_domain_has_the_number_k_and_a_target_its_negative():
    X, y, sample_domain = stack_domains(
        {"A": (XA, [0, 1, 0]), "B": (XB, None), 3: (XB, [1, 1]), "D": (XB, [0, -1])}, target=["D", "B"]
    )
    assert sample_domain.tolist() == [1, 1, 1, -2, -2, 3, 3, -4, -4]
    assert y.tolist() == [0, 1, 0, -1, -1, 1, 1, 0, -1]
    assert np.array_equal(X, np.concatenate([XA, XB, XB, XB]))
    assert (y.dtype, sample_domain.dtype, X.flags.c_contiguous) == (np.int64, np.int64, True)


def test_the_loop_takes_what_comes_out():
    X, y, sample_domain = stacked(X_b=XA + 1, y_b=[0, 1, 1])
    loop = ActiveAdaptationLoop(GaussianNB(), budget=2, n_rounds=1)
    assert loop.fit(X, y, sample_domain=sample_domain).n_queries_ == 2


@pytest.mark.parametrize(
    ("y_a", "y_b", "expected"),
    [
        ([0, 1, 0], [1, -1], np.array([0, 1, 0, 1, -1])),
        ([0, 1, 0], pd.Series([1, None], dtype="Int64"), np.array([0, 1, 0, 1, -1])),
        ([0, 1, 0], [1.0, np.nan], np.array([0, 1, 0, 1, -1])),
        ([0, 1, 0], np.array([1, None], dtype=object), np.array([0, 1, 0, 1, -1])),
        ([2**60, 2**60 + 1, 5], [5, -1], np.array([2**60, 2**60 + 1, 5, 5, -1])),
        (np.array([0, 1, 0], np.uint8), None, np.array([0, 1, 0, -1, -1])),
        (np.array([-1, 1, 1], dtype=object), [1, -1], np.array([-1, 1, 1, 1, None], dtype=object)),
        ([0.5, 1.0, 0.0], None, np.array([0.5, 1.0, 0.0, np.nan, np.nan])),
        ([True, False, True], None, np.array([True, False, True, None, None], dtype=object)),
        (["a", "b", "a"], ["ccc", None], np.array(["a", "b", "a", "ccc", None], dtype=object)),
        (["a", "b", "a"], ["ccc", "b"], np.array(["a", "b", "a", "ccc", "b"])),
        (pd.Categorical(["a", "b", "a"]), None, np.array(["a", "b", "a", None, None], dtype=object)),
    ],
)
def test_labels_keep_their_type_and_miss_by_its_convention(y_a, y_b, expected):
    y = labels(y_a, y_b)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


def test_without_any_label_nothing_says_of_what_type_the_answers_will_be():
    assert stacked(y_a=None, target=["A", "B"])[1].tolist() == [None] * 5


@pytest.mark.parametrize(
    ("y_a", "y_b", "message"),
    [
        ([0, 1, 0], ["0", "1"], r"y holds strings in domains\['B'\] but integers in domains\['A'\]"),
        ([0, 1, 0], [0.0, 1.0], "floats.*'B'.*integers.*'A'"),
        ([0, 1, 0], [0.5, np.nan], "floats.*'B'.*integers.*'A'"),
        ([True, False, True], [0, 1], "integers.*'B'.*booleans.*'A'"),
        (np.array(["a", 1, 1], dtype=object), None, "integers and strings.*'A'"),
        ([0, -1, 1], None, r"domains\['A'\] is a source, but 1 of its 3 rows .* row 1 \(y=-1"),
        (["a", "b", None], None, "'A'.* is a source"),
        ([0.0, 1.0, np.nan], None, "'A'.* is a source"),
        (None, [0, 1], "'A'.* is a source, but 3 of its 3"),
        ([0, 1], None, r"domains\['A'\]: X has 3 rows and y has 2"),
        ([0, 1, 0], np.ma.array([0, 1], mask=[0, 1]), r"domains\['B'\]: y is a masked array"),
        (np.array([2**64 - 1, 0, 1], dtype=np.uint64), None, r"domains\['A'\].* more than int64 holds"),
    ],
)
def test_labels_that_would_become_others_are_refused(y_a, y_b, message):
    with pytest.raises(ValueError, match=message):
        labels(y_a, y_b)


def test_columns_are_aligned_by_name_and_the_index_is_kept():
    X, _, _ = stacked(X_a=FRAME_A, X_b=FRAME_B)
    assert list(X) == ["age", "dose"]
    assert X.index.tolist() == [7, 8, 9, 9, 7]
    assert X["age"].tolist() == [1, 2, 3, 4, 5]
    assert X.dtypes.tolist() == [np.int64, np.float64]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="age"), r"domains\['B'\]: X lacks \['age'\]"),
        (lambda frame: frame.assign(sex=1, town=2), r"domains\['B'\]: X has besides \['sex', 'town'\]"),
        (lambda frame: frame.rename(columns={"age": "Age"}), r"lacks \['age'\] and has besides \['Age'\]"),
        (lambda frame: pd.concat([frame, frame], axis=1), "two columns of the name 'dose'"),
        (lambda frame: frame.assign(age=["4", "5"]), r"Column 'age' holds text in domains\['B'\] but numbers in"),
        (lambda frame: frame.assign(age=True), "Column 'age' holds booleans"),
        (lambda frame: frame.assign(age=pd.to_datetime(["2020", "2021"])), "Column 'age' holds dates"),
    ],
)
def test_tables_of_other_columns_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        stacked(X_a=FRAME_A, X_b=change(FRAME_B))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [
        ([1, 2, 3], [4.5, 5.0], "float64"),
        ([1, 2, 3], [None, None], "float64"),
        (pd.array([1, None, 2], dtype="Int64"), [np.nan, np.nan], "Int64"),
        (pd.Categorical(list("xyz")), pd.Categorical(list("wx")), "category"),
        (pd.Categorical(list("xyz")), [None, None], "category"),
        (pd.to_datetime(["2020", "2021", "2022"]).to_numpy(), [None, None], "datetime64"),
    ],
)
def test_a_column_keeps_its_type_where_a_domain_has_no_values_or_other_categories(a, b, dtype):
    X, _, _ = stacked(X_a=FRAME_A.assign(age=a), X_b=FRAME_B.assign(age=b))
    assert str(X["age"].dtype).startswith(dtype)
    assert X["age"].isna().sum() == pd.isna(a).sum() + pd.isna(b).sum()


def test_labels_in_another_order_than_their_rows_are_refused():
    with pytest.raises(ValueError, match=r"domains\['A'\]: X and y have the same index in another order"):
        stacked(X_a=FRAME_A, y_a=pd.Series([0, 1, 0], index=[9, 8, 7]), X_b=FRAME_B)
    assert len(stacked(X_a=FRAME_A, y_a=pd.Series([0, 1, 0]), X_b=FRAME_B)[1]) == 5


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_rows_become_csr(form):
    X, _, _ = stacked(X_a=form(XA), X_b=form(XB))
    assert X.format == "csr"
    assert np.array_equal(X.toarray(), np.concatenate([XA, XB]))


def test_a_dataset_is_not_read_beyond_its_first_row():
    class Rows(TensorDataset):
        def __getitem__(self, index):
            assert index == 0
            return super().__getitem__(index)

    X, _, _ = stack_domains({"A": (Rows(torch.zeros(3, 2)), [0, 1, 0]), "B": (Rows(torch.ones(2, 2)), None)}, "B")
    assert len(X) == 5


def test_datasets_are_concatenated():
    X, y, _ = stacked(X_a=TensorDataset(torch.zeros(3, 2)), X_b=TensorDataset(torch.ones(2, 2)))
    assert isinstance(X, ConcatDataset)
    assert len(X) == len(y) == 5
    assert torch.equal(X[3][0], torch.ones(2))


def test_files_images_and_texts_stay_a_list():
    assert stacked(X_a=["1.png", "2.png", "3.png"], X_b=[Path("4.png")], y_b=[1])[0][2:] == ["3.png", Path("4.png")]


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, np.ndarray.tolist])
def test_arrays_tensors_and_lists_of_numbers_become_one_array(make):
    X, _, _ = stacked(X_a=make(XA), X_b=make(XB))
    assert isinstance(X, np.ndarray)
    assert X.dtype == np.float64


def test_polars_and_pyarrow_tables_are_aligned_too():
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for make, text in ((pl.DataFrame, pl.Series), (pa.table, pa.array)):
        a = make({"age": [1, 2, 3], "dose": [1.0, 2.0, 3.0]})
        X, _, _ = stacked(X_a=a, X_b=make({"dose": [5.0, 6.0], "age": [4, 5]}))
        assert isinstance(X, type(a))
        assert X["age"].to_pylist() if make is pa.table else X["age"].to_list() == [1, 2, 3, 4, 5]
        with pytest.raises(ValueError, match="Column 'age' holds text"):
            stacked(X_a=a, X_b=make({"dose": [5.0], "age": text(["4"])}))


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2)


@pytest.mark.parametrize(
    ("X_b", "error", "message"),
    [
        (np.ones((2, 3)), ValueError, r"\(3,\) in domains\['B'\] but \(2,\) in domains\['A'\]"),
        (np.ones(2), ValueError, r"\(\) in domains\['B'\] but \(2,\)"),
        (np.empty((0, 2)), ValueError, r"domains\['B'\]: X has no rows"),
        ([[1.0, 2.0], [3.0]], ValueError, r"domains\['B'\]: the rows of X differ"),
        (np.array([["a", "b"]]), ValueError, "text.*'B'.*numbers.*'A'"),
        (np.ma.array(XB), ValueError, r"domains\['B'\]: X is a masked array"),
        (sparse.csr_array(XB), TypeError, "sparse matrix.*'B'.*array.*'A'"),
        (FRAME_B, TypeError, "table of pandas.*'B'.*array.*'A'"),
        (FRAME_B["age"], TypeError, "'B'.*X is a Series.*to_frame"),
        (TensorDataset(torch.zeros(2, 2)), TypeError, "dataset.*'B'.*array.*'A'"),
        (["1.png"], TypeError, "list.*'B'.*array.*'A'"),
        (Stream(), TypeError, "'B'.*X is a Stream"),
        (iter([[1.0, 2.0]]), TypeError, r"'B'.*give list\(X\)"),
        ("folder", TypeError, "'B'.*X is a str"),
        (None, TypeError, "'B'.*X is a NoneType"),
        (7, TypeError, "'B'.*X=7 is no table"),
    ],
    ids=str,
)
def test_rows_that_do_not_go_together_are_refused_by_domain(X_b, error, message):
    with pytest.raises(error, match=message):
        stacked(X_b=X_b)


def test_images_of_other_size_or_scale_are_refused():
    images = np.zeros((3, 1, 4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"Images are no bytes in .*'B'"):
        stacked(X_a=images, X_b=images / 255, y_b=[0, 1, 0])
    with pytest.raises(ValueError, match=re.escape("(1, 5, 5) in domains['B']")):
        stacked(X_a=images, X_b=np.zeros((3, 1, 5, 5), np.uint8))
    with pytest.raises(ValueError, match=re.escape("(3,) in domains['B']")):
        stacked(X_a=TensorDataset(torch.zeros(3, 2)), X_b=TensorDataset(torch.zeros(2, 3)))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("site b", r"'site b', which is none of the domains \['A', 'B'\]"),
        ("BB", "did you mean 'B'"),
        (3, "none of the domains"),
        ([], "at least one"),
        (["B", "B"], "each of them once"),
        (["B", "C"], "names 'C'"),
    ],
)
def test_a_target_that_is_no_domain_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        stacked(target=target)


@pytest.mark.parametrize(
    "given", [[("A", (XA, None))], {}, {"A": XA}, {"A": [XA, None]}, {"A": (XA, None, None)}], ids=str
)
def test_anything_but_a_dict_of_pairs_is_refused(given):
    with pytest.raises(TypeError, match="domains"):
        stack_domains(given, target="A")
