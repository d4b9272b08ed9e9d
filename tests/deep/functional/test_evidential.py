from __future__ import annotations

import math

import pytest
import torch
from scipy.special import psi
from torch.autograd import gradcheck
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional as F

from skada_active.deep.functional import dirichlet_uncertainties, evidential_divergence, evidential_loss


def logits(n=4, n_classes=3, seed=0):
    return torch.randn(n, n_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kl_weight", [0.0, 1.0, 2.5])
def test_loss_is_cross_entropy_and_the_divergence_of_two_dirichlet_distributions(kl_weight):
    z, labels = logits(), torch.tensor([0, 2, 1, 0])
    alpha = z.exp()
    alpha[torch.arange(4), labels] = 1.0
    divergence = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha))).mean()
    torch.testing.assert_close(
        evidential_loss(z, labels, kl_weight=kl_weight), F.cross_entropy(z, labels) + kl_weight * divergence
    )


def test_loss_has_the_right_gradient():
    labels = torch.tensor([0, 2, 1, 0])
    assert gradcheck(lambda z: evidential_loss(z, labels), logits().requires_grad_())


def test_large_logits_stay_finite():
    z = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = evidential_loss(z, torch.tensor([0]))
    loss.backward()
    assert loss.isfinite()
    assert z.grad.isfinite().all()
    assert all(value.isfinite().all() for value in dirichlet_uncertainties(z))


def test_uncertainties_of_the_worked_example():
    distributional, data = dirichlet_uncertainties(torch.zeros(1, 2, dtype=torch.float64))
    assert data.item() == pytest.approx(0.5)
    assert distributional.item() == pytest.approx(math.log(2) - 0.5)


def test_uncertainties_equal_a_loop():
    distributional, data = dirichlet_uncertainties(logits())
    for row, found_distributional, found_data in zip(logits().exp().tolist(), distributional, data, strict=True):
        total = sum(row)
        proba = [alpha / total for alpha in row]
        expected = sum(p * (psi(total + 1) - psi(alpha + 1)) for p, alpha in zip(proba, row, strict=True))
        assert found_data.item() == pytest.approx(expected)
        entropy = -sum(p * math.log(p) for p in proba)
        assert found_distributional.item() == pytest.approx(entropy - expected)


def test_divergence_is_that_of_every_row():
    z, labels = 3 * logits(6, 4), torch.tensor([0, 2, 1, 0, 3, 3])
    alpha = z.exp()
    alpha[torch.arange(6), labels] = 1.0
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    torch.testing.assert_close(evidential_divergence(z, labels), expected)
    assert evidential_divergence(torch.tensor([[7.0, 0.0, 0.0]]), torch.tensor([0])).item() == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("z", [4.0, 5.0, 12.0, 20.0, 49.0])
def test_divergence_of_large_logits_is_exact_in_single_precision_too(z):
    # Dir(1, a) is Beta(1, a), whose divergence from the uniform distribution is ln a + 1 / a - 1.
    row = torch.tensor([[0.0, z]], requires_grad=True)
    divergence = evidential_divergence(row, torch.tensor([0]))
    assert divergence.item() == pytest.approx(z + math.exp(-z) - 1, rel=1e-5)
    divergence.sum().backward()
    assert row.grad[0].tolist() == pytest.approx([0, 1 - math.exp(-z)], rel=1e-3)


def test_the_series_of_large_evidence_goes_on_where_the_closed_form_ends():
    z = torch.log(torch.tensor([[99.0, 100.0, 101.0, 1e3]], dtype=torch.float64)).requires_grad_()
    assert gradcheck(lambda z: evidential_divergence(z, torch.tensor([3])), z)
    alpha = torch.tensor([[99.0, 100.0, 101.0, 1.0]], dtype=torch.float64)
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    torch.testing.assert_close(evidential_divergence(z, torch.tensor([3])), expected)
