from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from skada_active.deep.functional import (
    domain_adversarial_loss,
    gradient_reversal,
    margin_loss,
    minimax_entropy_loss,
    minimum_class_confusion_loss,
)

# The worked example of SDM's equations.
Z, Y = torch.tensor([[2.0, 1.5, -1.0]], dtype=torch.float64), torch.tensor([0])
AS_WRITTEN = {"normalize_logits": False, "reduction": "sum"}


def random_logits(n=6, n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_classes, generator=generator, dtype=torch.float64).requires_grad_()


def margin_gradient(**options):
    z = Z.clone().requires_grad_()
    margin_loss(z, Y, **AS_WRITTEN, **options).sum().backward()
    return z.grad[0].tolist()


def test_static_margin_is_the_sum_of_hinges():
    assert margin_loss(Z, Y, **AS_WRITTEN).item() == pytest.approx(0.5)


def test_dynamic_margin_is_the_squared_hinge_over_m_minus_the_true_logit():
    assert margin_loss(Z, Y, dynamic=True, **AS_WRITTEN).item() == pytest.approx(-1.75)
    assert margin_loss(Z, Y, dynamic=True, margin=2.0, **AS_WRITTEN).item() == pytest.approx(1.5**2 / 2 - 2.0)


@pytest.mark.parametrize(("detach", "expected"), [(True, [-1.5, 0.5, 0.0]), (False, [-2.0, 1.0, 0.0])])
def test_detaching_the_modulation_halves_the_gradient_of_the_hinge(detach, expected):
    assert margin_gradient(dynamic=True, detach_alpha=detach) == pytest.approx(expected)


def test_detaching_the_modulation_leaves_the_value():
    values = [margin_loss(Z, Y, dynamic=True, detach_alpha=detach, **AS_WRITTEN).item() for detach in (True, False)]
    assert values[0] == values[1]


def test_margin_on_normalised_logits():
    margin = margin_loss(Z, Y).item()
    assert margin == pytest.approx(0.271435, abs=1e-6)
    addition = margin - margin_loss(Z, Y, max_logit=True).item()
    assert addition == pytest.approx(0.742781, abs=1e-6)


def test_max_logit_follows_dynamic_unless_given():
    with_term, without = (
        margin_loss(Z, Y, dynamic=True, max_logit=flag, **AS_WRITTEN).item() for flag in (True, False)
    )
    assert with_term == pytest.approx(-1.75)
    assert without == pytest.approx(0.25)


@pytest.mark.parametrize("margin", [0.3, 1.0, 3.5])
@pytest.mark.parametrize("dynamic", [False, True])
def test_margin_equals_a_loop_over_the_other_classes(margin, dynamic):
    logits, labels = random_logits().detach(), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = []
    for z, y in zip(logits, labels.tolist(), strict=True):
        total = 0.0
        for i in range(4):
            if i != y:
                hinge = max(margin - z[y].item() + z[i].item(), 0.0)
                total += (1 - (z[y] - z[i]).item() / margin) * hinge if dynamic else hinge
        expected.append(total - z[y].item() if dynamic else total)
    losses = margin_loss(logits, labels, margin=margin, dynamic=dynamic, **AS_WRITTEN)
    assert losses.tolist() == pytest.approx(expected)


def test_margin_above_one_leaves_the_true_class_out():
    separated = torch.tensor([[100.0, 0.0, 0.0]])
    assert margin_loss(separated, Y, margin=5.0, **AS_WRITTEN).item() == 0.0


def test_mean_over_classes_divides_by_their_number():
    total = margin_loss(Z, Y, normalize_logits=False, reduction="sum").item()
    assert margin_loss(Z, Y, normalize_logits=False).item() == pytest.approx(total / 3)


def test_margin_loss_has_one_value_a_row():
    assert margin_loss(random_logits(), torch.zeros(6, dtype=torch.int64)).shape == (6,)


def test_margin_of_zero_logits_has_finite_gradients():
    z = torch.zeros(2, 3, requires_grad=True)
    margin_loss(z, torch.tensor([0, 1]), dynamic=True).sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("dynamic", [False, True])
def test_margin_gradient_is_the_numeric_one(dynamic):
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    assert gradcheck(lambda z: margin_loss(z, labels, margin=1.5, dynamic=dynamic), random_logits())


@pytest.mark.parametrize(("options", "name"), [({"margin": 0.0}, "margin"), ({"reduction": "mean"}, "reduction")])
def test_margin_loss_refuses_a_bad_option_by_name(options, name):
    with pytest.raises(ValueError, match=name):
        margin_loss(Z, Y, **options)


def test_minimax_entropy_of_the_worked_example():
    proba = torch.tensor([[0.7, 0.3], [0.5, 0.5]])
    assert 0.1 * minimax_entropy_loss(proba.log()).item() == pytest.approx(-0.0651986, abs=1e-4)


def test_minimax_entropy_is_zero_for_certain_rows_and_finite_for_huge_logits():
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    loss = minimax_entropy_loss(logits)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.isfinite().all()


def test_minimax_entropy_of_uniform_rows_is_minus_log_n_classes():
    assert minimax_entropy_loss(torch.zeros(3, 5)).item() == pytest.approx(-math.log(5))


def test_minimax_entropy_gradient_is_the_numeric_one():
    assert gradcheck(minimax_entropy_loss, random_logits())


def test_class_confusion_of_the_worked_example():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert minimum_class_confusion_loss(logits).item() == pytest.approx(0.470988, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_class_confusion_equals_a_loop(temperature):
    logits = random_logits(5, 3).detach()
    q = F.softmax(logits / temperature, dim=1)
    weight = [1 + math.exp(-sum(-p * math.log(p + 1e-5) for p in row.tolist())) for row in q]
    weight = [len(weight) * w / sum(weight) for w in weight]
    total = 0.0
    for c in range(3):
        row = [sum(weight[i] * q[i, c].item() * q[i, other].item() for i in range(5)) for other in range(3)]
        total += sum(row[other] for other in range(3) if other != c) / sum(row)
    assert minimum_class_confusion_loss(logits, temperature=temperature).item() == pytest.approx(total / 3)


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (4, 7), (30, 3)])
def test_class_confusion_and_its_gradient_are_those_of_the_matrix(n, n_classes):
    logits = random_logits(n, n_classes)
    q = F.softmax(logits / 2.5, dim=1)
    weight = (1 + torch.exp((q * (q + 1e-5).log()).sum(1))).detach()
    confusion = (q * (weight * n / weight.sum())[:, None]).T @ q
    confusion = confusion / confusion.sum(1, keepdim=True)
    expected = (confusion.sum() - confusion.trace()) / n_classes
    loss = minimum_class_confusion_loss(logits)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (loss, expected)))


def test_class_confusion_of_many_classes_makes_no_matrix_of_them():
    logits = torch.zeros(4, 300_000, requires_grad=True)
    minimum_class_confusion_loss(logits).backward()  # a matrix would have 9e10 values
    assert logits.grad.isfinite().all()


def test_class_confusion_with_an_absent_class_is_finite_with_finite_gradients():
    logits = torch.tensor([[300.0, 0.0, -300.0], [0.0, 300.0, -300.0]], requires_grad=True)
    loss = minimum_class_confusion_loss(logits, temperature=1.0)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_class_confusion_of_confident_rows_is_nearly_zero():
    assert minimum_class_confusion_loss(50 * torch.eye(3)).item() < 1e-6


def test_class_confusion_weights_are_constants_for_the_gradient():
    logits = random_logits(5, 3)
    q = F.softmax(logits / 2.5, dim=1)
    weight = (1 + torch.exp((q * (q + 1e-5).log()).sum(1))).detach()
    weight = weight * 5 / weight.sum()
    confusion = (q * weight[:, None]).T @ q
    confusion = confusion / confusion.sum(1, keepdim=True)
    (expected,) = torch.autograd.grad((confusion.sum() - confusion.trace()) / 3, logits)
    (gradient,) = torch.autograd.grad(minimum_class_confusion_loss(logits), logits)
    torch.testing.assert_close(gradient, expected)


def test_class_confusion_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="temperature"):
        minimum_class_confusion_loss(torch.zeros(2, 2), temperature=0.0)


def test_gradient_reversal_is_the_identity_forwards():
    x = random_logits()
    assert torch.equal(gradient_reversal(x, 0.3), x)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 2.0])
def test_gradient_reversal_scales_and_reverses_backwards(coefficient):
    x = random_logits()
    (plain,) = torch.autograd.grad(x.square().sum(), x)
    (reversed_,) = torch.autograd.grad(gradient_reversal(x, coefficient).square().sum(), x)
    torch.testing.assert_close(reversed_, -coefficient * plain)


def test_domain_loss_gives_each_domain_one_half_whatever_its_rows():
    source, target = torch.tensor([2.0]), torch.tensor([-1.0, 0.0, 3.0])
    expected = (-F.logsigmoid(source).mean() - F.logsigmoid(-target).mean()) / 2
    torch.testing.assert_close(domain_adversarial_loss(source, target), expected)
    torch.testing.assert_close(domain_adversarial_loss(source.repeat(9), target), expected)


def test_domain_loss_falls_where_source_logits_are_high():
    right, wrong = torch.tensor([5.0]), torch.tensor([-5.0])
    assert domain_adversarial_loss(right, wrong) < domain_adversarial_loss(wrong, right)


def test_domain_loss_gradient_is_the_numeric_one():
    source, target = random_logits(3, 1), random_logits(5, 1, seed=1)
    assert gradcheck(domain_adversarial_loss, (source, target))
