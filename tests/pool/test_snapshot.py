"""The rows of a pool are read block by block, and it does not show."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active.domains import resolve_roles
from skada_active.pool import snapshot
from skada_active.pool.readers import ModelReader
from skada_active.pool.snapshot import _read_outputs as read_outputs

FIELDS = {"proba", "logits", "features", "labeled_features", "source_features", "source_y"}


class Rows:
    """A dataset: rows by number, without a shape."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        return self.X[row]


class Net:
    """A model that is read through its own outputs and remembers how many rows it was given, and what was asked."""

    pool_supplies = frozenset({"proba", "logits"})
    classes_ = np.arange(2)

    def __init__(self):
        self.calls = []

    def pool_outputs(self, X, names):
        self.calls.append((len(X), set(names)))
        X = np.stack([X[row] for row in range(len(X))])
        outputs = {"features": X, "logits": X[:, :2], "proba": np.full((len(X), 2), 0.5)}
        return {name: outputs[name] for name in names}


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
    y = np.arange(70) % 2
    domain = np.repeat([1, 2, -1], [12, 11, 47])
    y[30:] = -1
    return X, y, domain


@pytest.fixture
def in_blocks(monkeypatch):
    def set_rows(n_rows):
        monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_BLOCK_BYTES", n_rows * 4 * 4)
        monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_MIN_ROWS", 1)
        monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_DATASET_ROWS", n_rows)

    return set_rows


def filled(view):
    return {name: np.asarray(value) for name, value in vars(view).items()}


CONTAINERS = {
    "array": lambda X: X,
    "column order": np.asfortranarray,
    "CSR": sparse.csr_array,
    "DataFrame": lambda X: pd.DataFrame(X, columns=list("abcd"), index=np.arange(len(X))[::-1]),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("n_rows", [1, 7, 40, 46, 47, 69])
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_several_blocks_give_what_one_gives(data, in_blocks, container, n_rows):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = make_pipeline(StandardScaler(with_mean=False), LogisticRegression()).fit(container(X[:30]), y[:30])
    one = filled(snapshot(model, container(X), roles, FIELDS, y=y))
    in_blocks(n_rows)
    several = filled(snapshot(model, container(X), roles, FIELDS, y=y))
    assert set(several) == set(one) == FIELDS | {"index", "n_initial"}
    for name, values in one.items():
        assert several[name].dtype == values.dtype
        np.testing.assert_allclose(several[name], values, rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_dataset_is_read_in_blocks_of_rows(data, in_blocks):
    X, y, domain = data
    in_blocks(20)
    model = Net()
    view = snapshot(model, Rows(X), resolve_roles(y, domain), {"features", "logits", "source_features"})
    np.testing.assert_array_equal(view.features, X[30:])
    np.testing.assert_array_equal(view.source_features, X[:23])
    assert [rows for rows, _ in model.calls] == [16, 16, 16, 15]


def test_a_network_reads_arrays_and_datasets_in_blocks_alike(data, in_blocks):
    deep = pytest.importorskip("skada_active.deep")
    X, y, domain = data
    model = deep.AdaptationClassifier(max_epochs=1, random_state=0).fit(X, y, domain)
    roles, needs = resolve_roles(y, domain), {"proba", "features", "labeled_features"}
    one = filled(snapshot(model, X, roles, needs))
    in_blocks(11)
    for rows in (X, Rows(X)):
        several = filled(snapshot(model, rows, roles, needs))
        for name, values in one.items():
            np.testing.assert_allclose(several[name], values, rtol=1e-4, atol=1e-7, err_msg=name)


def test_a_block_holds_so_many_bytes_and_its_groups_are_asked_for_no_more_than_they_need(data, in_blocks):
    X, y, domain = data
    in_blocks(20)
    model = Net()
    snapshot(model, X, resolve_roles(y, domain), {"proba", "source_features"})
    both = {"proba", "features"}
    assert model.calls == [(16, {"proba"}), (16, {"proba"}), (16, both), (15, {"features"})]


def test_a_group_without_rows_is_filled_without_rows(data, in_blocks):
    X, y, domain = data
    y = np.where(domain < 0, -1, y)
    in_blocks(20)
    view = snapshot(Net(), X, resolve_roles(y, domain), {"proba", "labeled_features"})
    assert view.labeled_features.shape == (0, 4)


def test_members_of_a_committee_are_read_in_blocks_of_rows(data, in_blocks):
    class Committee(Net):
        pool_supplies = frozenset({"proba", "committee_logits"})

        def pool_outputs(self, X, names):
            members = np.stack([X, 2 * X])[:, :, :2]
            return super().pool_outputs(X, names - {"committee_logits"}) | {"committee_logits": members}

    X, y, domain = data
    in_blocks(11)
    view = snapshot(Committee(), X, resolve_roles(y, domain), {"proba", "committee_logits"})
    np.testing.assert_array_equal(view.committee_logits, [X[30:, :2], 2 * X[30:, :2]])
    assert view.proba.shape == (40, 2)


@pytest.mark.parametrize("in_one_pass", [True, False])
def test_features_and_probabilities_of_the_revealed_rows_are_read_in_the_same_pass(data, in_blocks, in_one_pass):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[roles.labeled], y[roles.labeled])
    if not in_one_pass:
        in_blocks(3)
    view = snapshot(model, X, roles, {"proba", "labeled_features", "labeled_proba"})
    np.testing.assert_array_equal(view.labeled_features, X[roles.labeled_target])
    np.testing.assert_allclose(view.labeled_proba, model.predict_proba(X[roles.labeled_target]), rtol=1e-5)


def test_probabilities_of_the_revealed_rows_need_a_model_that_has_some(data):
    X, y, domain = data
    roles = resolve_roles(y, domain)
    model = Perceptron().fit(X[roles.labeled], y[roles.labeled])
    with pytest.raises(ValueError, match=r"cannot supply 'labeled_proba'.*CalibratedClassifierCV"):
        snapshot(model, X, roles, {"labeled_proba"})


def test_nothing_is_read_where_nothing_is_needed(data):
    X, y, domain = data
    model = Net()
    snapshot(model, X, resolve_roles(y, domain), {"source_y", "target_domain"}, y=y)
    assert model.calls == []


def test_a_block_has_a_thousand_rows_at_least_and_small_pools_are_one(monkeypatch):
    X, model = np.zeros((3000, 2), dtype=np.float32), Net()
    roles = resolve_roles(np.full(3000, -1), np.full(3000, -1))
    snapshot(model, X, roles, {"proba"})
    monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_BLOCK_BYTES", 1)
    snapshot(model, X, roles, {"proba"})
    assert [rows for rows, _ in model.calls] == [3000, 1000, 1000, 1000]


def test_a_single_block_is_not_copied():
    X = np.ones((40, 4))
    model = LogisticRegression().fit([[0.0] * 4, [1.0] * 4], [0, 1])
    view = snapshot(model, X, resolve_roles(np.full(40, -1), np.full(40, -1)), {"features"})
    assert np.shares_memory(view.features, X)


@pytest.mark.parametrize("names", [{"proba"}, {"proba", "features"}])
def test_besides_the_outputs_a_block_or_so_is_held(monkeypatch, names):
    monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_BLOCK_BYTES", 2**16)
    X = np.random.default_rng(0).normal(size=(40_000, 8))
    reader = ModelReader.from_estimator(LogisticRegression().fit(X[:40], np.arange(40) % 2))
    rows = np.arange(1, len(X))
    tracemalloc.start()
    outputs = read_outputs(reader, X, {"pool": rows}, {"pool": frozenset(names)})["pool"]
    peak = tracemalloc.get_traced_memory()[1] - rows.nbytes
    tracemalloc.stop()
    assert peak < sum(values.nbytes for values in outputs.values()) + 3 * 2**16


def test_the_previous_model_is_read_in_a_pass_of_its_own(data):
    X, y, domain = data
    roles, before, now = resolve_roles(y, domain), Net(), Net()
    view = snapshot(now, X, roles, {"proba", "previous_proba"}, previous=before)
    assert before.calls == [(40, {"proba"})] == now.calls
    assert "previous_proba" in vars(view)
    assert "previous_proba" not in vars(snapshot(now, X, roles, {"proba"}, previous=before))


def test_the_previous_probabilities_have_the_columns_of_the_present_model(data):
    X, y, domain = data
    roles, labels = resolve_roles(y, domain), np.array(["a", "c", "b"])[np.arange(30) % 3]
    three = LogisticRegression().fit(X[:30], labels)
    two = LogisticRegression().fit(X[:30][labels != "b"], labels[labels != "b"])
    view = snapshot(three, X, roles, {"proba", "previous_proba"}, previous=two)
    np.testing.assert_array_equal(view.previous_proba[:, [0, 2]], two.predict_proba(X[30:]))
    assert not view.previous_proba[:, 1].any()
    view = snapshot(two, X, roles, {"proba", "previous_proba"}, previous=three)
    np.testing.assert_array_equal(view.previous_proba, view.proba)


def test_without_a_model_of_the_round_before_the_field_derives_from_the_probabilities(data):
    X, y, domain = data
    view = snapshot(Net(), X, resolve_roles(y, domain), {"proba", "previous_proba"})
    assert "previous_proba" not in vars(view)
    np.testing.assert_array_equal(view.previous_proba, view.proba)
    with pytest.raises(ValueError, match=r"cannot supply 'previous_proba'.*predict_proba"):
        snapshot(Perceptron().fit(X[:30], y[:30]), X, resolve_roles(y, domain), {"previous_proba"})
