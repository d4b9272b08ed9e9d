"""Tables with gaps, texts and categories go into every recipe; complete ones pass as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch.utils.data import TensorDataset

from skada_active import recipes
from skada_active.datasets import load_heart_disease, make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.io.parameters import describe_parameters
from skada_active.recipes._tables import TablePreparation

SHORT = {"max_epochs": 1, "round_epochs": 1, "budget": 4, "n_rounds": 2, "random_state": 0, "device": "cpu"}
NAN = np.nan


@pytest.fixture(scope="module")
def heart():
    return load_heart_disease(target=["switzerland"])


@pytest.fixture(scope="module")
def blobs():
    X, y, sample_domain = make_shifted_blobs(30, 30, random_state=0)
    return X, y, sample_domain


def frame(X):
    n = len(X)
    texts = pd.Series(["m", "f", "f"] * n).iloc[:n].astype(object)
    texts[4] = None
    return pd.DataFrame(
        {"a": X[:, 0], "sex": texts.to_numpy(), "b": X[:, 1], "town": pd.Categorical(["x", "y"] * (n // 2))}
    )


def fitted(X, data, **knobs):
    return recipes.lada(**SHORT, **knobs).fit(X, data[1], sample_domain=data[2])


@pytest.mark.parametrize("make", [recipes.sdm, recipes.lada, recipes.sage, recipes.gala, recipes.Baseline])
def test_every_recipe_takes_the_shipped_data_with_gaps(make, heart):
    X, y, sample_domain = heart
    assert np.isnan(X).any()
    loop = make(**SHORT).fit(X, y, sample_domain=sample_domain)
    assert loop.n_queries_ == 4
    assert np.isfinite(loop.predict_proba(X)).all()


def test_gsda_takes_the_shipped_data_with_gaps(heart):
    X, y, sample_domain = heart
    model = recipes.gsda(max_epochs=1, random_state=0, device="cpu").fit(
        X, mask_target(y, sample_domain), sample_domain
    )
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("rows", ["source", "target", "all"])
def test_a_column_may_be_empty_in_a_domain_or_everywhere(rows, heart):
    X, _, sample_domain = heart
    X = X.copy()
    X[{"source": sample_domain > 0, "target": sample_domain < 0, "all": slice(None)}[rows], 4] = NAN
    assert np.isfinite(fitted(X, heart).predict_proba(X)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_gaps_that_come_with_new_rows_are_filled_with_what_was_learned(dtype, blobs):
    X = np.round(100 * blobs[0]).astype(dtype)
    loop = fitted(X, blobs)
    medians = np.median(X, axis=0)
    new = np.array([[NAN, 3.0], [7.0, NAN], [NAN, NAN]])
    full = np.where(np.isnan(new), medians, new)
    np.testing.assert_allclose(loop.predict_proba(new), loop.predict_proba(full), rtol=1e-6)


@pytest.mark.parametrize("form", ["array", "float32", "frame", "integers", "images", "dataset"])
def test_complete_rows_give_the_same_model_bit_for_bit(form, blobs):
    X = blobs[0]
    images = np.random.default_rng(0).random((60, 1, 4, 4), dtype=np.float32)
    rows = {
        "array": X,
        "float32": X.astype(np.float32),
        "frame": pd.DataFrame(X, columns=["a", "b"]),
        "integers": (100 * X).astype(np.int64),
        "images": images,
        "dataset": TensorDataset(torch.as_tensor(images)),
    }[form]
    prepared, plain = (fitted(rows, blobs, preprocessor=value) for value in ("auto", None))
    assert np.array_equal(prepared.predict_proba(rows), plain.predict_proba(rows))
    assert np.array_equal(prepared.queried_ids_, plain.queried_ids_)


def test_texts_and_categories_become_columns_of_their_own(blobs):
    table = frame(blobs[0])
    prepared = TablePreparation().fit(table).transform(table)
    assert list(prepared) == ["a", "b", "sex_f", "sex_m", "town_x", "town_y"]
    assert prepared.loc[4, ["sex_f", "sex_m"]].tolist() == [1.0, 0.0]  # the most frequent one
    assert fitted(table, blobs).feature_names_in_.tolist() == list(table)


def test_a_text_that_was_not_there_is_none_of_the_known_ones(blobs):
    table = frame(blobs[0])
    new = table.assign(sex="x")
    prepared = TablePreparation().fit(table).transform(new)
    assert not prepared[["sex_f", "sex_m"]].to_numpy().any()
    assert np.isfinite(fitted(table, blobs).predict_proba(new)).all()


def test_arrays_of_objects_and_tables_of_pandas_own_types_are_read(blobs):
    table = frame(blobs[0])
    expected = TablePreparation().fit(table).transform(table).to_numpy()
    objects = table.astype(object).where(table.notna(), None).to_numpy()
    found = TablePreparation().fit(objects).transform(objects)
    np.testing.assert_array_equal(found, expected)
    nullable = table.astype({"a": "Float64", "sex": "string"})
    np.testing.assert_array_equal(TablePreparation().fit(nullable).transform(nullable), expected)


def test_tables_of_polars_and_pyarrow_keep_their_kind(blobs):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    table = frame(blobs[0]).astype({"town": object})
    table.loc[3, "a"] = NAN
    expected = TablePreparation().fit(table).transform(table)
    for own in (pl.from_pandas(table), pa.Table.from_pandas(table, preserve_index=False)):
        prepared = TablePreparation().fit(own).transform(own)
        assert type(prepared) is type(own)
        np.testing.assert_array_equal(prepared.to_pandas(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": pd.Timestamp("2020")}, "column 'a' holds (Timestamp|datetime|int)"),
        ({"sex": [1, "m"] * 30}, "column 'sex' holds int and str"),
        ({"sex": [[1], [2]] * 30}, "column 'sex' holds list"),
        ({"sex": [f"person {row}" for row in range(60)] * 2}, None),
        ({"sex": [str(row / 7) for row in range(60)]}, "column 'sex' holds numbers written as text.*to_numeric"),
    ],
)
def test_columns_that_are_no_numbers_texts_or_categories_are_refused_by_name(change, message, blobs):
    table = frame(blobs[0])
    if message is None:
        table, message = pd.concat([table, table], ignore_index=True), "column 'sex' holds 120 different texts"
        change = {"sex": [f"person {row}" for row in range(120)]}
    with pytest.raises(ValueError, match=message):
        TablePreparation().fit(table.assign(**change))


def test_an_array_of_texts_is_refused(blobs):
    with pytest.raises(ValueError, match=r"X is an array of texts.*dtype=object"):
        fitted(np.array([["1.5", "m"]] * 60), blobs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sex": 1.0}, "column 'sex' held texts .* holds float now"),
        ({"a": "m"}, "column 'a' held numbers .* holds str"),
    ],
)
def test_a_column_that_holds_something_else_now_is_refused(change, message, blobs):
    table = frame(blobs[0])
    with pytest.raises(ValueError, match=message):
        fitted(table, blobs).predict(table.assign(**change))


def test_columns_in_another_order_are_refused(blobs):
    table = frame(blobs[0])
    model = recipes.gsda(max_epochs=1, device="cpu").fit(table, *blobs[1:])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["b", "a", "sex", "town"]])


PREPROCESSORS = {
    "a pipeline": make_pipeline(SimpleImputer(), StandardScaler()),
    "an imputer": KNNImputer(),
    "columns": make_column_transformer((OneHotEncoder(sparse_output=False), [0]), remainder=SimpleImputer()),
}


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_any_transformer_prepares_the_rows(name, heart):
    loop = fitted(heart[0][:, 1:], heart, preprocessor=PREPROCESSORS[name])
    assert np.isfinite(loop.predict_proba(heart[0][:, 1:])).all()
    assert type(loop.estimator_.preprocessor_) is type(PREPROCESSORS[name])


def test_the_knobs_of_a_preprocessor_are_the_recipes(heart):
    recipe = recipes.lada(preprocessor=KNNImputer())
    assert recipe.set_params(preprocessor__n_neighbors=3).estimator.preprocessor.n_neighbors == 3


def test_a_preprocessor_learns_without_labels(heart):
    with pytest.raises(ValueError, match=r"preprocessor=SelectKBest.* fitted without labels"):
        fitted(np.nan_to_num(heart[0]), heart, preprocessor=SelectKBest(k=2))


def test_without_preparation_gaps_are_refused(heart):
    with pytest.raises(ValueError, match="contains NaN"):
        fitted(heart[0], heart, preprocessor=None)


def test_a_preprocessor_is_a_transformer(blobs):
    with pytest.raises(ValueError, match="'preprocessor' parameter of LADA"):
        fitted(blobs[0], blobs, preprocessor="median")
    with pytest.raises(TypeError, match=r"preprocessor=StandardScaler.* cannot prepare a dataset"):
        fitted(TensorDataset(torch.zeros(60, 2)), blobs, preprocessor=StandardScaler())


def test_a_frozen_model_is_described_with_its_preparation(heart):
    X, y, sample_domain = heart
    models = [recipes.gsda(max_epochs=0, random_state=0).fit(rows, y, sample_domain) for rows in (X, X)]
    texts = [describe_parameters(FrozenEstimator(model), "model")["model"] for model in models]
    models[1].preprocessor_.numbers_.statistics_ = models[1].preprocessor_.numbers_.statistics_ + 1
    assert texts[0] == texts[1] != describe_parameters(FrozenEstimator(models[1]), "model")["model"]


def test_a_recipe_with_texts_is_saved_and_loaded(blobs, tmp_path):
    table = frame(blobs[0])
    loop = fitted(table, blobs)
    with pytest.warns(UserWarning, match="are not saved"):
        loop.save(tmp_path / "lada.skops")
    loaded = recipes.LADA.load(tmp_path / "lada.skops", X=table)
    assert np.array_equal(loaded.predict_proba(table), loop.predict_proba(table))
