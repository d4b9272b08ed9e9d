"""Every callback that skorch ships works as in skorch: alone, and in a loop that goes on training after each round."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skorch.callbacks
import torch
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
    WarmRestartLR,
)
from skorch.dataset import ValidSplit
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_gas_drift
from skada_active.deep import MCC, AdaptationClassifier

silent = {"sink": lambda text: None}


class Run:
    """Stand for what a logging service gives to log to: whatever is called or set is kept."""

    def __init__(self, folder):
        self.dir, self.calls, self.glob = str(folder), [], folder.glob

    def __deepcopy__(self, memo):
        return self

    def __getitem__(self, name):
        return self

    def __truediv__(self, name):
        return Path(self.dir) / name

    def __setitem__(self, name, value):
        self.calls.append(name)

    def __getattr__(self, name):
        if name.startswith("__") or name == "get_params":
            raise AttributeError(name)
        if name in ("info", "run_id"):
            return self
        return lambda *args, **kwargs: self.calls.append(name)


@pytest.fixture
def run(tmp_path, monkeypatch):
    for name in ("neptune", "neptune.types", "neptune.handler"):
        module = types.ModuleType(name)
        module.File, module.Handler = SimpleNamespace(from_content=lambda text, extension: text), SimpleNamespace
        monkeypatch.setitem(sys.modules, name, module)
    return Run(tmp_path)


def checkpoints(run):
    first = Checkpoint(dirname=run.dir, fn_prefix="a", f_params="p{last_epoch[epoch]}-{last_batch[valid_loss]:.3f}.pt")
    second = TrainEndCheckpoint(dirname=run.dir)
    return [first, Checkpoint(dirname=run.dir, monitor="accuracy_best", load_best=True), second, LoadInitState(second)]


#: Makers of callbacks: one list for each that skorch exports.
CALLBACKS = {
    "BatchScoring": lambda run: [BatchScoring("accuracy", lower_is_better=False, name="of_batches")],
    "Checkpoint": lambda run: [EpochScoring("accuracy", lower_is_better=False), *checkpoints(run)],
    "EarlyStopping": lambda run: [EarlyStopping(load_best=True, patience=2, **silent)],
    "EpochScoring": lambda run: [EpochScoring("accuracy", lower_is_better=False, use_caching=False)],
    "EpochTimer": lambda run: [EpochTimer()],
    "Freezer": lambda run: [Freezer("backbone.*")],
    "GradientNormClipping": lambda run: [GradientNormClipping(0.1)],
    "Initializer": lambda run: [Initializer("head.weight", fn=torch.nn.init.zeros_)],
    "InputShapeSetter": lambda run: [InputShapeSetter()],
    "LRScheduler": lambda run: [
        LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
        LRScheduler("ExponentialLR", gamma=0.9),
    ],
    "LoadInitState": lambda run: [cp := TrainEndCheckpoint(dirname=run.dir), LoadInitState(cp)],
    "MlflowLogger": lambda run: [MlflowLogger(run, run, log_on_batch_end=True)],
    "NeptuneLogger": lambda run: [NeptuneLogger(run, log_on_batch_end=True)],
    "ParamMapper": lambda run: [ParamMapper("head.*", fn=run.calls.append, at=2)],
    "PassthroughScoring": lambda run: [
        PassthroughScoring("train_loss", on_train=True),
        PassthroughScoring("valid_loss"),
    ],
    "PrintLog": lambda run: [PrintLog(sink=run.calls.append)],
    "ProgressBar": lambda run: [ProgressBar()],
    "SacredLogger": lambda run: [SacredLogger(run, log_on_batch_end=True)],
    "TensorBoard": lambda run: [TensorBoard(run)],
    "TrainEndCheckpoint": lambda run: [TrainEndCheckpoint(dirname=run.dir, f_pickle="all.pkl")],
    "Unfreezer": lambda run: [Freezer("head.*"), Unfreezer("head.*", at=2)],
    "WandbLogger": lambda run: [WandbLogger(run)],
    "WarmRestartLR": lambda run: [LRScheduler(WarmRestartLR, step_every="batch")],
}


CHECKS = {
    "BatchScoring": lambda net, run: 0.5 < net.history[-1]["of_batches"] <= 1,
    "Checkpoint": lambda net, run: net.history[-1]["event_cp"] and len(list(run.glob("ap*.pt"))) > 1,
    "EarlyStopping": lambda net, run: net.history[-1]["valid_loss"] > 0,
    "EpochScoring": lambda net, run: 0.5 < net.history[-1]["accuracy"] <= 1,
    "EpochTimer": lambda net, run: net.history[-1]["dur"] > 0,
    "Freezer": lambda net, run: not any(p.requires_grad for p in net.module_.backbone.parameters()),
    "GradientNormClipping": lambda net, run: sum(p.grad.norm() ** 2 for p in net.module_.parameters()) <= 0.1,
    "Initializer": lambda net, run: net.module_.head.weight.abs().max() < 0.1,
    "InputShapeSetter": lambda net, run: net.module_.backbone is not None,
    "LRScheduler": lambda net, run: net.history[-1]["event_lr"] < net.history[0]["event_lr"] == 1e-3,
    "LoadInitState": lambda net, run: (run / "train_end_params.pt").exists(),
    "MlflowLogger": lambda net, run: {"log_metric", "log_artifact", "set_terminated"} <= set(run.calls),
    "NeptuneLogger": lambda net, run: {"model/summary", "append", "stop"} <= set(run.calls),
    "ParamMapper": lambda net, run: [len(parameter) for parameter in run.calls] == [len(net.classes_)] * 2,
    "PassthroughScoring": lambda net, run: net.history[-1]["valid_loss"] > 0,
    "PrintLog": lambda net, run: any("valid_loss" in line for line in run.calls),
    "ProgressBar": lambda net, run: len(net.history[-1]["batches"]) > 10,
    "SacredLogger": lambda net, run: run.calls.count("log_scalar") > 100,
    "TensorBoard": lambda net, run: {"add_scalar", "close"} <= set(run.calls),
    "TrainEndCheckpoint": lambda net, run: (run / "train_end_all.pkl").exists(),
    "Unfreezer": lambda net, run: all(p.requires_grad for p in net.module_.head.parameters()),
    "WandbLogger": lambda net, run: {"watch", "log"} <= set(run.calls) and (run / "best_model.pth").exists(),
    "WarmRestartLR": lambda net, run: net.history[0]["batches"][0]["event_lr"] == 0.05,
}


def classifier(callbacks, **params):
    net_params = {"callbacks": callbacks, "train_split": params.pop("train_split", ValidSplit(4))}
    defaults = {"max_epochs": 3, "batch_size": 16, "random_state": 0}
    return AdaptationClassifier(params.pop("objective", MCC()), net_params=net_params, **defaults | params)


def test_every_callback_of_skorch_is_tried():
    assert {*CALLBACKS, "Callback"} == {*CHECKS, "Callback"} == set(skorch.callbacks.__all__)


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_works_alone(name, run, make_data):
    data = make_data()
    model = classifier(CALLBACKS[name](run)).fit(*data)
    assert CHECKS[name](model.net_, run)
    assert CHECKS[name](model.partial_fit(*data).net_, run)
    assert np.isfinite(model.predict_proba(data[0])).all()


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_works_in_a_loop(name, run, blobs):
    X, y, domain = blobs
    loop = ActiveAdaptationLoop(classifier(CALLBACKS[name](run)), budget=4, n_rounds=2, round_epochs=1, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert len(loop.queried_ids_) == 4
    assert CHECKS[name](loop.estimator_.net_, run)


class Rows(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index]


class FirstRows:
    """Split the labelled rows: the first 12 are for validation."""

    def __call__(self, data, y=None):
        return torch.utils.data.Subset(data, np.arange(12, len(data))), torch.utils.data.Subset(data, np.arange(12))


@pytest.mark.parametrize("as_rows", [np.asarray, Rows])
@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("scoring", ["accuracy", None])
def test_accuracy_of_validation_rows_is_that_of_the_model(make_data, as_rows, use_caching, scoring):
    X, y, domain = make_data()
    callback = EpochScoring(scoring, lower_is_better=False, name="of_epoch", use_caching=use_caching)
    model = classifier([callback], max_epochs=1, train_split=FirstRows()).fit(as_rows(X), y, domain)
    assert model.net_.history[-1]["of_epoch"] == (model.predict(X[:12]) == y[:12]).mean()


@pytest.mark.parametrize("as_rows", [np.asarray, Rows])
def test_a_score_on_training_rows_without_caching_is_that_of_the_labelled_ones(make_data, as_rows):
    X, y, domain = make_data()
    callback = EpochScoring("accuracy", lower_is_better=False, on_train=True, use_caching=False)
    model = classifier([callback], max_epochs=1, train_split=None).fit(as_rows(X), y, domain)
    assert model.net_.history[-1]["accuracy"] == (model.predict(X[y >= 0]) == y[y >= 0]).mean()


def test_a_score_on_training_rows_with_caching_is_of_the_outputs_of_the_steps(make_data):
    seen = []

    def count(net, X, y):
        seen.append(len(y))
        return float((net.predict(X) == y).mean())

    callback = EpochScoring(count, on_train=True)
    model = classifier([callback], max_epochs=2, lr=0.0, train_split=None).fit(*make_data())
    assert seen == [10 * (16 + 6)] * 2  # steps, source rows, labelled target rows
    assert 0 < model.net_.history[-1]["count"] < 1


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "f1_macro", "balanced_accuracy"])
def test_every_score_of_a_classifier_may_be_named(make_data, scoring):
    model = classifier([EpochScoring(scoring, lower_is_better=False)]).fit(*make_data())
    assert np.isfinite(model.net_.history[-1][scoring])


def test_the_net_predicts_positions_and_probabilities(make_data):
    X, y, domain = make_data()
    model = classifier([]).fit(X, y, domain)
    np.testing.assert_array_equal(model.net_.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(model.classes_[model.net_.predict(X)], model.predict(X))
    assert model.net_.score(X[y >= 0], y[y >= 0]) == model.score(X[y >= 0], y[y >= 0])


@pytest.mark.parametrize("monitor", ["valid_loss_best", "train_loss_best", "accuracy_best", "through_best"])
def test_the_best_epoch_is_sought_anew_in_every_call_of_training(make_data, monitor):
    scores = iter([0.1, 0.2, 0.3, 9.0, 8.0, 9.5])
    callbacks = [
        EpochScoring(lambda *args: next(scores), name="accuracy"),
        BatchScoring(lambda net, X, y: float(len(net.history)), name="through", lower_is_better=True),
        Checkpoint(monitor=monitor, f_params=None, f_optimizer=None, f_criterion=None, f_history=None),
    ]
    X, y, domain = make_data()
    model = classifier(callbacks).fit(X, y, domain)
    model.partial_fit(X, y, domain, epochs=3)
    assert [row["event_cp"] for row in model.net_.history][::3] == [True, True]
    if monitor == "accuracy_best":
        assert model.net_.history[:, "event_cp"] == [True, False, False, True, True, False]


def test_a_loop_keeps_what_it_bought_when_the_best_epoch_is_loaded(tmp_path):
    X, y, domain = load_gas_drift(source=[1], target=[8])
    callbacks = [Checkpoint(dirname=str(tmp_path), load_best=True)]
    loop = ActiveAdaptationLoop(
        classifier(callbacks, train_split=ValidSplit(5), max_epochs=3, objective=None),
        budget=30,
        n_rounds=3,
        round_epochs=3,
        random_state=0,
    )
    loop.fit(X, y, sample_domain=domain)
    accuracy = [entry["accuracy"]["transductive"] for entry in (loop.initial_, *loop.history_)]
    assert accuracy[-1] > accuracy[0] + 0.1
    assert len(set(accuracy)) == 4


def test_a_checkpoint_of_an_earlier_call_is_told_and_not_loaded(make_data, tmp_path):
    X, y, domain = make_data()
    callbacks = [Checkpoint(dirname=str(tmp_path), monitor=lambda net: len(net.history) == 1, load_best=True)]
    model = classifier(callbacks).fit(X, y, domain)
    assert len(model.net_.history) == 1
    with pytest.warns(UserWarning, match="saved no epoch of this call"):
        model.partial_fit(X, y, domain, epochs=3)
    assert len(model.net_.history) == 4


def test_a_parameter_of_a_callback_that_there_is_not_is_refused(make_data):
    model = classifier([("best", EpochScoring("accuracy"))])
    model.net_params["callbacks__bset__name"] = "first"
    with pytest.raises(ValueError, match=r"'callbacks__bset__name'.*'best'"):
        model.fit(*make_data())


@pytest.mark.parametrize("make", [EarlyStopping, TrainEndCheckpoint, Checkpoint], ids=lambda kind: kind.__name__)
def test_training_for_no_epoch_calls_no_callback_that_looks_back(make_data, tmp_path, make):
    params = {"load_best": True} if make is not TrainEndCheckpoint else {}
    params |= {"dirname": str(tmp_path)} if make is not EarlyStopping else {}
    assert len(classifier([make(**params)], max_epochs=0).fit(*make_data()).net_.history) == 0


def test_one_entry_stands_for_the_steps_of_an_epoch_with_their_mean(make_data):
    row = classifier([], max_epochs=1).fit(*make_data()).net_.history[-1]
    assert [entry.get("train_loss") for entry in row["batches"]] == [row["train_loss"], None]
    assert row["batches"][1]["valid_loss"] == row["valid_loss"]


def test_compiling_the_module_changes_no_prediction(make_data):
    X, y, domain = make_data()
    models = [
        AdaptationClassifier(MCC(), max_epochs=1, random_state=0, net_params=params).fit(X, y, domain)
        for params in (None, {"compile": True, "compile__backend": "eager"})
    ]
    np.testing.assert_allclose(*(model.predict_proba(X) for model in models), rtol=1e-5)


# Rows of a callback's own


def test_scoring_the_target_after_every_epoch_changes_neither_weights_nor_queries(blobs):
    X, y, sample_domain = blobs
    rows, codes = X[sample_domain < 0].astype(np.float32), y[sample_domain < 0]

    def accuracy(net, *_):
        return np.mean(net.predict(rows) == codes)

    callback = EpochScoring(accuracy, name="target_accuracy", lower_is_better=False, on_train=True, use_caching=False)
    scored, plain = (
        ActiveAdaptationLoop(
            AdaptationClassifier(MCC(), max_epochs=2, net_params={"callbacks": callbacks}),
            budget=6,
            n_rounds=2,
            round_epochs=1,
            random_state=0,
        ).fit(X, y, sample_domain=sample_domain)
        for callbacks in ([callback], [])
    )
    curve = scored.estimator_.net_.history[:, "target_accuracy"]
    ends = [entry["accuracy"]["transductive"] for entry in [scored.initial_, *scored.history_]]
    np.testing.assert_allclose([curve[1], curve[2], curve[3]], ends)
    assert len(curve) == 4
    assert scored.queried_ids_.tolist() == plain.queried_ids_.tolist()
    states = scored.estimator_.net_.module_.state_dict(), plain.estimator_.net_.module_.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
