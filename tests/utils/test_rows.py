"""Rows are taken by number from every container that the package accepts."""

from collections import UserList

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.utils import _safe_indexing
from torch.utils.data import Dataset, TensorDataset

from skada_active.deep import AdaptationClassifier
from skada_active.utils.rows import as_rows, is_dataset, n_rows, take_rows


class Squares(Dataset):
    """Yield the square of the index, and insist on a plain integer, as torch's own generators do."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        assert type(index) is int
        return np.array([index**2])


X = np.arange(10.0).reshape(5, 2)
CONTAINERS = {
    "array": X,
    "frame": pd.DataFrame(X, index=list("edcba")),
    "csr": sparse.csr_array(X),
    "list": X.tolist(),
    "coo": sparse.coo_array(X),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_rows_are_taken_by_number(name):
    rows = take_rows(as_rows(CONTAINERS[name]), np.array([3, 1]))
    rows = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    np.testing.assert_array_equal(rows, X[[3, 1]])


@pytest.mark.parametrize("name", CONTAINERS)
def test_rows_are_counted(name):
    assert n_rows(as_rows(CONTAINERS[name])) == 5


def test_all_rows_in_order_are_the_container_itself():
    assert take_rows(X, np.arange(5)) is X


def test_a_dataset_is_asked_with_plain_integers():
    rows = take_rows(Squares(), np.array([4, 2]))
    assert [int(rows[position][0]) for position in range(len(rows))] == [16, 4]


class Lines:
    """Hold rows that are read one by one, by integers alone, and are a dataset by their form only."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        assert isinstance(index, int | np.integer)
        return self.rows[index], 7


@pytest.mark.parametrize("dataset", [Squares(), Lines(X)], ids=["torch", "by its form"])
def test_a_dataset_is_no_array_and_is_not_read(dataset):
    assert is_dataset(dataset)
    assert as_rows(dataset) is dataset
    assert n_rows(dataset) == 5


@pytest.mark.parametrize(
    "X",
    [*CONTAINERS.values(), tuple(X.tolist()), UserList(X.tolist()), range(5), "rows", {"a": 1}, pd.Series([1]), None],
    ids=lambda X: type(X).__name__,
)
def test_arrays_sequences_and_tables_are_no_datasets(X):
    assert not is_dataset(X)


def test_rows_of_a_dataset_by_its_form_are_taken_lazily():
    rows = take_rows(Lines(X), np.array([3, 1]))
    assert len(rows) == 2
    np.testing.assert_array_equal(rows[0][0], X[3])


@pytest.mark.parametrize(
    "dataset",
    [TensorDataset(torch.as_tensor(X), torch.arange(5)), TensorDataset(torch.as_tensor(X)), Lines(X)],
    ids=["row and label", "row alone", "by its form"],
)
def test_items_that_scikit_learn_took_from_a_dataset_are_stacked_to_rows(dataset):
    np.testing.assert_array_equal(as_rows(_safe_indexing(dataset, np.array([3, 1]))), X[[3, 1]])


def test_a_list_of_texts_takes_no_more_memory_than_its_texts():
    texts = ["short", "long" * 1000]
    rows = as_rows(texts)
    assert rows.dtype == object
    assert rows.tolist() == texts


def test_tuples_of_numbers_are_rows():
    rows = list(map(tuple, X.tolist()))
    assert not is_dataset(rows)
    np.testing.assert_array_equal(as_rows(rows), X)


@pytest.mark.parametrize("taken", [False, True], ids=["dataset", "list of its items"])
def test_the_network_reads_a_dataset_by_its_form_like_an_array(taken):
    y = np.arange(5) % 2
    rows = Lines(X.astype(np.float32))
    rows = [rows[position] for position in range(5)] if taken else rows
    expected, read = (
        AdaptationClassifier(max_epochs=1, standardize=False, device="cpu", random_state=0).fit(data, y)
        for data in (X.astype(np.float32), rows)
    )
    np.testing.assert_allclose(read.predict_proba(rows), expected.predict_proba(X.astype(np.float32)), rtol=1e-5)
