from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from steps import attached, criterion_of, gradients, leaf_step, make_network, make_step
from torch.nn import functional as F

from skada_active.deep import MCC, MCD, AdaptationClassifier
from skada_active.networks import CosineHead


def labeled_loss(logits, step):
    n_source, n_labeled = step.n_source, step.batch.n_labeled
    losses = F.cross_entropy(logits[:n_labeled], step.labels[:n_labeled], reduction="none")
    return losses[:n_source].mean() + losses[n_source:].mean()


def discrepancy(first, second, step):
    pairs = zip(first[step.target].softmax(1), second[step.target].softmax(1), strict=True)
    return sum((p - q).abs().mean() for p, q in pairs) / step.n_target


def balance(logits, step):
    return -(logits[step.target].softmax(1).mean(0) + 1e-6).log().mean()


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_the_first_step_trains_both_heads_and_the_features_on_labelled_rows(head):
    network = make_network(head=head)
    step = make_step(network)
    module, loss = criterion_of(MCD(entropy_weight=0.3), network, step)
    second = module.second.classify(step.features)
    expected = labeled_loss(step.logits, step) + labeled_loss(second, step)
    expected = expected + 0.3 * (balance(step.logits, step) + balance(second, step))
    torch.testing.assert_close(loss, expected)
    modules = network.backbone, network.head, module.second
    torch.testing.assert_close(gradients(loss, *modules), gradients(expected, *modules))
    torch.testing.assert_close(step.batch.terms["mcd_discrepancy"], discrepancy(step.logits, second, step).detach())


def test_heads_raise_the_discrepancy_and_keep_the_labelled_rows_in_the_second_step():
    network = make_network()
    step = make_step(network)
    module = attached(MCD(entropy_weight=0.3, trade_off=2.0), network)
    of_heads, _ = module.phases(network)
    second = module.second.classify(step.features)
    expected = labeled_loss(step.logits, step) + labeled_loss(second, step)
    expected = expected + 2 * (0.3 * (balance(step.logits, step) + balance(second, step)))
    expected = expected - 2 * discrepancy(step.logits, second, step)
    loss = of_heads.loss(step)
    torch.testing.assert_close(loss, expected)
    heads = network.head, module.second
    torch.testing.assert_close(gradients(loss, *heads), gradients(expected, *heads))
    assert set(map(id, of_heads.parameters)) == {id(weight) for head in heads for weight in head.parameters()}
    assert of_heads.n_steps == 1
    assert not gradients(loss, network.backbone)[0].any()


def test_features_lower_the_discrepancy_in_the_steps_that_follow():
    network = make_network()
    step = make_step(network)
    module = attached(MCD(n_steps=7, trade_off=2.0), network)
    _, of_features = module.phases(network)
    loss, expected = of_features.loss(step), 2 * discrepancy(step.logits, module.second.classify(step.features), step)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, network.backbone), gradients(expected, network.backbone))
    assert list(of_features.parameters) == list(network.backbone.parameters())
    assert of_features.n_steps == 7


def test_a_training_step_equals_a_loop_of_its_steps(make_data):
    options = {"optimizer": torch.optim.SGD, "lr": 0.05, "weight_decay": 0.0, "standardize": False}
    objective = MCD(n_steps=3, entropy_weight=0.01)
    model = AdaptationClassifier(objective, module=torch.nn.Linear(4, 4), max_epochs=0, random_state=0, **options)
    X, y, domain = make_data()
    model.fit(X, y, domain)
    net = model.net_
    network, second = copy.deepcopy(net.module_), copy.deepcopy(net.criterion_.objective.second)
    step, inputs = leaf_step(), torch.as_tensor(X[:14])  # only the labels and blocks of the step count
    net.train_step((inputs, step.batch))
    heads = [*network.head.parameters(), *second.parameters()]
    backbone = list(network.backbone.parameters())

    def update(weights, loss_of):
        logits, features = network(inputs)
        loss = loss_of(logits, second.classify(features))
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.data -= 0.05 * gradient

    def both(p, q):
        balanced = 0.01 * (balance(p, step) + balance(q, step))
        return labeled_loss(p, step) + labeled_loss(q, step) + balanced

    update([*backbone, *heads], both)
    update(heads, lambda p, q: both(p, q) - discrepancy(p, q, step))
    for _ in range(3):
        update(backbone, lambda p, q: discrepancy(p, q, step))
    trained = [*net.module_.parameters(), *net.criterion_.objective.second.parameters()]
    for mine, theirs in zip(trained, [*network.parameters(), *second.parameters()], strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_the_second_head_is_of_the_kind_of_the_first_with_other_weights(head, make_data):
    model = AdaptationClassifier(MCD(), head=head, max_epochs=0, random_state=0).fit(*make_data())
    first, second = model.net_.module_.head, model.net_.criterion_.objective.second.head
    assert type(first) is type(second)
    assert isinstance(first, CosineHead) == (head == "cosine")
    assert not torch.equal(first.weight, second.weight)


def test_predictions_are_those_of_the_first_head(make_data):
    X, y, domain = make_data()
    model = AdaptationClassifier(MCC() + MCD(n_steps=1), max_epochs=1, random_state=0).fit(X, y, domain)
    before = model.predict_proba(X)
    model.net_.criterion_.objective.parts["mcd"].second.head.weight.data.zero_()
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_a_step_without_target_rows_is_a_plain_one():
    network = make_network()
    step = make_step(network, n_target=0)
    _, loss = criterion_of(MCD(), network, step)
    torch.testing.assert_close(loss, labeled_loss(step.logits, step))
