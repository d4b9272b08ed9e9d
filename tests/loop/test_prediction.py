"""The prediction side of a loop: what it delegates, takes and returns."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from skada_active import ActiveAdaptationLoop, target_accuracy
from skada_active.deep import AdaptationClassifier
from skada_active.query import MarginSampling, RandomSampling

pandas = pytest.importorskip("pandas")

METHODS = ("predict_proba", "decision_function", "transform", "set_output", "get_feature_names_out")
PAIR = [("a", LogisticRegression()), ("b", GaussianNB())]


def network():
    return AdaptationClassifier(max_epochs=1)


def loop_of(estimator, strategy=None):
    return ActiveAdaptationLoop(estimator, strategy, budget=4, n_rounds=2, round_epochs=1, random_state=0)


def fitted(estimator, data, rows=None):
    X, y, sample_domain = data
    return loop_of(estimator).fit(X if rows is None else rows, y, sample_domain=sample_domain)


def frame_of(X):
    return pandas.DataFrame(X, columns=["a", "b", "c"], index=np.arange(len(X))[::-1])


# Estimators with methods that appear at fit


@pytest.mark.parametrize(
    "estimator",
    [
        StackingClassifier(PAIR),
        GridSearchCV(StackingClassifier(PAIR), {"stack_method": ["auto"]}, cv=2),
        make_pipeline(StandardScaler(), StackingClassifier(PAIR)),
        VotingClassifier(PAIR, voting="soft"),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        CalibratedClassifierCV(LinearSVC(), cv=2),
    ],
    ids=["stacking", "search of it", "pipeline of it", "voting", "search", "calibrated"],
)
def test_a_loop_has_the_methods_of_the_fitted_estimator_before_it_is_fitted(blobs, estimator):
    loop = loop_of(estimator, MarginSampling())
    before = [hasattr(loop, method) for method in METHODS]
    loop.fit(blobs[0], blobs[1], sample_domain=blobs[2])
    assert before == [hasattr(loop, method) for method in METHODS]
    assert loop.predict_proba(blobs[0]).shape == (120, 3)


@pytest.mark.parametrize(
    "estimator",
    [VotingClassifier(PAIR), StackingClassifier(PAIR, final_estimator=LinearSVC()), SVC(), LinearSVC()],
    ids=["hard voting", "stacking", "SVC", "LinearSVC"],
)
def test_what_never_has_probabilities_is_refused_before_any_training(blobs, estimator):
    with pytest.raises(ValueError, match="cannot supply 'proba'"):
        loop_of(estimator, MarginSampling()).fit(blobs[0], blobs[1], sample_domain=blobs[2])


# Containers of the embedding


@pytest.mark.parametrize(
    "estimator",
    [
        network(),
        make_pipeline(StandardScaler(), network()),
        make_pipeline(FunctionTransformer(), network()),
    ],
    ids=["network", "pipeline", "pipeline without names"],
)
def test_set_output_gives_a_frame_with_the_names_of_the_estimator(blobs, estimator):
    frame = frame_of(blobs[0])
    loop = fitted(estimator, blobs, frame)
    array, table = loop.transform(frame), loop.set_output(transform="pandas").transform(frame)
    assert type(array) is np.ndarray
    assert table.columns.tolist() == loop.get_feature_names_out().tolist()
    assert table.columns[0] == "adaptationclassifier0"
    assert table.index.tolist() == frame.index.tolist()
    np.testing.assert_array_equal(table.to_numpy(), array)
    assert type(loop.set_output(transform="default").transform(frame)) is np.ndarray


def test_the_output_of_the_estimator_itself_is_kept(blobs):
    loop = fitted(network().set_output(transform="pandas"), blobs)
    assert isinstance(loop.transform(blobs[0]), pandas.DataFrame)


def test_the_output_that_is_set_outlives_clones_files_and_further_rounds(blobs, tmp_path):
    loop = clone(loop_of(network()).set_output(transform="pandas"))
    loop.fit(blobs[0], blobs[1], sample_domain=blobs[2])
    loop.save(tmp_path / "loop.skops")
    for other in (loop.resume(budget=2), ActiveAdaptationLoop.load(tmp_path / "loop.skops"), loop.session_.loop_):
        assert isinstance(other.transform(blobs[0]), pandas.DataFrame)


def test_the_output_of_the_global_configuration_is_kept(blobs):
    with config_context(transform_output="pandas"):
        assert isinstance(fitted(network(), blobs).transform(blobs[0]), pandas.DataFrame)


def test_a_loop_that_does_not_transform_has_no_output_to_set():
    loop = loop_of(make_pipeline(StandardScaler(), LogisticRegression()))
    assert not any(hasattr(loop, method) for method in METHODS[2:])


# Domains that come along


@pytest.mark.parametrize("make", [lambda: loop_of(network()), network], ids=["loop", "network"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "transform"])
def test_domains_make_no_difference_to_a_prediction(blobs, make, method):
    X, y, sample_domain = blobs
    predict = getattr(make().fit(X, y, sample_domain=sample_domain), method)
    np.testing.assert_array_equal(predict(X), predict(X, sample_domain=sample_domain, allow_source=True))


@pytest.mark.parametrize("make", [lambda: loop_of(LogisticRegression()), network], ids=["loop", "network"])
@pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])
def test_scores_take_domains(blobs, make, routing):
    X, y, sample_domain = blobs
    model = make().fit(X, y, sample_domain=sample_domain)
    assert model.score(X, y, sample_domain=sample_domain, allow_source=True) == model.score(X, y)
    with config_context(enable_metadata_routing=routing):
        domains = {"sample_domain": sample_domain} if routing else {}
        scorer = sklearn.metrics.check_scoring(model)
        assert scorer(model, X, y, **domains) == model.score(X, y)


def test_with_routing_a_pipeline_hands_domains_to_every_method(blobs):
    X, y, sample_domain = blobs
    with config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler(), network()).fit(X, y, sample_domain=sample_domain)
        assert model.predict(X, sample_domain=sample_domain, allow_source=True).shape == (120,)
        last = make_pipeline(loop_of(network()), LogisticRegression()).fit(X, y, sample_domain=sample_domain)
        assert last.score(X, y, sample_domain=sample_domain) > 0.3


# Known labels only


def incomplete(y):
    half = np.arange(len(y)) % 2 == 0
    objects = np.where(half, y.astype(object), None)
    return half, [
        np.where(half, y, -1),
        np.where(half, y, np.nan),
        objects,
        np.where(half, y.astype(object), pandas.NA),
        pandas.array(objects, dtype="Int64"),
    ]


@pytest.mark.parametrize("make", [lambda: loop_of(LogisticRegression(), RandomSampling()), network])
def test_score_leaves_rows_without_a_label_out(blobs, make):
    X, y, sample_domain = blobs
    model = make().fit(X, y, sample_domain=sample_domain)
    half, ways = incomplete(y)
    expected = model.score(X[half], y[half])
    assert [model.score(X, labels) for labels in ways] == [expected] * len(ways)
    assert model.score(X, ways[0], sample_weight=np.ones(120)) == expected
    with pytest.raises(ValueError, match="no label"):
        model.score(X, np.full(120, -1))
    with pytest.raises(ValueError, match="Mix of label input types"):
        model.score(X, np.array(["a", "b", "c"])[y])


def test_minus_one_is_scored_where_it_is_a_class(blobs):
    X, signs = blobs[0], np.where(blobs[1] > 0, 1, -1)
    loop = loop_of(LogisticRegression()).fit(X, signs, eval_set=(X, signs))
    expected = float((loop.predict(X) == signs).mean())
    assert loop.score(X, signs) == target_accuracy(loop, X, signs) == loop.initial_["accuracy"]["holdout"] == expected
