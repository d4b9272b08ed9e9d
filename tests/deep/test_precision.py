"""Mixed precision: losses, probabilities and discriminators stay in float32, for every objective."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pytest
import torch
from skorch.callbacks import Checkpoint

from skada_active import deep
from skada_active.deep import MCC, AdaptationClassifier, Objective
from skada_active.deep._module import AdaptationModule
from skada_active.deep.net import AdaptationNet

OBJECTIVES = [None] + [
    kind()
    for kind in map(vars(deep).get, deep.__all__)
    if isinstance(kind, type) and issubclass(kind, Objective) and kind is not Objective
    and not kind.__name__.startswith("Adversarial")
]  # fmt: skip
OBJECTIVES += [deep.DANN(discriminator=kind) for kind in ("per_source", "multiclass")]
OBJECTIVES += [deep.DANN(discriminator_input="proba"), deep.GSDA(beta=0.0)]

every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)


def fit(objective, data, **params):
    defaults = {"max_epochs": 2, "batch_size": 16, "augmentation": "auto", "random_state": 0}
    return AdaptationClassifier(objective, **defaults | params).fit(*data)


def assert_near(model, exact, X):
    assert np.isfinite(list(model.loss_terms_.values())).all()
    for name, value in exact.loss_terms_.items():
        assert model.loss_terms_[name] == pytest.approx(value, rel=0.05, abs=0.02)
    np.testing.assert_allclose(model.predict_proba(X), exact.predict_proba(X), atol=0.03)


@every_objective
def test_training_under_autocast_stays_near_that_in_float32(make_data, objective):
    data = make_data()
    exact = fit(objective, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = fit(objective, data)
        supplied = model.pool_supplies
        outputs = model.pool_outputs(data[0], {"proba", "logits", "features", "source_logit"} & supplied)
        if "class_domain_grad" in supplied:
            outputs["class_domain_grad"] = model.pool_field("class_domain_grad")(outputs["features"])
        assert torch.is_autocast_enabled("cpu")
        assert {values.dtype.name for values in outputs.values()} == {"float32"}
        weight, bias = model.pool_head()
        np.testing.assert_allclose(outputs["logits"], outputs["features"] @ weight.T + bias, atol=1e-4)
        assert_near(model, exact, data[0])


def test_the_backbone_is_in_half_precision_under_autocast(make_data):
    seen = []

    class Backbone(torch.nn.Linear):
        def forward(self, X):
            output = super().forward(X)
            seen.append(output.dtype)
            return output

    with torch.autocast("cpu", dtype=torch.bfloat16):
        fit(None, make_data(), module=lambda shape: Backbone(shape[0], 8))
    assert set(seen) == {torch.bfloat16}


@every_objective
def test_training_in_bfloat16_stays_near_that_in_float32(make_data, objective):
    data = make_data()
    exact, model = (fit(objective, data, precision=precision) for precision in ("float32", "bfloat16"))
    assert_near(model, exact, data[0])
    outputs = model.pool_outputs(data[0], {"proba", "logits", "features", "source_logit"} & model.pool_supplies)
    assert {values.dtype.name for values in outputs.values()} == {"float32"}
    assert {weight.dtype for weight in model.net_.module_.parameters()} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_the_precision_is_that_of_the_backbone_alone(make_data):
    seen = {}

    class Layer(torch.nn.Linear):
        def forward(self, X):
            seen[self.out_features] = super().forward(X)
            return seen[self.out_features]

    data = make_data()
    model = fit(None, data, module=lambda shape: Layer(shape[0], 8), precision="bfloat16")
    assert seen[8].dtype == torch.bfloat16
    assert model.net_.module_(torch.as_tensor(data[0]))[0].dtype == torch.float32


def test_a_model_in_bfloat16_is_copied_with_its_precision(make_data):
    X, *rest = make_data()
    model = fit(None, (X, *rest), precision="bfloat16")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))


class Convolution(torch.nn.Conv2d):
    """Layer that notes how images and weights lie in memory."""

    layouts: ClassVar = []

    def forward(self, X):
        self.layouts.extend(values.is_contiguous(memory_format=torch.channels_last) for values in (X, self.weight))
        return super().forward(X)


def images(shape):
    return torch.nn.Sequential(Convolution(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())


def test_channels_come_last_in_memory_and_change_nothing(make_data):
    _, y, domain = make_data()
    data = np.random.default_rng(0).random((len(y), 3, 6, 6), dtype=np.float32), y, domain
    outputs = []
    for channels_last in (False, True):
        model = fit(MCC(), data, module=images, channels_last=channels_last)
        Convolution.layouts.clear()
        outputs.append(model.predict_proba(data[0]))
        assert set(Convolution.layouts) == {channels_last}
        np.testing.assert_array_equal(copy.deepcopy(model).predict_proba(data[0]), outputs[-1])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(data[0]), outputs[-1])
    np.testing.assert_allclose(*outputs, atol=1e-4)


def test_weights_that_a_callback_restores_are_those_predicted_with_under_autocast(make_data, tmp_path):
    X, y, domain = make_data()
    callback = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path), load_best=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = fit(None, (X, y, domain), net_params={"callbacks": [callback]})
        inside = model.predict_proba(X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(model.predict_proba(X), inside)


def test_a_step_outside_of_autocast_changes_nothing(make_data):
    module = AdaptationModule(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)).double()
    assert {output.dtype for output in module(torch.ones(5, 4, dtype=torch.float64))} == {torch.float64}


class FakeAccelerator:
    """Do what `accelerate.Accelerator(mixed_precision="bf16")` does on one CPU."""

    device_placement, optimizer_step_was_skipped, is_main_process = True, False, True

    def prepare(self, thing):
        return thing

    def unwrap_model(self, model, keep_fp32_wrapper=False):
        return model

    def accumulate(self, model):
        return nullcontext()

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def backward(self, loss):
        loss.backward()

    def gather_for_metrics(self, output):
        return output

    def wait_for_everyone(self):
        pass

    def print(self, *args):
        pass


def real_accelerator():
    accelerate = pytest.importorskip("accelerate")
    return accelerate.Accelerator(mixed_precision="bf16", cpu=True)


@pytest.fixture(params=[FakeAccelerator, real_accelerator], ids=["stand-in", "accelerate"])
def accelerated(request):
    from skorch.hf import AccelerateMixin

    class Net(AccelerateMixin, AdaptationNet):
        pass

    return {"net_class": Net, "accelerator": request.param()}


@every_objective
def test_training_by_accelerate_stays_near_that_in_float32(make_data, objective, accelerated):
    data = make_data()
    model = fit(objective, data, net_params=accelerated)
    assert_near(model, fit(objective, data), data[0])


def test_an_accelerated_classifier_goes_on_training_and_is_copied(make_data, accelerated):
    data = make_data()
    model = fit(deep.MCC(), data, net_params=accelerated)
    twin = copy.deepcopy(model)
    for fitted in (model, twin):
        fitted.partial_fit(*data)
    np.testing.assert_array_equal(model.predict_proba(data[0]), twin.predict_proba(data[0]))


def test_an_accelerated_step_mixes_labelled_target_rows_with_their_second_view(make_data, accelerated):
    views = []

    def augment(rows):
        views.append(len(rows))
        return rows

    fit(None, make_data(), augmentation=augment, max_epochs=1, net_params=accelerated)
    assert views == [6] * 10
