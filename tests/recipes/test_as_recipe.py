"""Recipes' knobs go by name, and a preset has those of the paper."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import partial

import pytest
from torch import nn

from skada_active import recipes
from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import MCC, AnchorSet
from skada_active.networks import torchvision_backbone
from skada_active.query import LAS, MarginSampling

SHORT = {"max_epochs": 1, "round_epochs": 1, "budget": 4, "n_rounds": 2, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    return make_multi_source_blobs(2, 30, 30, random_state=0)


@pytest.mark.parametrize("name", recipes.__all__)
def test_unknown_parameters_are_refused_by_the_name_of_the_recipe(name):
    arguments = (MarginSampling(),) if name == "baseline" else ()
    with pytest.raises(TypeError, match=rf"{name}\b.* has no parameter 'epochs_of_training'"):
        getattr(recipes, name)(*arguments, epochs_of_training=3)


@pytest.mark.parametrize(
    ("make", "misplaced", "hint"),
    [
        (recipes.lada, {"n_neighbours": 5}, r"recipes.lada .*'n_neighbours': did you mean 'n_neighbors'"),
        (recipes.LADA, {"bugdet": 5}, "LADA.*did you mean 'budget'"),
        (recipes.gsda, {"max_epoch": 5}, "recipes.gsda .*did you mean 'max_epochs'"),
        (recipes.sdm, {"strategy": LAS()}, r"recipes.sdm .*'strategy'.*ActiveAdaptationLoop\(recipe.estimator"),
        (recipes.sdm, {"estimator": None}, "recipes.sdm .*'estimator'.*recipe.strategy"),
        (recipes.sdm, {"objective": MCC()}, "'objective'.*recipes.lada and recipes.baseline"),
        (recipes.lada, {"anchors": AnchorSet()}, "'anchors'.*from its knobs"),
        (recipes.sage, {"oversampling": 5}, "'oversampling': recipes.lada has it"),
        (recipes.sage, {"n_neighbors": 5}, "'n_neighbors': recipes.lada and recipes.mhpl have it"),
        (recipes.sage, {"labeled_loss": "joint"}, "'labeled_loss'.*regularizer"),
        (recipes.gsda, {"budget": 5}, r"'budget'.*ActiveAdaptationLoop\(recipes.gsda\(\)"),
        (recipes.LADA, {"preset": "paper"}, "recipes.lada\\(preset='paper'\\)"),
        (lambda **knobs: recipes.baseline(MarginSampling(), **knobs), {"head_temprature": 1}, "'head_temperature'"),
    ],
)
def test_a_misspelt_or_misplaced_parameter_is_named_with_what_is_meant(make, misplaced, hint):
    with pytest.raises(TypeError, match=hint):
        make(**misplaced)


def test_parameters_go_by_name():
    with pytest.raises(TypeError, match=r"LADA.*by name alone, got 'local'"):
        recipes.LADA("local")


def test_a_notebook_shows_the_knobs_of_the_paper_first():
    html = recipes.LADA(n_neighbors=5)._repr_html_()
    assert html.index("oversampling") < html.index("weight_decay")
    assert repr(recipes.LADA(n_neighbors=5)) == "LADA(n_neighbors=5)"


@pytest.mark.parametrize(
    ("make", "knobs"),
    [
        (recipes.lada, {"oversampling": "auto", "optimizer": "adadelta", "lr": 0.1, "batch_size": 32}),
        (partial(recipes.baseline, MarginSampling()), {"optimizer": "adadelta", "lr": 0.1, "batch_size": 32}),
        (recipes.sdm, {"labeled_loss": "joint", "optimizer": "adadelta", "lr": 0.1, "batch_size": 72}),
        (recipes.sage, {"budget": 80, "n_rounds": 10, "optimizer": "sgd", "lr": 0.01}),
        (recipes.gala, {"budget": 0.01, "alpha": 0.6}),
        (recipes.gsda, {"alpha": 0.02, "beta": 1.0, "n_groups": "auto"}),
    ],
)
def test_the_preset_of_the_paper_has_what_it_published_and_a_given_knob_wins(make, knobs):
    held = make(preset="paper").get_params()
    assert {name: held[name] for name in knobs} == knobs
    assert make(preset="paper", lr=0.5).lr == 0.5
    assert all(name in held for name in type(make()).PAPER)
    if held.get("optimizer") == "adadelta":
        assert (held["max_epochs"], held["round_epochs"], held["net_params"]) == (10, (2, 2, 2, 2, 22), None)
    with pytest.raises(ValueError, match='preset must be "default" or "paper"'):
        make(preset="papers")


@pytest.mark.parametrize("make", [recipes.lada, recipes.sdm, partial(recipes.baseline, MarginSampling())])
def test_in_the_preset_of_the_paper_the_pretrained_part_of_a_module_learns_at_a_tenth(make, data):
    X, y, sample_domain = data
    module = nn.Sequential(nn.Linear(X.shape[1], 8), nn.Linear(8, 4))  # as torchvision_backbone: network, bottleneck
    recipe = make(preset="paper", module=module, **{**SHORT, "round_epochs": 0}, lr=0.3)
    net = recipe.fit(X, y, sample_domain=sample_domain).estimator_.net_
    shapes = {group["lr"]: [tuple(p.shape) for p in group["params"]] for group in net.optimizer_.param_groups}
    slow, fast = sorted(shapes)
    assert (slow, fast) == pytest.approx((0.03, 0.3))
    assert sorted(shapes[slow]) == [(8,), (8, X.shape[1])]
    assert sorted(shapes[fast]) == sorted([(4, 8), (4,), (3, 4), (3,)])
    own = {"optimizer__rho": 0.8}
    assert make(preset="paper", module=module, net_params=own).net_params == own
    assert make(module=module).net_params is None


def test_the_part_that_learns_at_a_tenth_is_the_network_of_torchvision():
    pytest.importorskip("torchvision")
    backbone = torchvision_backbone("resnet18", out_features=4)
    names = [name for name, _ in nn.ModuleDict({"backbone": backbone}).named_parameters()]
    ((pattern, _),) = recipes.lada(preset="paper", module=backbone).net_params["optimizer__param_groups"]
    others = [name for name in names if not fnmatch(name, pattern)]
    assert others == ["backbone.1.weight", "backbone.2.weight", "backbone.2.bias"]
