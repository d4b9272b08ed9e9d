"""Gradients of class-wise discriminators, against automatic differentiation."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skada_active.deep._class_gradient import ClassDomainGradient, class_domain_gradient
from skada_active.deep.objectives._adversarial import make_discriminator

every_depth = pytest.mark.parametrize("hidden", [(), (7,), (6, 5), (6, 5, 4)], ids=lambda hidden: f"{len(hidden)}")


def make(hidden, dtype=torch.float64, n_classes=3):
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        discriminator = make_discriminator(4, hidden, n_classes).to(dtype)
    return discriminator, torch.randn(9, 4, generator=generator, dtype=dtype)


def by_autograd(discriminator, features):
    """Return the gradients of -ln d_c, one backward pass for every class of every row."""
    rows = []
    for z in features:
        z = z.clone().requires_grad_()
        losses = -F.logsigmoid(discriminator(z))
        rows.append(torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in losses]))
    return torch.stack(rows)


@every_depth
def test_the_closed_form_is_what_autograd_finds(hidden):
    discriminator, features = make(hidden)
    gradient = class_domain_gradient(discriminator, features)
    torch.testing.assert_close(gradient, by_autograd(discriminator, features), rtol=1e-12, atol=1e-14)


@every_depth
def test_single_precision_is_close_to_double(hidden):
    discriminator, features = make(hidden)
    exact = by_autograd(discriminator, features).numpy()
    gradient = ClassDomainGradient(discriminator.float())(features.float().numpy())
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-6)


@every_depth
def test_one_class_and_no_rows_work(hidden):
    discriminator, features = make(hidden, n_classes=1)
    assert class_domain_gradient(discriminator, features).shape == (9, 1, 4)
    assert class_domain_gradient(discriminator, features[:0]).shape == (0, 1, 4)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_it_is_finite_where_the_probability_underflows(sign):
    discriminator = nn.Sequential(nn.Linear(2, 1))
    nn.init.constant_(discriminator[0].weight, sign * 1e4)
    gradient = class_domain_gradient(discriminator, torch.ones(1, 2))
    # -(1 - d) w: d = 0 where the sign is negative, d = 1 where it is positive.
    torch.testing.assert_close(gradient, torch.full((1, 1, 2), 1e4 if sign < 0 else 0.0))


def test_the_result_has_no_graph():
    discriminator, features = make((7,))
    assert not class_domain_gradient(discriminator, features.requires_grad_()).requires_grad


@pytest.mark.parametrize(
    "rebuilt", [lambda x: x, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["as made", "copy", "pickle"]
)
def test_further_training_does_not_change_what_was_read(rebuilt):
    discriminator, features = make((7,))
    gradient = rebuilt(ClassDomainGradient(discriminator))
    before = gradient(features.numpy())
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.add_(1)
    np.testing.assert_array_equal(gradient(features.numpy()), before)
    assert all(parameter.requires_grad for parameter in discriminator.parameters())
