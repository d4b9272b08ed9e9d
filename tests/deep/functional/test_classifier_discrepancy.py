from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import class_balance_loss, classifier_discrepancy, margin_disparity_discrepancy


def logits(n=4, n_classes=3, seed=0):
    return 2 * torch.randn(n, n_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_discrepancy_is_the_mean_absolute_difference_of_probabilities():
    a, b = logits(), logits(seed=1)
    expected = sum((p - q).abs().sum() for p, q in zip(a.softmax(1), b.softmax(1), strict=True)) / (4 * 3)
    torch.testing.assert_close(classifier_discrepancy(a, b), expected)
    assert classifier_discrepancy(a, a + 7).item() == pytest.approx(0, abs=1e-15)


def test_discrepancy_has_the_right_gradient():
    assert gradcheck(classifier_discrepancy, (logits().requires_grad_(), logits(seed=1).requires_grad_()))


@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_margin_disparity_equals_a_loop(margin):
    source, source_adv, target, target_adv = (logits(n, seed=n) for n in (4, 4, 5, 5))
    gain = sum(p[z.argmax()].log() for z, p in zip(source, source_adv.softmax(1), strict=True)) / 4
    loss = sum((1 - p[z.argmax()]).log() for z, p in zip(target, target_adv.softmax(1), strict=True)) / 5
    value = margin_disparity_discrepancy(source, source_adv, target, target_adv, margin=margin)
    torch.testing.assert_close(value, margin * gain + loss)


def test_margin_disparity_has_the_right_gradient():
    source, target = logits(), logits(5, seed=1)
    inputs = (logits(4, seed=2).requires_grad_(), logits(5, seed=3).requires_grad_())
    assert gradcheck(lambda s, t: margin_disparity_discrepancy(source, s, target, t), inputs)


def test_margin_disparity_of_a_certain_adversary_is_finite():
    sure = torch.tensor([[90.0, 0.0]], requires_grad=True)
    value = margin_disparity_discrepancy(sure, sure, sure, sure)
    value.backward()
    assert value.item() == pytest.approx(-90, rel=1e-6)
    assert math.isfinite(sure.grad.sum())


def test_class_balance_is_the_mean_logarithm_of_the_mean_prediction():
    rows = logits(5)
    expected = -sum((sum(p[c] for p in rows.softmax(1)) / 5 + 1e-6).log() for c in range(3)) / 3
    torch.testing.assert_close(class_balance_loss(rows), expected)
    assert class_balance_loss(50 * torch.eye(3)).item() == pytest.approx(math.log(3), abs=1e-5)
    assert gradcheck(class_balance_loss, (rows.requires_grad_(),))


def test_class_balance_lets_go_of_a_class_that_is_far_from_all_rows():
    rows = torch.tensor([[0.0, 1e4], [0.0, 2e4]], requires_grad=True)
    loss = class_balance_loss(rows)
    assert loss.item() == pytest.approx(-math.log(1e-6) / 2, rel=1e-4)
    assert not torch.autograd.grad(loss, rows)[0].any()
