from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import adaptive_feature_norm, batch_spectral_penalty


def rows(n, n_features=3, seed=0):
    return torch.randn(n, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_spectral_penalty_adds_the_largest_eigenvalues_of_the_gram_matrices(k):
    source, target = rows(5), rows(4, seed=1)
    expected = sum(torch.linalg.eigvalsh(f.T @ f).flip(0)[:k].sum() for f in (source, target))
    torch.testing.assert_close(batch_spectral_penalty(source, target, k), expected)


def test_spectral_penalty_has_the_right_gradient():
    assert gradcheck(batch_spectral_penalty, (rows(5).requires_grad_(), rows(4, seed=1).requires_grad_()))


@pytest.mark.parametrize("k", [0, 4])
def test_spectral_penalty_wants_as_many_values_as_there_are(k):
    with pytest.raises(ValueError, match="k must be in 1 to 3"):
        batch_spectral_penalty(rows(5), rows(4), k)


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_feature_norm_has_a_constant_value_and_lengthens_every_row(delta):
    features = rows(4).requires_grad_()
    loss = adaptive_feature_norm(features, delta)
    loss.backward()
    assert loss.item() == pytest.approx(delta**2)
    torch.testing.assert_close(features.grad, -2 * delta / 4 * torch.nn.functional.normalize(features.detach()))


def test_feature_norm_of_a_row_of_zeros_has_no_nan():
    features = torch.zeros(2, 3, requires_grad=True)
    adaptive_feature_norm(features).backward()
    assert features.grad.isfinite().all()
