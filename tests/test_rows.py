"""Rows are taken by number from every container that the package accepts."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from torch.utils.data import Dataset

from skada_active._rows import as_rows, n_rows, take_rows


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
