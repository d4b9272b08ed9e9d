"""Configured objects are described without pickle, made again from what is harmless, and compared in words."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit

from skada_active import BudgetSchedule, TargetShuffleSplit, deep, query, recipes
from skada_active.io._description import RebuildError, describe, differences, rebuild
from skada_active.networks import MLP, torchvision_backbone

STRATEGIES = [getattr(query, name) for name in query.__all__ if isinstance(getattr(query, name), type)]
OBJECTIVES = [deep.DANN, deep.GSDA, deep.M3SDA, deep.MCC, deep.MME, deep.TSF, deep.MarginLoss]
NET_PARAMS = {"callbacks": [("lr", LRScheduler("StepLR", step_size=3)), EarlyStopping()], "train_split": ValidSplit(5)}
CONFIGURED = {
    **{kind.__name__: kind() for kind in [*STRATEGIES, *OBJECTIVES]},
    **{name: getattr(recipes, name)() for name in ("sdm", "lada", "sage", "gala", "gsda")},
    "sum": deep.MCC(trade_off=0.5) + deep.MME() + deep.MCC(),
    "strategy with an estimator": query.LAS(estimator=LogisticRegression(C=3), oversampling=0),
    "classifier": deep.AdaptationClassifier(
        deep.TSF() + deep.MME(trade_off=0.1),
        module=functools.partial(torchvision_backbone, "resnet18", out_features=8),
        head="cosine",
        optimizer=torch.optim.SGD,
        class_weight={0: 1.0, 1: 2.0},
        augmentation=deep.FeatureNoise(),
        anchors=deep.AnchorSet("random"),
        device=torch.device("cpu"),
        net_params=NET_PARAMS,
    ),
    "class as a module": deep.AdaptationClassifier(module=MLP),
    "pipeline": make_pipeline(StandardScaler(), SelectKBest(k=2), FunctionTransformer(np.log1p), LogisticRegression()),
    "columns": ColumnTransformer(
        [("first", StandardScaler(), slice(0, 2)), ("second", "drop", make_column_selector(dtype_include=np.number))]
    ),
    "search": GridSearchCV(LogisticRegression(), {"C": np.array([0.1, 1.0])}, cv=StratifiedKFold(3, shuffle=True)),
    "kernel": RBF(2.0) + RBF(),
    "net": NeuralNetClassifier(torch.nn.Linear, module__in_features=3, callbacks=[Checkpoint(), EpochScoring("f1")]),
    "budget": BudgetSchedule([3, 4], decay=np.float32(0.5)),
    "split": TargetShuffleSplit(3),
    "types": [np.float32, float, torch.float16, np.dtype("f4"), torch.nn.functional.relu, torch.nn.Linear],
    "containers": {"a": (1, 1.0, True, None), "b": {("x", 1): [float("nan")]}, "c": {"$object": "not one"}},
}


def through_json(value):
    return json.loads(json.dumps(describe(value), allow_nan=False))


@pytest.mark.parametrize("name", CONFIGURED)
def test_configured_objects_come_back(name):
    value = CONFIGURED[name]
    back = rebuild(through_json(value))
    assert type(back) is type(value)
    assert through_json(back) == through_json(value)
    if "<" not in repr(value):
        assert repr(back) == repr(value)


def test_every_objective_is_tried():
    made = [getattr(deep, name) for name in deep.__all__]
    kinds = {kind for kind in made if isinstance(kind, type) and issubclass(kind, deep.Objective)}
    assert kinds - {deep.Objective} == set(OBJECTIVES)


def test_what_comes_back_is_not_fitted_and_works():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=5)).fit(X, y)
    back = rebuild(through_json(pipeline))
    assert not hasattr(back[-1], "coef_")
    np.testing.assert_array_equal(back.fit(X, y).predict_proba(X), pipeline.predict_proba(X))


def test_names_are_public_ones():
    assert describe(torch.nn.Linear) == {"$name": "torch.nn.Linear"}
    assert describe(LogisticRegression())["$object"] == "sklearn.linear_model.LogisticRegression"
    assert describe(query.LAS())["$object"] == "skada_active.query.LAS"


def test_descriptions_and_digests_are_the_same_in_another_process(tmp_path):
    models = _fitted()
    joblib.dump(models, tmp_path / "models")
    code = f"""
import functools, json, joblib, torch
from sklearn.frozen import FrozenEstimator
from skada_active import deep, query, recipes
from skada_active.io._description import describe
torch.manual_seed(0)
opaque = [torch.nn.Linear(2, 3), lambda: 0, object(), {{"a", "b", "c"}}, functools.partial(print, end=object())]
configured = [recipes.sdm(), query.LAS(), deep.MCC() + deep.MME(), deep.AdaptationClassifier(module=opaque[0])]
frozen = [FrozenEstimator(model) for model in joblib.load({str(tmp_path / "models")!r})]
print(json.dumps(describe([opaque, configured, frozen])))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert " at 0x" not in next(iter(outputs))
    assert json.loads(outputs.pop())[2] == [through_json(FrozenEstimator(model)) for model in models]


def _fitted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    models = [
        LogisticRegression(),
        make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)),
        HistGradientBoostingClassifier(max_iter=2),
        KNeighborsClassifier(algorithm="kd_tree"),
        deep.AdaptationClassifier(deep.MCC(), max_epochs=1, device="cpu", random_state=0),
    ]
    return [*(model.fit(X, y) for model in models), SVC().fit(sparse.csr_array(X), y)]


def test_a_frozen_estimator_is_described_by_what_it_learned():
    for model in _fitted():
        tree = through_json(FrozenEstimator(model))
        back = rebuild(tree)
        assert isinstance(back, FrozenEstimator)
        assert repr(back) == repr(FrozenEstimator(model))
        assert not hasattr(back.estimator, "classes_") or model is not back.estimator
        assert tree["digest"] != describe(back)["digest"]


def test_a_changed_weight_changes_the_digest_and_a_setting_does_not():
    for number in (0, 4):
        model = _fitted()[number]
        before = describe(FrozenEstimator(model))
        model.verbose = 3
        assert describe(FrozenEstimator(model))["digest"] == before["digest"]
        if number:
            with torch.no_grad():
                next(model.net_.module_.parameters())[0] += 1e-3
        else:
            model.coef_ = np.asfortranarray(model.coef_)
            assert describe(FrozenEstimator(model))["digest"] == before["digest"]
            model.coef_ = model.coef_ + 1e-9
        assert describe(FrozenEstimator(model))["digest"] != before["digest"]


def test_weights_and_settings_of_a_network_count():
    layers = [torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(rate)) for rate in (0.1, 0.1, 0.5)]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    first, equal, other = map(describe, layers)
    assert first == equal != other
    with torch.no_grad():
        layers[1][0].bias[0] += 1
    assert describe(layers[1]) != first


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_random_generators_are_told_apart_by_their_state(make):
    first, equal, other = describe(make(0)), describe(make(0)), describe(make(1))
    assert first == equal != other


@pytest.mark.parametrize("module", [torch.nn.LazyLinear(2), torch.nn.Linear(2, 2, device="meta")], ids=str)
def test_networks_without_weights_are_described(module):
    assert describe(module)["$opaque"].startswith("torch.nn.")


def own_function(shape):
    return torch.nn.Flatten()


class OwnStrategy(query.LAS):
    pass


@pytest.mark.parametrize(
    ("value", "path", "name"),
    [
        (deep.AdaptationClassifier(module=torch.nn.Linear(2, 2)), "estimator.module", "torch.nn.Linear"),
        (deep.AdaptationClassifier(module=lambda shape: None), "estimator.module", "test_description.<lambda>"),
        (deep.AdaptationClassifier(module=own_function), "estimator.module", "test_description.own_function"),
        (make_pipeline(FunctionTransformer(own_function)), "estimator.steps.functiontransformer.func", "own_function"),
        (deep.MCC() + deep.MME(trade_off=object()), "estimator.objectives.mme.trade_off", "builtins.object"),
        (recipes.lada(random_state=np.random.RandomState(0)), "estimator.random_state", "numpy.random.RandomState"),
        (OwnStrategy(), "estimator", "OwnStrategy"),
        (deep.AdaptationClassifier(net_params={"a": [1, {2}]}), "estimator.net_params.a[1]", "builtins.set"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_names_the_parameter_that_cannot_be_rebuilt(value, path, name):
    with pytest.raises(RebuildError, match=r"cannot be rebuilt from a file .* pass the object itself") as caught:
        rebuild(through_json(value), "estimator")
    assert caught.value.path == path
    assert name in caught.value.name
    assert str(caught.value).startswith(f"{path}: ")


NOT_TO_BE_IMPORTED = ("no_such_package.function", "antigravity.geohash", "sklearn.no_such_module.Name", "this.s")
HARMFUL = (
    *NOT_TO_BE_IMPORTED,
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "subprocess.Popen",
    "numpy.f2py.os.system",
    "numpy.f2py.__main__.main",
    "numpy.load",
    "numpy.memmap",
    "numpy.ufunc",
    "sklearn.utils.os.system",
    "sklearn.utils._testing.assert_run_python_script_without_output",
    "sklearn.utils.parallel.Parallel",
    "sklearn.datasets.load_svmlight_file",
    "sklearn.datasets.fetch_openml",
    "sklearn.conftest.pytest",
    "sklearn.tests.test_base.MyEstimator",
    "sklearn.linear_model.LogisticRegression.fit",
    "sklearn.linear_model.LogisticRegression.__init__.__globals__",
    "skada_active.io._plain.np.load",
    "skada_active.query",
    "skorch.utils.open_file_like",
    "skorch.cli.fire",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.nn.functional.importlib.import_module",
    "torch.nn.Module.__subclasses__",
    "torch.utils.cpp_extension.load_inline",
    "torch.utils.data.datapipes.iter.FileOpener",
    "torchvision.models._api.load_state_dict_from_url",
    "sklearn",
    "sklearn..linear_model",
    "sklearn/../x.y",
    "",
)


@pytest.mark.parametrize("name", HARMFUL)
@pytest.mark.parametrize("mark", ["$name", "$object", "$partial"])
def test_names_of_anything_harmful_are_refused(name, mark):
    tree = {
        "$name": {"$name": name},
        "$object": {"$object": name, "params": {}},
        "$partial": {"$partial": [{"$name": name}, [], {}]},
    }[mark]
    with pytest.raises(RebuildError, match=r"strategy: .*cannot be rebuilt from a file"):
        rebuild(tree, "strategy")


def test_refused_packages_are_not_imported():
    names = ("antigravity.geohash", "this.s", "torch.hub.load", "numpy.f2py.__main__.main", "sklearn.conftest.pytest")
    code = f"""
import sys
from skada_active.io._description import RebuildError, rebuild
before = set(sys.modules)
for name in {names!r}:
    try:
        rebuild({{"$name": name}})
    except RebuildError:
        pass
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["numpy.log1p", "numpy.float64", "torch.nn.Linear", "sklearn.metrics.accuracy_score"])
def test_what_is_not_configured_is_no_object(name):
    with pytest.raises(RebuildError, match="not a class of configured objects"):
        rebuild({"$object": name, "params": {}})


@pytest.mark.parametrize(
    "tree",
    [
        {"$object": "sklearn.pipeline.Pipeline", "params": {"steps": [], "memory": "cache"}},
        {"net_params": {"torch_load_kwargs": {"weights_only": False}}},
        {"$dict": [["torch_load_kwargs", {"weights_only": False}], [1, 2]]},
        {"$partial": [{"$name": "skorch.NeuralNet"}, [], {"torch_load_kwargs": {"weights_only": False}}]},
    ],
    ids=lambda tree: next(iter(tree)),
)
def test_ways_to_unpickle_a_file_are_refused(tree):
    with pytest.raises(RebuildError, match="files would be unpickled"):
        rebuild(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"$unknown": 1},
        {"$name": 3},
        {"$name": ["os.system"]},
        {"$object": "skada_active.query.LAS"},
        {"$object": "skada_active.query.LAS", "params": {"no_such_parameter": 1}},
        {"$object": "skada_active.query.LAS", "params": {"$dict": [["n_neighbors", 3]]}},
        {"$object": {"$name": "skada_active.query.LAS"}, "params": {}},
        {"$partial": [{"$opaque": "x"}, [], {}]},
        {"$dtype": "torch.load"},
        {"$dtype": "no_dtype"},
        {"$device": "no device"},
        {"$array": {"dtype": "<i8", "shape": [3], "items": [1]}},
        {"$tuple": 3},
    ],
    ids=str,
)
def test_damaged_trees_are_refused(tree):
    with pytest.raises(RebuildError, match=r"^value: "):
        rebuild(tree)


def changes(recorded, now):
    assert differences(through_json(recorded), through_json(recorded)) == []
    return differences(through_json(recorded), through_json(now), "estimator")


DIFFERENCES = {
    "a parameter": (
        deep.AdaptationClassifier(lr=0.001),
        deep.AdaptationClassifier(lr=0.01),
        ["estimator.lr was 0.001, is 0.01"],
    ),
    "a part of a sum": (
        deep.MCC() + deep.MME(trade_off=0.1),
        deep.MCC() + deep.MME(trade_off=0.2),
        ["estimator.objectives.mme.trade_off was 0.1, is 0.2"],
    ),
    "a step": (
        make_pipeline(StandardScaler(), SVC()),
        make_pipeline(SVC()),
        ["estimator.steps.standardscaler was ('standardscaler', StandardScaler("],
    ),
    "order": (
        make_pipeline(StandardScaler(), SVC()),
        make_pipeline(SVC(), StandardScaler()),
        ["estimator.steps has its entries in another order"],
    ),
    "a class": (LogisticRegression(), SVC(), ["estimator was LogisticRegression(C=1.0, "]),
    "a type": ({"budget": 1}, {"budget": 1.0}, ["estimator.budget was 1, is 1.0"]),
    "a key": (
        {"a": 1},
        {"b": None},
        ["estimator.a was 1, is not there any more", "estimator.b was not there, is None"],
    ),
    "a key of a number": ({1: 2.0}, {1: 3.0}, ["estimator[1] was 2.0, is 3.0"]),
    "an item": ([1, (2, "a")], [1, (2, "b")], ["estimator[1][1] was 'a', is 'b'"]),
    "a name": (torch.nn.ReLU, torch.nn.Tanh, ["estimator was torch.nn.ReLU, is torch.nn.Tanh"]),
    "a partial": (
        functools.partial(torchvision_backbone, "resnet18", out_features=8),
        functools.partial(torchvision_backbone, "resnet18", out_features=9),
        ["estimator.out_features was 8, is 9"],
    ),
    "an array": (np.arange(2), np.arange(3), ["estimator was array([0, 1]), is array([0, 1, 2])"]),
    "not a number": ([float("nan")], [None], ["estimator[0] was nan, is None"]),
    "two": (SVC(C=2, degree=2), SVC(), ["estimator.C was 2, is 1.0", "estimator.degree was 2, is 3"]),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_are_said_in_words(name):
    recorded, now, lines = DIFFERENCES[name]
    found = changes(recorded, now)
    assert len(found) == len(lines)
    for line, start in zip(found, lines, strict=True):
        assert line.startswith(start)
        assert len(line) < 220


def test_what_was_learned_and_opaque_weights_are_told_apart():
    first, second = LogisticRegression().fit([[0], [1]], [0, 1]), LogisticRegression().fit([[0], [2]], [0, 1])
    (line,) = changes(query.LAS(estimator=FrozenEstimator(first)), query.LAS(estimator=FrozenEstimator(second)))
    assert line.startswith("estimator.estimator (what it learned) was '")
    (line,) = changes(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
    assert line.startswith("estimator was torch.nn.Linear with the digest ")


def test_shallow_configurations_need_no_torch():
    code = """
import sys
from sklearn.linear_model import LogisticRegression
from skada_active import BudgetSchedule
from skada_active.io._description import describe, rebuild
from skada_active.query import LAS
for value in (LAS(estimator=LogisticRegression()), BudgetSchedule()):
    print(rebuild(describe(value)))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["LAS(estimator=LogisticRegression())", "BudgetSchedule()", "False"]
