"""The transferability loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import (
    class_weighted_features,
    domain_adversarial_loss,
    multi_adversarial_loss,
    multilinear_map,
    transferability_loss,
)


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


def test_source_weights_give_a_weighted_mean_of_the_source_rows():
    source, target, labels, proba = batch()
    weight = torch.tensor([2.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    repeated = transferability_loss(source[[0, 0, 2]], target, labels[[0, 0, 2]], proba)
    torch.testing.assert_close(transferability_loss(*batch(), source_weight=weight), repeated)


def features_and_proba(n_source=4, n_target=5):
    features = [random_logits(n, 2, seed=n) for n in (n_source, n_target)]
    return features, [random_logits(n, 3, seed=10 + n).softmax(dim=1) for n in (n_source, n_target)]


def linear(rows):
    """Return the logits of three linear discriminators of rows (3, n, 2)."""
    return (rows * torch.tensor([[1.0, -2.0], [0.5, 1.0], [3.0, 0.0]], dtype=torch.float64)[:, None]).sum(dim=2)


def test_class_weighted_features_are_the_parts_of_the_multilinear_map():
    (features, _), (proba, _) = features_and_proba()
    parts = multilinear_map(features, proba).unflatten(1, (3, 2)).transpose(0, 1)
    torch.testing.assert_close(class_weighted_features(features, proba), parts)


def test_the_multi_adversarial_loss_is_the_mean_of_that_of_the_classes():
    (source, target), (p, q) = features_and_proba()
    losses = []
    for c in range(3):
        of_source, of_target = (
            linear((weight[:, c, None] * rows).expand(3, -1, -1))[c] for rows, weight in ((source, p), (target, q))
        )
        losses.append(domain_adversarial_loss(of_source, of_target))
    torch.testing.assert_close(multi_adversarial_loss(source, target, p, q, linear), sum(losses) / 3)


def test_source_weights_repeat_rows_of_the_multi_adversarial_loss():
    (source, target), (p, q) = features_and_proba()
    rows = [0, 0, 2]
    weighted = multi_adversarial_loss(source, target, p, q, linear, source_weight=torch.tensor([2.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(weighted, multi_adversarial_loss(source[rows], target, p[rows], q, linear))


def test_the_multi_adversarial_loss_has_the_gradients_of_finite_differences():
    (source, target), (p, q) = features_and_proba()
    p, q = (proba.detach().requires_grad_() for proba in (p, q))
    assert gradcheck(lambda *rows: multi_adversarial_loss(*rows, linear), (source, target, p, q))
