"""Going on from any fitted classifier without its rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import resolve_roles
from skada_active.io import load, save
from skada_active.pool import snapshot
from skada_active.query import BADGE, CLUE, LAS, LFTL, MHPL, CoreSet, MarginSampling
from skada_active.source_free import HypothesisTransfer

NAMES = np.array(["ant", "bee", "cat"])
MODELS = [
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    RandomForestClassifier(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
    GaussianNB(),
    AdaptationClassifier(max_epochs=2, random_state=0),
]
every_model = pytest.mark.parametrize(
    "model", MODELS, ids=["linear", "pipeline", "forest", "boosted", "bayes", "network"]
)


def make_rows(n=60, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 4)) + 2 * np.eye(3, 4)[y] + shift).astype(np.float32), NAMES[y]


@pytest.fixture(scope="module")
def source():
    return make_rows()


@pytest.fixture(scope="module")
def target():
    X, y = make_rows(seed=1, shift=[2.0, 0.0, 0.0, 0.0])
    return X, y, np.full(len(y), -1)


def known(y, n):
    return np.where(np.arange(len(y)) < n, y, None)


@parametrize_with_checks([HypothesisTransfer()])
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@every_model
def test_without_any_label_it_is_the_source_model(model, source, target):
    X, y, domain = target
    model = clone(model).fit(*source)
    same = HypothesisTransfer(FrozenEstimator(model)).fit(X, known(y, 0), domain)
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert (same.n_labels_, same.temperature_, same.classes_.tolist()) == (0, 1, NAMES.tolist())


@every_model
def test_labels_make_it_better(model, source, target):
    X, y, domain = target
    model = clone(model).fit(*source)
    fitted = HypothesisTransfer(FrozenEstimator(model), random_state=0).fit(X, known(y, 45), domain)
    assert fitted.score(X[45:], y[45:]) > model.score(X[45:], y[45:])
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1, atol=1e-9)


@every_model
def test_it_supplies_what_strategies_read(model, source, target):
    X, y, domain = target
    fitted = HypothesisTransfer(FrozenEstimator(clone(model).fit(*source))).fit(X, known(y, 9), domain)
    view = snapshot(fitted, X, resolve_roles(known(y, 9), domain), fitted.pool_supplies)
    np.testing.assert_allclose(view.logits, view.features @ view.head_weight.T + view.head_bias, atol=1e-5)
    np.testing.assert_allclose(view.proba, fitted.predict_proba(X)[9:])


STRATEGIES = [BADGE(), CLUE(), LAS(), LFTL(), MHPL(), CoreSet(), MarginSampling(), None]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_loop_over_target_rows_alone_goes_on_from_it(strategy, source, target):
    X, y, domain = target
    model = LogisticRegression().fit(*source)
    estimator = HypothesisTransfer(FrozenEstimator(model))
    loop = ActiveAdaptationLoop(estimator, strategy, budget=10, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert len(set(loop.queried_ids_.tolist())) == 10
    assert loop.initial_["accuracy"]["transductive"] == pytest.approx(model.score(X, y))


def test_a_session_over_target_rows_alone_is_killed_and_continued(source, target, tmp_path):
    X, y, domain = target
    estimator = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    loop = ActiveAdaptationLoop(estimator, budget=8, n_rounds=2, random_state=0)

    def session():
        return loop.session(X, known(y, 0), sample_domain=domain, journal=tmp_path / "labels.db")

    first = session()
    first.tell(ids := first.ask(), y[ids])
    expected = first.estimator_.predict_proba(X)
    first.close()
    again = session()
    np.testing.assert_array_equal(again.estimator_.predict_proba(X), expected)
    assert again.queried_ids_.tolist() == ids.tolist()


def test_an_answer_that_the_source_model_does_not_know_is_refused(source, target):
    X, y, domain = target
    model = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    with pytest.raises(ValueError, match="the label 'dog', which is not among the 3 classes"):
        model.fit(X, np.where(np.arange(len(y)) == 0, "dog", known(y, 5)), domain)


def test_a_loop_leaves_out_the_unknown_class_alone(source, target):
    X, y, domain = target
    model = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    loop = ActiveAdaptationLoop(model, budget=12, n_rounds=2, random_state=0)
    with pytest.warns(UserWarning, match=r"could not be trained with the new class 'dog' \(\d+ label\(s\)\): y holds"):
        loop.fit(X, np.where(np.arange(len(y)) % 2, "dog", y), sample_domain=domain)
    assert loop.estimator_.n_labels_ == sum(row % 2 == 0 for row in loop.queried_ids_)


def test_source_rows_are_not_learned_again(source, target):
    X, y, domain = target
    model = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), random_state=0)
    alone = clone(model).fit(X, known(y, 9), domain)
    both = clone(model).fit(
        np.concatenate([source[0], X]), np.concatenate([source[1], known(y, 9)]), np.repeat([1, -1], [60, 60])
    )
    np.testing.assert_allclose(both.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize(
    ("features", "width"), [(None, 0), ("input", 4), ("auto", 4), (FrozenEstimator(PCA(2).fit(make_rows()[0])), 2)]
)
def test_features_are_chosen(features, width, source, target):
    X, y, domain = target
    model = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), C=1.0, features=features)
    assert model.fit(X, known(y, 9), domain).coef_.shape == (3, width)


def test_weights_grow_with_c(source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    sizes = [np.square(clone(start).set_params(C=C).fit(X, y, domain).coef_).sum() for C in (0, 1e-3, 1.0)]
    assert sizes[0] == 0 < sizes[1] < sizes[2]


def test_it_is_searched_copied_and_saved(source, target, tmp_path):
    X, y, _ = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), random_state=0)
    search = GridSearchCV(start, {"C": [0.0, 0.1]}, cv=3).fit(X, y)
    expected = search.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(search.best_estimator_)).predict_proba(X), expected)
    save(search.best_estimator_, tmp_path / "a.skops")
    np.testing.assert_array_equal(load(tmp_path / "a.skops").predict_proba(X), expected)


def test_texts_go_on_from_their_vectors(target):
    texts = np.array([f"{name} {name}s run {number % 5}" for number, name in enumerate(target[1])], dtype=object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, np.roll(target[1], 1))
    fitted = HypothesisTransfer(FrozenEstimator(model), random_state=0).fit(texts, known(target[1], 50), target[2])
    assert fitted.score(texts[50:], target[1][50:]) > model.score(texts[50:], target[1][50:])


def test_gaps_count_as_means(source, target):
    X, y, domain = target
    holed = X.copy()
    holed[::4, 1] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5).fit(*source)
    fitted = HypothesisTransfer(FrozenEstimator(model), C=1.0).fit(holed, known(y, 30), domain)
    assert not np.isnan(fitted.transform(holed)).any()


def test_units_of_the_columns_do_not_matter(source, target):
    X, y, domain = target

    def proba(scale):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(source[0] * scale, source[1])
        fitted = HypothesisTransfer(FrozenEstimator(model), features="input", random_state=0)
        return fitted.fit(X * scale, known(y, 20), domain).predict_proba(X * scale)

    np.testing.assert_allclose(proba(np.array([1.0, 1e4, 1e-3, 1.0])), proba(np.ones(4)), rtol=1e-3, atol=1e-4)


def test_tables_keep_their_names(source, target):
    X, y, domain = target
    model = LogisticRegression().fit(pd.DataFrame(source[0], columns=list("abcd")), source[1])
    fitted = HypothesisTransfer(FrozenEstimator(model)).fit(pd.DataFrame(X, columns=list("abcd")), known(y, 9), domain)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(pd.DataFrame(X, columns=list("abdc")))


def test_sparse_rows_are_welcome(source, target):
    X, y, domain = target
    model = LogisticRegression().fit(sparse.csr_array(source[0]), source[1])
    fitted = HypothesisTransfer(FrozenEstimator(model)).fit(sparse.csr_array(X), known(y, 20), domain)
    assert fitted.predict(sparse.csr_array(X)).shape == (60,)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), r"pass FrozenEstimator\(model\)"),
        (FrozenEstimator(RidgeClassifier().fit(*make_rows())), "CalibratedClassifierCV"),
    ],
)
def test_any_other_source_model_is_refused_with_the_remedy(model, message, target):
    X, y, domain = target
    with pytest.raises(TypeError, match=message):
        HypothesisTransfer(model).fit(X, known(y, 9), domain)


def test_nothing_to_start_from_is_refused(target):
    X, y, domain = target
    with pytest.raises(ValueError, match="no source_model that knows the classes"):
        HypothesisTransfer().fit(X, known(y, 0), domain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_are_as_precise_as_those_of_the_source_model(dtype, source, target):
    X, y, domain = target
    model = LogisticRegression().fit(source[0].astype(dtype), source[1])
    fitted = HypothesisTransfer(FrozenEstimator(model)).fit(X.astype(dtype), known(y, 9), domain)
    assert fitted.transform(X.astype(dtype)).dtype == dtype


@pytest.mark.parametrize(
    "params", [{"C": 0.3}, {"C": 0.0}, {"C": 0.3, "features": None}, {"C": "auto"}], ids=lambda p: str(p)
)
def test_a_weight_of_two_is_a_row_twice(params, source, target):
    X, y, domain = target
    weight = 1 + np.arange(len(y)) % 3
    rows, model = np.repeat(np.arange(len(y)), weight), FrozenEstimator(LogisticRegression().fit(*source))

    def fit(rows, weight=None):
        labels = known(y, 9)[rows]
        of_label = np.arange(sum(label is not None for label in labels))
        start = HypothesisTransfer(model, cv=[(of_label, of_label)], **params)
        return start.fit(X[rows], labels, domain[rows], sample_weight=weight)

    once, weighted, repeated = fit(np.arange(len(y))), fit(np.arange(len(y)), weight), fit(rows)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)
    assert weighted.C_ == repeated.C_
    assert np.abs(weighted.predict_proba(X) - once.predict_proba(X)).max() > 1e-3


def test_a_row_of_weight_zero_is_not_there(source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), random_state=0)
    there = np.arange(len(y)) % 4 > 0
    labels = np.where(there, known(y, 40), "dog")  # a label that the source model does not know
    weighted = clone(start).fit(np.where(there[:, None], X, 1e6), labels, domain, sample_weight=there.astype(int))
    without = clone(start).fit(X[there], labels[there], domain[there])
    np.testing.assert_allclose(weighted.predict_proba(X), without.predict_proba(X), rtol=1e-9)
    assert weighted.n_labels_ == without.n_labels_ == 30


@pytest.mark.parametrize("n_copies", [1, 3])
def test_copies_of_texts_leave_no_direction_of_rounding_errors(n_copies):
    rng = np.random.default_rng(0)
    own = [[f"{name}{number}" for number in range(40)] for name in NAMES]
    common = [f"word{number}" for number in range(100)]

    def texts(n):
        codes = rng.integers(3, size=n)
        rows = [" ".join([*rng.choice(own[code], 3), *rng.choice(common, 6)]) for code in codes]
        return np.array(rows, dtype=object), NAMES[codes].astype(object)

    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*texts(200))
    X, y = (np.repeat(values, n_copies) for values in texts(30))
    fitted = HypothesisTransfer(FrozenEstimator(model), C=1.0, random_state=0).fit(X, y, np.full(len(y), -1))
    new, truth = texts(200)
    assert np.abs(fitted.transform(new)).max() < 20
    assert fitted.score(new, truth) > 0.95


def test_sparse_and_dense_rows_of_few_columns_are_the_same(source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), C=0.3)
    dense = clone(start).fit(X, known(y, 20), domain)
    thin = clone(start).fit(sparse.csr_array(X), known(y, 20), domain)
    np.testing.assert_allclose(thin.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), atol=1e-5)


def test_a_model_that_is_right_stays_exactly_as_it_is(target):
    X, _, domain = target
    y = np.resize(NAMES[[0, 0, 0, 1, 2]], len(X))  # whatever the features are
    model = DummyClassifier().fit(X, y)
    fitted = HypothesisTransfer(FrozenEstimator(model), random_state=0).fit(X, known(y, 40), domain)
    assert (fitted.C_, fitted.n_labels_, fitted.temperature_) == (None, 40, 1)
    np.testing.assert_array_equal(fitted.predict_proba(X), model.predict_proba(X))


def test_without_a_source_model_it_does_not_stay_where_nothing_is_known(target):
    X = np.random.default_rng(0).normal(size=(60, 4))
    assert HypothesisTransfer(random_state=0).fit(X, target[1]).C_ is not None


@pytest.mark.parametrize("cv", [KFold(2), [(np.arange(10), np.arange(10, 20))]], ids=["splitter", "iterable"])
def test_folds_are_those_of_scikit_learn(cv, source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)), cv=cv)
    assert start.fit(X, known(y, 20), domain).C_ == clone(start).fit(X, known(y, 20), domain).C_
    assert clone(start).fit(X, known(y, 0), domain).n_labels_ == 0  # nothing to hold out, and no error
    with pytest.raises(ValueError, match="n_splits=9"):
        clone(start).set_params(cv=KFold(9)).fit(X, known(y, 8), domain)


@pytest.mark.parametrize("routing", [False, True])
def test_it_is_the_last_step_of_a_pipeline_in_a_loop(routing, source, target):
    X, y, domain = target
    scaler = StandardScaler().fit(source[0])
    model = LogisticRegression().fit(scaler.transform(source[0]), source[1])
    estimator = make_pipeline(FrozenEstimator(scaler), HypothesisTransfer(FrozenEstimator(model)))
    with config_context(enable_metadata_routing=routing):
        loop = ActiveAdaptationLoop(estimator, budget=20, n_rounds=2, audit=0.5, random_state=0)
        loop.fit(X, y, sample_domain=domain)
    assert loop.initial_["accuracy"]["transductive"] == pytest.approx(model.score(scaler.transform(X), y))
    assert loop.accuracy_.low <= loop.score(X, y) <= loop.accuracy_.high
    assert loop.estimator_[-1].n_labels_ == 10  # the others are audit rows, which train nothing


def test_the_weight_of_target_rows_in_a_loop_changes_nothing(source, target):
    X, y, _ = target
    both = np.concatenate([source[0], X]), np.concatenate([source[1], y])
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))

    def proba(target_weight):
        loop = ActiveAdaptationLoop(start, budget=10, n_rounds=2, target_weight=target_weight, random_state=0)
        return loop.fit(*both, sample_domain=np.repeat([1, -1], [60, 60])).predict_proba(X)

    np.testing.assert_array_equal(proba("balanced"), proba(0.1))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"features": PCA(2).fit(make_rows()[0])}, TypeError, r"pass FrozenEstimator\(transformer\)"),
        ({"features": np.abs}, TypeError, r"FrozenEstimator\(FunctionTransformer\(function\)\)"),
        ({"features": FrozenEstimator(GaussianNB().fit(*make_rows()))}, TypeError, "has no transform"),
        ({"source_model": FrozenEstimator(LogisticRegression())}, NotFittedError, "fit it on source rows first"),
        ({"C": -1.0}, ValueError, "The 'C' parameter"),
        ({"cv": 1}, ValueError, "The 'cv' parameter"),
    ],
    ids=["transformer", "function", "no transformer", "not fitted", "C", "cv"],
)
def test_bad_settings_are_refused_with_the_remedy(params, error, message, source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    with pytest.raises(error, match=message):
        start.set_params(**params).fit(X, known(y, 9), domain)


@pytest.mark.parametrize("weight", [np.full(60, -1.0), np.zeros(60), np.ones(59)], ids=["negative", "zeros", "short"])
def test_bad_weights_are_refused(weight, source, target):
    X, y, domain = target
    start = HypothesisTransfer(FrozenEstimator(LogisticRegression().fit(*source)))
    with pytest.raises(ValueError, match="weight"):
        start.fit(X, known(y, 9), domain, sample_weight=weight)
