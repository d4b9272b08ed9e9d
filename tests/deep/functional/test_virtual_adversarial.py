from __future__ import annotations

import pytest
import torch

from skada_active.deep.functional import virtual_adversarial_loss, virtual_adversarial_perturbation


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()


@pytest.fixture
def rows():
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def divergence(network, rows, step):
    p, q = network(rows).softmax(dim=1), network(rows + step).softmax(dim=1)
    return (p * (p / q).log()).sum(dim=1)


@pytest.mark.parametrize("epsilon", [0.1, 2.0])
def test_the_step_of_every_row_has_the_length_epsilon(rows, epsilon):
    net = network()
    step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=epsilon)
    torch.testing.assert_close(step.norm(dim=1), torch.full((5,), epsilon, dtype=torch.float64))


def test_the_step_changes_predictions_nearly_as_much_as_the_best_direction(rows):
    net = network()
    step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=0.01, n_iterations=20)
    p = net(rows).softmax(dim=1)
    for row, found, proba in zip(rows, step, p, strict=True):
        jacobian = torch.autograd.functional.jacobian(net, row)
        hessian = jacobian.T @ (proba.diag() - proba.outer(proba)) @ jacobian
        best = 0.5 * 0.01**2 * torch.linalg.eigvalsh(hessian)[-1]
        reached = 0.5 * found @ hessian @ found
        assert reached.item() == pytest.approx(best.item(), rel=0.02)


def test_loss_is_the_mean_divergence_at_that_step(rows):
    net = network()
    torch.manual_seed(0)
    step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=1.0)
    torch.manual_seed(0)
    loss = virtual_adversarial_loss(net, rows, net(rows), epsilon=1.0)
    torch.testing.assert_close(loss, divergence(net, rows, step).mean())


def test_search_leaves_no_gradient_in_the_network(rows):
    net = network()
    virtual_adversarial_perturbation(net, rows, net(rows), epsilon=1.0)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_step_is_found_where_gradients_are_off(rows):
    net = network()
    with torch.no_grad():
        step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=1.0)
    assert step.isfinite().all()
    assert not step.requires_grad


def test_a_network_that_ignores_its_inputs_gives_no_nan(rows):
    constant = network()
    with torch.no_grad():
        constant[0].weight.zero_()
    loss = virtual_adversarial_loss(constant, rows, constant(rows), epsilon=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
