"""The transferability loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import transferability_loss


def random_logits(n, n_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_classes, generator=generator, dtype=torch.float64).requires_grad_()


def batch(n_source=4, n_target=5):
    """Return logits of both domains, one-hot labels of the source and probabilities of the target."""
    labels = torch.eye(3, dtype=torch.float64)[torch.arange(n_source) % 3]
    proba = random_logits(n_target, seed=2).detach().softmax(dim=1)
    return random_logits(n_source), random_logits(n_target, seed=1), labels, proba


def test_the_worked_example():
    source, target = torch.tensor([[0.3, 0.6]]).logit(), torch.tensor([[0.8, 0.5]]).logit()
    loss = transferability_loss(source, target, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.75]]))
    assert loss.item() == pytest.approx(0.932321, abs=1e-6)


def test_it_equals_a_loop_over_rows_and_classes():
    source, target, labels, proba = batch()
    by_source = [math.log(1 - o.sigmoid().item()) for o in source[labels.bool()]]
    by_target = [
        sum(h.item() * math.log(o.sigmoid().item()) for o, h in zip(outputs, weights, strict=True))
        for outputs, weights in zip(target, proba, strict=True)
    ]
    expected = -sum(by_source) / len(by_source) - sum(by_target) / len(by_target)
    assert transferability_loss(source, target, labels, proba).item() == pytest.approx(expected)


def test_each_domain_counts_the_same_whatever_its_rows():
    source, target, labels, proba = batch()
    many = transferability_loss(source.repeat(7, 1), target, labels.repeat(7, 1), proba)
    torch.testing.assert_close(many, transferability_loss(source, target, labels, proba))


def test_a_source_row_counts_for_the_output_of_its_label_only():
    source, target, labels, proba = batch()
    by_source, by_target = torch.autograd.grad(transferability_loss(source, target, labels, proba), (source, target))
    assert torch.equal(by_source != 0, labels.bool())
    assert (by_target != 0).all()


def test_the_target_is_what_the_discriminator_calls_one():
    _, _, labels, proba = batch()
    high, low = torch.full((4, 3), 5.0), torch.full((5, 3), -5.0)
    assert transferability_loss(-high, -low, labels, proba) < 0.02 < transferability_loss(high, low, labels, proba)


def test_a_discriminator_that_knows_nothing_costs_twice_the_logarithm_of_two():
    _, _, labels, proba = batch()
    loss = transferability_loss(torch.zeros(4, 3), torch.zeros(5, 3), labels, proba)
    assert loss.item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("sign", [-1, 1])
def test_values_and_gradients_are_finite_however_sure_the_discriminator_is(size, sign):
    _, _, labels, proba = (part.float() for part in batch())
    source, target = torch.full((4, 3), sign * size), torch.full((5, 3), -sign * size)
    source, target = source.requires_grad_(), target.requires_grad_()
    loss = transferability_loss(source, target, labels, proba)
    loss.backward()
    assert loss.isfinite()
    assert source.grad.isfinite().all()
    assert target.grad.isfinite().all()


def test_the_gradient_is_the_numeric_one_with_respect_to_all_arguments():
    assert gradcheck(transferability_loss, [part.detach().requires_grad_() for part in batch()])
