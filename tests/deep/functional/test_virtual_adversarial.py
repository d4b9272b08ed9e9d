from __future__ import annotations

import pytest
import torch

from skada_active.deep.functional import (
    virtual_adversarial_divergence,
    virtual_adversarial_loss,
    virtual_adversarial_perturbation,
)


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


def test_steps_are_measured_in_the_units_of_the_columns(rows):
    net = network()
    scale = torch.tensor([1.0, 10.0, 0.1, 5.0], dtype=torch.float64)
    direction = torch.randn(4, generator=torch.Generator().manual_seed(3))
    in_units = virtual_adversarial_perturbation(
        lambda units: net(units * scale), rows / scale, net(rows), epsilon=0.7, direction=direction
    )
    step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=0.7, scale=scale, direction=direction)
    torch.testing.assert_close(step / scale, in_units)


def test_every_row_may_have_a_length_of_its_own(rows):
    net = network()
    lengths = torch.tensor([0.0, 0.1, 0.2, 1.0, 3.0])
    step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=lengths)
    torch.testing.assert_close(step.norm(dim=1), lengths.double())


def test_float32_finds_the_direction_of_float64_which_a_tiny_probe_does_not(rows):
    exact = network().requires_grad_(False)
    single = network().requires_grad_(False).float()
    direction = torch.ones(4)
    inputs = 3 * rows
    expected = virtual_adversarial_perturbation(exact, inputs, exact(inputs), epsilon=1.0, xi=1e-6, direction=direction)
    inputs = inputs.float()

    def agreement(**options):
        step = virtual_adversarial_perturbation(
            single, inputs, single(inputs), epsilon=1.0, direction=direction, **options
        )
        return torch.cosine_similarity(step.double(), expected).min().item()

    assert agreement() > 0.99
    assert agreement(xi=1e-6) < 0.99


def test_tiny_gradients_give_a_step_of_whole_length(rows):
    net = network()
    with torch.no_grad():
        net[0].weight *= 1e-25
    single = net.float()
    step = virtual_adversarial_perturbation(single, rows.float(), single(rows.float()), epsilon=2.0)
    torch.testing.assert_close(step.norm(dim=1), torch.full((5,), 2.0))


@pytest.mark.parametrize("n_restarts", [1, 4])
def test_divergence_of_rows_is_that_of_loops_over_pairs_of_restarts(rows, n_restarts):
    net = network()
    generator = torch.Generator().manual_seed(7)
    moved = []
    for _ in range(n_restarts):
        direction = torch.randn(4, generator=generator)
        step = virtual_adversarial_perturbation(net, rows, net(rows), epsilon=1.5, direction=direction)
        moved.append(net(rows + step).softmax(dim=1))
    clean = net(rows).softmax(dim=1)
    for row, value in enumerate(
        virtual_adversarial_divergence(net, rows, net(rows), epsilon=1.5, n_restarts=n_restarts, seed=7)
    ):
        total = sum((clean[row] * (clean[row] / q[row]).log()).sum() for q in moved)
        for r, p in enumerate(moved):
            for s, q in enumerate(moved):
                total += (p[row] * (p[row] / q[row]).log()).sum() if r != s else 0
        assert value.item() == pytest.approx(total.item() / n_restarts**2)


def test_divergence_of_a_row_does_not_depend_on_the_others(rows):
    net = network()
    whole = virtual_adversarial_divergence(net, rows, net(rows), epsilon=1.0)
    part = virtual_adversarial_divergence(net, rows[3:], net(rows[3:]), epsilon=1.0)
    torch.testing.assert_close(part, whole[3:])
    assert not whole.requires_grad


def test_divergence_is_larger_near_a_decision_boundary():
    def logits(rows):
        return torch.cat([rows, -rows], dim=1)

    rows = torch.tensor([[0.1], [1.0], [4.0]])
    divergence = virtual_adversarial_divergence(logits, rows, logits(rows), epsilon=1.0)
    assert divergence.argsort(descending=True).tolist() == [0, 1, 2]


def test_divergence_leaves_the_global_generator_alone(rows):
    net = network()
    state = torch.get_rng_state()
    virtual_adversarial_divergence(net, rows, net(rows), epsilon=1.0)
    assert torch.equal(torch.get_rng_state(), state)
