"""Feature maps of frozen stages, which stand in for the rows in training."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring, Unfreezer
from torch import nn
from torch.utils.data import Dataset
from torchvision.models import VisionTransformer

from skada_active.deep import ADDA, MCC, MCD, VAT, AdaptationClassifier, AnchorSet, FeatureNoise
from skada_active.deep.batches import DomainDataset
from skada_active.domains import mask_target
from skada_active.networks import torchvision_backbone
from skada_active.networks.stages import frozen_stages

CALLS: Counter[str] = Counter()
FROZEN = {"frozen": ["stem"], "batch_statistics": "frozen"}


class Stage(nn.Sequential):
    """Layers that count how often they run."""

    def forward(self, inputs):
        CALLS["stem"] += 1
        return super().forward(inputs)


class Chain(nn.Sequential):
    """Backbone of a stem, frozen in these tests, and a last layer."""

    def __init__(self, shape=(4,), width=6, dropout=0.0):
        super().__init__()
        self.stem = Stage(nn.Linear(*shape, width), nn.BatchNorm1d(width), nn.Dropout(dropout))
        self.stem[1].running_mean.fill_(0.5)  # as pretrained weights come, with statistics
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(width, 3))


class Unlike(Callback):
    """A callback of one's own, which might do anything."""


def classifier(objective=None, **params):
    params = {"module": Chain, "max_epochs": 4, "batch_size": 8, "random_state": 0, **FROZEN, **params}
    return AdaptationClassifier(objective, **params)


def runs(model, data):
    """Return how often the stem ran, beside the runs that made the network."""
    model.partial_fit(*data, epochs=0)
    CALLS.clear()
    model.partial_fit(*data, epochs=4)
    return CALLS["stem"]


@pytest.fixture
def data(make_data):
    return make_data()


@pytest.mark.parametrize(
    ("objective", "params"),
    [
        (None, {}),
        (MCC(), {"labeled_loss": "joint"}),
        (MCD(), {}),
        (VAT(), {}),
        (ADDA(), {}),
        (MCC() + VAT(), {"anchors": AnchorSet(confidence=0.3)}),
        (MCC(), {"frozen": ["backbone"]}),
        (MCC(), {"precision": "bfloat16", "channels_last": True}),
        (MCC(), {"batch_size": 2, "net_params": {"callbacks": [EpochScoring("accuracy", on_train=True)]}}),
    ],
)
def test_maps_change_nothing(data, objective, params):
    plain = {**params, "net_params": {"callbacks": [*params.get("net_params", {}).get("callbacks", []), Unlike()]}}
    mapped, plain = (classifier(objective, **one).fit(*data) for one in (params, plain))
    np.testing.assert_allclose(mapped.predict_proba(data[0]), plain.predict_proba(data[0]), atol=2e-5)
    for name, loss in plain.loss_terms_.items():
        assert mapped.loss_terms_[name] == pytest.approx(loss, abs=1e-4)


def test_the_stages_run_a_few_times_instead_of_at_every_step(data):
    assert runs(classifier(), data) <= 6 < 40 <= runs(classifier(net_params={"callbacks": [Unlike()]}), data)


@pytest.mark.parametrize(
    "params",
    [
        {"frozen": ()},
        {"batch_statistics": "mixed"},
        {"augmentation": FeatureNoise()},
        {"train_transform": torch.neg},
        {"module": partial(Chain, dropout=0.5)},
        {"module": partial(Chain, width=4)},  # maps of the shape of rows
        {"net_params": {"callbacks": [Unfreezer("backbone.stem.*", at=2)]}},
    ],
    ids=lambda params: next(iter(params)),
)
def test_rows_go_all_the_way_where_maps_could_differ(data, params):
    assert runs(classifier(**params), data) >= 40


class Residual(nn.Module):
    """Backbone whose frozen part is not all that its last layer reads."""

    def __init__(self):
        super().__init__()
        self.stem, self.last = Stage(nn.Linear(4, 6)), nn.Linear(10, 3)

    def forward(self, inputs):
        return self.last(torch.cat([self.stem(inputs), inputs], dim=1))


class Shifted(Residual):
    """Backbone with a weight of its own before the frozen part."""

    def __init__(self):
        super().__init__()
        self.shift, self.last = nn.Parameter(torch.ones(4)), nn.Linear(6, 3)

    def forward(self, inputs):
        return self.last(self.stem(inputs + self.shift))


class Doubled(Shifted):
    """Backbone that does something between its parts."""

    def forward(self, inputs):
        return self.last(2 * self.stem(inputs))


class Shared(Chain):
    """Backbone with one activation in several places."""

    def __init__(self, shape):
        super().__init__(shape)
        self.activation = Stage(nn.LeakyReLU(0.5))

    def forward(self, inputs):
        return self.activation(self.last(self.activation(self.activation(self.stem(inputs)))))


def test_an_activation_that_comes_again_is_skipped_before_the_trained_stages_alone(data):
    assert runs(classifier(module=Shared), data) <= 6 * 4 + 40 < 4 * 40
    mapped, plain = (classifier(module=Shared, net_params={"callbacks": own}).fit(*data) for own in (None, [Unlike()]))
    np.testing.assert_allclose(mapped.predict_proba(data[0]), plain.predict_proba(data[0]), atol=2e-5)


@pytest.mark.parametrize("module", [Residual(), Shifted(), Doubled()], ids=lambda module: type(module).__name__)
def test_parts_that_are_no_chain_are_not_skipped(data, module):
    params = {"module": module, "frozen": ["stem", "shift"] if isinstance(module, Doubled) else ["stem"]}
    mapped = classifier(**params)
    assert runs(mapped, data) >= 40
    plain = classifier(**params, net_params={"callbacks": [Unlike()]})
    runs(plain, data)
    np.testing.assert_array_equal(mapped.predict_proba(data[0]), plain.predict_proba(data[0]))


def test_the_network_is_left_as_it_was(data):
    model = classifier().fit(*data)
    assert not any("forward" in vars(part) for part in model.net_.module_.modules())
    before = model.net_.module_.backbone.stem[0].weight.clone()
    model.partial_fit(*data, epochs=2)
    assert torch.equal(model.net_.module_.backbone.stem[0].weight, before)


def test_items_of_a_dataset_are_read_once(data):
    class Items(Dataset):
        def __len__(self):
            return len(data[0])

        def __getitem__(self, number):
            reads[number] += 1
            return data[0][number]

    reads = Counter()
    model = classifier(MCC()).partial_fit(Items(), *data[1:], epochs=0)
    reads.clear()
    model.partial_fit(Items(), *data[1:], epochs=6)
    # Some rows show first that the stages can be skipped.
    assert reads.keys() == set(range(len(data[0])))
    assert sum(reads.values()) <= len(data[0]) + 8


def test_rows_that_no_step_reads_get_no_maps(data):
    X, y, sample_domain = data
    rows = np.concatenate([X, np.full((500, 4), np.nan, dtype=np.float32)])
    y, sample_domain = np.append(y, np.full(500, -1)), np.append(sample_domain, np.full(500, -1))
    model = classifier().partial_fit(*data, epochs=0)
    reads = []
    model.net_.module_.backbone.stem.register_forward_pre_hook(lambda _, inputs: reads.append(inputs[0]))
    model.net_.train_epochs(_training_data(model, np.nan_to_num(rows, nan=7.0), y, sample_domain), 4)
    assert not any((inputs == 7.0).all(dim=1).any() for inputs in reads)


def _training_data(model, X, y, sample_domain):
    labels, domain = torch.as_tensor(y), torch.as_tensor((sample_domain < 0).astype(np.int64))
    return DomainDataset(torch.as_tensor(X), labels, domain, 1)


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("resnet18", ["0.conv1", "0.bn1", "0.layer[123]"]),
        ("mobilenet_v3_small", ["0.features.[0-9]", "0.features.10"]),
        ("efficientnet_b0", ["0.features.[0-6]"]),
        ("convnext_tiny", ["0.features.[0-5]"]),
    ],
)
def test_backbones_of_torchvision_are_chains(name, frozen):
    X = np.random.default_rng(0).random((8, 3, 32, 32), dtype=np.float32)
    y = np.arange(8) % 2
    module = torchvision_backbone(name, out_features=4)
    for part in module.modules():
        part.p = 0.0  # stochastic depth makes other stages of every call
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean += 0.1
    model = classifier(module=module, frozen=frozen, max_epochs=0, batch_statistics="frozen").fit(X, y)
    rows = torch.as_tensor(X)
    network = model.net_.module_.train()
    stages = frozen_stages(network.backbone, rows, network.train)
    assert stages.shape[0] >= 96
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(network.maps(rows, stages), stages=stages), network(rows))


def test_a_vision_transformer_goes_all_the_way():
    X = np.zeros((2, 3, 32, 32), dtype=np.float32)
    transformer = VisionTransformer(32, 16, 2, 2, 8, 8)
    transformer.heads = nn.Identity()
    frozen = ["0.conv_proj", "0.class_token", "0.encoder.pos*", "0.encoder.layers.encoder_layer_0"]
    model = AdaptationClassifier(module=nn.Sequential(transformer, nn.Linear(8, 4)), frozen=frozen, max_epochs=0)
    network = model.fit(X, [0, 1]).net_.module_.train()
    assert frozen_stages(network.backbone, torch.as_tensor(X), network.train) is None


def test_more_than_the_memory_allows_is_not_mapped(data, monkeypatch):
    monkeypatch.setattr("skada_active.deep._feature_maps._MOST_BYTES", 4 * 6 * len(data[0]) - 1)
    assert runs(classifier(), data) >= 40
    monkeypatch.setattr("skada_active.deep._feature_maps._MOST_BYTES", 4 * 6 * len(data[0]))
    assert runs(classifier(), data) <= 6


def test_rows_that_are_read_once_are_not_mapped(make_data):
    X, y, sample_domain = make_data()
    y = mask_target(y, sample_domain)
    wide = np.concatenate([X, np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)])
    labels, domains = np.append(y, np.full(2000, -1)), np.append(sample_domain, np.full(2000, -1))
    assert runs(classifier(MCC()), (wide, labels, domains)) >= 40
