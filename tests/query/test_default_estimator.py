"""The model that a strategy fits where none is given: a logistic regression on scaled columns."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from skada_active.datasets import load_gas_drift
from skada_active.domains import check_inputs, mask_target
from skada_active.pool import snapshot
from skada_active.query import GALA, SDM, CoreSet, MarginSampling, QueryByCommittee

X, Y, DOMAIN = load_gas_drift(source=[1, 2], target=[8])
KNOWN, TARGET = mask_target(Y, DOMAIN), DOMAIN < 0
STRATEGIES = [MarginSampling(), SDM(), CoreSet(), GALA(), QueryByCommittee(n_members=2)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_columns_of_any_scale_are_learned_from_without_a_warning(strategy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = strategy.fit(X, KNOWN, DOMAIN)
        assert len(fitted.query(5)) == 5
    assert fitted.estimator_.score(X[TARGET], Y[TARGET]) > 0.5


@pytest.mark.parametrize(
    "move",
    [
        lambda X: sparse.csr_matrix(X),
        lambda X: pd.DataFrame(X),
        lambda X: (X / X.std(axis=0) + 1e6).astype(np.float32),
        lambda X: np.c_[X, np.full(len(X), 1e6)],
        lambda X: 1e-12 * X,
    ],
    ids=["sparse", "frame", "far from zero in float32", "a constant column", "tiny"],
)
def test_the_form_of_the_table_matters_little(move):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = move(X)
        fitted = MarginSampling().fit(moved, KNOWN, DOMAIN)
    rows = moved.iloc[TARGET] if hasattr(moved, "iloc") else moved[TARGET]
    assert fitted.estimator_.score(rows, Y[TARGET]) > 0.45


def test_embedding_and_head_of_the_view_give_its_logits():
    estimator = SDM().fit(X, KNOWN, DOMAIN).estimator_
    rows, _, roles = check_inputs(X, KNOWN, DOMAIN)
    view = snapshot(estimator, rows, roles, {"features", "logits", "head_weight", "head_bias"})
    np.testing.assert_allclose(view.features @ view.head_weight.T + view.head_bias, view.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(view.features, estimator[0].transform(X[TARGET]), rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        pd.DataFrame({"a": X[:, 0], "site": Y.astype(str)}),
        pd.DataFrame({"a": X[:, 0], "site": pd.Categorical(Y.astype(str))}),
        pd.DataFrame({"a": X[:, 0], "when": pd.date_range("2020", periods=len(X))}),
        X[:, :2].astype(str),
        np.c_[X[:, :1].astype(object), Y.astype(object)],
    ],
    ids=["text", "categories", "dates", "strings", "objects"],
)
@pytest.mark.parametrize("strategy", [MarginSampling(), CoreSet()], ids=repr)
def test_columns_that_are_no_numbers_are_refused_with_a_remedy(strategy, text):
    with pytest.raises(ValueError, match=r"columns that are no numbers .* default estimator of .*OneHotEncoder"):
        strategy.fit(text, KNOWN, DOMAIN)


@pytest.mark.parametrize("column", [slice(3, 4), slice(None)])
def test_nan_is_refused_without_a_warning_first(column):
    holes = X.copy()
    holes[:, column] = np.nan
    warnings.simplefilter("error")
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MarginSampling().fit(holes, KNOWN, DOMAIN)
