from __future__ import annotations

import math

import pytest
import torch
from scipy.special import psi
from torch.autograd import gradcheck
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional as F

from skada_active.deep.functional import dirichlet_uncertainties, evidential_loss


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
