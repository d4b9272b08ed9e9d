"""A fitted loop goes to one file and comes back, without pickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, MCC, AdaptationClassifier, AnchorSet
from skada_active.domains import mask_target
from skada_active.exceptions import UntrustedFileError
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
    loop.save(folder / "loop.skops")
    return ActiveAdaptationLoop.load(folder / "loop.skops", **given)


class OwnNetwork(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layers = MLP(shape[0], hidden=(5,))

    def forward(self, rows):
        return self.layers(rows)


class OwnStrategy(QueryStrategy):
    def _select(self, view, n_queries, rng):
        return np.arange(n_queries)


def own_network(shape):
    return OwnNetwork(shape)


def own_scaling(X):
    return X / 3


def columns():
    return ColumnTransformer(
        [("a", StandardScaler(), [0, 1]), ("b", OneHotEncoder(handle_unknown="ignore"), slice(2, 3))]
    )


class Own(Callback):
    def __init__(self):
        self.n_epochs_ = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1


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
OTHERS = {
    "linear": lambda: LogisticRegression(),
    "pipeline": lambda: make_pipeline(StandardScaler(), "passthrough", LogisticRegression()),
    "forest": lambda: RandomForestClassifier(5),
    "pipeline of a network": lambda: make_pipeline(StandardScaler(), network(MCC())),
}


@pytest.fixture(params=[*NETWORKS, *OTHERS])
def estimator(request):
    return {**NETWORKS, **OTHERS}[request.param]()


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
    X, y, sample_domain = blobs
    loaded = reload(fit(LogisticRegression(), (as_frame(X), y, sample_domain)), tmp_path)
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:Rows of type")
def test_rows_of_a_dataset_have_to_be_given_to_go_on(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = fit(network(), (Rows(X), y, sample_domain))
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), loop.predict_proba(X))
    with pytest.raises(ValueError, match=r"loaded without its rows; give them: ActiveAdaptationLoop.load\(path, X=X\)"):
        loaded.resume(budget=3, n_rounds=1)
    given = ActiveAdaptationLoop.load(tmp_path / "loop.skops", X=Rows(X)).resume(budget=3, n_rounds=1)
    assert given.queried_ids_.tolist() == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()


def test_a_loop_without_its_rows_is_saved_again(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = fit(network(), (Rows(X), y, sample_domain))
    with pytest.warns(UserWarning, match=r"Rows of type Rows are not saved; .* load\(path, X=X\)"):
        loop.save(tmp_path / "first")
    ActiveAdaptationLoop.load(tmp_path / "first").save(tmp_path / "second")
    given = ActiveAdaptationLoop.load(tmp_path / "second", X=Rows(X)).resume(budget=3, n_rounds=1)
    assert given.queried_ids_.tolist() == loop.resume(budget=3, n_rounds=1).queried_ids_.tolist()


@pytest.mark.filterwarnings("ignore:Rows of type")
def test_other_rows_are_refused(blobs, tmp_path):
    X, y, sample_domain = blobs
    fit(network(), (Rows(X), y, sample_domain)).save(tmp_path / "loop.skops")
    with pytest.raises(ValueError, match="X"):
        ActiveAdaptationLoop.load(tmp_path / "loop.skops", X=Rows(X + 1))


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
    loop, path = fit(network(module=OwnNetwork), blobs, OwnStrategy()), tmp_path / "loop.skops"
    loop.save(path)
    with pytest.raises(ValueError, match=r"OwnNetwork.*Give it: load\(path, estimator=...\)"):
        ActiveAdaptationLoop.load(path)
    estimator = network(module=OwnNetwork)
    with pytest.raises(UntrustedFileError, match=rf"loop\.skops: the file names {__name__}\.OwnStrategy"):
        ActiveAdaptationLoop.load(path, estimator=estimator)
    for way in ({"strategy": OwnStrategy()}, {"trusted": [OwnStrategy]}, {"trusted": f"{__name__}.OwnStrategy"}):
        loaded = ActiveAdaptationLoop.load(path, estimator=estimator, **way)
        assert isinstance(loaded.strategy, OwnStrategy)
        np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: network(module=OwnNetwork((3,))), id="module"),
        pytest.param(lambda: network(module=own_network), id="function"),
        pytest.param(lambda: network(module=partial(OwnNetwork)), id="partial"),
        pytest.param(
            lambda: network(net_params={"callbacks": [("stop", EarlyStopping("train_loss", patience=1)), Own()]}),
            id="calls",
        ),
        pytest.param(lambda: make_pipeline(StandardScaler(), network(module=OwnNetwork)), id="in a pipeline"),
        pytest.param(lambda: make_pipeline(FunctionTransformer(own_scaling), LogisticRegression()), id="transformer"),
        pytest.param(lambda: make_pipeline(StandardScaler(), LogisticRegression(), memory="cache"), id="memory"),
    ],
)
def test_what_is_given_again_predicts_and_goes_on_alike(make, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    given = make()
    loop = fit(given, blobs, RandomSampling())
    loop.save("loop.skops")
    with pytest.raises(ValueError, match=r"estimator__.* cannot be made from a file\. Give it"):
        ActiveAdaptationLoop.load("loop.skops")
    loaded = ActiveAdaptationLoop.load("loop.skops", estimator=given)
    assert repr(loop.estimator) == repr(loaded.estimator)
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))
    for either in (loop, loaded):
        either.resume(budget=3, n_rounds=1)
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: network(optimizer=torch.optim.SGD), id="optimizer"),
        pytest.param(
            lambda: network(net_params={"train_split": ValidSplit(3), "iterator_train__drop_last": True}), id="split"
        ),
        pytest.param(lambda: FrozenEstimator(LogisticRegression()), id="frozen"),
        pytest.param(
            lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"), id="vote"
        ),
        pytest.param(lambda: StackingClassifier([("a", GaussianNB())], LogisticRegression()), id="stack"),
        pytest.param(lambda: CalibratedClassifierCV(LinearSVC()), id="calibrated"),
        pytest.param(lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, scoring="accuracy"), id="search"),
        pytest.param(lambda: HistGradientBoostingClassifier(max_iter=3), id="boosting"),
        pytest.param(lambda: make_pipeline(columns(), SelectKBest(k=2), KNeighborsClassifier()), id="columns"),
    ],
)
def test_every_kind_of_estimator_comes_back(make, blobs, tmp_path):
    estimator = make()
    if isinstance(estimator, FrozenEstimator):
        estimator.estimator.fit(*blobs[:2])
    loop = fit(estimator, blobs)
    loaded = reload(loop, tmp_path)
    for either in (loop, loaded):
        either.resume(budget=3, n_rounds=1)
    assert loaded.queried_ids_.tolist() == loop.queried_ids_.tolist()
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))


def test_corrections_come_back(blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=6, n_rounds=3, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    ids = session.ask()
    session.tell(ids, [None, (y[ids[1]] + 1) % 3])
    session.correct(ids[1:], y[ids[1:]])
    loaded = reload(session.loop_, tmp_path).session_
    assert str(loaded.status()) == str(session.status())
    assert loaded.ask().tolist() == session.ask().tolist()


def test_another_estimator_or_strategy_than_the_saved_one_is_refused(blobs, tmp_path):
    path = tmp_path / "loop.skops"
    fit(network(module=OwnNetwork), blobs).save(path)
    with pytest.raises(ValueError, match=r"estimator is not the one .* estimator__lr was 0.001, is 0.1"):
        ActiveAdaptationLoop.load(path, estimator=network(module=OwnNetwork, lr=0.1))
    with pytest.raises(ValueError, match=r"strategy is not the one .* strategy was None, is CLUE"):
        ActiveAdaptationLoop.load(path, estimator=network(module=OwnNetwork), strategy=CLUE())


def test_an_unfitted_loop_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        ActiveAdaptationLoop().save(tmp_path / "loop.skops")


def test_a_random_state_comes_back_as_it_was(blobs, tmp_path):
    loop = fit(LogisticRegression(), blobs, random_state=np.random.RandomState(0))
    assert reload(loop, tmp_path).random_state.get_state()[1].tolist() == loop.random_state.get_state()[1].tolist()


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"loop\.skops"):
        ActiveAdaptationLoop.load(tmp_path / "loop.skops")


def test_saving_again_replaces_what_was_there(blobs, tmp_path):
    reload(fit(network(MCC()), blobs), tmp_path)
    loop = fit(network(DANN()), blobs)
    loaded = reload(loop, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), loop.predict_proba(blobs[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["loop.skops"]


def test_nothing_is_unpickled(blobs, tmp_path, monkeypatch):
    loop = fit(make_pipeline(StandardScaler(), network(MCC())), blobs)

    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    loop.save(tmp_path / "loop.skops")
    assert ActiveAdaptationLoop.load(tmp_path / "loop.skops").n_queries_ == 8
