from __future__ import annotations

import numpy as np
import pytest
import torch

from skada_active.deep import DANN, MCC, AdaptationClassifier


def classifier(objective=None, **params):
    return AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})


def n_steps(model):
    return {int(state["step"]) for state in model.net_.optimizer_.state_dict()["state"].values()}


@pytest.fixture
def data(make_data):
    return make_data()


def test_training_goes_on_with_the_state_of_the_optimiser(data):
    model = classifier(MCC()).fit(*data)
    net, optimizer = model.net_, model.net_.optimizer_
    assert n_steps(model) == {20}
    model.partial_fit(*data, epochs=3)
    assert n_steps(model) == {50}
    assert (model.net_ is net, net.optimizer_ is optimizer) == (True, True)
    assert len(net.history) == 5


def test_fit_starts_anew(data):
    model = classifier().fit(*data)
    net = model.net_
    assert model.fit(*data).net_ is not net
    assert n_steps(model) == {20}


def test_iterations_go_on_and_progress_starts_again(data):
    model = classifier().fit(*data)
    seen = []
    criterion = model.net_.criterion_
    criterion.register_forward_pre_hook(lambda module, args: seen.append((args[0].iteration, args[0].progress)))
    model.partial_fit(*data, epochs=2)
    assert [iteration for iteration, _ in seen] == list(range(20, 40))
    assert [progress for _, progress in seen] == pytest.approx(np.arange(20) / 20)


def test_zero_epochs_only_make_the_network(data):
    assert len(classifier().partial_fit(*data, epochs=0).net_.history) == 0


def test_labels_that_become_known_are_used(data):
    X, y, domain = data
    more = np.where(y < 0, 0, y)
    first, second = (classifier().partial_fit(X, y, domain) for _ in range(2))
    first.partial_fit(X, y, domain)
    second.partial_fit(X, more, domain)
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


def test_fewer_classes_and_domains_may_come(data):
    X, y, domain = data
    model = classifier(MCC() + DANN()).fit(X, y, domain)
    rows = np.flatnonzero((domain > 0) & (y < 2))
    model.partial_fit(X[rows], y[rows], domain[rows])
    assert model.classes_.tolist() == [0, 1, 2]


def test_classes_to_come_are_named_at_the_first_call(data):
    X, y, domain = data
    model = classifier().partial_fit(X, y, domain, classes=[3, 2, 1, 0])
    assert model.classes_.tolist() == [0, 1, 2, 3]
    model.partial_fit(X, np.where(y == 0, 3, y), domain)


def test_a_new_label_is_refused(data):
    X, y, domain = data
    model = classifier().fit(X, y, domain)
    with pytest.raises(ValueError, match="y holds the label 3"):
        model.partial_fit(X, np.where(y == 0, 3, y), domain)


def test_a_label_outside_the_classes_is_refused_before_there_is_a_network(data):
    model = classifier()
    with pytest.raises(ValueError, match="y holds the label 2"):
        model.partial_fit(*data, classes=[0, 1])
    assert model.partial_fit(*data, classes=[0, 1, 2]).classes_.tolist() == [0, 1, 2]


def test_a_new_domain_is_refused(data):
    X, y, domain = data
    model = classifier().fit(X, y, domain)
    with pytest.raises(ValueError, match="sample_domain holds domain 7"):
        model.partial_fit(X, y, np.where(domain > 0, 7, domain))


def test_a_refused_call_leaves_the_model_as_it_was(data):
    X, y, domain = data
    model, twin = (classifier().fit(X, y, domain) for _ in range(2))
    with pytest.raises(ValueError, match="sample_domain"):
        model.partial_fit(X, y, np.where(domain > 0, 7, domain))
    np.testing.assert_array_equal(model.partial_fit(*data).predict_proba(X), twin.partial_fit(*data).predict_proba(X))


def test_another_number_of_columns_is_refused(data):
    X, y, domain = data
    with pytest.raises(ValueError, match="features"):
        classifier().fit(X, y, domain).partial_fit(X[:, :3], y, domain)


def test_training_with_callbacks_goes_on(data):
    from skorch.callbacks import LRScheduler

    model = classifier(net_params={"callbacks": [LRScheduler("ExponentialLR", gamma=0.5)]}).fit(*data)
    model.partial_fit(*data, epochs=2)
    assert len(model.net_.history) == 4
    assert torch.isfinite(torch.tensor(model.net_.history[:, "train_loss"])).all()
