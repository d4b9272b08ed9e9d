"""Steps of a Pipeline that learn from labels never learn from missing ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, SequentialFeatureSelector, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler, TargetEncoder

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target, resolve_roles
from skada_active.utils.fitting import continue_fitting, fit_estimator
from skada_active.utils.steps import learns_from_labels

# The first column tells the class, the second the domain.
RNG = np.random.default_rng(0)
DOMAIN = np.repeat([1, -1], 40)
TRUE = RNG.integers(0, 2, 80)
X = np.column_stack([TRUE + RNG.normal(0, 0.2, 80), (DOMAIN < 0) + RNG.normal(0, 0.05, 80)])
Y = mask_target(TRUE, DOMAIN)
ROLES = resolve_roles(Y, DOMAIN)
SOURCE, TARGET = ROLES.source, ROLES.target


class GivenRows(AdaptationClassifier):
    """Remember the rows, labels and domains that `fit` was given."""

    def fit(self, X, y, sample_domain=None):
        self.given_ = X, np.asarray(y), sample_domain
        return super().fit(X, y, sample_domain)


class BestColumn(TransformerMixin, BaseEstimator):
    """Keep the column that tells the classes best; nothing but trying says that it needs labels."""

    def fit(self, X, y=None):
        self.best_ = np.argmax(f_classif(np.asarray(X), y)[0])
        return self

    def transform(self, X):
        return np.asarray(X)[:, [self.best_]]


class FromMeans(TransformerMixin, BaseEstimator):
    """Give the distance from the classes' means, and without labels from the one mean."""

    def fit(self, X, y=None):
        y = np.zeros(len(X)) if y is None else y
        self.means_ = np.array([X[y == label].mean(axis=0) for label in np.unique(y)])
        return self

    def transform(self, X):
        return np.abs(X - self.means_.mean(axis=0))


class Counts(TransformerMixin, BaseEstimator):
    """Count the rows that it was fitted on, and leave them as they are."""

    def fit(self, X, y=None):
        self.n_, self.y_ = len(X), y
        return self

    def transform(self, X):
        return X


class Plain:
    """Select the best column, without any base class."""

    def fit(self, X, y=None):
        self.best_ = BestColumn().fit(X, y).best_
        return self

    def transform(self, X):
        return X[:, [self.best_]]


def network(**params):
    return GivenRows(max_epochs=1, random_state=0, **params)


def fit(*steps, rows=X, **params):
    return fit_estimator(make_pipeline(*steps, network(), **params), rows, Y, ROLES)


STEPS = {
    "selector": SelectKBest(k=1),
    "by a model": SelectFromModel(LogisticRegression(), max_features=1, threshold=-np.inf),
    "elimination": RFE(LogisticRegression(), n_features_to_select=1),
    "sequential": SequentialFeatureSelector(LogisticRegression(), n_features_to_select=1, cv=2),
    "columns": make_column_transformer((SelectKBest(k=1), [0, 1])),
    "columns that remain": make_column_transformer(("drop", []), remainder=SelectKBest(k=1)),
    "columns of a pipeline": make_column_transformer((make_pipeline(StandardScaler(), SelectKBest(k=1)), [0, 1])),
    "union": make_union(SelectKBest(k=1)),
    "undeclared": BestColumn(),
    "undeclared in columns": make_column_transformer((BestColumn(), [0, 1])),
    "no base class": Plain(),
}


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_the_column_that_tells_the_class_is_chosen_wherever_the_step_stands(name, routing):
    with config_context(enable_metadata_routing=routing):
        given, labels, domain = fit(STEPS[name])[-1].given_
    assert given.shape == (80, 1)
    assert np.corrcoef(given[:, 0], X[:, 0])[0, 1] > 0.999
    assert labels.tolist() == Y.tolist()
    assert domain.tolist() == DOMAIN.tolist()


@pytest.mark.parametrize(
    "step",
    [
        LinearDiscriminantAnalysis(),
        NeighborhoodComponentsAnalysis(n_components=1, random_state=0),
        VotingClassifier([("a", LogisticRegression())], voting="soft"),
        StackingClassifier([("a", LogisticRegression())], cv=2),
        FromMeans(),
    ],
    ids=lambda step: type(step).__name__,
)
def test_a_transformer_of_classes_is_the_one_of_the_labelled_rows(step):
    fitted = fit(step)[0]
    alone = type(step)(**step.get_params(deep=False)).fit(X[SOURCE], TRUE[SOURCE])
    np.testing.assert_allclose(fitted.transform(X), alone.transform(X))


def test_target_encoders_cross_fit_the_labelled_rows():
    rows = pd.DataFrame({"site": np.where(TRUE + RNG.integers(0, 2, 80) > 0, "p", "q"), "x": X[:, 0]})
    columns = make_column_transformer((TargetEncoder(), ["site"]), remainder="passthrough")
    given = fit(columns, rows=rows)[-1].given_[0]
    encoded = TargetEncoder().fit(rows[["site"]].iloc[SOURCE], TRUE[SOURCE]).transform(rows[["site"]]).ravel()
    np.testing.assert_array_equal(given[TARGET, 0], encoded[TARGET])
    assert len(np.unique(given[SOURCE, 0])) > len(np.unique(encoded[SOURCE])) == 2


def test_a_step_that_reads_no_label_is_fitted_on_all_rows():
    fitted = fit(StandardScaler(), Counts(), SelectKBest(k=1))
    np.testing.assert_allclose(fitted[0].mean_, X.mean(axis=0))
    assert (fitted[1].n_, fitted[1].y_) == (80, None)


def test_a_pipeline_in_a_pipeline_is_as_flat_as_its_steps():
    flat = fit(StandardScaler(), SelectKBest(k=1))
    nested = fit_estimator(
        make_pipeline(make_pipeline(StandardScaler()), make_pipeline(SelectKBest(k=1), network())), X, Y, ROLES
    )
    np.testing.assert_array_equal(flat.predict_proba(X), nested.predict_proba(X))


@pytest.mark.parametrize("table", ["pandas", "polars"])
def test_tables_stay_tables_in_the_order_of_the_rows(table):
    frame = pytest.importorskip(table).DataFrame
    columns = make_column_transformer((SelectKBest(k=1), ["class", "domain"])).set_output(transform=table)
    rows = pd.DataFrame(X, columns=["class", "domain"], index=np.arange(80)[::-1])
    given = fit(columns, rows=rows)[-1].given_[0]
    assert isinstance(given, frame)
    assert list(given.columns) == ["selectkbest__class"]
    np.testing.assert_array_equal(np.asarray(given)[:, 0], X[:, 0])


def test_sparse_rows_stay_sparse():
    bins = OneHotEncoder(handle_unknown="ignore")
    given = fit_estimator(
        make_pipeline(bins, SelectKBest(k=2), FunctionTransformer(lambda rows: rows.toarray()), network()),
        np.rint(X),
        Y,
        ROLES,
    )[-1].given_[0]
    assert given.shape == (80, 2)


def test_cached_steps_are_fitted_on_the_labelled_rows(tmp_path):
    fitted = [fit(StandardScaler(), SelectKBest(k=1), memory=str(tmp_path)) for _ in range(2)]
    assert [type(step) for _, step in fitted[1].steps] == [StandardScaler, SelectKBest, GivenRows]
    np.testing.assert_array_equal(fitted[0].predict_proba(X), fitted[1].predict_proba(X))
    assert fitted[1][1].get_support().tolist() == [True, False]


def test_steps_that_are_frozen_or_missing_stay_as_they_are():
    frozen = FrozenEstimator(SelectKBest(k=1).fit(X, DOMAIN))
    fitted = fit(None, "passthrough", frozen)
    assert [fitted.steps[0][1], fitted.steps[1][1], fitted.steps[2][1]] == [None, "passthrough", frozen]
    assert frozen.get_support().tolist() == [False, True]


def test_a_pipeline_whose_training_fails_has_its_own_steps():
    pipeline = make_pipeline(SelectKBest(k=1), make_pipeline(SelectFromModel(LogisticRegression(), max_features="x")))
    pipeline = Pipeline([*pipeline.steps, ("network", network())])
    with pytest.raises(ValueError, match="max_features"):
        fit_estimator(pipeline, X, Y, ROLES)
    assert isinstance(pipeline[0], SelectKBest)
    assert isinstance(pipeline[1][0], SelectFromModel)


def test_going_on_leaves_the_selection():
    fitted = fit(make_column_transformer((SelectKBest(k=1), [0, 1])))
    selector = fitted[0].named_transformers_["selectkbest"]
    continue_fitting(fitted, X, Y, ROLES, epochs=1)
    assert fitted[0].named_transformers_["selectkbest"] is selector
    assert selector.get_support().tolist() == [True, False]


def test_a_transformer_that_asks_for_the_domains_sees_all_rows():
    with config_context(enable_metadata_routing=True):
        given, labels, domain = fit(GivenRows(max_epochs=1, random_state=0))[0].given_
    assert given.shape == (80, 2)
    assert labels.tolist() == Y.tolist()
    assert domain.tolist() == DOMAIN.tolist()


def test_a_step_that_gives_a_tuple_is_an_error_that_says_so():
    with pytest.raises(TypeError, match="returns a tuple"):
        fit(PLSRegression(1))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: GridSearchCV(model, {}, cv=2),
        lambda model: GridSearchCV(make_pipeline(SelectKBest(k=1), model), {}, cv=2),
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: BaggingClassifier(model, n_estimators=2),
        OneVsRestClassifier,
        lambda model: make_pipeline(SelectKBest(k=1), VotingClassifier([("a", model)])),
    ],
    ids=["search", "search of a pipeline", "calibration", "bagging", "one versus rest", "vote"],
)
@pytest.mark.parametrize("routing", [False, True])
def test_what_wraps_a_domain_aware_classifier_trains_on_labelled_rows_only(wrap, routing, monkeypatch):
    seen = []
    monkeypatch.setattr(GivenRows, "fit", lambda self, X, y, **_: seen.append(np.asarray(y)) or _fit(self, X, y))
    with config_context(enable_metadata_routing=routing):
        fit_estimator(wrap(network()), X, Y, ROLES)
    assert set(np.concatenate(seen).tolist()) == {0, 1}


def _fit(model, X, y):
    return AdaptationClassifier.fit(model, X, y)


@pytest.mark.parametrize(
    ("step", "learns"),
    [
        (StandardScaler(), False),
        (KBinsDiscretizer(), False),
        (KNNImputer(), False),
        (IterativeImputer(), False),
        (FunctionTransformer(), False),
        (FrozenEstimator(SelectKBest()), False),
        ("passthrough", False),
        (make_union(StandardScaler(), SelectKBest()), True),
        (make_union(StandardScaler(), Counts()), None),
        (make_column_transformer(("drop", [0]), (TargetEncoder(), [1])), True),
        (AdaptationClassifier(), True),
    ],
    ids=repr,
)
def test_whether_a_step_learns_from_labels_follows_from_what_it_declares(step, learns):
    assert learns_from_labels(step) is learns


def test_a_loop_adapts_by_the_column_that_tells_the_class():
    columns = make_column_transformer((SelectKBest(k=1), [0, 1]))
    model = make_pipeline(columns, AdaptationClassifier(max_epochs=15, random_state=0))
    loop = ActiveAdaptationLoop(model, budget=4, n_rounds=2, random_state=0).fit(X, TRUE, sample_domain=DOMAIN)
    assert loop.history_[-1]["accuracy"]["unqueried"] > 0.9
