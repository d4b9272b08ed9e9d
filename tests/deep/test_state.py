from __future__ import annotations

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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
from skada_active.deep.net import AdaptationNet
from skada_active.networks import MLP


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def dumped_by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def dumped_by_skops(model):
    content = skops.io.dumps(model)
    return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))


CARRIERS = {
    "pickle": pickled,
    "deepcopy": copy.deepcopy,
    "joblib": dumped_by_joblib,
    "skops": dumped_by_skops,
    "state": lambda model: from_state(model, model.__getstate__()),
}


def from_state(model, state):
    twin = object.__new__(type(model))
    twin.__setstate__(state)
    return twin


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


class Patience(Callback):
    """Halve the learning rate in every third epoch, counted over all calls of training."""

    def initialize(self):
        self.n_epochs, self.seen = 0, []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        self.seen.append(net.history[-1, "train_loss"])
        if self.n_epochs % 3 == 0:
            for group in net.optimizer_.param_groups:
                group["lr"] /= 2


class Warming(nn.Linear):
    """Scale by a number that grows with every batch and stands in no state_dict."""

    def __init__(self):
        super().__init__(4, 6)
        self.n_batches, self.sizes = 0, []

    def forward(self, X):
        if self.training:
            self.n_batches += 1
            self.sizes.append(len(X))
        return super().forward(X) * (1 + self.n_batches / 100)


class Counter:
    def __init__(self):
        self.count = 0


class Counting(nn.Linear):
    """Scale by a number in an object of its own."""

    def __init__(self):
        super().__init__(4, 6)
        self.counter = Counter()

    def forward(self, X):
        self.counter.count += self.training
        return super().forward(X) * (1 + self.counter.count / 100)


class Net(AdaptationNet):
    """Count the epochs that it ran."""

    n_epochs = 0

    def run_single_epoch(self, *args, **kwargs):
        self.n_epochs += 1
        return super().run_single_epoch(*args, **kwargs)


def normalized_module(shape):
    return nn.Sequential(spectral_norm(nn.Linear(*shape, 8)), parametrizations.weight_norm(nn.Linear(8, 5)))


def small_mlp(shape):
    return MLP(shape[0], (8, 6), dropout=0.3)


def lazy_layer(shape):
    return nn.LazyLinear(5)


def wide_layer(shape):
    return nn.Linear(*shape, 256)


def confidence(net, X, y):
    return float(net.predict_proba(X).max(axis=1).mean())


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


def fitted(name, data):
    params = dict(CONFIGURATIONS[name])
    data = params.pop("data", tuple)(data)
    return classifier(**clone(params, safe=False)).fit(*data), data


def assert_same(first, second, path="state"):
    """Assert that two states are bit for bit the same."""
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key, value in first.items():
            assert_same(value, second[key], f"{path}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for number, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{path}.{number}")
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype, path
        np.testing.assert_array_equal(first, second, err_msg=path)
    elif not hasattr(first, "__dict__"):
        assert first == second or first != first, path


def learned(model):
    return {name: value for name, value in model.__getstate__().items() if name not in model.get_params(deep=False)}


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
    "callable": {"module": small_mlp},
    "normalised weights": {"module": normalized_module},
    "lazy": {"module": lazy_layer},
    "tied weights": {"module": Tied()},
    "extra state": {"module": WithExtraState()},
    "versions of a state": {"module": Versioned(4, 5)},
    "counts in plain attributes": {"module": Warming()},
    "own net": {"net_params": {"net_class": Net}},
    "own callback": with_callbacks(("patience", Patience())),
    "class of an own callback": with_callbacks(("patience", Patience)),
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


#: skops knows neither modules nor builtin functions of torch, which are parameters here.
BEYOND_SKOPS = [
    "module",
    "augmentation without fit",
    "tied weights",
    "extra state",
    "versions of a state",
    "counts in plain attributes",
]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_copy_predicts_the_same_and_goes_on_alike(name, data):
    model, (X, y, domain) = fitted(name, data)
    twins = [pickled(model), copy.deepcopy(model)]
    for twin in twins:
        assert_same_weights(model, twin)
        assert_same_outputs(model, twin, X)
        assert twin.loss_terms_ == model.loss_terms_
        assert twin.net_.history == model.net_.history
    for fit in (model, *twins):
        fit.partial_fit(X, y, domain, epochs=2).partial_fit(X, y, domain)
    for twin in twins:
        assert_same_weights(model, twin)
        assert_same_outputs(model, twin, X)
        assert without_times(twin.net_.history) == without_times(model.net_.history)


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name not in BEYOND_SKOPS])
def test_every_carrier_carries_the_same_state(name, data):
    model, _ = fitted(name, data)
    for carry in CARRIERS.values():
        assert_same(learned(carry(model)), learned(model))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_model_in_a_pipeline_is_carried(carrier, data):
    X, y, domain = data
    model = make_pipeline(StandardScaler(), classifier(DANN())).fit(X, y, adaptationclassifier__sample_domain=domain)
    twin = dict(CARRIERS, state=copy.copy)[carrier](model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_state_of_an_unfitted_model_is_its_parameters(carrier):
    model = classifier(MCC() + DANN(), augmentation=FeatureNoise(0.5))
    twin = CARRIERS[carrier](model)
    assert repr(twin) == repr(model)
    assert vars(twin).keys() == model.get_params(deep=False).keys()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_set_params_changed_counts_from_the_next_fit_for_a_copy_too(carrier, data):
    model = classifier(DANN() + MCC(), augmentation="auto").fit(*data)
    changes = {
        "objective__mcc__trade_off": 9.0,
        "objective__dann__hidden": (3,),
        "head": "cosine",
        "batch_size": 16,
        "optimizer": "sgd",
        "augmentation": None,
        "net_params": {"callbacks": [GradientNormClipping(1e-3)]},
    }
    twin = CARRIERS[carrier](model.set_params(**changes))
    for fit in (model, twin):
        fit.partial_fit(*data)
    assert_same_weights(model, twin)
    for fit in (model, twin):
        fit.fit(*data)
    assert_same_weights(model, twin)


def test_a_deep_copy_keeps_the_objects_of_modules(data):
    model = classifier(module=Counting()).fit(*data)
    twin = copy.deepcopy(model)
    for fit in (model, twin):
        fit.partial_fit(*data)
    assert_same_outputs(model, twin, data[0])


def test_modules_that_refuse_to_be_copied_are_copied_by_their_state(data):
    class Refusing(nn.Linear):
        def __deepcopy__(self, memo):
            raise TypeError("not me")

    model = classifier(module=lambda shape: Refusing(*shape, 5)).fit(*data)
    twin = copy.deepcopy(model)
    assert type(twin.net_.module_.backbone) is Refusing
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_low_precision_is_carried(data):
    model = classifier(module=nn.Linear(4, 5)).fit(*data)
    model.net_.module_.register_buffer("narrow", torch.randn(3, dtype=torch.bfloat16), persistent=False)
    model.net_.module_.register_buffer("narrower", torch.randn(3).to(torch.float8_e5m2), persistent=False)
    module = pickled(model).net_.module_
    assert module.narrow.equal(model.net_.module_.narrow)
    assert module.narrower.view(torch.uint8).equal(model.net_.module_.narrower.view(torch.uint8))


def test_a_model_trained_on_another_device_is_loaded_on_the_cpu(model, data):
    state = {**model.__getstate__(), "device": "cuda:7"}
    with pytest.warns(UserWarning, match="'cuda:7', which this machine lacks"):
        twin = from_state(model, state)
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_a_callback_of_ones_own_stays_the_one_among_the_parameters(data):
    twin = pickled(classifier(**with_callbacks(("patience", Patience()))).fit(*data))
    callback = dict(twin.net_.callbacks_)["patience"]
    assert callback is dict(twin.net_params["callbacks"])["patience"]
    assert (callback.n_epochs, len(callback.seen)) == (2, 2)


def test_training_leaves_no_traces_in_callbacks_among_the_parameters(data, tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    callbacks = [LRScheduler("CosineAnnealingLR", T_max=9), Freezer("head*"), checkpoint, LoadInitState(checkpoint)]
    before = [dict(vars(callback)) for callback in callbacks]
    model = classifier(**with_callbacks(*callbacks)).fit(*data)
    assert [vars(callback) for callback in callbacks] == before
    used = dict(model.net_.callbacks_)
    assert used["LoadInitState"].checkpoint is used["Checkpoint"]


def test_the_state_is_of_plain_values_and_arrays(model):
    def check(tree):
        if isinstance(tree, dict):
            assert all(type(key) is str for key in tree)
            tree = list(tree.values())
        if isinstance(tree, list | tuple):
            for value in tree:
                check(value)
        else:
            assert isinstance(tree, bool | int | float | str | bytes | np.generic | np.ndarray | None)

    check(learned(model))


def test_training_does_go_on(model, data):
    twin = pickled(model)
    before = twin.predict_proba(data[0])
    assert not np.array_equal(twin.partial_fit(*data).predict_proba(data[0]), before)


def test_a_model_restored_twice_goes_on_alike(model, data):
    twin = pickled(pickled(model.partial_fit(*data)).partial_fit(*data))
    assert_same_weights(twin.partial_fit(*data), model.partial_fit(*data).partial_fit(*data))


def test_a_network_that_was_never_trained_is_pickled(data):
    model = classifier(TSF()).partial_fit(*data, classes=[0, 1, 2, 5], epochs=0)
    twin = pickled(model)
    assert (twin.loss_terms_, twin.classes_.tolist()) == ({}, [0, 1, 2, 5])
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_fields_of_discriminators_are_pickled(data):
    X = data[0]
    model = classifier(TSF(hidden=(8,)) + DANN()).fit(*data)
    twin = pickled(model)
    np.testing.assert_array_equal(twin.domain_logit(X), model.domain_logit(X))
    for values in zip(twin.pool_field("class_discriminator"), model.pool_field("class_discriminator"), strict=True):
        np.testing.assert_array_equal(*values)
    names = ["proba", "features", "source_logit"]
    first, second = (fitted.pool_outputs(X, names) for fitted in (twin, model))
    for name in names:
        np.testing.assert_array_equal(first[name], second[name])


def test_an_untrained_discriminator_stays_untrained(data):
    twin = pickled(classifier(DANN()).partial_fit(*data, epochs=0))
    with pytest.raises(ValueError, match="untrained"):
        twin.domain_logit(data[0])


def test_anchors_are_kept_and_counted_as_before(data):
    model = classifier(anchors=AnchorSet(confidence=0.4)).fit(*data)
    twin = pickled(model)
    assert len(twin.anchor_counts_)
    np.testing.assert_array_equal(twin.anchor_counts_, model.anchor_counts_)
    np.testing.assert_array_equal(twin.anchor_set_, model.anchor_set_)


def test_names_of_columns_and_outputs_are_kept(data):
    pd = pytest.importorskip("pandas")
    X, y, domain = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = classifier().fit(frame, y, domain)
    twin = pickled(model)
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
    twin = pickled(model)
    assert twin.classes_.dtype == model.classes_.dtype
    assert twin.predict(X).tolist() == model.predict(X).tolist()


def test_a_fitted_augmentation_gives_the_same_views(model):
    noise, twin = model.net_.augmentation, pickled(model).net_.augmentation
    assert noise is not twin
    assert (noise.mean_.equal(twin.mean_), noise.scale_.equal(twin.scale_)) == (True, True)


def test_frozen_parameters_stay_frozen(data):
    twin = pickled(classifier(**with_callbacks(Freezer("backbone*"))).fit(*data))
    frozen = [name for name, parameter in twin.net_.module_.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all(name.startswith("backbone") for name in frozen)


def test_a_best_score_that_the_callback_alone_remembers_is_kept(data):
    scoring = PassthroughScoring("train_loss", on_train=True)
    steps = LRScheduler("StepLR", step_size=9, step_every="batch")  # with it skorch's losses of the steps are kept
    model = classifier(**with_callbacks(steps, scoring)).fit(*data)
    best = [dict(fitted.net_.callbacks_)["PassthroughScoring"].best_score_ for fitted in (model, pickled(model))]
    assert np.isfinite(best[0])
    assert best[0] == best[1]


def test_a_checkpoint_that_was_read_is_not_read_again(data, tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    model = classifier(**with_callbacks(checkpoint, LoadInitState(checkpoint))).fit(*data)
    for _ in range(2):
        model.partial_fit(*data, epochs=2)
    twin = pickled(model)
    assert_same_weights(model.partial_fit(*data), twin.partial_fit(*data))


def test_scores_of_epochs_go_on(data):
    scoring = EpochScoring(confidence, name="confidence", lower_is_better=False, on_train=True, use_caching=False)
    model = classifier(**with_callbacks(scoring)).fit(*data)
    twin = pickled(model)
    for fitted in (model, twin):
        fitted.partial_fit(*data, epochs=2)
    assert twin.net_.history[:, "confidence_best"] == model.net_.history[:, "confidence_best"]


def test_labels_and_domains_that_are_new_are_refused_as_before(model, data):
    X, y, domain = data
    twin = pickled(model)
    with pytest.raises(ValueError, match="y holds the label 3"):
        twin.partial_fit(X, np.where(y == 0, 3, y), domain)
    with pytest.raises(ValueError, match="sample_domain holds domain 7"):
        twin.partial_fit(X, y, np.where(domain > 0, 7, domain))


def test_a_restored_model_may_be_fitted_anew(model, data):
    assert_same_weights(pickled(model).fit(*data), model)


def test_global_generators_are_left_alone(model):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    pickled(model)
    assert torch.get_rng_state().equal(before)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


def test_the_state_shares_nothing_with_either_model(model, data):
    state = model.__getstate__()
    kept = copy.deepcopy(state)
    twin = from_state(model, state)
    for fit in (model, twin):
        fit.partial_fit(*data)
    assert_same(state, kept)
    assert len(state["net_"]["history"]) == 2


def test_weights_stay_tied(data):
    backbone = pickled(classifier(module=Tied()).fit(*data)).net_.module_.backbone
    assert backbone.encode.weight is backbone.decode.weight


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"module": nn.Linear(4, 7)}, "does not fit the network"),
        ({"module": wide_layer}, "does not fit the network"),
        ({"head": "cosine"}, "(?s)does not fit the network.*head"),
        ({"objective": None}, "(?s)does not fit the network.*discriminator"),
        ({"objective": DANN(hidden=(3,))}, "(?s)does not fit the network.*discriminator"),
        ({"optimizer": "sgd"}, "does not fit optimizer=SGD.*momentum"),
        ({"augmentation": None}, "does not fit augmentation=None"),
        ({"net_params": {"optimizer__param_groups": [("backbone*", {})]}}, "parameter group"),
        (with_callbacks(GradientNormClipping(1.0)), "callbacks.*differ by \\['GradientNormClipping'\\]"),
    ],
)
def test_the_state_of_other_parameters_is_refused(model, params, match):
    with pytest.raises(ValueError, match=match):
        from_state(model, {**model.__getstate__(), **params})


def test_weights_of_another_type_are_refused(data):
    model = classifier(module=nn.Linear(4, 5)).fit(*data)
    model.net_.module_.backbone.half()
    with pytest.raises(ValueError, match="float16, the network has"):
        pickled(model)
