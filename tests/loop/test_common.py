"""The loop among scikit-learn's tools: containers, pipelines, cloning, pickling, common checks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier, MarginLoss
from skada_active.domains import mask_target
from skada_active.loop import BudgetSchedule
from skada_active.query import BADGE, MarginSampling, RandomSampling

pandas = pytest.importorskip("pandas")

SETTINGS = {"budget": 6, "n_rounds": 2, "round_epochs": 1, "random_state": 0}
both_routings = pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])


class Rows(Dataset):
    """Yield the rows of an array one by one."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        return self.X[row]


def network():
    return AdaptationClassifier(max_epochs=1)


def linear_loop(estimator=None, **params):
    return ActiveAdaptationLoop(LogisticRegression() if estimator is None else estimator, **{**SETTINGS, **params})


@parametrize_with_checks([ActiveAdaptationLoop(), ActiveAdaptationLoop(LogisticRegression())])
@pytest.mark.filterwarnings("ignore:There is a budget")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# Containers


def containers(X):
    return {
        "list": (linear_loop(), X.tolist()),
        "float32": (linear_loop(), X.astype(np.float32)),
        "DataFrame": (linear_loop(), pandas.DataFrame(X, columns=["a", "b", "c"], index=np.arange(len(X))[::-1])),
        "CSR": (linear_loop(), sparse.csr_array(X)),
        "COO": (linear_loop(), sparse.coo_matrix(X)),
        "images": (linear_loop(network()), np.repeat(X.astype(np.float32), 64, axis=1).reshape(len(X), 3, 8, 8)),
        "Dataset": (linear_loop(network()), Rows(X.astype(np.float32))),
    }


@pytest.mark.parametrize("name", containers(np.zeros((2, 3))))
def test_any_container_of_rows(blobs, name):
    X, y, sample_domain = blobs
    loop, rows = containers(X)[name]
    loop.fit(rows, y, sample_domain=sample_domain)
    assert loop.n_queries_ == 6
    assert loop.predict(rows).shape == (120,)
    assert loop.predict_proba(rows).shape == (120, 3)
    assert loop.score(rows, y) > 0.3


@pytest.mark.parametrize("name", containers(np.zeros((2, 3))))
def test_the_oracle_is_given_ids_and_their_rows(blobs, name):
    X, y, sample_domain = blobs
    loop, rows = containers(X)[name]
    seen = []

    def oracle(ids, asked):
        seen.append((ids, asked))
        return y[ids]

    loop.fit(rows, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=oracle)
    for ids, asked in seen:
        values = sparse.csr_array(asked).toarray() if sparse.issparse(asked) else np.stack(list(as_list(asked)))
        np.testing.assert_allclose(values.reshape(len(ids), 3, -1)[:, :, 0], X[ids], rtol=1e-6)
        if name == "DataFrame":
            assert list(asked.columns) == ["a", "b", "c"]


def as_list(rows):
    return rows.to_numpy() if hasattr(rows, "to_numpy") else [rows[position] for position in range(len(rows))]


def test_containers_of_equal_rows_give_equal_runs(blobs):
    X, y, sample_domain = blobs
    runs = {
        name: containers(X)[name][0]
        .set_params(strategy=MarginSampling())
        .fit(containers(X)[name][1], y, sample_domain=sample_domain)
        .queried_ids_.tolist()
        for name in ("list", "DataFrame", "CSR", "COO")
    }
    assert len({tuple(ids) for ids in runs.values()}) == 1


def test_frames_with_strings_go_through_a_column_transformer(blobs):
    X, y, sample_domain = blobs
    frame = pandas.DataFrame({"x": X[:, 0], "letter": np.array(list("abc"))[y], "z": X[:, 2]})
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["letter"]), remainder="passthrough")
    for last in (LogisticRegression(), network()):
        loop = linear_loop(make_pipeline(columns, last)).fit(frame, y, sample_domain=sample_domain)
        assert loop.n_queries_ == 6
        assert loop.feature_names_in_.tolist() == ["x", "letter", "z"]
        assert loop.predict(frame).shape == (120,)
    with pytest.raises(ValueError, match="feature names"):
        loop.predict(frame.rename(columns={"x": "y"}))


def test_labels_and_domains_may_be_series(blobs):
    X, y, sample_domain = blobs
    index = np.arange(120)[::-1]
    loop = linear_loop().fit(X, pandas.Series(y, index=index), sample_domain=pandas.Series(sample_domain, index=index))
    plain = linear_loop().fit(X, y, sample_domain=sample_domain)
    assert loop.queried_ids_.tolist() == plain.queried_ids_.tolist()


@pytest.mark.parametrize("short", ["X", "y", "sample_domain"])
def test_lengths_that_differ_are_an_error(blobs, short):
    data = dict(zip(("X", "y", "sample_domain"), blobs, strict=True))
    data[short] = data[short][:-1]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        linear_loop().fit(**data)


# Pipelines


@both_routings
@pytest.mark.parametrize("last", [LogisticRegression(), network()], ids=["linear", "network"])
def test_the_estimator_may_be_a_pipeline(blobs, last, routing):
    X, y, sample_domain = blobs
    with config_context(enable_metadata_routing=routing):
        loop = linear_loop(make_pipeline(StandardScaler(), last), strategy=BADGE())
        loop.fit(X, y, sample_domain=sample_domain)
        assert loop.n_queries_ == 6
        assert loop.predict(X).shape == (120,)


@both_routings
def test_a_network_in_a_pipeline_goes_on_training(blobs, routing):
    X, y, sample_domain = blobs
    with config_context(enable_metadata_routing=routing):
        loop = linear_loop(make_pipeline(StandardScaler(), network()), round_epochs=3)
        loop.fit(X, y, sample_domain=sample_domain)
    assert len(loop.estimator_[-1].net_.history) == 1 + 3 + 3
    assert loop.history_[0]["loss"]["train_loss"] > 0


def test_a_network_in_a_pipeline_sees_the_target(blobs):
    X, y, sample_domain = blobs
    loop = linear_loop(make_pipeline(StandardScaler(), network())).fit(X, y, sample_domain=sample_domain)
    assert loop.estimator_[-1].domains_.tolist() == [1, -2]
    np.testing.assert_allclose(loop.estimator_[0].mean_, X.mean(axis=0))


@both_routings
def test_the_loop_may_be_the_last_step_of_a_pipeline(blobs, routing):
    X, y, sample_domain = blobs
    pipeline = Pipeline([("scale", StandardScaler()), ("loop", linear_loop())])
    with config_context(enable_metadata_routing=routing):
        pipeline.fit(X, y, **{"sample_domain" if routing else "loop__sample_domain": sample_domain})
        assert pipeline["loop"].n_queries_ == 6
        assert pipeline.predict_proba(X).shape == (120, 3)
        assert pipeline.score(X, y) > 0.3


def test_oracle_and_eval_set_are_routed_on_request(blobs):
    X, y, sample_domain = blobs
    with config_context(enable_metadata_routing=True):
        loop = linear_loop().set_fit_request(oracle=True, eval_set=True)
        make_pipeline(StandardScaler(), loop).fit(
            X,
            mask_target(y, sample_domain),
            sample_domain=sample_domain,
            oracle=lambda ids, rows: y[ids],
            eval_set=(X, y),
        )
    assert loop.n_queries_ == 6
    assert loop.history_[0]["accuracy"]["holdout"] is not None


# Methods and parameters


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "transform"])
def test_methods_are_those_of_the_estimator(method):
    assert hasattr(ActiveAdaptationLoop(), method)
    assert hasattr(ActiveAdaptationLoop(LogisticRegression()), method) is hasattr(LogisticRegression(), method)
    assert hasattr(ActiveAdaptationLoop(Perceptron()), method) is hasattr(Perceptron(), method)
    assert hasattr(ActiveAdaptationLoop(DummyClassifier()), method) is hasattr(DummyClassifier(), method)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "transform"])
def test_methods_give_what_the_estimator_gives(blobs, method):
    X, y, sample_domain = blobs
    loop = linear_loop(network()).fit(X, y, sample_domain=sample_domain)
    np.testing.assert_array_equal(getattr(loop, method)(X), getattr(loop.estimator_, method)(X))


def test_the_wrong_number_of_columns_is_an_error(blobs):
    X, y, sample_domain = blobs
    loop = linear_loop().fit(X, y, sample_domain=sample_domain)
    with pytest.raises(ValueError, match="expecting 3 features"):
        loop.predict(X[:, :2])


def test_nested_parameters_are_set_by_name():
    loop = ActiveAdaptationLoop(AdaptationClassifier(MarginLoss()), MarginSampling(LogisticRegression()))
    loop.set_params(
        strategy__random_state=3, strategy__estimator__C=2.0, estimator__objective__margin=0.5, budget=BudgetSchedule()
    ).set_params(budget__n_rounds=2)
    assert loop.strategy.random_state == 3
    assert loop.strategy.estimator.C == 2.0
    assert loop.estimator.objective.margin == 0.5
    assert loop.budget.n_rounds == 2


def test_parts_are_replaced_by_name():
    loop = ActiveAdaptationLoop().set_params(strategy=RandomSampling(), estimator=LogisticRegression())
    assert isinstance(clone(loop).strategy, RandomSampling)


def test_a_clone_of_a_fitted_loop_is_unfitted_and_gives_the_same_run(blobs):
    X, y, sample_domain = blobs
    loop = linear_loop(network(), strategy=BADGE()).fit(X, y, sample_domain=sample_domain)
    copy = clone(loop)
    assert not hasattr(copy, "estimator_")
    assert copy.fit(X, y, sample_domain=sample_domain).queried_ids_.tolist() == loop.queried_ids_.tolist()


def test_fit_changes_no_parameter(blobs):
    X, y, sample_domain = blobs
    loop = linear_loop(network(), strategy=MarginSampling(LogisticRegression()))
    before = repr(loop.get_params())
    loop.fit(X, y, sample_domain=sample_domain)
    assert repr(loop.get_params()) == before


def test_repr_names_what_differs_from_the_defaults():
    loop = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=3)
    text = "ActiveAdaptationLoop(budget=3, estimator=LogisticRegression(), strategy=RandomSampling())"
    assert " ".join(repr(loop).split()) == text


@pytest.mark.parametrize("estimator", [LogisticRegression(), network()], ids=["linear", "network"])
def test_a_pickled_loop_predicts_and_goes_on(blobs, estimator):
    X, y, sample_domain = blobs
    loop = linear_loop(estimator).fit(X, y, sample_domain=sample_domain)
    copy = pickle.loads(pickle.dumps(loop))
    np.testing.assert_array_equal(copy.predict_proba(X), loop.predict_proba(X))
    more, other = copy.resume(budget=4), loop.resume(budget=4)
    assert more.queried_ids_.tolist() == other.queried_ids_.tolist()


def test_an_html_diagram_is_drawn():
    assert "MarginSampling" in ActiveAdaptationLoop(LogisticRegression(), MarginSampling())._repr_html_()
