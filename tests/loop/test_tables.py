"""Tables of every library are fitted, predicted, searched and saved like their arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.model_selection import TargetShuffleSplit
from skada_active.query import MarginSampling

N = 60
Y, DOMAIN = np.arange(N) % 2, np.repeat([1, -1], N // 2)
ROWS = np.random.default_rng(0).normal(size=(N, 3)).round(3) + 2 * Y[:, None]
COLUMNS = dict(zip("abc", ROWS.T, strict=True))
KNOWN = mask_target(Y, DOMAIN)


class Table:
    """Have what a table of any library has: a shape, names, and a form as an array, but neither `ndim` nor `iloc`."""

    def __init__(self, columns):
        self.columns, self._values = list(columns), np.column_stack(list(columns.values()))
        self.shape = self._values.shape

    def __len__(self):
        return len(self._values)

    def __getitem__(self, name):
        return self._values[:, self.columns.index(name)]

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype=dtype)


def of_library(library, make):
    return lambda: make(pytest.importorskip(library))


FRAME = pd.DataFrame(COLUMNS)
TABLES = {
    "pandas": lambda: FRAME,
    "pandas, shuffled index": lambda: FRAME.set_axis(np.random.default_rng(0).permutation(N) / 2),
    "pandas Float64": lambda: FRAME.astype("Float64"),
    "pandas category": lambda: FRAME.round(1).astype("category"),
    "pandas Int64": lambda: (FRAME * 10).round().astype("Int64"),
    "any library": lambda: Table(COLUMNS),
    "polars": of_library("polars", lambda polars: polars.DataFrame(COLUMNS)),
    "pyarrow": of_library("pyarrow", lambda pyarrow: pyarrow.table(COLUMNS)),
    "pyarrow batch": of_library("pyarrow", lambda pyarrow: pyarrow.record_batch(COLUMNS)),
    "narwhals": of_library("narwhals", lambda narwhals: narwhals.from_native(FRAME)),
    "xarray": of_library("xarray", lambda xarray: xarray.DataArray(ROWS)),
}
ESTIMATORS = {
    "network": lambda: AdaptationClassifier(max_epochs=1, device="cpu", random_state=0),
    "linear": LogisticRegression,
}
tables = pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
estimators = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
#: What scikit-learn itself takes rows of, in a search.
SEARCHABLE = ["pandas", "pandas Float64", "polars", "pyarrow"]


def loop_of(estimator):
    return ActiveAdaptationLoop(estimator(), budget=4, n_rounds=2, round_epochs=1, random_state=0)


@pytest.mark.filterwarnings("ignore:Rows of type .* are not saved")
@tables
@estimators
def test_what_fit_takes_the_fitted_loop_takes(make, estimator, tmp_path):
    table = make()
    values = np.asarray(table, dtype=np.float64)
    loop, expected = (
        loop_of(estimator).fit(rows, Y, sample_domain=DOMAIN, eval_set=(rows, Y)) for rows in (table, values)
    )
    np.testing.assert_array_equal(loop.queried_ids_, expected.queried_ids_)
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(loop, method)(table), getattr(expected, method)(values))
    assert loop.score(table, Y) == expected.score(values, Y)
    assert loop.history_[-1]["accuracy"]["holdout"] == expected.history_[-1]["accuracy"]["holdout"]
    loop.resume(budget=2).save(tmp_path / "loop.skops")
    again = ActiveAdaptationLoop.load(tmp_path / "loop.skops", X=table)
    np.testing.assert_array_equal(again.predict_proba(table), loop.predict_proba(table))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@tables
def test_a_session_over_a_table_goes_on(make, tmp_path):
    table = make()
    for n_known in (0, 2):
        with loop_of(LogisticRegression).session(
            table, KNOWN, sample_domain=DOMAIN, journal=tmp_path / "labels.db"
        ) as session:
            assert session.spent == n_known
            ids = session.ask(2)
            session.tell(ids, Y[ids])
            assert session.estimator_.predict(table).shape == (N,)


@tables
def test_the_network_and_the_strategies_take_a_table(make):
    table = make()
    values = np.asarray(table, dtype=np.float64)
    fitted, expected = (ESTIMATORS["network"]().fit(rows, KNOWN, DOMAIN) for rows in (table, values))
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        np.testing.assert_array_equal(getattr(fitted, method)(table), getattr(expected, method)(values))
    fitted.partial_fit(table, KNOWN, DOMAIN)
    chosen, as_array = (MarginSampling(ESTIMATORS["network"]()).fit(X, KNOWN, DOMAIN).query(3) for X in (table, values))
    np.testing.assert_array_equal(chosen, as_array)


@pytest.mark.parametrize("name", SEARCHABLE)
@estimators
def test_a_table_is_searched_and_validated(name, estimator):
    table, cv = TABLES[name](), TargetShuffleSplit(1, random_state=0)
    search = GridSearchCV(loop_of(estimator), {"n_rounds": [1]}, cv=cv, error_score="raise")
    search.fit(table, Y, sample_domain=DOMAIN, groups=DOMAIN)
    assert search.predict(table).shape == (N,)
    scores = cross_validate(estimator(), table, Y, cv=2, error_score="raise")["test_score"]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", SEARCHABLE)
def test_names_of_columns_are_remembered_and_checked(name):
    table = TABLES[name]()
    for fitted in (
        loop_of(LogisticRegression).fit(table, Y, sample_domain=DOMAIN),
        ESTIMATORS["network"]().fit(table, Y),
    ):
        assert list(fitted.feature_names_in_) == ["a", "b", "c"]
        with pytest.raises(ValueError, match="feature names"):
            fitted.predict(FRAME.rename(columns={"a": "z"}))


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_columns_are_encoded_by_name_in_a_pipeline(name):
    cities = {"city": np.where(Y == 1, "x", "y"), "b": ROWS[:, 1]}
    table = pd.DataFrame(cities) if name == "pandas" else pytest.importorskip("polars").DataFrame(cities)
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    loop = loop_of(lambda: make_pipeline(encoder, LogisticRegression())).fit(table, Y, sample_domain=DOMAIN)
    assert loop.score(table, Y) == 1


class LazyFrame:
    """Stand for a frame of dask, whose rows are not there yet."""

    shape, columns = (N, 3), ["a", "b", "c"]

    def __dask_graph__(self):
        return {"a": 1}

    def __getitem__(self, name):
        raise AssertionError("was read")


LAZY = {
    "dask": (LazyFrame, "compute"),
    "polars": (of_library("polars", lambda polars: polars.DataFrame(COLUMNS).lazy()), "collect"),
    "xarray": (of_library("xarray", lambda xarray: xarray.Dataset({"a": ("row", ROWS[:, 0])})), "give an array"),
}


@pytest.mark.parametrize(("make", "remedy"), LAZY.values(), ids=LAZY)
def test_a_table_whose_rows_cannot_be_taken_is_refused(make, remedy):
    with pytest.raises(TypeError, match=f"X is.*{remedy}"):
        loop_of(LogisticRegression).fit(make(), Y, sample_domain=DOMAIN)
    fitted = loop_of(LogisticRegression).fit(ROWS, Y, sample_domain=DOMAIN)
    with pytest.raises(TypeError, match=f"X is.*{remedy}"):
        fitted.predict(make())


class Labelled(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return ROWS[index], Y[index]


def test_a_dataset_for_a_model_that_reads_arrays_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"LogisticRegression could not read.*numpy.stack"):
        loop_of(LogisticRegression).fit(Labelled(), Y, sample_domain=DOMAIN)
    with pytest.raises(TypeError, match=r"Pipeline could not read.*numpy.stack"):
        loop_of(lambda: make_pipeline(OneHotEncoder(), LogisticRegression())).fit(Labelled(), Y, sample_domain=DOMAIN)
    fitted = loop_of(LogisticRegression).fit(ROWS, Y, sample_domain=DOMAIN)
    with pytest.raises(TypeError, match=r"LogisticRegression could not read.*numpy.stack"):
        fitted.predict(Labelled())


def test_sparse_columns_are_read_by_a_model_that_takes_them():
    frame = pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(ROWS), columns=list("abc"))
    loop = loop_of(LogisticRegression).fit(frame, Y, sample_domain=DOMAIN)
    assert loop.predict(frame).shape == (N,)


@pytest.mark.parametrize("domain", [1, -1, "target", np.array(1)])
def test_a_single_domain_for_all_rows_is_refused(domain):
    with pytest.raises(ValueError, match=r"sample_domain must hold one integer per row.*np\.full"):
        loop_of(LogisticRegression).fit(ROWS, Y, sample_domain=domain)
