"""A fingerprint is the same for the same data, wherever they lie, and an error names what changed."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch.utils.data import Dataset, TensorDataset

from skada_active.io.fingerprint import check_fingerprint, fingerprint

N = 640  # ten rows a block
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)).round(2)
y = np.where(np.arange(N) < 320, np.arange(N) % 3, -1)
domain = np.where(np.arange(N) < 320, 0, -1)
FRAME = pd.DataFrame(
    {
        "age": np.arange(N),
        "height": X[:, 0],
        "weight": X[:, 1],
        "town": pd.Categorical(np.array(["a", "b", "c"])[np.arange(N) % 3]),
        "note": np.array(["x", "y"])[np.arange(N) % 2],
        "mixed": np.array([1, "1"], dtype=object)[np.arange(N) % 2],
        "count": pd.array(np.arange(N), dtype="Int64"),
    }
)
CSR = sparse.csr_array(np.where(X > 0.5, X, 0))


def recorded(X=X, y=y, domain=domain):
    return json.loads(json.dumps(fingerprint(X, y, domain), allow_nan=False))


def same(X_then, X_now, y_then=y, y_now=y):
    n = len(y_then)
    check_fingerprint(recorded(X_then, y_then, domain[:n]), X_now, y_now, domain[:n], "the journal labels.db")
    return fingerprint(X_then, y_then, domain[:n]) == fingerprint(X_now, y_now, domain[:n])


def error(then=(X, y, domain), now=(X, y, domain)):
    before = recorded(*then)
    assert fingerprint(*now) != before
    with pytest.raises(ValueError, match="start a new session in another file") as caught:
        check_fingerprint(before, *now, "the journal labels.db")
    return str(caught.value)


def changed(array, position, value):
    array = array.copy()
    array[position] = value
    return array


def memory_map(tmp_path, array):
    path = tmp_path / "X.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


LAYOUTS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "negative strides": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "other order of bytes": lambda X: X.astype(">f8"),
    "list": lambda X: X.tolist(),
    "tensor": lambda X: torch.tensor(X),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_does_not_count(layout):
    assert same(X, LAYOUTS[layout](X))


def test_a_read_only_memory_map_is_the_array(tmp_path):
    assert same(X, memory_map(tmp_path, X))
    assert same(X, memory_map(tmp_path, np.asfortranarray(X)))


@pytest.mark.parametrize("row", [0, 9, 10, 333, N - 1])
@pytest.mark.parametrize("layout", ["C order", "Fortran order"])
def test_a_single_changed_value_is_noticed_and_its_rows_are_named(row, layout):
    now = LAYOUTS[layout](changed(X, (row, 2), 7))
    block = row // 10 * 10
    assert f"rows {block} to {block + 9} of X are others. Give the data that the journal labels.db was made" in error(
        now=(now, y, domain)
    )


def test_a_series_of_texts_has_a_fingerprint():
    texts = pd.Series([f"text {row}" for row in range(N)])
    changed = texts.copy()
    changed[125] = "another text"
    assert recorded(texts) == recorded(texts.copy())
    assert "rows 120 to 129 of X" in error((texts, y, domain), (changed, y, domain))


def test_ranges_of_changed_rows_are_joined_and_the_last_one_ends_with_the_data():
    message = error(now=(changed(X, slice(615, None), 0), y, domain))
    assert message.startswith("rows 610 to 639 of X")


def test_few_rows_are_named_one_by_one():
    data = X[:5], y[:5], domain[:5]
    assert error(data, (changed(X[:5], (3, 0), 9), *data[1:])).startswith("rows 3 to 3 of X ")


def test_many_ranges_are_counted():
    message = error(now=(changed(X, (slice(None, None, 40), 0), 9), y, domain))
    assert message.startswith("rows 0 to 9, rows 40 to 49, ")
    assert "and 11 more ranges of X" in message


def test_rows_in_another_order_are_noticed():
    assert "rows 10 to 29 of X" in error(now=(X[[*range(10), 20, *range(11, 20), 10, *range(21, N)]], y, domain))


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "g", "c16", "U3", "S3", "O", "M8[s]", "m8[s]", "V4"])
def test_a_changed_value_of_any_type_is_noticed(dtype):
    numbers = np.arange(4 * N).reshape(N, 4) % 100
    then = np.zeros((N, 4), dtype) if dtype == "V4" else numbers.astype(dtype)
    now = changed(then, (25, 1), b"1234" if dtype == "V4" else 0 if dtype == "?" else 77)
    assert "rows 20 to 29 of X" in error((then, y, domain), (now, y, domain))
    assert same(then, np.asfortranarray(then.copy()))


def test_fields_of_structured_arrays_count_and_their_padding_does_not():
    then = np.zeros(N, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True))
    now = np.frombuffer(bytes([255]) * then.nbytes, dtype=then.dtype).copy()
    for name in "ab":
        now[name] = then[name]
    assert same(then, now)
    now["b"][12] = 1
    assert "rows 10 to 19 of X" in error((then, y, domain), (now, y, domain))


@pytest.mark.parametrize(("then", "now"), [(1, "1"), (1, True), (1, 1.0), (None, "None"), ("a", "b"), (0.0, -0.0)])
def test_objects_of_other_type_or_value_are_noticed(then, now):
    objects = np.full((N, 1), "a", dtype=object)
    data = [(changed(objects, (4, 0), item), y, domain) for item in (then, now)]
    assert "rows 0 to 9 of X" in error(*data)


def test_addresses_of_objects_do_not_count():
    objects = [np.array([[object()], [np.arange(3)]] * 5, dtype=object) for _ in range(2)]
    assert same(*objects, y[:10], y[:10])


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (X[:-1], "X has the shape [639, 4], not [640, 4]"),
        (X[:, :3], "X has the shape [640, 3], not [640, 4]. Give the data that the journal labels.db was made with"),
        (X.reshape(N, 2, 2), "X has the shape [640, 2, 2], not [640, 4]"),
        (X.astype(np.float32), "X has the type float32, not float64"),
        (pd.DataFrame(X), "X has the kind DataFrame, not array"),
        (sparse.csr_array(X), "X has the kind sparse matrix, not array"),
        (TensorDataset(torch.tensor(X)), "X has the kind dataset, not array"),
    ],
    ids=["rows", "columns", "shape", "type", "frame", "sparse", "dataset"],
)
def test_shape_type_and_kind_are_named(now, words):
    n = len(now) if not sparse.issparse(now) else N
    assert words in error(now=(now, y[:n], domain[:n]))


FRAMES = {
    "missing": (lambda X: X.drop(columns="age"), "X lacks the columns 'age' (int64)"),
    "new": (lambda X: X.assign(new=1), "X has the new columns 'new' (int64)"),
    "order": (
        lambda X: X[["height", "age", *X.columns[2:]]],
        "X has its columns in another order, 'height' (float64), 'age' (int64)",
    ),
    "type": (
        lambda X: X.astype({"age": float}),
        "X lacks the columns 'age' (int64); X has the new columns 'age' (float64)",
    ),
}


@pytest.mark.parametrize("change", FRAMES)
def test_columns_of_a_frame_are_named(change):
    alter, words = FRAMES[change]
    assert words in error((FRAME, y, domain), (alter(FRAME), y, domain))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", 99),
        ("height", 99.5),
        ("height", np.nan),
        ("town", "a"),
        ("town", None),
        ("note", "nan"),
        ("note", None),
        ("mixed", "1"),
        ("count", 99),
        ("count", pd.NA),
    ],
)
def test_a_changed_value_of_a_frame_is_noticed(column, value):
    now = FRAME.copy()
    now.loc[122, column] = value
    assert "rows 120 to 129 of X" in error((FRAME, y, domain), (now, y, domain))


def test_a_missing_word_is_not_the_word_nan():
    then, now = FRAME.copy(), FRAME.copy()
    then.loc[7, "note"], now.loc[7, "note"] = None, "nan"
    assert "rows 0 to 9 of X" in error((then, y, domain), (now, y, domain))


def test_values_that_swap_columns_are_noticed():
    now = FRAME.assign(height=FRAME.weight, weight=FRAME.height)
    assert "rows 0 to 639 of X" in error((FRAME, y, domain), (now, y, domain))


def test_row_labels_and_blocks_of_a_frame_do_not_count():
    pieces = pd.concat([FRAME[[name]] for name in FRAME], axis=1).set_axis(np.arange(N)[::-1])
    assert same(FRAME, pieces)


def test_numbered_and_repeated_column_names_are_known():
    then = pd.DataFrame(X, columns=[0, 0, "a", ("b", 1)])
    assert same(then, then.copy())
    for columns in ([0, 1, "a", ("b", 1)], [0, "0", "a", ("b", 1)]):
        assert "X has the new columns" in error((then, y, domain), (then.set_axis(columns, axis=1), y, domain))


class Table:
    """Stand for a DataFrame of another library."""

    def __init__(self, values, columns):
        self.values, self.columns, self.shape = values, columns, values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        raise AssertionError("rows are taken from the array")

    def __array__(self, dtype=None, copy=None):
        return self.values


def test_other_tables_count_by_their_array_and_columns():
    assert same(Table(X, list("abcd")), Table(X.copy(), list("abcd")))
    message = error((Table(X, list("abcd")), y, domain), (Table(X, list("abce")), y, domain))
    assert message.startswith("X lacks the columns 'd'")


def shuffled_csr():
    csr = CSR.copy()
    for start, stop in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        csr.indices[start:stop] = csr.indices[start:stop][::-1].copy()
        csr.data[start:stop] = csr.data[start:stop][::-1].copy()
    csr.has_sorted_indices = False
    return csr


def test_forms_of_the_same_sparse_data_are_one():
    wide = sparse.csr_array((CSR.data, CSR.indices.astype(np.int64), CSR.indptr.astype(np.int64)), CSR.shape)
    for other in (sparse.csr_matrix(CSR), CSR.tocoo(), CSR.tocsc(), wide):
        assert same(CSR, other)


def test_unsorted_sparse_data_are_the_same_and_stay_unsorted():
    csr = shuffled_csr()
    indices = csr.indices.copy()
    assert same(CSR, csr)
    np.testing.assert_array_equal(csr.indices, indices)


def sparse_change(change):
    csr = CSR.tolil(copy=True).tocsr()
    position = csr.indptr[101]
    if change == "value":
        csr.data[position] = 99
    elif change == "stored zero":
        csr.data[position] = 0
    else:
        dense = csr.toarray()
        row = dense[100:110]
        row[np.nonzero(row == 0)[0][0], np.nonzero(row == 0)[1][0]] = 5
        csr = sparse.csr_array(dense)
    return csr


@pytest.mark.parametrize("change", ["value", "stored zero", "structure"])
def test_changed_sparse_data_are_noticed(change):
    assert "rows 100 to 109 of X" in error((CSR, y, domain), (sparse_change(change), y, domain))


def test_a_value_that_moves_to_another_row_of_sparse_data_is_noticed():
    then, now = np.zeros((2, N, 4))
    then[5, 0], now[6, 0] = 1, 1
    assert "rows 0 to 9 of X" in error(
        (sparse.csr_array(then), y, domain),
        (sparse.csr_array(now), y, domain),
    )


STRINGS = np.array(["cat", "dog", "bird"])[y]
LABELS = {
    "int": y,
    "float": np.where(y == -1, np.nan, y),
    "str": STRINGS,
    "object": np.where(y == -1, None, STRINGS),
    "bool": y == 1,
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_changed_label_is_noticed(kind):
    then = LABELS[kind]
    now = changed(then, 33, then[34])
    message = error((X, then, domain), (X, now, domain))
    assert message.startswith(
        "rows 30 to 39 of y are others (a label that became known since belongs in tell, not in y)"
    )


@pytest.mark.parametrize("kind", ["int", "float", "object"])
def test_a_label_that_became_known_belongs_in_tell(kind):
    now = changed(LABELS[kind], 500, LABELS[kind][0])
    message = error((X, LABELS[kind], domain), (X, now, domain))
    assert message.startswith("rows 500 to 509 of y are others (a label that became known since belongs in tell")


def test_another_type_of_labels_is_named():
    assert "y has the type float64, not int64" in error(now=(X, LABELS["float"], domain))


def test_forms_of_the_same_labels_are_one():
    assert same(X, X, STRINGS, STRINGS.astype("U20"))
    assert same(X, X, STRINGS, STRINGS.tolist())
    assert same(X, X, LABELS["object"], np.where(y == -1, np.nan, LABELS["object"]))
    assert same(X, X, y, pd.Series(y, index=np.arange(N)[::-1]))


def test_other_domains_are_named():
    message = error(now=(X, y, changed(domain, 5, 2)))
    assert message.startswith("rows 0 to 9 of sample_domain are others")
    assert "tell" not in message


def test_all_that_differs_is_said():
    message = error(now=(X.astype(np.float32), LABELS["float"], domain))
    assert "X has the type float32" in message
    assert "y has the type float64" in message


class Images(Dataset):
    """Yield rows and labels one by one; `noise` is added to each reading."""

    def __init__(self, rows=X, noise=None):
        self.rows, self.noise, self.read = rows, noise, set()

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.read.add(index)
        row = torch.tensor(self.rows[index])
        return (row if self.noise is None else self.noise(row)), 1


def test_few_rows_of_a_dataset_are_read():
    images = Images()
    fingerprint(images, y, domain)
    assert len(images.read) == 64
    assert {0, N - 1} <= images.read


def test_the_content_of_a_dataset_is_known():
    assert same(Images(), Images(X.copy()))
    assert same(Images(), TensorDataset(torch.tensor(X)))
    assert error((Images(), y, domain), (Images(changed(X, N - 1, 0)), y, domain)).startswith("rows 639 to 639 of X ")


def test_form_and_length_of_a_dataset_are_known():
    then = Images(), y, domain
    assert "X has the shape [639, 4]" in error(then, (Images(X[1:]), y[1:], domain[1:]))
    assert "X has the shape [640, 3]" in error(then, (Images(X[:, 1:]), y, domain))
    assert "X has the type float32" in error(then, (Images(X.astype(np.float32)), y, domain))


@pytest.mark.parametrize("n", [1, 3, N])
def test_a_transform_that_flips_a_coin_leaves_the_content_out(n):
    coins = np.random.default_rng(1)
    flipped, other = (Images(rows[:n], lambda row: row.flip(0) if coins.random() < 0.5 else row) for rows in (X, X + 1))
    found = fingerprint(flipped, y[:n], domain[:n])["X"]
    assert found["blocks"] == []
    assert same(flipped, other, y[:n], y[:n])


def test_crops_of_random_size_have_no_shape():
    sizes = np.random.default_rng(1)
    crops = Images(X, lambda row: row[: sizes.integers(1, 4)])
    assert fingerprint(crops, y, domain)["X"]["shape"] == [N, None]


def test_a_transform_that_became_random_is_named():
    noisy = Images(X, lambda row: row + torch.rand(1))
    assert "reading a row of X again gives another result" in error((Images(), y, domain), (noisy, y, domain))


def test_no_rows_have_a_fingerprint():
    none = np.empty((0, 4)), y[:0], domain[:0]
    assert recorded(*none)["X"]["blocks"] == []
    check_fingerprint(recorded(*none), *none, "the journal labels.db")


def test_the_fingerprint_is_the_same_in_another_process():
    code = """
import json, sys
import numpy as np, pandas as pd
from scipy import sparse
from skada_active.io.fingerprint import fingerprint
n = 100
X = np.arange(3.0 * n).reshape(n, 3)
words = np.array(["a", "b", None], dtype=object)[np.arange(n) % 3]
frame = pd.DataFrame({"a": X[:, 0], "b": words, "c": pd.Categorical(words)})
data = [X, frame, sparse.csr_array(X), X.astype(object)]
print(json.dumps([fingerprint(rows, words, np.where(words == None, -1, 0)) for rows in data]))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_large_memory_map_is_not_copied(tmp_path):
    shape = (25 * 2**10, 1000)
    rows = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=shape)
    labels = np.zeros(shape[0], dtype=np.int64)
    for view in (rows, np.memmap(tmp_path / "rows", dtype=np.float64, mode="r", shape=shape, order="F")):
        tracemalloc.start()
        found = fingerprint(view, labels, labels)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * 2**20
        assert 64 <= len(found["X"]["blocks"]) <= 256
