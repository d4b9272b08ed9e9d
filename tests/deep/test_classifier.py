from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from torch import nn

from skada_active.deep import DANN, MCC, AdaptationClassifier, AnchorSet
from skada_active.networks import ConvNet, CosineHead

NAMES = np.array(["ant", "bee", "cat"])


def classifier(objective=None, **params):
    return AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})


class SmallNet(nn.Module):
    def __init__(self, in_features=4, width=3):
        super().__init__()
        self.layer = nn.Linear(in_features, width)

    def forward(self, X):
        return self.layer(X)


def make_backbone(shape):
    return SmallNet(shape[0], 5)


@pytest.fixture
def data(make_data):
    return make_data()


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    X = rng.integers(0, 100, size=(24, 1, 8, 8)).astype(np.uint8)
    X[y == 1, :, :4] += 120
    return X, y, np.repeat([1, -1], 12)


def test_target_labels_that_are_missing_are_predicted(make_data):
    X, y, domain = make_data()
    truth = np.arange(len(y)) % 3
    model = classifier(MCC(), max_epochs=10).fit(X, y, domain)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(X, truth) > 0.9


def test_labelled_target_rows_change_the_model(data):
    X, y, domain = data
    without = np.where(domain < 0, -1, y)
    assert not np.array_equal(
        classifier().fit(X, y, domain).predict_proba(X), classifier().fit(X, without, domain).predict_proba(X)
    )


def test_without_domains_minus_one_is_an_ordinary_label(data):
    X, _, _ = data
    y = np.where(np.arange(len(X)) % 2, 1, -1)
    assert classifier().fit(X, y).classes_.tolist() == [-1, 1]


CONVENTIONS = {
    "floats": lambda y: np.where(y < 0, np.nan, y),
    "strings": lambda y: np.where(y < 0, None, NAMES[y]),
    "objects": lambda y: np.where(y < 0, None, y.astype(object)),
    "list": lambda y: [None if label < 0 else int(label) for label in y],
    "nullable series": lambda y: pd.Series(y, dtype="Int64").mask(y < 0),
    "categorical": lambda y: pd.Series(np.where(y < 0, None, NAMES[y]), dtype="category"),
}


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_every_convention_of_missing_labels_gives_the_same_model(data, convention):
    X, y, domain = data
    expected = classifier(MCC()).fit(X, y, domain)
    model = classifier(MCC()).fit(X, convention(y), domain)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    positions = np.searchsorted(model.classes_, model.predict(X))
    np.testing.assert_array_equal(positions, expected.predict(X))


def test_outputs_of_a_row_do_not_depend_on_its_company(data):
    X, y, domain = data
    model = classifier().fit(X, y, domain)
    for read in (model.predict_proba, model.decision_function, model.transform):
        parts = np.concatenate([read(X[:1]), read(X[1:3]), read(X[3:])])
        np.testing.assert_allclose(parts, read(X), rtol=1e-6, atol=1e-7)


def test_boolean_labels_come_back_as_booleans(data):
    X, y, domain = data
    known = [None if label < 0 else bool(label) for label in y]
    assert classifier().fit(X, known, domain).predict(X).dtype == bool


def test_data_frames_name_their_columns(data):
    X, y, domain = data
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = classifier().fit(frame, pd.Series(y), pd.Series(domain))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(frame), classifier().fit(X, y, domain).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["d", "c", "b", "a"]])


def test_outputs_have_their_shapes_and_types(data):
    X, y, domain = data
    model = classifier().fit(X, y, domain)
    proba, logits, features = model.predict_proba(X), model.decision_function(X), model.transform(X)
    assert proba.shape == logits.shape == (64, 3)
    assert features.shape == (64, 256)
    assert {array.dtype for array in (proba, logits, features)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), model.classes_[logits.argmax(axis=1)])


def test_decision_of_two_classes_is_the_difference_of_their_logits(make_data):
    X, y, domain = make_data(n_classes=2)
    model = classifier().fit(X, y, domain)
    decision, proba = model.decision_function(X), model.predict_proba(X)
    assert decision.shape == (64,)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), proba[:, 1], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.classes_[(decision > 0).astype(int)])


def test_a_single_class_is_predicted_always(data):
    X, _, domain = data
    assert set(classifier().fit(X, np.full(64, 5), domain).predict(X)) == {5}


def test_embedding_has_named_columns(data):
    X, y, domain = data
    model = classifier(module=SmallNet()).fit(X, y, domain)
    assert model.get_feature_names_out().tolist() == [f"adaptationclassifier{i}" for i in range(3)]
    frame = model.set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == model.get_feature_names_out().tolist()


@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("module", [None, SmallNet()])
def test_logits_are_the_head_of_the_features(data, head, module):
    X, y, domain = data
    model = classifier(head=head, module=module).fit(X, y, domain)
    weight, bias = model.pool_head()
    outputs = model.pool_outputs(X, {"logits", "features", "proba"})
    np.testing.assert_allclose(outputs["features"] @ weight.T + bias, outputs["logits"], rtol=1e-5, atol=1e-5)


def test_features_before_a_cosine_head_have_length_one(data):
    X, y, domain = data
    features = classifier(head="cosine").fit(X, y, domain).transform(X)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_head_that_was_read_does_not_change_with_training(data):
    model = classifier().fit(*data)
    weight, bias = model.pool_head()
    before = weight.copy(), bias.copy()
    model.partial_fit(*data)
    assert np.array_equal(weight, before[0])
    assert np.array_equal(bias, before[1])


def test_outputs_come_from_one_forward_pass(data):
    calls = []
    model = classifier(DANN(), module=SmallNet()).fit(*data)
    model.net_.module_.register_forward_hook(lambda *_: calls.append(1))
    outputs = model.pool_outputs(data[0], {"proba", "logits", "features", "source_logit"})
    assert (len(calls), len(outputs)) == (1, 4)


@pytest.mark.parametrize("read", ["predict", "predict_proba", "decision_function", "transform", "domain_logit"])
def test_an_unfitted_model_says_so(data, read):
    with pytest.raises(NotFittedError):
        getattr(classifier(DANN()), read)(data[0])


def test_the_head_of_an_unfitted_model_is_refused():
    with pytest.raises(NotFittedError):
        classifier().pool_head()


def test_uint8_images_give_the_model_of_float_images(images):
    X, y, domain = images
    as_bytes, as_floats = (classifier(MCC()).fit(rows, y, domain) for rows in (X, X.astype(np.float32)))
    np.testing.assert_array_equal(as_bytes.predict_proba(X), as_floats.predict_proba(X.astype(np.float32)))
    assert as_bytes.transform(X).shape == (24, 256)


def test_images_get_a_convolutional_network(images):
    model = classifier().fit(*images)
    assert any(isinstance(module, ConvNet) for module in model.net_.module_.modules())


def test_images_can_be_learnt(images):
    assert classifier(max_epochs=8).fit(images[0], images[1]).score(images[0], images[1]) > 0.9


def test_rows_of_another_shape_need_a_module(data):
    X = data[0].reshape(64, 2, 2)
    with pytest.raises(ValueError, match="module"):
        classifier().fit(X, *data[1:])
    assert classifier(module=nn.Flatten()).fit(X, *data[1:]).transform(X).shape == (64, 4)


def test_a_module_is_copied_and_never_changed(data):
    module = SmallNet()
    before = module.layer.weight.detach().clone()
    model = classifier(module=module).fit(*data)
    assert torch.equal(module.layer.weight, before)
    assert not torch.equal(model.net_.module_.backbone.layer.weight, before)
    assert classifier(module=module, max_epochs=0).fit(*data).net_.module_.backbone.layer.weight.equal(before)


def test_a_callable_makes_the_module_from_the_shape_of_a_row(data, images):
    assert classifier(module=make_backbone).fit(*data).transform(data[0]).shape == (64, 5)
    shapes = []
    classifier(module=lambda shape: shapes.append(shape) or nn.Flatten(), max_epochs=0).fit(*images)
    assert shapes == [(1, 8, 8)]


def test_a_module_without_a_flat_embedding_is_refused(images):
    with pytest.raises(ValueError, match="module must return an embedding"):
        classifier(module=nn.Conv2d(1, 2, 3)).fit(*images)


def test_clones_keep_their_parameters(data):
    model = classifier(MCC() + DANN(), module=SmallNet(), net_params={"iterator_train__batch_size": 4})
    expected = model.fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(clone(model).fit(*data).predict_proba(data[0]), expected)


def test_one_labelled_target_row_is_enough(data):
    X, y, domain = data
    y[41:] = -1
    assert np.isfinite(classifier(MCC()).fit(X, y, domain).predict_proba(X)).all()


def test_one_row_is_enough():
    model = classifier().fit([[1.0, 2.0]], [3])
    assert model.predict([[0.0, 0.0]]).tolist() == [3]


def test_a_batch_of_one_row_a_role_works(data):
    assert np.isfinite(classifier(MCC(), batch_size=1, max_epochs=1).fit(*data).predict_proba(data[0])).all()


def test_no_label_at_all_is_refused(data):
    X, _, _ = data
    with pytest.raises(ValueError, match="y has no label"):
        classifier().fit(X, np.full(64, -1), np.full(64, -1))


def test_a_source_row_without_label_is_refused(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="source row"):
        classifier().fit(X, y, np.full(64, 1))


def test_data_in_read_only_memory_is_fine(data):
    before = [array.copy() for array in data]
    for array in data:
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = classifier(MCC()).fit(*data)
        model.predict_proba(data[0])
    assert all(np.array_equal(array, kept) for array, kept in zip(data, before, strict=True))


def test_data_in_writable_memory_is_not_written_to(data):
    before = [array.copy() for array in data]
    classifier(MCC() + DANN()).fit(*data).partial_fit(*data).predict(data[0])
    assert all(np.array_equal(array, kept) for array, kept in zip(data, before, strict=True))


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda X: X[::-1][::-1], lambda X: np.repeat(X, 2, axis=1)[:, ::2], np.ndarray.tolist]
)
def test_the_layout_of_the_memory_does_not_matter(data, layout):
    X, y, domain = data
    expected = classifier().fit(X, y, domain).predict_proba(X)
    np.testing.assert_array_equal(classifier().fit(layout(X), y, domain).predict_proba(layout(X)), expected)


def test_rows_in_reverse_order_are_taken(data):
    X, y, domain = (array[::-1] for array in data)
    assert classifier(max_epochs=8).fit(X, y, domain).score(X[y >= 0], y[y >= 0]) > 0.9


def test_class_weights_move_the_prediction(data):
    X, y, domain = data
    plain, weighted = (classifier(class_weight=weight).fit(X, y, domain) for weight in (None, {0: 100.0, 1: 1, 2: 1}))
    assert weighted.predict_proba(X)[:, 0].mean() > plain.predict_proba(X)[:, 0].mean()


def test_balanced_weights_are_those_of_scikit_learn(data):
    X, y, domain = data
    y[:20] = 0
    weights = 46 / (3 * np.bincount(y[y >= 0]))
    balanced = classifier(class_weight="balanced").fit(X, y, domain)
    given = classifier(class_weight=dict(enumerate(weights))).fit(X, y, domain)
    np.testing.assert_array_equal(balanced.predict_proba(X), given.predict_proba(X))


def test_class_weights_go_by_label(data):
    X, y, domain = data
    strings = np.where(y < 0, None, NAMES[y])
    by_name = classifier(class_weight={"ant": 100.0}).fit(X, strings, domain)
    by_number = classifier(class_weight={0: 100.0}).fit(X, y, domain)
    np.testing.assert_array_equal(by_name.predict_proba(X), by_number.predict_proba(X))


def test_balanced_weights_allow_for_a_class_that_comes_later(data):
    model = classifier(class_weight="balanced").partial_fit(*data, classes=[0, 1, 2, 3])
    assert model.predict_proba(data[0]).shape == (64, 4)


def trained():
    rng = np.random.default_rng(0)
    return classifier(max_epochs=1).fit(rng.normal(size=(9, 4)).astype(np.float32), np.arange(9) % 3)


CHANGES = {
    "objective": MCC(),
    "module": SmallNet(),
    "init": FrozenEstimator(trained()),
    "standardize": True,
    "labeled_loss": "joint",
    "source_weight": 0.1,
    "head": "cosine",
    "head_temperature": 0.5,
    "unlabeled_pool": "unlabeled",
    "class_weight": {0: 9.0, 1: 1.0, 2: 1.0},
    "augmentation": "auto",
    "mix_alpha": 0.0,
    "train_transform": torch.neg,
    "anchors": AnchorSet(confidence=0.0),
    "batch_statistics": "mixed" if AdaptationClassifier().batch_statistics == "per_domain" else "per_domain",
    "frozen": ["backbone"],
    "precision": "bfloat16",
    "n_heads": 2,
    "max_epochs": 3,
    "lr": 1e-2,
    "backbone_lr": 0.1,
    "batch_size": 5,
    "target_batch_size": 16,
    "optimizer": "sgd",
    "weight_decay": 1.0,
    "net_params": {"optimizer__betas": (0.5, 0.9)},
    "random_state": 1,
}
BASE = {
    "mix_alpha": {"augmentation": "auto"},
    "head_temperature": {"head": "cosine"},
    "unlabeled_pool": {"objective": MCC()},
    "target_batch_size": {"objective": MCC()},
}


def test_every_parameter_is_in_the_table():
    # The device changes where the work is done, the place of the channels how fast, and verbose what is shown.
    assert {*CHANGES, "device", "channels_last", "verbose"} == set(AdaptationClassifier().get_params(deep=False))


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_the_model(data, name):
    base = BASE.get(name, {})
    before, after = classifier(**base), classifier(**base).set_params(**{name: CHANGES[name]})
    assert not np.array_equal(*(model.fit(*data).predict_proba(data[0]) for model in (before, after)))


def test_verbose_shows_every_epoch(data, capsys):
    classifier(verbose=0).fit(*data)
    assert capsys.readouterr().out == ""
    classifier(verbose=1).fit(*data)
    assert "train_loss" in capsys.readouterr().out


def test_device_is_where_the_network_is(data):
    assert classifier(device="cpu").fit(*data).device_ == torch.device("cpu")
    assert classifier(device=torch.device("cpu")).fit(*data).device_ == torch.device("cpu")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "adadelta", torch.optim.RMSprop])
def test_every_optimizer_learns(data, optimizer):
    model = classifier(optimizer=optimizer, lr=0.01, max_epochs=8).fit(*data)
    assert model.loss_terms_["train_loss"] < model.net_.history[0]["train_loss"]


def test_parameters_of_the_net_win(data):
    params = {"max_epochs": 3, "lr": 0.5, "batch_size": 4, "optimizer": torch.optim.Adadelta, "device": "cpu"}
    net = classifier(net_params=params, device="meta").fit(*data).net_
    assert (len(net.history), net.lr, net.batch_size, net.device) == (3, 0.5, 4, "cpu")
    assert type(net.optimizer_) is torch.optim.Adadelta


def test_parameters_of_the_net_are_not_changed(data):
    params = {"max_epochs": 1, "optimizer": torch.optim.SGD}
    classifier(net_params=params).fit(*data)
    assert params == {"max_epochs": 1, "optimizer": torch.optim.SGD}


BAD = [
    *(("objective", value) for value in ("mcc", MCC)),
    *(("module", value) for value in (3, "mlp")),
    *(("init", value) for value in (3, AdaptationClassifier())),
    ("standardize", "yes"),
    ("labeled_loss", "st"),
    *(("source_weight", value) for value in (-1.0, "all")),
    ("head", "mlp"),
    *(("head_temperature", value) for value in (0.0, -1.0, None)),
    ("unlabeled_pool", None),
    *(("class_weight", value) for value in ("auto", [1.0, 2.0, 3.0])),
    ("augmentation", "noise"),
    ("mix_alpha", -0.1),
    *(("anchors", value) for value in ("local", AnchorSet)),
    *(("max_epochs", value) for value in (-1, 2.5, None)),
    *(("lr", value) for value in (-1e-3, "auto")),
    ("backbone_lr", -0.1),
    ("frozen", "head"),
    ("channels_last", "yes"),
    *(("precision", value) for value in ("bf16", torch.bfloat16)),
    *(("batch_size", value) for value in (0, -1, 2.5)),
    *(("target_batch_size", value) for value in (0, 2.5)),
    *(("optimizer", value) for value in ("rmsprop", None)),
    *(("weight_decay", value) for value in (-1.0, None)),
    *(("device", value) for value in ("gpu", 3)),
    ("net_params", [("max_epochs", 3)]),
    ("verbose", "loud"),
    *(("random_state", value) for value in ("seed", -1)),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_by_name(data, name, value):
    for train in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=name):
            getattr(classifier(**{name: value}), train)(*data)


def test_weights_for_labels_that_do_not_occur_are_refused(data):
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight={"dog": 2.0}).fit(*data)


@pytest.mark.parametrize("epochs", [-1, 1.5, None])
def test_a_bad_number_of_epochs_is_refused_by_name(data, epochs):
    with pytest.raises(ValueError, match="epochs"):
        classifier().partial_fit(*data, epochs=epochs)


def test_the_losses_of_the_last_epoch_are_at_hand(data):
    terms = classifier(MCC() + DANN()).fit(*data).loss_terms_
    assert set(terms) == {"train_loss", "labeled_loss", "mcc_loss", "domain_loss"}
    assert classifier(max_epochs=0).fit(*data).loss_terms_ == {}


def test_cosine_head_takes_its_temperature(data):
    head = classifier(head="cosine", head_temperature=0.2, max_epochs=0).fit(*data).net_.module_.head
    assert isinstance(head, CosineHead)
    assert head.temperature == 0.2
