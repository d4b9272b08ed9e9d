from __future__ import annotations

import math

import pytest
import torch

from skada_active.deep.functional import (
    class_prototypes,
    prototype_agreement_loss,
    prototype_alignment_loss,
    prototype_logits,
)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_prototypes_are_the_means_of_the_rows_of_a_class():
    features, labels = randn(6, 3), torch.tensor([0, 2, -1, 2, 0, 0])
    prototypes, counts = class_prototypes(features, labels, 4)
    assert counts.tolist() == [3, 0, 2, 0]
    torch.testing.assert_close(prototypes[0], features[[0, 4, 5]].mean(dim=0))
    torch.testing.assert_close(prototypes[2], features[[1, 3]].mean(dim=0))
    assert not prototypes[[1, 3]].any()


def test_prototypes_of_no_row_are_zero():
    prototypes, counts = class_prototypes(randn(0, 3), torch.zeros(0, dtype=torch.int64), 2)
    assert prototypes.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert counts.tolist() == [0, 0]


def test_logits_are_minus_the_squared_distances_in_every_set():
    features, prototypes = randn(5, 3), randn(2, 4, 3, seed=1)
    logits = prototype_logits(features, prototypes)
    assert logits.shape == (2, 5, 4)
    for m, i, c in [(0, 0, 0), (0, 4, 3), (1, 2, 1), (1, 4, 0)]:
        expected = -sum((a - b) ** 2 for a, b in zip(features[i].tolist(), prototypes[m, c].tolist(), strict=True))
        assert logits[m, i, c].item() == pytest.approx(expected)
    torch.testing.assert_close(prototype_logits(features, prototypes[1]), logits[1])


def test_a_large_offset_of_the_features_costs_no_digits():
    features, prototypes = randn(5, 3), randn(4, 3, seed=1)
    shifted = prototype_logits((features + 4096).float(), (prototypes + 4096).float())
    torch.testing.assert_close(shifted.double(), prototype_logits(features, prototypes), rtol=0, atol=0.02)


def test_the_alignment_loss_equals_a_loop_over_classes_and_pairs_of_sets():
    prototypes = randn(3, 4, 5)
    expected = 0.0
    for c in range(4):
        for m, n in [(0, 1), (0, 2), (1, 2)]:
            expected += sum((a - b) ** 2 for a, b in zip(prototypes[m, c], prototypes[n, c], strict=True)).item() / 4
    assert prototype_alignment_loss(prototypes).item() == pytest.approx(expected)


def test_the_agreement_loss_equals_a_loop_over_rows_and_pairs_of_sets():
    logits = randn(3, 4, 5)
    proba = logits.softmax(dim=2).tolist()

    def divergence(p, q):
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    expected = 0.0
    for i in range(4):
        for m, n in [(0, 1), (0, 2), (1, 2)]:
            expected += (divergence(proba[m][i], proba[n][i]) + divergence(proba[n][i], proba[m][i])) / 8
    assert prototype_agreement_loss(logits).item() == pytest.approx(expected)


def test_sets_that_agree_have_no_loss():
    prototypes = randn(1, 4, 5).expand(3, -1, -1)
    assert prototype_alignment_loss(prototypes).item() == 0
    assert prototype_agreement_loss(prototype_logits(randn(6, 5, seed=1), prototypes)).item() == 0


@pytest.mark.parametrize("loss", [prototype_alignment_loss, prototype_agreement_loss])
def test_gradients_are_those_of_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, randn(3, 4, 2).requires_grad_())


def test_far_prototypes_give_finite_losses_and_gradients():
    features = (1e3 * randn(4, 3).float()).requires_grad_()
    loss = prototype_agreement_loss(prototype_logits(features, 1e3 * randn(3, 2, 3, seed=1).float()))
    loss.backward()
    assert loss.isfinite()
    assert features.grad.isfinite().all()
