"""Parameters are described by their paths, the same in every process, and compared in words."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from skada_active import deep, query, recipes
from skada_active.io.estimators import dumps, loads
from skada_active.io.parameters import describe_parameters, differences, stateful_parameters
from skada_active.networks import torchvision_backbone


def fitted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    models = [
        LogisticRegression(),
        make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)),
        HistGradientBoostingClassifier(max_iter=2),
        KNeighborsClassifier(algorithm="kd_tree"),
        VotingClassifier([("a", LogisticRegression()), ("b", SVC())]),
        deep.AdaptationClassifier(deep.MCC(), max_epochs=1, device="cpu", random_state=0),
    ]
    return [*(model.fit(X, y) for model in models), SVC().fit(sparse.csr_array(X), y)]


def text_of(value):
    return describe_parameters(value, "value")["value"]


def of_frozen(model):
    return text_of(FrozenEstimator(model))


def changes(recorded, now):
    described = [json.loads(json.dumps(describe_parameters(value, "estimator"))) for value in (recorded, recorded, now)]
    assert differences(described[0], described[1]) == []
    return differences(described[0], described[2])


def test_every_parameter_has_a_text_by_its_path():
    described = describe_parameters(make_pipeline(StandardScaler(), deep.AdaptationClassifier(deep.MCC())), "estimator")
    assert described["estimator"] == "Pipeline"
    assert described["estimator__adaptationclassifier__objective"] == "MCC"
    assert described["estimator__adaptationclassifier__lr"] == "0.001"
    assert described["estimator__adaptationclassifier__objective__trade_off"] == "1.0"


@pytest.mark.parametrize("name", ["verbose", "n_jobs", "adaptationclassifier__device"])
def test_what_does_not_say_what_is_trained_is_left_out(name):
    estimators = [RandomForestClassifier(), make_pipeline(deep.AdaptationClassifier())]
    assert not any(f"estimator__{name}" in describe_parameters(estimator, "estimator") for estimator in estimators)


def test_descriptions_are_the_same_in_another_process(tmp_path):
    models = fitted()
    joblib.dump(models, tmp_path / "models")
    code = f"""
import functools, json, joblib, numpy as np, torch
from sklearn.frozen import FrozenEstimator
from skada_active import deep, query, recipes
from skada_active.io.parameters import describe_parameters
torch.manual_seed(0)
opaque = [torch.nn.Linear(2, 3), len, lambda: 0, {{"a", "b", "c"}}, functools.partial(print, end=1), np.arange(3)]
configured = [recipes.sdm(), query.LAS(), deep.MCC() + deep.MME(), deep.AdaptationClassifier(module=opaque[0])]
frozen = [FrozenEstimator(model) for model in joblib.load({str(tmp_path / "models")!r})]
print(json.dumps([describe_parameters(value, "value") for value in [*opaque, *configured, *frozen]]))
"""

    def described_with(seed):
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    outputs = joblib.Parallel(2, prefer="threads")(joblib.delayed(described_with)(seed) for seed in ("1", "2"))
    assert outputs[0] == outputs[1]
    assert " at 0x" not in outputs[0]
    described = json.loads(outputs[0])
    assert [text["value"] for text in described[-len(models) :]] == [of_frozen(model) for model in models]


@pytest.mark.parametrize("number", range(7))
def test_a_frozen_estimator_that_was_saved_and_loaded_is_described_alike(number):
    model = fitted()[number]
    if hasattr(model, "coef_") and not sparse.issparse(model.coef_):
        model.coef_ = np.repeat(model.coef_, 2, axis=1)[:, ::2]  # a layout that no file has
    assert of_frozen(loads(dumps(model))) == of_frozen(model)


@pytest.mark.parametrize("number", [0, 4, 5])
def test_a_changed_weight_of_a_frozen_estimator_shows_and_a_setting_does_not(number):
    model = fitted()[number]
    before = of_frozen(model)
    model.verbose = 3
    assert of_frozen(model) == before
    if number == 5:
        with torch.no_grad():
            next(model.net_.module_.parameters())[0] += 1e-3
    else:
        holder = model if number == 0 else model.estimators_[0]
        holder.coef_ = np.asfortranarray(holder.coef_)
        assert of_frozen(model) == before
        holder.coef_ = holder.coef_ + 1e-9
    assert of_frozen(model) != before


def test_weights_and_settings_of_a_module_count():
    layers = [torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(rate)) for rate in (0.1, 0.1, 0.5)]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    first, equal, other = map(text_of, layers)
    assert first == equal != other
    with torch.no_grad():
        layers[1][0].bias[0] += 1
    assert text_of(layers[1]) != first


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_random_generators_are_told_apart_by_their_state(make):
    first, equal, other = text_of(make(0)), text_of(make(0)), text_of(make(1))
    assert first == equal != other


@pytest.mark.parametrize("module", [torch.nn.LazyLinear(2), torch.nn.Linear(2, 2, device="meta")], ids=str)
def test_modules_without_weights_are_described(module):
    assert "Linear with the hash " in text_of(module)


def own_function(shape):
    return torch.nn.Flatten()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (own_function, "own_function"),
        (lambda: 0, "<lambda>"),
        (functools.partial(own_function, shape=3), "own_function, (), {'shape': 3})"),
        (torch.optim.SGD, "torch.optim.sgd.SGD"),
        (np.float64(0.5), "0.5"),
        ({"a": (1, [None, "x"])}, "{'a': (1, [None, 'x'])}"),
    ],
    ids=repr,
)
def test_functions_classes_and_plain_values_are_named(value, text):
    assert text_of(value).endswith(text)


def test_parameters_with_a_state_of_their_own_are_found():
    estimator = make_pipeline(deep.AdaptationClassifier(module=torch.nn.Linear(2, 2)))
    assert stateful_parameters(estimator, "estimator") == ["estimator__adaptationclassifier__module"]
    strategy = query.LAS(random_state=np.random.RandomState(0))
    assert stateful_parameters(strategy, "strategy") == ["strategy__random_state"]
    assert stateful_parameters(recipes.sdm(), "estimator") == []


DIFFERENCES = {
    "a parameter": (
        deep.AdaptationClassifier(lr=0.001),
        deep.AdaptationClassifier(lr=0.01),
        ["estimator__lr was 0.001, is 0.01"],
    ),
    "a part of a sum": (
        deep.MCC() + deep.MME(trade_off=0.1),
        deep.MCC() + deep.MME(trade_off=0.2),
        ["estimator__mme__trade_off was 0.1, is 0.2"],
    ),
    "order": (
        make_pipeline(StandardScaler(), SVC()),
        make_pipeline(SVC(), StandardScaler()),
        ["estimator__steps was [('standardscaler', StandardScaler), ('svc', SVC)], is [('svc', SVC), ('st"],
    ),
    "a class": (LogisticRegression(), SVC(), ["estimator was LogisticRegression, is SVC"]),
    "what a changed part holds": (
        query.LAS(estimator=SVC()),
        query.LAS(estimator=LogisticRegression()),
        ["estimator__estimator was SVC, is LogisticRegression"],
    ),
    "a type": (SVC(C=1), SVC(C=1.0), ["estimator__C was 1, is 1.0"]),
    "a function": (
        make_pipeline(FunctionTransformer(np.log1p)),
        make_pipeline(FunctionTransformer(own_function)),
        ["estimator__functiontransformer__func was ", None],
    ),
    "a partial": (
        deep.AdaptationClassifier(module=functools.partial(torchvision_backbone, "resnet18", out_features=8)),
        deep.AdaptationClassifier(module=functools.partial(torchvision_backbone, "resnet18", out_features=9)),
        ["estimator__module was partial("],
    ),
    "an array": (SVC(C=np.arange(2)), SVC(C=np.arange(3)), ["estimator__C was ndarray with the hash "]),
    "two": (SVC(C=2, degree=2), SVC(), ["estimator__C was 2, is 1.0", "estimator__degree was 2, is 3"]),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_are_said_in_words(name):
    recorded, now, lines = DIFFERENCES[name]
    lines = [line for line in lines if line]
    found = changes(recorded, now)
    assert len(found) == len(lines)
    for line, start in zip(found, lines, strict=True):
        assert line.startswith(start)
        assert len(line) < 220


def test_a_parameter_that_came_or_went_counts_unless_only_shared_ones_do():
    recorded, now = {"a": "1", "b": "2"}, {"b": "3", "c": "4"}
    assert differences(recorded, now) == ["a was 1, is not there", "b was 2, is 3", "c was not there, is 4"]
    assert differences(recorded, now, shared_only=True) == ["b was 2, is 3"]
