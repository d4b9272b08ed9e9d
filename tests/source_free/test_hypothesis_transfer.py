"""Going on from any fitted classifier without its rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
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
