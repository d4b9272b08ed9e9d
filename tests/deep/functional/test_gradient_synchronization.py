from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from skada_active.deep.functional import (
    class_balance_weights,
    domain_gradient_magnitudes,
    feature_gradient_magnitudes,
    gradient_synchronization_loss,
    weighted_domain_losses,
)

# The worked example: linear discriminators, one of the domain and two of classes, on a source and a target row.
FEATURES = torch.eye(2, dtype=torch.float64)
IS_SOURCE = torch.tensor([True, False])
DOMAIN = torch.tensor([[1.0, -1.0]], dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
CLASSES = torch.tensor([[0.5, 0.0], [0.0, -1.0]]).double(), torch.tensor([[1.0, 0.25], [0.0, 0.75]]).double()


def in_closed_form(directions, weight):
    slope = directions.norm(dim=1, keepdim=True).expand_as(weight)
    return domain_gradient_magnitudes(directions @ FEATURES.T, slope, IS_SOURCE, weight)


def by_autograd(directions, weight):
    features = FEATURES.clone().requires_grad_()
    return feature_gradient_magnitudes(
        weighted_domain_losses(directions @ features.T, IS_SOURCE, weight), features
    ).detach()


def random_pairs(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("magnitudes", [in_closed_form, by_autograd])
def test_magnitudes_of_the_worked_example(magnitudes):
    assert magnitudes(*DOMAIN).sum().item() == pytest.approx(0.760681, abs=1e-6)
    assert magnitudes(*CLASSES).sum().item() == pytest.approx(0.452976, abs=1e-6)


def test_synchronization_of_the_worked_example():
    whole, parts = in_closed_form(*DOMAIN).sum(dim=1), in_closed_form(*CLASSES).sum(dim=1)
    loss = gradient_synchronization_loss(whole, parts, torch.zeros(2, dtype=torch.int64))
    assert loss.item() == pytest.approx(0.307705, abs=1e-6)


def test_weighted_losses_equal_a_loop():
    logit, weight = random_pairs(3, 5), random_pairs(3, 5, seed=1).abs()
    is_source = torch.tensor([True, False, True, False, False])
    losses = weighted_domain_losses(logit, is_source, weight)
    for k in range(3):
        expected = sum(
            weight[k, i] * F.binary_cross_entropy_with_logits(logit[k, i], is_source[i].double()) for i in range(5)
        )
        torch.testing.assert_close(losses[k], expected)


def test_every_discriminator_may_have_rows_of_its_own():
    logit, weight = random_pairs(2, 3), random_pairs(2, 3, seed=1).abs()
    is_source = torch.tensor([[True, False, True], [False, False, True]])
    losses = weighted_domain_losses(logit, is_source, weight)
    alone = [weighted_domain_losses(logit[k : k + 1], is_source[k], weight[k : k + 1])[0] for k in range(2)]
    torch.testing.assert_close(losses, torch.stack(alone))


def test_losses_are_finite_for_huge_logits():
    logit = torch.tensor([[1e4, -1e4]], requires_grad=True)
    losses = weighted_domain_losses(logit, torch.tensor([False, True]), torch.ones(1, 2))
    losses.sum().backward()
    assert losses.item() == pytest.approx(2e4)
    assert logit.grad.isfinite().all()


def test_weighted_losses_gradient_is_the_numeric_one():
    weight, is_source = random_pairs(2, 4, seed=1).abs(), torch.tensor([True, False, True, False])
    assert gradcheck(lambda z: weighted_domain_losses(z, is_source, weight), random_pairs(2, 4).requires_grad_())


def test_closed_form_magnitudes_have_the_numeric_gradient():
    weight, is_source = random_pairs(2, 4, seed=1).abs(), torch.tensor([True, False, True, False])
    inputs = random_pairs(2, 4).requires_grad_(), random_pairs(2, 4, seed=2).abs().requires_grad_()
    assert gradcheck(lambda z, slope: domain_gradient_magnitudes(z, slope, is_source, weight), inputs)


def test_autograd_magnitudes_of_any_discriminator_have_the_numeric_gradient():
    weight, is_source = random_pairs(2, 4, seed=1).abs(), torch.tensor([True, False, True, False])

    def magnitudes(features, directions):
        return feature_gradient_magnitudes(
            weighted_domain_losses(torch.tanh(directions @ features.T), is_source, weight), features
        )

    assert gradcheck(magnitudes, (random_pairs(4, 3).requires_grad_(), random_pairs(2, 3, seed=3).requires_grad_()))


def test_a_magnitude_of_zero_has_a_gradient_of_zero():
    features, directions = torch.eye(2).requires_grad_(), torch.zeros(1, 2, requires_grad=True)
    losses = weighted_domain_losses(directions @ features.T, IS_SOURCE, torch.ones(1, 2))
    feature_gradient_magnitudes(losses, features).sum().backward()
    assert directions.grad.isfinite().all()


def test_synchronization_adds_the_gaps_of_all_groups():
    groups, classes = torch.tensor([3.0, 1.0, 5.0]), torch.tensor([1.0, 2.5, 1.0, 2.0])
    parent = torch.tensor([0, 1, 0, 2])
    assert gradient_synchronization_loss(groups, classes, parent).item() == pytest.approx(1.0 + 1.5 + 3.0)
    mean = gradient_synchronization_loss(groups, classes, parent, reduction="mean").item()
    assert mean == pytest.approx(5.5 / 3)


def test_gaps_do_not_cancel():
    loss = gradient_synchronization_loss(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]), torch.tensor([0, 1]))
    assert loss.item() == 2.0


def test_magnitudes_in_step_cost_nothing():
    loss = gradient_synchronization_loss(torch.tensor([3.0]), torch.tensor([1.0, 2.0]), torch.tensor([0, 0]))
    assert loss.item() == 0.0


def test_synchronization_gradient_is_the_numeric_one():
    inputs = random_pairs(2).requires_grad_(), random_pairs(3, seed=1).requires_grad_()
    parent = torch.tensor([0, 1, 0])
    assert gradcheck(lambda whole, parts: gradient_synchronization_loss(whole, parts, parent), inputs)


def test_an_unknown_reduction_is_refused_by_name():
    with pytest.raises(ValueError, match="reduction"):
        gradient_synchronization_loss(torch.ones(1), torch.ones(1), torch.tensor([0]), reduction="max")


def test_balanced_classes_have_the_same_total_weight():
    labels = torch.tensor([0, 0, 0, 3, 1, 1])
    weight = class_balance_weights(labels)
    totals = [weight[labels == c].sum().item() for c in (0, 1, 3)]
    assert totals == pytest.approx([2.0, 2.0, 2.0])
    assert weight.mean().item() == pytest.approx(1.0)


def test_rows_without_a_label_keep_weight_one_and_count_for_no_class():
    labels = torch.tensor([-1, 0, 0, -1, 1, -1])
    assert class_balance_weights(labels).tolist() == pytest.approx([1.0, 0.75, 0.75, 1.0, 1.5, 1.0])


@pytest.mark.parametrize("labels", [[], [-1, -1], [4], [2, 2]])
def test_nothing_to_balance_gives_weights_of_one(labels):
    weight = class_balance_weights(torch.tensor(labels, dtype=torch.int64))
    assert weight.tolist() == pytest.approx([1.0] * len(labels))
