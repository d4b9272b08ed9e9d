from __future__ import annotations

import copy
import pickle
import signal

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, GradientNormClipping, LRScheduler, ProgressBar
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from skada_active.deep import DANN, MCC, AdaptationClassifier, MarginLoss
from skada_active.deep._module import AdaptationModule
from skada_active.deep.net import AdaptationNet
from skada_active.networks import CosineHead

DOMAIN = np.repeat([1, -1], [30, 20])


def make_data(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    y = np.arange(50) % 2
    X[:, 0] += 3 * y
    y[34:] = -1
    return X, y, DOMAIN


def fitted(objective=None, *, data=None, **params):
    model = AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})
    return model.fit(*(data or make_data()))


def with_callbacks(*callbacks, **params):
    return {"callbacks": list(callbacks), **params}


class Recorder(Callback):
    """Keep what the net tells a callback at every step."""

    def initialize(self):
        self.batches, self.gradients = [], 0
        return self

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.batches.append((training, batch[1], net.module_.training))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients += all(parameter.grad is not None for _, parameter in named_parameters)


class InterruptingModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.calls = nn.Linear(4, 3), 0

    def forward(self, X):
        self.calls += self.training
        if self.calls == 3:
            raise KeyboardInterrupt
        return self.linear(X)


class StopAfterTwo(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


class Interrupted(Callback):
    """Be at work when a person presses Ctrl-C."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


class CleansUp(Interrupted):
    def on_epoch_end(self, net, **kwargs):
        try:
            super().on_epoch_end(net)
        except KeyboardInterrupt:
            self.cleaned = True
            raise


class ModeRecorder(nn.Module):
    """Record whether the network is in training mode in every forward pass."""

    def __init__(self):
        super().__init__()
        self.linear, self.modes = nn.Linear(4, 3), []

    def forward(self, X):
        self.modes.append((len(X), self.training, torch.is_grad_enabled()))
        return self.linear(X)


class FirstDraw(nn.Module):
    """Work in place on the rows that come in."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, X):
        return self.linear(X.mul_(2))


class Images(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index]


def test_module_returns_logits_and_the_embedding():
    module = AdaptationModule(nn.Linear(4, 3), nn.Linear(3, 2))
    logits, features = module(torch.ones(5, 4))
    torch.testing.assert_close(logits, module.head(features))
    assert features.shape == (5, 3)


def test_module_normalises_in_front_of_a_cosine_head_and_nowhere_else():
    module = AdaptationModule(nn.Linear(4, 3), head := CosineHead(3, 2))
    logits, features = module(rows := torch.randn(5, 4))
    assert torch.equal(features, module.backbone(rows))
    torch.testing.assert_close(module.head_input(features).norm(dim=1), torch.ones(5))
    assert torch.equal(logits, head(module.head_input(features)))
    assert torch.equal(logits, module.classify(features))


def test_history_has_one_entry_an_epoch_with_every_term():
    history = fitted(MCC() + MarginLoss(), max_epochs=3).net_.history
    assert len(history) == 3
    assert {"train_loss", "labeled_loss", "mcc_loss", "margin_loss", "train_batch_count", "dur"} <= set(history[-1])
    assert history[-1]["train_loss"] == pytest.approx(
        sum(history[-1][name] for name in ("labeled_loss", "mcc_loss", "margin_loss")), rel=1e-5
    )


def test_history_marks_the_best_epochs_so_far():
    history = fitted(max_epochs=6).net_.history
    losses = history[:, "train_loss"]
    assert history[:, "train_loss_best"] == [
        all(loss < before for before in losses[:i]) for i, loss in enumerate(losses)
    ]


def test_optimiser_trains_backbone_head_and_discriminator():
    before, after = (fitted(DANN(), max_epochs=epochs).net_ for epochs in (0, 1))
    for (name, old), (_, new) in zip(before.get_all_learnable_params(), after.get_all_learnable_params(), strict=True):
        assert not torch.equal(old, new), name
    assert any("discriminator" in name for name, _ in after.get_all_learnable_params())


def test_network_trains_in_training_mode_and_predicts_in_evaluation_mode():
    model = fitted(module=ModeRecorder())
    modes = model.net_.module_.backbone.modes
    assert {(training, grad) for _, training, grad in modes[1:]} == {(True, True)}
    del modes[:]
    model.predict(make_data()[0])
    assert {(training, grad) for _, training, grad in modes} == {(False, False)}
    del modes[:]
    model.partial_fit(*make_data())
    assert {(training, grad) for _, training, grad in modes} == {(True, True)}


def test_a_module_given_in_evaluation_mode_is_trained_in_training_mode():
    modes = fitted(module=ModeRecorder().eval()).net_.module_.backbone.modes
    assert all(training for _, training, _ in modes[1:])


def test_prediction_leaves_batch_statistics_alone():
    model = fitted()
    before = copy.deepcopy(model.net_.module_.state_dict())
    model.predict_proba(make_data()[0])
    assert all(torch.equal(value, before[name]) for name, value in model.net_.module_.state_dict().items())


def test_dropout_is_off_in_prediction():
    model = fitted(module=nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)))
    assert np.array_equal(model.predict_proba(make_data()[0]), model.predict_proba(make_data()[0]))


def test_a_module_that_works_in_place_cannot_change_the_rows():
    X, y, domain = make_data()
    model = fitted(module=FirstDraw(), data=(X, y, domain))
    model.predict(X)
    assert np.array_equal(X, make_data()[0])


def test_prediction_batches_shrink_with_the_size_of_the_rows():
    net = fitted().net_
    assert net.get_iterator(torch.zeros(1, 16)).batch_size == 1024
    assert net.get_iterator(torch.zeros(1, 3, 256, 256)).batch_size == 21
    assert net.get_iterator(torch.zeros(1, 3, 1024, 1024)).batch_size == 8
    assert net.get_iterator(Images(torch.zeros(5, 4))).batch_size == 8


def test_prediction_batch_may_be_given():
    assert fitted(net_params={"iterator_valid__batch_size": 3}).net_.get_iterator(torch.zeros(1, 4)).batch_size == 3


def test_training_batch_may_be_given_for_the_iterator():
    recorder = Recorder()
    fitted(net_params=with_callbacks(recorder, iterator_train__batch_size=5))
    assert {batch.n_source for _, batch, _ in recorder.batches} == {5}


def test_validation_sees_labelled_rows_only():
    recorder = Recorder()
    model = fitted(MCC(), net_params=with_callbacks(recorder, train_split=ValidSplit(0.3, random_state=0)))
    valid = [batch for training, batch, _ in recorder.batches if not training]
    assert valid
    assert all((batch.labels >= 0).all() for batch in valid)
    assert {"valid_loss", "valid_loss_best"} <= set(model.net_.history[-1])


def test_validation_rows_are_not_trained_on():
    class Split:
        def __call__(self, data, y=None, **kwargs):
            from torch.utils.data import Subset

            return Subset(data, np.arange(5, len(data))), Subset(data, np.arange(5))

    X, y, domain = make_data()
    changed = X.copy()
    changed[:5] = 100.0
    first, second = (
        fitted(data=(rows, y, domain), standardize=False, net_params={"train_split": Split()}) for rows in (X, changed)
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_early_stopping_ends_training_without_an_error():
    model = fitted(max_epochs=9, net_params=with_callbacks(StopAfterTwo()))
    assert len(model.net_.history) == 2


def test_early_stopping_of_skorch_ends_training():
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0, sink=lambda text: None)
    assert len(fitted(max_epochs=9, net_params=with_callbacks(stopping)).net_.history) < 9


def test_training_goes_on_after_early_stopping():
    model = fitted(max_epochs=9, net_params=with_callbacks(StopAfterTwo()))
    model.partial_fit(*make_data(), epochs=1)
    assert len(model.net_.history) == 3


def test_an_interrupt_by_a_person_reaches_the_caller():
    with pytest.raises(KeyboardInterrupt):
        fitted(module=InterruptingModule())


@pytest.mark.parametrize("callback", [Interrupted(), CleansUp()], ids=lambda callback: type(callback).__name__)
def test_an_interrupt_by_a_person_reaches_the_caller_from_a_callback_too(callback):
    with pytest.raises(KeyboardInterrupt):
        fitted(max_epochs=9, net_params=with_callbacks(callback))


def test_training_works_where_gradients_were_left_off():
    expected = fitted(DANN()).predict_proba(make_data()[0])
    with torch.no_grad():
        model = fitted(DANN())
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(model.predict_proba(make_data()[0]), expected)


def test_schedule_by_epoch_changes_the_learning_rate():
    model = fitted(max_epochs=3, net_params=with_callbacks(LRScheduler("ExponentialLR", gamma=0.5)))
    assert model.net_.history[:, "event_lr"] == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_schedule_by_step_changes_the_learning_rate():
    schedule = LRScheduler("ExponentialLR", gamma=0.5, step_every="batch")
    model = fitted(max_epochs=1, net_params=with_callbacks(schedule))
    assert model.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.5**10)
    assert model.net_.history[0, "batches", :, "event_lr"][:2] == pytest.approx([1e-3, 5e-4])


def test_progress_bar_reads_the_steps(capsys):
    assert len(fitted(net_params=with_callbacks(ProgressBar())).net_.history) == 2


def test_checkpoint_restores_the_weights(tmp_path):
    model = fitted(MCC(), net_params=with_callbacks(Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))))
    other = fitted(MCC(), max_epochs=0)
    other.net_.load_params(f_params=tmp_path / "params.pt")
    assert (tmp_path / "history.json").exists()
    np.testing.assert_array_equal(other.predict_proba(make_data()[0]), model.predict_proba(make_data()[0]))


def test_callback_sees_every_gradient():
    recorder = Recorder()
    fitted(DANN(), net_params=with_callbacks(recorder))
    assert recorder.gradients == len(recorder.batches) == 20


def test_gradient_clipping_changes_training():
    clipped = fitted(optimizer="sgd", net_params=with_callbacks(GradientNormClipping(1e-4)))
    assert not np.array_equal(clipped.transform(make_data()[0]), fitted(optimizer="sgd").transform(make_data()[0]))


def test_listening_to_steps_does_not_change_training():
    listened = fitted(DANN(), net_params=with_callbacks(Recorder()))
    np.testing.assert_array_equal(listened.predict_proba(make_data()[0]), fitted(DANN()).predict_proba(make_data()[0]))


def test_own_net_class_is_used():
    class Net(AdaptationNet):
        pass

    assert type(fitted(net_params={"net_class": Net}).net_) is Net


def test_parameter_groups_name_parts_of_the_module():
    groups = [("backbone*", {"lr": 1e-4})]
    optimizer = fitted(net_params={"optimizer__param_groups": groups}).net_.optimizer_
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 1e-3]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_predicts_the_same_and_goes_on_alike(copied):
    model = fitted(MCC() + DANN(), class_weight="balanced")
    X, y, domain = make_data()
    twin = copied(model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    model.partial_fit(X, y, domain)
    twin.partial_fit(X, y, domain)
    np.testing.assert_array_equal(twin.domain_logit(X), model.domain_logit(X))


def test_training_a_copy_leaves_the_original_alone():
    model, X = fitted(MCC()), make_data()[0]
    before = model.predict_proba(X)
    copy.deepcopy(model).partial_fit(*make_data(), epochs=2)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_pickle_holds_the_weights_once():
    model = fitted(module=nn.Linear(4, 20000), optimizer="sgd", max_epochs=0)
    assert len(pickle.dumps(model.net_)) < 1.5 * 4 * 5 * 20000 + 4 * 3 * 20000
    twin = pickle.loads(pickle.dumps(model.net_))
    assert twin.module is twin.module_
    assert twin.criterion is twin.criterion_


def test_history_has_no_entry_for_every_step_unless_a_callback_listens():
    assert [
        len(fitted(net_params=params).net_.history[-1]["batches"]) for params in (None, with_callbacks(Recorder()))
    ] == [1, 10]


def test_a_net_that_listens_to_steps_itself_is_told_of_them():
    class Net(AdaptationNet):
        n_batches = 0

        def on_batch_end(self, net, **kwargs):
            self.n_batches += 1

    assert fitted(net_params={"net_class": Net}).net_.n_batches == 20
