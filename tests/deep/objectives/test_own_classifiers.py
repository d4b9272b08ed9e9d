from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from steps import gradients, make_network, make_step

from skada_active.deep import ADDA, MCC, MCD, MDD, RTN, AdaptationClassifier, SymNets
from skada_active.deep.objectives._own_classifiers import LabeledTerm, SourceTerm, loss_of_inputs, new_classifier

OBJECTIVES = [ADDA(), MCD(), MDD(), RTN(), SymNets()]


@pytest.fixture(scope="module")
def shifted():
    """Return two long classes side by side, those of the target turned by 30 degrees and moved."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = rng.normal(size=(120, 2)) * [0.5, 1.5]
    X[:, 0] += 3 * y - 1.5
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    X[60:] = X[60:] @ [[cos, sin], [-sin, cos]] + 0.7
    return X.astype(np.float32), y, np.repeat([1, -1], 60)


def accuracy(objective, shifted):
    X, y, domain = shifted
    options = {"max_epochs": 10, "batch_size": 20, "lr": 0.01, "random_state": 0}
    model = AdaptationClassifier(objective, **options).fit(X, np.where(domain > 0, y, -1), domain)
    return np.mean(model.predict(X[60:]) == y[60:])


@pytest.fixture(scope="module")
def source_only(shifted):
    return accuracy(None, shifted)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_shifted_target_is_learned_better_than_from_the_source_alone(objective, shifted, source_only):
    assert source_only < 0.85
    assert accuracy(objective, shifted) > source_only


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_sum_of_objectives_trains_and_goes_on_after_a_pickle(objective, make_data):
    X, y, domain = make_data()
    model = AdaptationClassifier(MCC() + objective, head="cosine", max_epochs=1, batch_size=16, random_state=0)
    model.fit(X, y, domain)
    twin = pickle.loads(pickle.dumps(model))
    for one in (model, twin):
        one.partial_fit(X, y, domain)
    np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
    assert "mcc_loss" in model.net_.history[-1]


def test_a_loss_of_inputs_trains_them_and_not_the_module():
    network = make_network()
    step = make_step(network)
    of_inputs = loss_of_inputs(lambda logits: logits.square().sum(), step.logits, step.head(step.features.detach()))
    torch.testing.assert_close(of_inputs, step.logits.square().sum())
    by_backbone, by_head = gradients(of_inputs, network.backbone, network.head)
    torch.testing.assert_close(by_backbone, gradients(step.logits.square().sum(), network.backbone)[0])
    torch.testing.assert_close(by_head, torch.zeros_like(by_head))


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_new_classifier_is_a_head_of_the_same_kind_and_precision(head):
    network = make_network(head=head)
    classifier = new_classifier(network)
    features = torch.ones(2, 4, dtype=torch.float64)
    assert type(classifier.head) is type(network.head)
    assert classifier.classify(features).dtype == torch.float64
    assert not torch.equal(classifier.classify(features), network.classify(features))
    if head == "cosine":
        torch.testing.assert_close(classifier.classify(3 * features), classifier.classify(features))


@pytest.mark.parametrize("class_weight", [None, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)])
def test_source_rows_of_a_classifier_of_their_own_count_by_the_weights_that_others_give_them(class_weight):
    step = make_step(make_network(), source_weight=0.5, class_weight=class_weight)
    step.weigh_source(torch.tensor([1.0, 2.0, 0.0, 1.0, 0.0, 3.0]), domains=True)
    losses = torch.arange(6, dtype=torch.float64)
    of_class = [1.0] * 3 if class_weight is None else class_weight.tolist()
    weights = [weight * of_class[row % 3] for row, weight in enumerate([1, 2, 0, 1, 0, 3])]
    expected = 0.5 * sum(row * weight for row, weight in enumerate(weights)) / sum(weights)
    assert SourceTerm.source_mean(step, losses).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", [LabeledTerm, SourceTerm])
def test_a_module_without_its_losses_is_refused_when_it_is_made(kind):
    with pytest.raises(TypeError, match=r"abstract.*losses"):
        kind(MCD())
