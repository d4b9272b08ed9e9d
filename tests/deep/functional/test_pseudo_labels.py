from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from skada_active.deep.functional import (
    adversarial_clustering_loss,
    free_energy_alignment_loss,
    information_maximization_loss,
    neighbor_label_loss,
    pseudo_label_loss,
    self_ensembling_loss,
)


def logits(n=4, n_classes=3, seed=0):
    return 2 * torch.randn(n, n_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def entropy(proba):
    return -sum(p * math.log(p) for p in proba if p > 0)


def test_information_maximization_is_mean_entropy_less_the_entropy_of_the_mean():
    proba = logits().softmax(dim=1)
    expected = sum(entropy(row) for row in proba.tolist()) / 4 - entropy(proba.mean(dim=0).tolist())
    assert information_maximization_loss(logits()).item() == pytest.approx(expected)
    assert gradcheck(information_maximization_loss, logits().requires_grad_())


def test_information_maximization_of_certain_rows_is_finite():
    z = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = information_maximization_loss(z)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(2))
    assert z.grad.isfinite().all()


def test_free_energy_alignment_of_the_worked_example():
    energies = torch.tensor([[-2.0, 0.0, 1.0], [-0.1, 0.0, 0.1], [3.0, 3.5, 4.0]])
    assert free_energy_alignment_loss(-energies, -1.5).item() == pytest.approx(1.405929, abs=1e-6)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_free_energy_alignment_equals_a_loop(beta):
    total = 0.0
    for row in logits().tolist():
        free_energy = -math.log(sum(math.exp(beta * z) for z in row)) / beta
        total += max(0.0, free_energy + 3.0) / 4
    assert free_energy_alignment_loss(logits(), -3.0, beta).item() == pytest.approx(total)


def test_free_energy_wants_a_positive_temperature():
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        free_energy_alignment_loss(logits(), 0.0, beta=0)


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.1])
def test_pseudo_labels_equal_a_loop_over_the_confident_rows(threshold):
    first, second = logits(8), logits(8, seed=1)
    total = 0.0
    for z, other in zip(first, second, strict=True):
        if z.softmax(0).max() >= threshold:
            total += -F.log_softmax(other, 0)[z.argmax()].item() / 8
    assert pseudo_label_loss(first, second, threshold=threshold).item() == pytest.approx(total)


def test_no_gradient_reaches_what_gives_the_pseudo_labels():
    first, second = logits().requires_grad_(), logits(seed=1).requires_grad_()
    pseudo_label_loss(first, second, threshold=0).backward()
    assert first.grad is None
    assert (second.grad != 0).any()


@pytest.mark.parametrize("sharpness", [1, 8])  # of sure rows the constant inside the logarithm shows
@pytest.mark.parametrize("top_k", [1, 2, 9])
def test_clustering_loss_equals_a_loop_over_pairs(top_k, sharpness):
    features, first, second = logits(6, 5, seed=2), sharpness * logits(6), sharpness * logits(6, seed=1)
    strongest = [set(row.argsort(descending=True)[:top_k].tolist()) for row in features]
    total = 0.0
    for i, p in enumerate(first.softmax(1).tolist()):
        for j, q in enumerate(second.softmax(1).tolist()):
            same = sum(a * b for a, b in zip(p, q, strict=True))
            total -= math.log((same if strongest[i] == strongest[j] else 1 - same) + 1e-7) / 36
    assert adversarial_clustering_loss(features, first, second, top_k=top_k).item() == pytest.approx(total)


@pytest.mark.parametrize("features", [torch.eye(4), torch.ones(4, 4)])  # all apart but with themselves, all together
def test_clustering_loss_of_sure_rows_is_finite(features):
    z = (torch.tensor([[9.0, 1.0, 2.0]]) + torch.linspace(0, 80, 4)[:, None] * torch.eye(3)[0]).requires_grad_()
    loss = adversarial_clustering_loss(features, z, z, top_k=1)
    loss.backward()
    assert loss.isfinite()
    assert z.grad.isfinite().all()


def test_clustering_loss_has_the_right_gradient():
    features = logits(5, 4, seed=2)
    inputs = (logits(5).requires_grad_(), logits(5, seed=1).requires_grad_())
    assert gradcheck(lambda a, b: adversarial_clustering_loss(features, a, b, top_k=2), inputs)


def test_clustering_compares_one_feature_or_more():
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        adversarial_clustering_loss(logits(), logits(), logits(), top_k=0)


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0])
def test_self_ensembling_equals_a_loop_over_the_rows_that_the_teacher_is_sure_of(threshold):
    student, teacher = logits(8), logits(8, seed=1)
    total = 0.0
    for p, q in zip(student.softmax(1).tolist(), teacher.softmax(1).tolist(), strict=True):
        if max(q) > threshold:
            total += sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 3 / 8
    assert self_ensembling_loss(student, teacher, threshold=threshold).item() == pytest.approx(total)


def test_no_gradient_reaches_the_teacher():
    student, teacher = logits().requires_grad_(), logits(seed=1).requires_grad_()
    self_ensembling_loss(student, teacher, threshold=0).backward()
    assert teacher.grad is None
    assert gradcheck(lambda z: self_ensembling_loss(z, logits(seed=1), threshold=0.5), logits().requires_grad_())


def test_labels_of_neighbours_equal_a_loop_and_rows_without_any_do_not_count():
    z, q = logits(6), logits(6, seed=1).softmax(dim=1)
    q[2] = 0
    total = sum(-max(row) * F.log_softmax(z[i], 0)[row.index(max(row))].item() for i, row in enumerate(q.tolist()))
    assert neighbor_label_loss(z, q).item() == pytest.approx(total / 6)
    assert gradcheck(lambda z: neighbor_label_loss(z, q), z.requires_grad_())
