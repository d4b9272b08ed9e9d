"""A fitted loop goes to a folder and comes back, without pickle."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from skada_active.io._persistence import save_fitted
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, MCC, AdaptationClassifier, AnchorSet
from skada_active.domains import mask_target
from skada_active.loop import AbstainingOracle, ArrayOracle, BudgetSchedule
from skada_active.networks import MLP
from skada_active.query import BADGE, CLUE, QueryByCommittee, QueryStrategy, RandomSampling


def network(*args, **params):
    return AdaptationClassifier(*args, **{"max_epochs": 2, **params})


def fit(estimator, data, strategy=None, **params):
    settings = {"budget": 8, "n_rounds": 2, "round_epochs": 1, "random_state": 0}
    X, y, sample_domain = data
    return ActiveAdaptationLoop(estimator, strategy, **settings | params).fit(X, y, sample_domain=sample_domain)


def reload(loop, folder, **given):
    loop.save(folder)
    return ActiveAdaptationLoop.load(folder, **given)


class OwnNetwork(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layers = MLP(shape[0], hidden=(5,))

    def forward(self, rows):
        return self.layers(rows)


class OwnStrategy(QueryStrategy):
    def _select(self, view, n_queries, rng):
        return np.arange(n_queries)


class Rows(Dataset):
    def __init__(self, X):
        self.X = X.astype(np.float32)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index]


NETWORKS = {
    "plain": lambda: network(),
    "objectives": lambda: network(MCC() + DANN(), head="cosine", optimizer="sgd"),
    "anchors": lambda: network(anchors=AnchorSet(), augmentation="auto"),
}
THROUGH_SKOPS = {
    "linear": lambda: LogisticRegression(),
    "pipeline": lambda: make_pipeline(StandardScaler(), "passthrough", LogisticRegression()),
    "forest": lambda: RandomForestClassifier(5),
    "pipeline of a network": lambda: make_pipeline(StandardScaler(), network(MCC())),
}


@pytest.fixture(params=[*NETWORKS, *THROUGH_SKOPS])
def estimator(request):
    if request.param in THROUGH_SKOPS:
        pytest.importorskip("skops")
    return {**NETWORKS, **THROUGH_SKOPS}[request.param]()


def test_predictions_come_back_bit_for_bit(estimator, blobs, tmp_path):
    loop = fit(estimator, blobs)
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


def test_a_loaded_loop_goes_on_as_the_saved_one_would(estimator, blobs, tmp_path):
    loop = fit(estimator, blobs, BADGE())
    loaded = reload(loop, tmp_path)
    for either in (loop, loaded):
        either.resume(budget=6, n_rounds=2)
    assert loaded.queried_ids_.tolist() == loop.queried_ids_.tolist()
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


def test_everything_that_was_fitted_comes_back(blobs, tmp_path):
    loop = fit(network(MCC()), blobs, CLUE(temperature=0.3), budget=BudgetSchedule(9, 3))
    loaded = reload(loop, tmp_path)
    assert repr(loaded) == repr(loop)
    for name in ("queried_ids_", "query_round_", "classes_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(loop, name))
        assert getattr(loaded, name).dtype == getattr(loop, name).dtype
    assert loaded.termination_condition_ == loop.termination_condition_
    assert loaded.n_features_in_ == 3
    np.testing.assert_equal(loaded.history_, loop.history_)
    np.testing.assert_equal(loaded.initial_, loop.initial_)
    for curve in ("transductive", "unqueried"):
        np.testing.assert_array_equal(loaded.learning_curve(curve), loop.learning_curve(curve))


def test_it_comes_back_in_another_process(blobs, tmp_path):
    loop = fit(network(), blobs)
    loop.save(tmp_path / "saved")
    np.save(tmp_path / "X.npy", blobs[0])
    code = f"""
import numpy as np
from skada_active import ActiveAdaptationLoop
from skada_active.io._persistence import save_fitted
loop = ActiveAdaptationLoop.load({str(tmp_path / "saved")!r})
np.save({str(tmp_path / "proba.npy")!r}, loop.predict_proba(np.load({str(tmp_path / "X.npy")!r})))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "proba.npy"), loop.predict_proba(blobs[0]), rtol=1e-6)


@pytest.mark.parametrize("dtype", [int, float, str, object, bool])
def test_labels_of_any_type(dtype, blobs, tmp_path):
    X, y, sample_domain = blobs
    y = y.astype(dtype)
    loop = fit(network(), (X, y, sample_domain))
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict(X), loop.predict(X))
    assert loaded.predict(X).dtype == loop.predict(X).dtype
    assert (
        loaded.resume(budget=2, n_rounds=1).queried_ids_.tolist()
        == loop.resume(budget=2, n_rounds=1).queried_ids_.tolist()
    )


def as_frame(X):
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(b=lambda table: table["b"].round().astype(int))


@pytest.mark.parametrize("convert", [np.asfortranarray, np.float32, as_frame, sparse.csr_matrix, sparse.csr_array])
def test_rows_of_numbers_are_saved_with_the_loop(convert, blobs, tmp_path):
    pytest.importorskip("skops")
    X, y, sample_domain = blobs
    X = convert(X)
    loop = fit(LogisticRegression(), (X, y, sample_domain))
    loaded = reload(loop, tmp_path)
    assert type(loaded.session_.X) is type(X)
    assert (
        loaded.resume(budget=3, n_rounds=1).queried_ids_.tolist()
        == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()
    )
    np.testing.assert_array_equal(loaded.predict_proba(X), loop.predict_proba(X))


def test_column_names_come_back(blobs, tmp_path):
    pytest.importorskip("skops")
    X, y, sample_domain = blobs
    loaded = reload(fit(LogisticRegression(), (as_frame(X), y, sample_domain)), tmp_path)
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:Rows of type")
def test_rows_of_a_dataset_have_to_be_given_to_go_on(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = fit(network(), (Rows(X), y, sample_domain))
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), loop.predict_proba(X))
    with pytest.raises(
        ValueError, match=r"loaded without its rows; give them: ActiveAdaptationLoop.load\(folder, X=X\)"
    ):
        loaded.resume(budget=3, n_rounds=1)
    given = ActiveAdaptationLoop.load(tmp_path, X=Rows(X)).resume(budget=3, n_rounds=1)
    assert given.queried_ids_.tolist() == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()


def test_a_loop_without_its_rows_is_saved_again(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = fit(network(), (Rows(X), y, sample_domain))
    with pytest.warns(UserWarning, match=r"Rows of type Rows are not saved; .* load\(folder, X=X\)"):
        loop.save(tmp_path / "first")
    ActiveAdaptationLoop.load(tmp_path / "first").save(tmp_path / "second")
    given = ActiveAdaptationLoop.load(tmp_path / "second", X=Rows(X)).resume(budget=3, n_rounds=1)
    assert given.queried_ids_.tolist() == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()


@pytest.mark.filterwarnings("ignore:Rows of type")
def test_other_rows_are_refused(blobs, tmp_path):
    X, y, sample_domain = blobs
    fit(network(), (Rows(X), y, sample_domain)).save(tmp_path)
    with pytest.raises(ValueError, match="X"):
        ActiveAdaptationLoop.load(tmp_path, X=Rows(X + 1))


def test_held_out_rows_come_back(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(network(), budget=4, n_rounds=1, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain, eval_set=(X[:9], y[:9]))
    loaded = reload(loop, tmp_path).resume(budget=2, n_rounds=1)
    assert loaded.history_[-1]["accuracy"] == loop.resume(budget=2, n_rounds=1).history_[-1]["accuracy"]


def test_a_loop_whose_oracle_failed_goes_on_where_it_stopped(blobs, tmp_path):
    X, y, sample_domain = blobs
    known, answers = mask_target(y, sample_domain), AbstainingOracle(ArrayOracle(y), rate=0.3)

    def fails(ids, X_rows):
        if len(loop.queried_ids_) + len(ids) > 8:
            raise EOFError
        return answers(ids, X_rows)

    loop = ActiveAdaptationLoop(network(), budget=12, n_rounds=6, round_epochs=1, random_state=0)
    with pytest.raises(EOFError):
        loop.fit(X, known, sample_domain=sample_domain, oracle=lambda ids, _: (_ for _ in ()).throw(EOFError))
    loaded = reload(loop, tmp_path)
    with pytest.raises(ValueError, match="pass who answers from now on"):
        loaded.resume()
    for either in (loop, loaded):
        either.resume(answers)
    assert loaded.queried_ids_.tolist() == loop.queried_ids_.tolist()
    np.testing.assert_array_equal(loaded.predict_proba(X), loop.predict_proba(X))


def test_a_session_with_costs_and_annotators_comes_back(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(network(), RandomSampling(), budget=30, n_rounds=3, random_state=0)
    known, costs = mask_target(y, sample_domain), 1 + np.arange(len(y)) % 4
    session = loop.session(X, known, sample_domain=sample_domain, costs=costs, n_annotators=2)
    ids = session.ask()
    session.tell(ids, y[ids], annotator="anna")
    loaded = reload(session.loop_, tmp_path).session_
    assert loaded.ask(annotator="anna").tolist() == []
    for either in (session, loaded):
        either.tell(ids, y[ids], annotator="ben")
    assert loaded.remaining == session.remaining < 30
    assert loaded.ask().tolist() == session.ask().tolist()
    assert str(loaded.status()) == str(session.status())


@pytest.mark.parametrize(
    "strategy",
    [
        BADGE(estimator=LogisticRegression()),
        QueryByCommittee(members=[LogisticRegression(C=0.1), LogisticRegression()]),
        CLUE(estimator=FrozenEstimator(LogisticRegression())),
    ],
    ids=["of its own", "committee", "frozen"],
)
def test_strategies_with_estimators_come_back(strategy, blobs, tmp_path):
    if isinstance(strategy.estimator, FrozenEstimator):
        pytest.importorskip("skops")
        strategy.estimator.estimator.fit(*blobs[:2])
    loop = fit(network(), blobs, strategy)
    loaded = reload(loop, tmp_path)
    assert (
        loaded.resume(budget=3, n_rounds=1).queried_ids_.tolist()
        == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()
    )


def test_a_frozen_network_comes_back(blobs, tmp_path):
    X, y, sample_domain = blobs
    frozen = FrozenEstimator(network(random_state=0).fit(X, mask_target(y, sample_domain), sample_domain))
    loop = fit(frozen, blobs)
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), loop.predict_proba(X))
    assert loaded.resume(budget=2, n_rounds=1).n_queries_ == 10


def test_code_of_ones_own_has_to_be_given_again(blobs, tmp_path):
    loop = fit(network(module=OwnNetwork), blobs, OwnStrategy())
    loop.save(tmp_path)
    with pytest.raises(ValueError, match=r"OwnNetwork.*Give it: ActiveAdaptationLoop.load\(folder, estimator=...\)"):
        ActiveAdaptationLoop.load(tmp_path)
    with pytest.raises(ValueError, match=r"OwnStrategy.*load\(folder, strategy=...\)"):
        ActiveAdaptationLoop.load(tmp_path, estimator=network(module=OwnNetwork))
    loaded = ActiveAdaptationLoop.load(tmp_path, estimator=network(module=OwnNetwork), strategy=OwnStrategy())
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


def test_another_estimator_than_the_saved_one_is_refused(blobs, tmp_path):
    fit(network(module=OwnNetwork), blobs).save(tmp_path)
    with pytest.raises(ValueError, match=r"estimator is not the one .* estimator.lr was 0.001, is 0.1"):
        ActiveAdaptationLoop.load(tmp_path, estimator=network(module=OwnNetwork, lr=0.1))


def test_what_needs_skops_is_refused_without_it(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("skada_active.io._persistence.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="LogisticRegression is saved through skops, which is not installed"):
        fit(LogisticRegression(), blobs).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_functions_of_numbers_are_saved_others_are_not(blobs, tmp_path):
    pytest.importorskip("skops")
    loop = fit(make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()), blobs)
    np.testing.assert_array_equal(reload(loop, tmp_path).predict_proba(blobs[0]), loop.predict_proba(blobs[0]))
    runs_code = make_pipeline(
        FunctionTransformer(np.testing.assert_array_equal, check_inverse=False), RandomForestClassifier()
    )
    with pytest.raises(ValueError, match="of no package whose classes are made from files"):
        save_fitted(runs_code)


def test_an_estimator_with_code_of_its_own_is_refused(blobs, tmp_path):
    pytest.importorskip("skops")
    own = make_pipeline(FunctionTransformer(as_frame), LogisticRegression())
    with pytest.raises(ValueError, match="as_frame, which is of no package whose classes are made from files"):
        fit(own, blobs).save(tmp_path)


def test_an_unfitted_loop_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        ActiveAdaptationLoop().save(tmp_path)


def test_a_seed_that_no_file_holds_is_refused_when_saving(blobs, tmp_path):
    with pytest.raises(ValueError, match=r"random_state: .*RandomState cannot be written without pickle"):
        fit(network(), blobs, random_state=np.random.RandomState(0)).save(tmp_path)


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No loop was saved in .*loop\.json"):
        ActiveAdaptationLoop.load(tmp_path)


def test_saving_again_replaces_what_was_there(blobs, tmp_path):
    fit(network(MCC()), blobs).save(tmp_path)
    loop = fit(network(DANN()), blobs)
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))
    assert len(list(tmp_path.iterdir())) == 3  # loop.json, the network and the rows


def test_damage_of_any_file_is_an_error_that_names_it(blobs, tmp_path):
    fit(network(), blobs).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for damaged in (content[:-1], b"", content[:40] + bytes([content[40] ^ 1]) + content[41:]):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=path.name):
                ActiveAdaptationLoop.load(tmp_path)
        path.write_bytes(content)


def test_nothing_is_pickled(blobs, tmp_path, monkeypatch):
    pytest.importorskip("skops")
    loop = fit(make_pipeline(StandardScaler(), network(MCC())), blobs)

    def refuse(*args, **kwargs):
        raise AssertionError("something was pickled")

    for name in ("load", "loads", "dump", "dumps", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    loaded = reload(loop, tmp_path)
    assert loaded.n_queries_ == 8


def test_the_file_is_plain_json(blobs, tmp_path):
    fit(network(), blobs).save(tmp_path)
    content = json.loads((tmp_path / "loop.json").read_text())["content"]
    assert content["versions"]["torch"]
    assert [event["event"] for event in content["events"]] == ["ask", "tell"] * 2
