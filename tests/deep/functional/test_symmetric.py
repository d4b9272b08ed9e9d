from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import (
    category_confusion_loss,
    domain_confusion_loss,
    domain_discrimination_loss,
    merged_entropy_loss,
)


def logits(n=4, n_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(n, 2 * n_classes, generator=generator, dtype=torch.float64)).requires_grad_()


def test_domain_losses_equal_a_loop():
    source, target = logits(), logits(5, seed=1)
    discrimination = -sum(p[:3].sum().log() for p in source.softmax(1)) / 4
    discrimination = discrimination - sum(p[3:].sum().log() for p in target.softmax(1)) / 5
    torch.testing.assert_close(domain_discrimination_loss(source, target), discrimination)
    confusion = -sum((p[:3].sum().log() + p[3:].sum().log()) / 2 for p in target.softmax(1)) / 5
    torch.testing.assert_close(domain_confusion_loss(target), confusion)


def test_category_confusion_and_entropy_equal_a_loop():
    rows, labels = logits(), torch.tensor([0, 2, 1, 2])
    expected = [-(p[k].log() + p[k + 3].log()) / 2 for p, k in zip(rows.softmax(1), labels, strict=True)]
    torch.testing.assert_close(category_confusion_loss(rows, labels), torch.stack(expected))
    merged = [p[:3] + p[3:] for p in rows.softmax(1)]
    torch.testing.assert_close(merged_entropy_loss(rows), sum(-(q * q.log()).sum() for q in merged) / 4)


@pytest.mark.parametrize(
    "loss",
    [
        domain_confusion_loss,
        merged_entropy_loss,
        lambda rows: category_confusion_loss(rows, torch.tensor([0, 2, 1, 2])),
    ],
)
def test_gradients_are_right(loss):
    assert gradcheck(loss, (logits(),))


def test_confusion_is_least_where_the_domain_is_open():
    even = torch.tensor([[5.0, 0.0, 5.0, 0.0]], dtype=torch.float64)
    assert domain_confusion_loss(even).item() == pytest.approx(math.log(2))
    assert domain_confusion_loss(torch.tensor([[5.0, 0.0, 0.0, 0.0]])) > math.log(2)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_extreme_logits_stay_finite(scale):
    rows = (scale * logits().detach().float()).requires_grad_()
    loss = domain_discrimination_loss(rows, rows) + domain_confusion_loss(rows) + merged_entropy_loss(rows)
    loss = loss + category_confusion_loss(rows, torch.zeros(4, dtype=torch.long)).mean()
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.isfinite()
    assert gradient.isfinite().all()
