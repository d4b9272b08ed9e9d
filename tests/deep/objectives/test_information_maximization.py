"""Information maximisation: its loss on a step, without any source row too."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from steps import gradients, leaf_step, make_network, make_step, module_of

from skada_active.deep import AdaptationClassifier, InformationMaximization
from skada_active.deep.functional import information_maximization_loss


@pytest.mark.parametrize("trade_off", [1.0, 0.3])
def test_the_loss_equals_a_loop_over_rows_and_classes(trade_off):
    module, step = module_of(InformationMaximization(trade_off=trade_off)), leaf_step()
    proba = step.logits[9:].softmax(dim=1).tolist()
    mean = [sum(column) / 5 for column in zip(*proba, strict=True)]
    of_rows = -sum(p * math.log(p) for row in proba for p in row) / 5
    expected = of_rows + sum(p * math.log(p) for p in mean)
    assert module(step).item() == pytest.approx(trade_off * expected)
    assert step.batch.terms["information_maximization_loss"].item() == pytest.approx(expected)
    torch.testing.assert_close(module(step), trade_off * information_maximization_loss(step.logits[9:]))


def test_target_rows_alone_get_a_gradient():
    step = leaf_step(known=(1, 3))
    module_of(InformationMaximization())(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).tolist() == [False] * 9 + [True] * 5


def test_no_source_row_is_needed():
    step = leaf_step(0, 3, 5)
    torch.testing.assert_close(
        module_of(InformationMaximization())(step), information_maximization_loss(step.logits[3:])
    )


@pytest.mark.parametrize("freeze_head", [False, True])
def test_the_classifier_may_be_left_alone(freeze_head):
    network = make_network()
    parts, step = (network.backbone, network.head), make_step(network)
    free = gradients(InformationMaximization().loss(step), *parts)
    backbone, head = gradients(InformationMaximization(freeze_head=freeze_head).loss(step), *parts)
    torch.testing.assert_close(backbone, free[0])
    torch.testing.assert_close(head, torch.zeros_like(head) if freeze_head else free[1])


def test_predictions_become_sure_and_stay_spread(make_data):
    X, y, domain = make_data()
    y = np.where(domain < 0, -1, y)
    entropies = []
    for objective in (None, InformationMaximization()):
        model = AdaptationClassifier(objective, max_epochs=10, batch_size=24, random_state=0).fit(X, y, domain)
        proba = model.predict_proba(X[domain < 0])
        entropies.append(-(proba * np.log(proba)).sum(axis=1).mean())
    assert entropies[1] < 0.7 * entropies[0]
    assert proba.mean(axis=0).min() > 0.2
