"""A model that travels with a summary of its rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, MCC, AdaptationClassifier
from skada_active.io import save
from skada_active.query import GALA, domain_gap
from skada_active.source_free import HypothesisTransfer, SourceModel

NAMES = np.array(["ant", "bee", "cat"])
NETWORK = AdaptationClassifier(max_epochs=2, random_state=0)
KEPT = {"frozen": ["backbone"], "batch_statistics": "frozen"}
MODELS = [
    make_pipeline(StandardScaler(), LogisticRegression()),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
    NETWORK,
    make_pipeline(StandardScaler(), NETWORK),
]
every_model = pytest.mark.parametrize("model", MODELS, ids=["linear", "trees", "network", "network in a pipeline"])


def make_rows(n=90, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + 2 * np.eye(3, 4)[y] + shift
    return X.astype(np.float32), NAMES[y], np.where(np.arange(n) % 2, 7, 2)


@pytest.fixture(scope="module")
def source():
    return make_rows()


@pytest.fixture(scope="module")
def target():
    X, y, _ = make_rows(seed=1, shift=[2.0, 0.0, 0.0, 0.0])
    return X, y, np.full(len(y), -1)


@pytest.fixture(scope="module")
def linear(source):
    return SourceModel.from_fit(LogisticRegression(), *source, random_state=0)


def hidden(y):
    return np.full(len(y), None)


def test_the_summary_has_the_moments_of_the_rows(linear, source):
    X, y, domain = source
    summary = linear.summary
    assert (summary.classes.tolist(), summary.domains.tolist()) == (NAMES.tolist(), [2, 7])
    for s, number in enumerate([2, 7]):
        rows = X[domain == number]
        np.testing.assert_allclose(summary.source_mean[s], rows.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(summary.source_std[s], rows.std(axis=0), rtol=1e-5)
        for c, name in enumerate(NAMES):
            rows = X[(domain == number) & (y == name)]
            assert summary.count[s, c] == len(rows)
            np.testing.assert_allclose(summary.mean[s, c], rows.mean(axis=0), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(summary.std[s, c], rows.std(axis=0), rtol=1e-4)


def test_accuracy_and_temperature_are_those_of_rows_held_out(source):
    X, y, domain = source
    noisy = np.where(np.arange(len(y)) % 4 == 0, np.roll(y, 1), y)
    trees = SourceModel.from_fit(HistGradientBoostingClassifier(min_samples_leaf=2), X, noisy, domain, random_state=0)
    assert trees.score(X, noisy) == 1
    accuracy = trees.summary.accuracy
    assert accuracy.low < accuracy.value < 0.8
    assert trees.summary.temperature > 1.5
    assert "held-out accuracy" in repr(trees.summary)


def numbers_of(value):
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype.kind == "f" else []
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers_of(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers_of(item)]
    return numbers_of(vars(value)) if hasattr(value, "__dict__") else [value] if isinstance(value, float) else []


@every_model
def test_no_number_that_is_kept_is_one_of_a_row(model, source):
    held = SourceModel.from_fit(model, *source, random_state=0)
    kept = numbers_of(vars(held.summary) | {"model": held.estimator.__getstate__()})
    assert len(kept) > 20
    assert not np.isin(np.array(kept, dtype=np.float32), source[0]).any()


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="ball_tree")),
        make_pipeline(StandardScaler(), SVC(probability=True)),
        GaussianProcessClassifier(),
    ],
    ids=["neighbours", "ball tree", "support vectors", "gaussian process"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_models_that_keep_rows_are_refused(model, source):
    with pytest.raises(ValueError, match=r"keeps \d+ row\(s\) that it was trained on"):
        SourceModel.from_fit(model, *source, random_state=0)


def test_classes_of_few_rows_are_left_out_and_named(source):
    X, y, domain = source
    few = (domain == 7) & (y == "cat")
    kept = ~few | (np.cumsum(few) <= 3)
    with pytest.warns(UserWarning, match=r"fewer than min_rows=5 rows, as \(domain, class\): \(7, 'cat'\)"):
        held = SourceModel.from_fit(LogisticRegression(), X[kept], y[kept], domain[kept], random_state=0)
    assert held.summary.left_out == ((7, "cat"),)
    assert held.summary.count[1, 2] == 0
    assert np.isnan(held.summary.mean[1, 2]).all()
    others = X[kept][(domain[kept] == 7) & (y[kept] != "cat")]
    np.testing.assert_allclose(held.summary.source_mean[1], others.mean(axis=0), rtol=1e-5)


def test_a_fitted_model_is_measured_on_the_rows_that_are_given(source):
    X, y, domain = source
    model = LogisticRegression().fit(X[:45], y[:45])
    held = SourceModel.from_fit(FrozenEstimator(model), X[45:], y[45:], domain[45:])
    assert held.estimator is model
    assert held.summary.accuracy.value == pytest.approx(model.score(X[45:], y[45:]))
    assert held.summary.count.sum() == 45


@every_model
def test_it_travels_in_one_file(model, source, target, tmp_path):
    X = target[0]
    held = SourceModel.from_fit(model, *source, random_state=0)
    held.save(tmp_path / "a.skops")
    read = SourceModel.load(tmp_path / "a.skops")
    np.testing.assert_array_equal(read.predict_proba(X), held.predict_proba(X))
    np.testing.assert_array_equal(read.summary.mean, held.summary.mean)
    assert read.summary.accuracy == held.summary.accuracy
    assert clone(read) is read


@every_model
def test_what_is_adaptable_starts_where_the_model_is(model, source, target):
    X, y, domain = target
    held = SourceModel.from_fit(model, *source, random_state=0)
    adaptable = held.adaptable()
    assert clone(adaptable) is not adaptable
    prefix = f"{adaptable.steps[-1][0]}__" if isinstance(adaptable, Pipeline) else ""
    adaptable.fit(X, hidden(y), **{f"{prefix}sample_domain": domain})
    np.testing.assert_allclose(adaptable.predict_proba(X), held.predict_proba(X), atol=1e-6)
    loop = ActiveAdaptationLoop(held.adaptable(), budget=10, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert loop.initial_["accuracy"]["transductive"] == pytest.approx(held.score(X, y))
    assert len(loop.queried_ids_) == 10


def test_networks_adapt_by_an_objective_and_others_do_not(linear, source):
    network = SourceModel.from_fit(NETWORK, *source, random_state=0)
    assert network.adaptable(MCC(), lr=0.1).get_params(deep=False)["lr"] == 0.1
    assert isinstance(linear.adaptable(C=0.5), HypothesisTransfer)
    with pytest.raises(ValueError, match="trains networks, and the source model is a LogisticRegression"):
        linear.adaptable(DANN())


def test_gala_reads_the_summary_where_there_is_no_row(linear, source, target):
    X, y, domain = target
    strategy = GALA(estimator=linear.adaptable(), random_state=0).fit(X, hidden(y), domain)
    assert len(set(strategy.query(5).tolist())) == 5
    np.testing.assert_allclose(strategy.utilities(strategy.pool_), domain_gap(X, source[0], source[2]), rtol=1e-4)


@pytest.mark.parametrize(("params", "reads"), [(KEPT, True), ({}, False)], ids=["kept", "trained"])
def test_a_network_has_the_moments_as_long_as_its_embedding_stays(params, reads, source, target):
    X, y, domain = target
    held = SourceModel.from_fit(NETWORK, *source, random_state=0)
    some = np.where(np.arange(len(y)) < 9, y, None)
    strategy = GALA(estimator=held.adaptable(**params), random_state=0).fit(X, some, domain)
    if reads:
        assert len(strategy.query(5)) == 5
        return
    with pytest.raises(ValueError, match=r"source_features has no row.*frozen=\['backbone'\]"):
        strategy.query(5)


def test_class_shares_of_the_target_come_from_the_model_alone():
    held = SourceModel.from_fit(LogisticRegression(), *make_rows(3000), random_state=0)
    X, y, _ = make_rows(3000, seed=3)
    kept = (y != "cat") | (np.arange(len(y)) % 10 == 0)
    shares = [np.mean(y[kept] == name) for name in NAMES]
    np.testing.assert_allclose(held.target_shares(X[kept]), shares, atol=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_rows": 1}, "min_rows must be an integer >= 2"),
        ({"min_rows": 100}, "No class of any domain has min_rows=100"),
        ({"model": RidgeClassifier()}, "has no predict_proba"),
        ({"sample_domain": np.full(90, -1)}, "no source row"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(change, message, source):
    X, y, domain = source
    arguments = {"model": LogisticRegression(), "X": X, "y": y, "sample_domain": domain, **change}
    with pytest.raises(ValueError, match=message):
        SourceModel.from_fit(**arguments)


def test_a_summary_of_another_model_is_refused(linear, source, target):
    X, y, domain = target
    other = SourceModel(LogisticRegression().fit(source[0], source[1] == "ant"), linear.summary)
    with pytest.raises(
        ValueError, match=r"summary is of another model, for it has the classes \['ant', 'bee', 'cat'\]"
    ):
        other.adaptable()
    wide = SourceModel(linear.estimator, SourceModel.from_fit(NETWORK, *source, random_state=0).summary)
    strategy = GALA(estimator=wide.adaptable(), random_state=0)
    with pytest.raises(ValueError, match="its moments are of 256 features, and the model has 4"):
        strategy.fit(X, hidden(y), domain)


def test_other_files_are_refused(tmp_path):
    save(LogisticRegression(), tmp_path / "other.skops")
    with pytest.raises(TypeError, match="holds LogisticRegression, not a SourceModel"):
        SourceModel.load(tmp_path / "other.skops")


SITE_B = """
import os, sys, numpy as np
from skada_active import ActiveAdaptationLoop
from skada_active.source_free import SourceModel
folder, n_answers = sys.argv[1], int(sys.argv[2])
X, y = np.load(folder + "/X.npy"), np.load(folder + "/y.npy")
loop = ActiveAdaptationLoop(SourceModel.load(folder + "/a.skops").adaptable(), budget=8, n_rounds=2, random_state=0)
session = loop.session(X, np.full(len(X), None), sample_domain=np.full(len(X), -1), journal=folder + "/b.db")
ids = session.ask()[:n_answers]
session.tell(ids, y[ids])
print(*session.queried_ids_, flush=True)
os._exit(0)
"""


def test_a_session_elsewhere_needs_the_file_alone(linear, target, tmp_path):
    linear.save(tmp_path / "a.skops")
    np.save(tmp_path / "X.npy", target[0])
    np.save(tmp_path / "y.npy", target[1])

    def ids_at_site_b(n_answers):
        command = [sys.executable, "-c", SITE_B, str(tmp_path), str(n_answers)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert len(ids_at_site_b(3)) == 3
    assert len(ids_at_site_b(1)) == 4
