from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.base import BaseEstimator, clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm
from torch.utils.data import Dataset

from skada_active.deep import (
    DANN,
    GSDA,
    M3SDA,
    MCC,
    MME,
    TSF,
    AdaptationClassifier,
    AnchorSet,
    FeatureNoise,
    ImageAugmentation,
    MarginLoss,
)
from skada_active.deep._state import hidden_state, network_state, restore_network
from skada_active.io._plain import from_plain, to_plain
from skada_active.networks import MLP


class Tied(nn.Module):
    """Decode by the weights of the encoder, and count batches in a buffer that no state_dict holds."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decode.weight = self.encode.weight
        self.register_buffer("n_seen", torch.zeros(1), persistent=False)

    def forward(self, X):
        if self.training:
            self.n_seen = self.n_seen + 1
        return self.decode(self.encode(X).relu()) * (1 + self.n_seen / 100)


class WithExtraState(nn.Linear):
    """Keep a number that only its extra state tells."""

    def __init__(self):
        super().__init__(4, 6)
        self.scale = 1.0

    def forward(self, X):
        self.scale += 0.01 * self.training
        return super().forward(X) * self.scale

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


class Versioned(nn.Linear):
    """Read a state of the first version as if its weights had another unit."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if local_metadata.get("version", 1) < 2:
            state_dict[f"{prefix}weight"] = 100 * state_dict[f"{prefix}weight"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class Shift(BaseEstimator):
    """Shift rows by what was fitted: an array, a number and a tensor."""

    def fit(self, X, y=None):
        self.low_, self.gap_, self.half_ = X.min(axis=0), float(np.ptp(X)), torch.tensor(0.5)
        return self

    def __call__(self, rows):
        return rows + self.half_ * torch.as_tensor(self.low_) / self.gap_


class Rows(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index]


class OwnCallback(Callback):
    pass


def normalized_module(shape):
    return nn.Sequential(spectral_norm(nn.Linear(*shape, 8)), parametrizations.weight_norm(nn.Linear(8, 5)))


def with_callbacks(*callbacks, **params):
    return {"net_params": {"callbacks": list(callbacks), **params}}


def classifier(objective=None, **params):
    return AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})


def of_two_sources(data):
    X, y, domain = data
    return X, y, np.where(np.arange(len(y)) < 20, 2, domain)


def images(data):
    rng = np.random.default_rng(0)
    return rng.normal(size=(len(data[1]), 1, 8, 8)).astype(np.float32), *data[1:]


def stored_and_read(model):
    """Return the state as it comes back from JSON and safetensors."""
    info, tensors = network_state(model)
    return from_plain(json.loads(json.dumps(to_plain(info)))), safetensors.torch.load(safetensors.torch.save(tensors))


def restored(model, template=None):
    return restore_network(clone(model) if template is None else template, *stored_and_read(model))


def assert_same_weights(first, second):
    for name in ("module_", "criterion_"):
        states = [getattr(model.net_, name).state_dict() for model in (first, second)]
        assert states[0].keys() == states[1].keys()
        for key, value in states[0].items():
            assert value.equal(states[1][key]) if isinstance(value, torch.Tensor) else value == states[1][key], key


def assert_same_outputs(first, second, X):
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        np.testing.assert_array_equal(getattr(first, method)(X), getattr(second, method)(X), err_msg=method)
    for values in zip(first.pool_head(), second.pool_head(), strict=True):
        np.testing.assert_array_equal(*values)


def without_times(history):
    return [{name: value for name, value in row.items() if name != "dur"} for row in history]


CONFIGURATIONS = {
    "plain": {},
    "standardized": {"standardize": True},
    "as it is": {"standardize": False},
    "dann": {"objective": DANN()},
    "dann per source": {"objective": DANN(discriminator="per_source", schedule="tll"), "data": of_two_sources},
    "dann multiclass": {"objective": DANN(discriminator="multiclass"), "data": of_two_sources},
    "tsf": {"objective": TSF(hidden=(8,))},
    "gsda": {"objective": GSDA(n_groups=2, hidden=(8,))},
    "m3sda": {"objective": M3SDA(), "data": of_two_sources},
    "mme, cosine head": {"objective": MME(), "head": "cosine"},
    "sum": {"objective": MCC() + MarginLoss() + DANN()},
    "anchors": {"anchors": AnchorSet(confidence=0.4)},
    "augmentation": {"augmentation": "auto"},
    "own parameters of an augmentation": {"augmentation": FeatureNoise(0.5, mask=0.2)},
    "own augmentation": {"augmentation": Shift()},
    "augmentation without fit": {"augmentation": torch.relu},
    "images": {"augmentation": ImageAugmentation(shift=1), "data": images, "max_epochs": 1, "standardize": True},
    "dataset": {"objective": DANN(), "data": lambda data: (Rows(data[0]), *data[1:])},
    "sgd": {"optimizer": "sgd"},
    "adamw": {"optimizer": "adamw", "net_params": {"optimizer__amsgrad": True}},
    "adadelta": {"optimizer": "adadelta"},
    "torch optimiser": {"optimizer": torch.optim.NAdam},
    "sgd without momentum": {"optimizer": torch.optim.SGD},
    "class weight": {"class_weight": "balanced", "labeled_loss": "joint"},
    "module": {"module": nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))},
    "callable": {"module": lambda shape: MLP(shape[0], (8, 6), dropout=0.3)},
    "normalised weights": {"module": normalized_module},
    "lazy": {"module": lambda shape: nn.LazyLinear(5)},
    "tied weights": {"module": Tied()},
    "extra state": {"module": WithExtraState()},
    "versions of a state": {"module": Versioned(4, 5)},
    "half of the parameters": {"net_params": {"optimizer__param_groups": [("backbone*", {"lr": 1e-4})]}},
    "exponential": with_callbacks(LRScheduler("ExponentialLR", gamma=0.5)),
    "cosine": with_callbacks(LRScheduler("CosineAnnealingLR", T_max=9)),
    "warm restarts": with_callbacks(LRScheduler("WarmRestartLR", max_lr=1e-2)),
    "cycle": with_callbacks(
        LRScheduler("CyclicLR", base_lr=1e-4, max_lr=1e-2, step_size_up=7, cycle_momentum=False, step_every="batch")
    ),
    "plateau": with_callbacks(LRScheduler("ReduceLROnPlateau", patience=0)),
    "early stopping": with_callbacks(EarlyStopping("train_loss", patience=1)),
    "freezer": with_callbacks(Freezer("backbone*weight", at=2)),
    "clipping": with_callbacks(GradientNormClipping(0.1)),
    "best weights": with_callbacks(
        EarlyStopping("valid_loss", patience=2, load_best=True), train_split=ValidSplit(0.3, random_state=0)
    ),
}


@pytest.fixture
def data(make_data):
    return make_data()


@pytest.fixture
def model(data):
    return classifier(DANN(), augmentation="auto").fit(*data)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_restored_model_predicts_the_same_and_goes_on_alike(name, data):
    params = dict(CONFIGURATIONS[name])
    X, y, domain = params.pop("data", tuple)(data)
    model = classifier(**clone(params, safe=False)).fit(X, y, domain)
    twin = restored(model)
    assert hidden_state(model) is None
    assert_same_weights(model, twin)
    assert_same_outputs(model, twin, X)
    assert twin.loss_terms_ == model.loss_terms_
    assert twin.net_.history == model.net_.history
    for other in (model, twin):
        other.partial_fit(X, y, domain, epochs=2).partial_fit(X, y, domain)
    assert_same_weights(model, twin)
    assert_same_outputs(model, twin, X)
    assert without_times(twin.net_.history) == without_times(model.net_.history)


def test_training_does_go_on(model, data):
    twin = restored(model)
    before = twin.predict_proba(data[0])
    assert not np.array_equal(twin.partial_fit(*data).predict_proba(data[0]), before)


def test_a_model_restored_twice_goes_on_alike(model, data):
    twin = restored(restored(model.partial_fit(*data)).partial_fit(*data))
    assert_same_weights(twin.partial_fit(*data), model.partial_fit(*data).partial_fit(*data))


def test_a_network_that_was_never_trained_is_restored(data):
    model = classifier(TSF()).partial_fit(*data, classes=[0, 1, 2, 5], epochs=0)
    twin = restored(model)
    assert (twin.loss_terms_, twin.classes_.tolist()) == ({}, [0, 1, 2, 5])
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_fields_of_discriminators_are_restored(data):
    X = data[0]
    model = classifier(TSF(hidden=(8,)) + DANN()).fit(*data)
    twin = restored(model)
    np.testing.assert_array_equal(twin.domain_logit(X), model.domain_logit(X))
    for values in zip(twin.pool_field("class_discriminator"), model.pool_field("class_discriminator"), strict=True):
        np.testing.assert_array_equal(*values)
    names = ["proba", "features", "source_logit"]
    first, second = (fitted.pool_outputs(X, names) for fitted in (twin, model))
    for name in names:
        np.testing.assert_array_equal(first[name], second[name])


def test_an_untrained_discriminator_stays_untrained(data):
    twin = restored(classifier(DANN()).partial_fit(*data, epochs=0))
    with pytest.raises(ValueError, match="untrained"):
        twin.domain_logit(data[0])


def test_anchors_are_counted_as_before(data):
    model = classifier(anchors=AnchorSet(confidence=0.4)).fit(*data)
    counts = restored(model).anchor_counts_
    assert len(counts)
    np.testing.assert_array_equal(counts, model.anchor_counts_)


def test_names_of_columns_and_outputs_are_kept(data):
    pd = pytest.importorskip("pandas")
    X, y, domain = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = classifier().fit(frame, y, domain)
    twin = restored(model)
    assert twin.n_features_in_ == 4
    assert twin.feature_names_in_.tolist() == list("abcd")
    assert twin.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match="feature names"):
        twin.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize("kind", ["U", "O", "int16"])
def test_labels_keep_their_type(kind, data):
    X, y, domain = data
    rows = np.flatnonzero(y >= 0)
    labels = np.array(["a", "b", "cc"])[y[rows]].astype(kind) if kind != "int16" else y[rows].astype(kind)
    model = classifier().fit(X[rows], labels, domain[rows])
    twin = restored(model)
    assert twin.classes_.dtype == model.classes_.dtype
    assert twin.predict(X).tolist() == model.predict(X).tolist()


def test_a_fitted_augmentation_gives_the_same_views(model):
    noise, twin = model.net_.augmentation, restored(model).net_.augmentation
    assert noise is not twin
    assert (noise.mean_.equal(twin.mean_), noise.scale_.equal(twin.scale_)) == (True, True)


def test_frozen_parameters_stay_frozen(data):
    twin = restored(classifier(**with_callbacks(Freezer("backbone*"))).fit(*data))
    frozen = [name for name, parameter in twin.net_.module_.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all(name.startswith("backbone") for name in frozen)


def test_a_best_score_that_the_callback_alone_remembers_is_kept(data):
    scoring = PassthroughScoring("train_loss", on_train=True)
    steps = LRScheduler("StepLR", step_size=9, step_every="batch")  # with it skorch's losses of the steps are kept
    model = classifier(**with_callbacks(steps, scoring)).fit(*data)
    best = [dict(fitted.net_.callbacks_)["PassthroughScoring"].best_score_ for fitted in (model, restored(model))]
    assert np.isfinite(best[0])
    assert best[0] == best[1]


def test_a_checkpoint_that_was_read_is_not_read_again(data, tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    model = classifier(**with_callbacks(checkpoint, LoadInitState(checkpoint))).fit(*data)
    for _ in range(2):
        model.partial_fit(*data, epochs=2)
    twin = restored(model)
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_scores_of_epochs_go_on(data):
    def confidence(net, X, y):
        return float(net.predict_proba(X.rows).max(axis=1).mean())

    scoring = EpochScoring(confidence, name="confidence", lower_is_better=False, on_train=True, use_caching=False)
    model = classifier(**with_callbacks(scoring)).fit(*data)
    twin = restored(model)
    for fitted in (model, twin):
        fitted.partial_fit(*data, epochs=2)
    assert twin.net_.history[:, "confidence_best"] == model.net_.history[:, "confidence_best"]


def test_labels_and_domains_that_are_new_are_refused_as_before(model, data):
    X, y, domain = data
    twin = restored(model)
    with pytest.raises(ValueError, match="y holds the label 3"):
        twin.partial_fit(X, np.where(y == 0, 3, y), domain)
    with pytest.raises(ValueError, match="sample_domain holds domain 7"):
        twin.partial_fit(X, y, np.where(domain > 0, 7, domain))


def test_a_restored_model_may_be_fitted_anew(model, data):
    assert_same_weights(restored(model).fit(*data), model)


def test_global_generators_are_left_alone(model):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    restored(model)
    assert torch.get_rng_state().equal(before)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


def test_the_state_shares_nothing_with_either_model(model, data):
    info, tensors = network_state(model)
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    model.partial_fit(*data)
    restore_network(clone(model), info, tensors).partial_fit(*data)
    assert all(tensor.equal(kept[name]) for name, tensor in tensors.items())
    assert len(info["history"]) == 2


def test_tensors_are_contiguous_and_unshared(data):
    tensors = network_state(classifier(module=Tied()).fit(*data))[1].values()
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in tensors)
    pointers = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert len(set(pointers)) == len(pointers)


def test_weights_stay_tied(data):
    backbone = restored(classifier(module=Tied()).fit(*data)).net_.module_.backbone
    assert backbone.encode.weight is backbone.decode.weight


def test_own_callbacks_may_hide_state(data):
    model = classifier(**with_callbacks(("mine", OwnCallback()))).fit(*data)
    assert hidden_state(model) == "callback 'mine' of class OwnCallback"


def test_an_augmentation_that_holds_an_object_hides_state(data):
    class Holder(Shift):
        def fit(self, X, y=None):
            self.inner_ = Shift().fit(X)
            return super().fit(X)

    assert hidden_state(classifier(augmentation=Holder()).fit(*data)).startswith("augmentation: ")


def test_an_unfitted_model_has_no_state():
    with pytest.raises(ValueError, match="not fitted"):
        network_state(classifier())


def test_a_fitted_model_takes_no_state(model):
    with pytest.raises(ValueError, match="fitted already"):
        restore_network(model, *network_state(model))


def test_a_missing_tensor_is_refused(model):
    info, tensors = stored_and_read(model)
    for name in tensors:
        with pytest.raises(ValueError, match=f"lacks '{name}'"):
            restore_network(clone(model), info, {key: value for key, value in tensors.items() if key != name})


def test_a_tensor_that_nothing_names_is_refused(model):
    info, tensors = stored_and_read(model)
    with pytest.raises(ValueError, match="unknown \\['surplus'\\]"):
        restore_network(clone(model), info, {**tensors, "surplus": torch.zeros(1)})


@pytest.mark.parametrize("change", [lambda tensor: tensor[..., None], lambda tensor: tensor.to(torch.complex64)])
def test_a_tensor_of_another_shape_or_type_is_refused(model, change):
    info, tensors = stored_and_read(model)
    for name in tensors:
        with pytest.raises(ValueError, match=f"{name}' has shape"):
            restore_network(clone(model), info, {**tensors, name: change(tensors[name])})


@pytest.mark.parametrize(
    "part", ["attributes", "weights", "buffers", "frozen", "optimizers", "callbacks", "augmentation", "anchor_counts"]
)
def test_a_missing_part_is_refused(model, part):
    info, tensors = stored_and_read(model)
    info.pop(part)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{part}.")}
    with pytest.raises(ValueError, match="lacking"):
        restore_network(clone(model), info, tensors)


@pytest.mark.parametrize("name", ["classes_", "domains_", "_seed", "_n_calls", "_row_shape"])
def test_a_missing_attribute_is_refused(model, name):
    info, tensors = stored_and_read(model)
    del info["attributes"][name]
    with pytest.raises(ValueError, match=f"lacking \\['{name}'\\]"):
        restore_network(clone(model), info, tensors)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"module": nn.Linear(4, 7)}, "does not fit the network"),
        ({"module": lambda shape: nn.Linear(*shape, 256)}, "does not fit the network"),
        ({"head": "cosine"}, "(?s)does not fit the network.*head"),
        ({"objective": None}, "(?s)does not fit the network.*discriminator"),
        ({"objective": DANN(hidden=(3,))}, "(?s)does not fit the network.*discriminator"),
        ({"optimizer": "sgd"}, "does not fit optimizer=SGD.*momentum"),
        ({"augmentation": None}, "does not fit augmentation=None"),
        ({"net_params": {"optimizer__param_groups": [("backbone*", {})]}}, "parameter group"),
        (with_callbacks(GradientNormClipping(1.0)), "callbacks.*lacking \\['GradientNormClipping'\\]"),
    ],
)
def test_the_state_of_other_parameters_is_refused_and_the_model_left_unfitted(model, params, match):
    other = clone(model).set_params(**params)
    with pytest.raises(ValueError, match=match):
        restored(model, other)
    assert not [name for name in vars(other) if name.endswith("_")]


def test_weights_of_another_type_are_refused(data):
    model = classifier(module=nn.Linear(4, 5)).fit(*data)
    model.net_.module_.backbone.half()
    with pytest.raises(ValueError, match="float16, the network has"):
        restored(model)
