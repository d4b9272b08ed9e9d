"""Networks that start from trained ones, where no source row is at hand."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skada_active.deep import (
    DANN,
    GSDA,
    M3SDA,
    MCC,
    MCD,
    VAT,
    AdaptationClassifier,
    AnchorSet,
    InformationMaximization,
)
from skada_active.io import load, save
from skada_active.networks import torchvision_backbone

SOURCE_FREE = [None, MCC(), InformationMaximization(), VAT(), MCD(), MCC() + VAT(trade_off=0.1)]


def classifier(objective=None, **params):
    return AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})


def starting(model, objective=None, **params):
    return classifier(objective, init=FrozenEstimator(model), **{"random_state": 1, **params})


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
        self.bottleneck = nn.Linear(6, 3)


@pytest.fixture
def data(make_data):
    """Return target rows alone, the first 6 of 24 labelled."""
    X, y, domain = make_data()
    return X[domain < 0], y[domain < 0], domain[domain < 0]


@pytest.fixture
def unlabelled(data):
    X, y, domain = data
    return X, np.full_like(y, -1), domain


@pytest.fixture
def model(make_data):
    X, y, domain = make_data()
    return classifier().fit(X[domain > 0], y[domain > 0], domain[domain > 0])


@pytest.fixture
def by_name(model, make_data):
    X, y, domain = make_data()
    return classifier().fit(X[domain > 0], np.array(["ant", "bee", "cat"])[y[domain > 0]])


def test_without_any_label_it_is_the_other_network(model, unlabelled):
    same = starting(model).fit(*unlabelled)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        np.testing.assert_array_equal(getattr(same, method)(unlabelled[0]), getattr(model, method)(unlabelled[0]))


def test_no_epoch_leaves_it_as_it_is_whatever_is_known(model, data):
    same = starting(model, MCC(), max_epochs=0).fit(*data)
    np.testing.assert_array_equal(same.predict_proba(data[0]), model.predict_proba(data[0]))


@pytest.mark.parametrize("objective", SOURCE_FREE, ids=str)
def test_labels_of_the_target_are_learned(model, data, objective):
    X, y, domain = data
    turned = np.where(y < 0, -1, (y + 1) % 3)
    learned = starting(model, objective, max_epochs=20, lr=0.01).fit(X, turned, domain)
    assert learned.score(X, turned) > max(0.8, model.score(X, turned))


@pytest.mark.parametrize("objective", SOURCE_FREE[1:], ids=str)
def test_an_objective_trains_without_any_label(model, unlabelled, objective):
    adapted = starting(model, objective).fit(*unlabelled)
    proba = adapted.predict_proba(unlabelled[0])
    assert np.isfinite(proba).all()
    assert not np.array_equal(proba, model.predict_proba(unlabelled[0]))
    assert adapted.loss_terms_["labeled_loss"] == 0


def test_the_other_network_is_not_changed(model, data):
    before = model.predict_proba(data[0])
    starting(model, MCC()).fit(*data).partial_fit(*data)
    np.testing.assert_array_equal(model.predict_proba(data[0]), before)


def test_each_fit_starts_from_the_other_network(model, data):
    twice = starting(model).fit(*data).fit(*data)
    np.testing.assert_array_equal(twice.predict_proba(data[0]), starting(model).fit(*data).predict_proba(data[0]))


def test_partial_fit_starts_from_it_and_goes_on(model, data):
    begun = starting(model).partial_fit(*data, epochs=0)
    np.testing.assert_array_equal(begun.predict_proba(data[0]), model.predict_proba(data[0]))
    gone_on = begun.partial_fit(*data, epochs=2)
    assert not np.array_equal(gone_on.predict_proba(data[0]), model.predict_proba(data[0]))


def test_going_on_needs_a_label_or_an_objective(model, unlabelled):
    with pytest.raises(ValueError, match="nothing to train on"):
        model.partial_fit(*unlabelled)
    adapted = starting(model, MCC()).fit(*unlabelled)
    before = adapted.predict_proba(unlabelled[0])
    assert not np.array_equal(adapted.partial_fit(*unlabelled).predict_proba(unlabelled[0]), before)


def test_classes_are_those_of_the_other_network(by_name, data):
    X, y, domain = data
    names = np.where(y == 0, "ant", None)
    assert starting(by_name).fit(X, names, domain).classes_.tolist() == ["ant", "bee", "cat"]


def test_a_label_that_the_other_network_does_not_know_is_refused(by_name, data):
    X, _, domain = data
    with pytest.raises(ValueError, match="holds the label 'dog', which is not among the 3 classes"):
        starting(by_name).fit(X, np.array(["dog"] * len(X)), domain)


def test_standardisation_is_that_of_the_other_network(model, unlabelled):
    X, y, domain = unlabelled
    far = X + 100
    np.testing.assert_array_equal(starting(model).fit(far, y, domain).predict_proba(X), model.predict_proba(X))


def test_source_rows_may_come_too(model, make_data):
    X, y, domain = make_data()
    both = starting(model, DANN()).fit(X, y, domain)
    assert both.domains_.tolist() == [1, -1]
    assert both.loss_terms_["domain_loss"] > 0


@pytest.mark.parametrize("objective", [M3SDA(), MCC() + DANN(discriminator="per_source")], ids=str)
def test_what_is_made_for_the_number_of_sources_asks_for_source_rows(model, data, objective):
    with pytest.raises(ValueError, match=r"there is no source row; give .* does without: .*MCC.*VAT"):
        starting(model, objective).fit(*data)


@pytest.mark.parametrize("objective", [DANN(), GSDA(), MCC() + DANN()], ids=str)
def test_what_compares_domains_says_that_it_does_nothing(model, data, objective):
    with pytest.warns(UserWarning, match=r"so it does nothing; give some .* does without: .*MCC.*VAT"):
        fitted = starting(model, objective).fit(*data)
    assert np.isfinite(fitted.predict_proba(data[0])).all()


def test_a_file_is_as_good_as_the_network(model, data, tmp_path):
    save(model, tmp_path / "hospital.skops")
    X = data[0]
    by_path = classifier(init=str(tmp_path / "hospital.skops"), random_state=1).fit(*data)
    np.testing.assert_array_equal(by_path.predict_proba(X), starting(model).fit(*data).predict_proba(X))
    (tmp_path / "hospital.skops").unlink()
    kept = pickle.loads(pickle.dumps(by_path))
    np.testing.assert_array_equal(kept.predict_proba(X), by_path.predict_proba(X))
    np.testing.assert_array_equal(kept.partial_fit(*data).predict_proba(X), by_path.partial_fit(*data).predict_proba(X))


def test_it_is_saved_and_loaded(model, data, tmp_path):
    save(fitted := starting(model, MCC()).fit(*data), tmp_path / "a.skops")
    loaded = load(tmp_path / "a.skops")
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), fitted.predict_proba(data[0]))
    np.testing.assert_array_equal(loaded.fit(*data).predict_proba(data[0]), fitted.fit(*data).predict_proba(data[0]))


def test_clones_and_searches_start_from_it(model, data):
    X, y, domain = data
    y = np.arange(len(y)) % 3
    search = GridSearchCV(starting(model, max_epochs=0), {"lr": [1e-3, 1e-2]}, cv=2).fit(X, y, sample_domain=domain)
    np.testing.assert_array_equal(search.predict(X), model.predict(X))
    assert clone(search.best_estimator_).init.estimator is model


def test_a_network_that_started_from_another_is_a_start_itself(model, data):
    second = starting(model, MCC()).fit(*data)
    third = starting(second).fit(*data[:1], np.full(len(data[0]), -1), data[2])
    np.testing.assert_array_equal(third.predict_proba(data[0]), second.predict_proba(data[0]))


@pytest.mark.parametrize("module", [None, Normed()], ids=["default", "own"])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_backbone_and_head_are_those_of_the_other_network(make_data, unlabelled, module, head):
    X, y, domain = make_data()
    model = classifier(module=module, head=head, head_temperature=0.1).fit(X[domain > 0], y[domain > 0])
    same = starting(model).fit(*unlabelled)
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))
    copied = pickle.loads(pickle.dumps(same))
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("params", [{"head": "cosine"}, {"module": Normed()}, {"standardize": False}])
def test_another_network_than_that_one_is_refused(model, data, params):
    with pytest.raises(ValueError, match=rf"(?s){next(iter(params))}=.* is not what the network in init has"):
        starting(model, **params).fit(*data)


def test_rows_of_another_width_are_refused(model, data):
    X, y, domain = data
    with pytest.raises(ValueError, match="X has 3 features, but AdaptationClassifier is expecting 4"):
        starting(model).fit(X[:, :3], y, domain)


def test_columns_of_other_names_are_refused(make_data, data):
    X, y, domain = make_data()
    model = classifier().fit(pd.DataFrame(X[domain > 0], columns=list("abcd")), y[domain > 0])
    with pytest.raises(ValueError, match="feature names"):
        starting(model).fit(pd.DataFrame(data[0], columns=list("abdc")), *data[1:])


def test_any_other_start_is_refused_with_the_remedy(model, data):
    X, y, _ = data
    other = FrozenEstimator(LogisticRegression().fit(X[:6], y[:6]))
    with pytest.raises(TypeError, match="must hold an AdaptationClassifier, got LogisticRegression"):
        classifier(init=other).fit(*data)
    with pytest.raises(TypeError, match=r"init=FrozenEstimator\(pipeline\[-1\]\)"):
        classifier(init=FrozenEstimator(make_pipeline(StandardScaler(), model))).fit(*data)
    with pytest.raises(NotFittedError, match="was not trained"):
        classifier(init=FrozenEstimator(classifier())).fit(*data)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.skops"):
        classifier(init="nowhere.skops").fit(*data)


def test_target_domains_that_a_network_never_saw_are_target(model, data):
    X, y, domain = data
    model.partial_fit(X, y, np.where(np.arange(len(X)) % 2, -7, domain), epochs=1)
    assert model.domains_.tolist() == [1, -7, -1]
    assert model.partial_fit(X, y, np.full(len(X), -3)).domains_.tolist() == [1, -7, -1, -3]


def test_a_source_domain_that_a_network_never_saw_is_refused(model, make_data):
    X, y, _ = make_data()
    with pytest.raises(ValueError, match="domain 5, but the network was made for"):
        model.partial_fit(X, np.abs(y), np.full(len(X), 5))


def test_two_sources_leave_room_for_a_target_that_comes_later(make_data):
    X, y, domain = make_data()
    several = np.where(np.arange(len(X)) % 2, 2, 1) * (domain > 0) + domain * (domain < 0)
    model = classifier(DANN(discriminator="per_source"))
    with pytest.warns(UserWarning, match="there are none"):
        model.fit(X[domain > 0], y[domain > 0], several[domain > 0])
    assert model.partial_fit(X, y, several).loss_terms_["domain_loss"] > 0


def test_a_network_that_met_new_targets_is_copied(make_data):
    X, y, domain = make_data()
    model = classifier(DANN(discriminator="per_source")).fit(X, y, domain)
    model.partial_fit(X, y, np.where((domain < 0) & (np.arange(len(X)) % 2 > 0), -5, domain))
    copied = pickle.loads(pickle.dumps(model))
    assert copied.domains_.tolist() == [1, -1, -5]
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("part", ["head", "backbone"])
def test_frozen_parts_keep_their_weights(model, data, part):
    fitted = starting(model, MCC(), frozen=[part]).fit(*data)
    is_same = {
        name: torch.equal(weight, dict(model.net_.module_.named_parameters())[name])
        for name, weight in fitted.net_.module_.named_parameters()
    }
    assert {name.partition(".")[0] for name, same in is_same.items() if same} == {part}


def test_names_of_frozen_parts_may_leave_out_the_backbone(make_data):
    X, y, domain = make_data()
    before = Normed()
    model = classifier(module=before, frozen=["fir*", "backbone.norm"]).fit(X, y, domain)
    after = model.net_.module_.backbone
    assert torch.equal(after.first.weight, before.first.weight)
    assert torch.equal(after.norm.weight, before.norm.weight)
    assert not torch.equal(after.bottleneck.weight, before.bottleneck.weight)


def test_a_frozen_part_that_there_is_not_is_refused(data):
    with pytest.raises(ValueError, match=r"frozen holds 'layer9', .* there are \["):
        classifier(frozen=["layer9"]).fit(*data)


def test_frozen_statistics_stay_as_they_are(model, data):
    def statistics(of):
        return [buffer for name, buffer in of.net_.module_.named_buffers() if "running" in name]

    for kind, stays in (("mixed", False), ("frozen", True)):
        fitted = starting(model, MCC(), batch_statistics=kind).fit(*data)
        pairs = zip(statistics(fitted), statistics(model), strict=True)
        assert all(torch.equal(*pair) for pair in pairs) == stays


def test_a_new_layer_adapts_its_statistics_where_those_of_pretrained_ones_are_frozen(data):
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3), nn.BatchNorm1d(3))
    module[1].running_mean += 0.5
    model = classifier(module=module, batch_statistics="frozen").fit(*data)
    pretrained, new = (model.net_.module_.backbone[position].running_mean for position in (1, 3))
    assert torch.equal(pretrained, module[1].running_mean)
    assert not torch.equal(new, module[3].running_mean)
    twin = pickle.loads(pickle.dumps(model)).partial_fit(*data)
    assert torch.equal(twin.net_.module_.backbone[1].running_mean, pretrained)


def test_the_backbone_has_a_learning_rate_of_its_own_but_for_its_bottleneck(data):
    model = classifier(module=Normed(), lr=0.5, backbone_lr=0.1, optimizer="sgd").fit(*data)
    names = {id(weight): name for name, weight in model.net_.module_.named_parameters()}
    rates = {
        names[id(weight)]: group["lr"] for group in model.net_.optimizer_.param_groups for weight in group["params"]
    }
    assert {name: round(rate, 6) for name, rate in rates.items() if name.endswith("weight")} == {
        "backbone.first.weight": 0.05,
        "backbone.norm.weight": 0.05,
        "backbone.bottleneck.weight": 0.5,
        "head.weight": 0.5,
    }


def test_anchors_grow_from_the_first_labels_on(model, data, unlabelled):
    start = starting(model, anchors=AnchorSet(confidence=0.3)).fit(*unlabelled)
    np.testing.assert_array_equal(start.predict_proba(data[0]), model.predict_proba(data[0]))
    assert len(start.partial_fit(*data, epochs=3).anchor_set_) > 6


def test_the_bottleneck_of_a_torchvision_backbone_learns_at_the_full_rate():
    pytest.importorskip("torchvision")
    module = torchvision_backbone("resnet18", out_features=4)
    X = np.random.default_rng(0).random((4, 3, 32, 32), dtype=np.float32)
    model = classifier(module=module, backbone_lr=0.1, max_epochs=0, lr=0.5).fit(X, [0, 1, 0, 1])
    names = {id(weight): name for name, weight in model.net_.module_.named_parameters()}
    groups = model.net_.optimizer_.param_groups
    fast = {names[id(weight)] for group in groups if group["lr"] == 0.5 for weight in group["params"]}
    assert {name.rpartition(".")[0] for name in fast} == {"backbone.1", "backbone.2", "head"}
