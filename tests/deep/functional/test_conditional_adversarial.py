from __future__ import annotations

import math

import pytest
import torch

from skada_active.deep.functional import cdan_loss, domain_adversarial_loss, multilinear_map


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in (3, 5))
    p, q = (torch.randn(n, 3, generator=generator, dtype=torch.float64).softmax(dim=1) for n in (3, 5))
    return source, target, p, q


def discriminator():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 1).double()


def test_a_discriminator_returns_one_logit_a_row(batch):
    one = cdan_loss(*batch, discriminator())
    torch.testing.assert_close(cdan_loss(*batch, lambda rows: discriminator()(rows)[:, 0]), one)
    with pytest.raises(ValueError, match="must be the same as input size"):
        cdan_loss(*batch, torch.nn.Linear(6, 2).double())


def test_the_product_is_ordered_by_class(batch):
    source, _, proba, _ = batch
    product = multilinear_map(source, proba)
    for row in range(3):
        for c in range(3):
            for j in range(2):
                assert product[row, 2 * c + j] == proba[row, c] * source[row, j]


@pytest.mark.parametrize("entropy_weighted", [False, True])
def test_loss_equals_a_loop_over_rows(batch, entropy_weighted):
    source, target, p, q = batch
    net = discriminator()
    losses, weights = [], []
    for features, proba, is_source in [*((f, g, True) for f, g in zip(source, p, strict=True))] + [
        (f, g, False) for f, g in zip(target, q, strict=True)
    ]:
        d = net(torch.outer(proba, features).flatten()).sigmoid().item()
        losses.append(-math.log(d if is_source else 1 - d))
        weights.append(1 + math.exp(sum(x * math.log(x) for x in proba.tolist())) if entropy_weighted else 1.0)
    expected = sum(a * b for a, b in zip(losses, weights, strict=True)) / sum(weights)
    assert cdan_loss(*batch, net, entropy_weighted=entropy_weighted).item() == pytest.approx(expected)


def test_no_gradient_reaches_the_predictions(batch):
    source, target, p, q = (tensor.clone().requires_grad_() for tensor in batch)
    cdan_loss(source, target, p, q, discriminator(), entropy_weighted=True).backward()
    assert p.grad is None
    assert q.grad is None
    assert (source.grad != 0).any()


def test_a_discriminator_may_return_a_column_or_a_vector(batch):
    net = discriminator()
    torch.testing.assert_close(cdan_loss(*batch, net), cdan_loss(*batch, lambda h: net(h)[:, 0]))


@pytest.mark.parametrize("entropy_weighted", [False, True])
def test_source_weights_count_relative_to_their_mean(batch, entropy_weighted):
    source, target, p, q = batch
    rows, net = [0, 0, 2], discriminator()
    weight = 7 * torch.tensor([2.0, 0.0, 1.0])
    weighted = cdan_loss(*batch, net, entropy_weighted=entropy_weighted, source_weight=weight)
    repeated = cdan_loss(source[rows], target, p[rows], q, net, entropy_weighted=entropy_weighted)
    torch.testing.assert_close(weighted, repeated)


def test_source_weights_give_a_weighted_mean_of_the_source_rows():
    source, target = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.5, -0.2])
    weighted = domain_adversarial_loss(source, target, source_weight=torch.tensor([0.5, 0.0, 1.5]))
    torch.testing.assert_close(weighted, domain_adversarial_loss(source[[0, 2, 2, 2]], target))


def test_source_rows_without_any_weight_leave_the_target_rows():
    source, target, weight = torch.tensor([0.3, -1.0]), torch.tensor([0.5, -0.2]), torch.zeros(2)
    loss = domain_adversarial_loss(source, target, source_weight=weight)
    torch.testing.assert_close(loss, torch.nn.functional.softplus(target).mean() / 2)
