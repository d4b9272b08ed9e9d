from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import softmax
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skada_active.domains import resolve_roles
from skada_active.pool import snapshot
from skada_active.pool.readers import ModelReader
from skada_active.utils.fitting import split_pipeline

LINEAR_FIELDS = {"proba", "logits", "features", "head_weight", "head_bias"}
MODELS = {
    "logistic": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
    "pca": make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "nested": make_pipeline(StandardScaler(), make_pipeline(PCA(2), LogisticRegression())),
    "pipeline of one step": make_pipeline(LogisticRegression()),
    "lda": LinearDiscriminantAnalysis(),
}


def make_data(n_classes):
    rng = np.random.default_rng(n_classes)
    y = np.arange(60) % n_classes
    X = rng.normal(size=(60, 5)) + 0.7 * y[:, None] * np.arange(5)
    domain = np.where(np.arange(60) < 40, 1, -1)
    return X, np.where(domain < 0, -1, y), domain


def read(model, X, y, domain, needs=LINEAR_FIELDS):
    roles = resolve_roles(y, domain)
    return snapshot(model, X, roles, needs, y=y)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("frozen", [False, True])
def test_logits_are_the_head_applied_to_the_features_and_their_softmax_is_proba(model, n_classes, frozen):
    X, y, domain = make_data(n_classes)
    model.fit(X[:40], y[:40])
    view = read(FrozenEstimator(model) if frozen else model, X, y, domain)
    assert view.logits.shape == view.proba.shape == (20, n_classes)
    np.testing.assert_allclose(view.logits, view.features @ view.head_weight.T + view.head_bias, atol=1e-10)
    np.testing.assert_allclose(softmax(view.logits, axis=1), model.predict_proba(X[40:]), atol=1e-10)


def test_a_binary_linear_model_gets_two_rows_of_opposite_sign():
    X, y, domain = make_data(2)
    model = LogisticRegression().fit(X[:40], y[:40])
    view = read(model, X, y, domain)
    np.testing.assert_array_equal(view.head_weight, np.vstack([-model.coef_, model.coef_]) / 2)
    np.testing.assert_array_equal(view.head_bias, np.concatenate([-model.intercept_, model.intercept_]) / 2)
    np.testing.assert_array_equal(view.logits[:, 1], model.decision_function(X[40:]) / 2)


def test_features_are_the_input_of_the_last_step():
    X, y, domain = make_data(3)
    model = make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(X[:40], y[:40])
    np.testing.assert_allclose(read(model, X, y, domain).features, model[:-1].transform(X[40:]))


@pytest.mark.parametrize("model", [RidgeClassifier(), Perceptron()])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_models_without_proba_supply_logits_and_a_head(model, n_classes):
    X, y, domain = make_data(n_classes)
    view = read(model.fit(X[:40], y[:40]), X, y, domain, {"logits", "features", "head_weight", "head_bias"})
    np.testing.assert_allclose(view.logits, view.features @ view.head_weight.T + view.head_bias)


def test_a_model_without_intercept_has_a_zero_bias():
    X, y, domain = make_data(3)
    view = read(LogisticRegression(fit_intercept=False).fit(X[:40], y[:40]), X, y, domain)
    assert view.head_bias.tolist() == [0.0, 0.0, 0.0]


def test_a_sparsified_head_is_read_dense():
    X, y, domain = make_data(3)
    model = LogisticRegression().fit(X[:40], y[:40])
    dense = read(model, X, y, domain)
    np.testing.assert_allclose(read(model.sparsify(), X, y, domain).head_weight, dense.head_weight)


def test_csr_input_is_read_like_a_dense_one():
    X, y, domain = make_data(3)
    model = LogisticRegression().fit(sparse.csr_matrix(X[:40]), y[:40])
    view = read(model, sparse.csr_matrix(X), y, domain)
    np.testing.assert_allclose(view.features, X[40:])
    np.testing.assert_allclose(view.logits, view.features @ view.head_weight.T + view.head_bias)


def test_a_data_frame_with_strings_is_read_through_its_column_transformer():
    X, y, domain = make_data(3)
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.array(["red", "blue"])[(X[:, 1] > 1).astype(int)]})
    columns = make_column_transformer((OneHotEncoder(), ["colour"]), (StandardScaler(), ["size"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame[:40], y[:40])
    view = read(model, frame, y, domain)
    assert view.features.shape == (20, 3)
    np.testing.assert_allclose(view.logits, view.features @ view.head_weight.T + view.head_bias)


def test_float32_features_stay_float32_and_integers_become_float64():
    X, y, domain = make_data(3)
    model = LogisticRegression().fit(X[:40], y[:40])
    assert read(model, X.astype(np.float32), y, domain, {"features"}).features.dtype == np.float32
    assert read(model, X.astype(int), y, domain, {"features"}).features.dtype == np.float64


def test_a_forest_supplies_proba_and_features_but_no_head():
    X, y, domain = make_data(3)
    model = RandomForestClassifier(5, random_state=0).fit(X[:40], y[:40])
    assert read(model, X, y, domain, {"proba", "features"}).proba.shape == (20, 3)
    with pytest.raises(ValueError, match=r"RandomForestClassifier.*cannot supply 'head_weight'.*LogisticRegression"):
        read(model, X, y, domain, {"head_weight"})


def test_features_that_are_not_numeric_are_refused_with_a_remedy():
    X, y, domain = make_data(2)
    frame = pd.DataFrame({"size": X[:, 0], "colour": pd.Categorical(np.where(X[:, 1] > 0, "red", "blue"))})
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(frame[:40], y[:40])
    assert read(model, frame, y, domain, {"proba"}).proba.shape == (20, 2)
    with pytest.raises(ValueError, match=r"reads features: .*last step.*must be numeric.*Pipeline with an encoder"):
        read(model, frame, y, domain, {"features"})


def test_a_classifier_without_proba_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"Perceptron.*cannot supply 'proba'.*CalibratedClassifierCV"):
        ModelReader.from_estimator(Perceptron()).readable({"proba"})


def test_one_call_transforms_the_rows_once():
    class Counting(StandardScaler):
        calls = 0

        def transform(self, X, copy=None):
            Counting.calls += 1
            return super().transform(X)

    X, y, domain = make_data(3)
    model = make_pipeline(Counting(), LogisticRegression()).fit(X[:40], y[:40])
    Counting.calls = 0
    read(model, X, y, domain, LINEAR_FIELDS | {"source_features", "labeled_features"})
    assert Counting.calls == 1


def test_a_model_with_its_own_outputs_is_read_through_them():
    class Net:
        pool_supplies = frozenset({"proba", "class_discriminator"})
        classes_ = np.array([0, 1])

        def pool_outputs(self, X, names):
            return {"proba": np.full((len(X), 2), 0.5)}

        def pool_field(self, name):
            return discriminator

    X, y, domain = make_data(2)
    discriminator = (np.ones((4, 5)), np.ones(4), np.ones((2, 4)), np.ones(2))
    view = read(Net(), X, y, domain, {"proba", "class_discriminator"})
    assert view.proba.shape == (20, 2)
    assert all(np.shares_memory(*parts) for parts in zip(view.class_discriminator, discriminator, strict=True))


@pytest.mark.parametrize("needs", [{"class_domain_grad"}, {"class_domain_grad", "features", "source_features"}])
def test_a_function_of_embedded_rows_becomes_one_of_the_rows_of_the_pool(needs):
    class Net:
        pool_supplies = frozenset({"class_domain_grad"})
        classes_ = np.array([0, 1])

        def pool_outputs(self, X, names):
            assert names == {"features"}
            return {"features": 2 * X}

        def pool_field(self, name):
            return lambda features: np.stack([features, -features], axis=1)

    X, y, domain = make_data(2)
    view = read(Net(), X, y, domain, needs)
    rows = np.array([4, 0, 4])
    np.testing.assert_array_equal(view.class_domain_grad(rows), 2 * np.stack([X[40:], -X[40:]], axis=1)[rows])
    assert ("features" in vars(view)) is ("features" in needs)


def test_split_pipeline_looks_inside_frozen_estimators():
    last = LogisticRegression()
    before, model = split_pipeline(FrozenEstimator(make_pipeline(StandardScaler(), FrozenEstimator(last))))
    assert model is last
    assert [type(step) for _, step in before.steps] == [StandardScaler]
    assert split_pipeline(last) == (None, last)
