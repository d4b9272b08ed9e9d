from __future__ import annotations

import pytest
import torch
from torch import nn

from skada_active.deep.functional import gradient_reversal
from skada_active.deep.objectives import _parallel
from skada_active.deep.objectives._adversarial import make_discriminator
from skada_active.deep.objectives._parallel import ParallelDiscriminators, packed_rows, reversed_logit, take_rows

every_depth = pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


@pytest.fixture(params=["one block", "blocks"])
def _in_blocks(request, monkeypatch):
    if request.param == "blocks":
        monkeypatch.setattr(_parallel, "_MOST_WEIGHTS", 48)  # two networks at most, in some only one


def separate(parallel, hidden):
    """Return one plain network for each of the parallel ones, with copies of its weights."""
    networks = []
    for block in parallel.blocks:
        for k in range(len(block.weights[0])):
            network = make_discriminator(block.weights[0].shape[2], hidden, 1).double()
            linear = [layer for layer in network if isinstance(layer, nn.Linear)]
            for layer, weight, bias in zip(linear, block.weights, block.biases, strict=True):
                layer.weight.data, layer.bias.data = weight[k].detach().clone(), bias[k, 0].detach().clone()
            networks.append(network)
    return networks


def weights_of(parallel):
    return [weight for block in parallel.blocks for weight in block.weights]


def make(hidden, n_networks=3, n_features=4, n_rows=7):
    parallel = ParallelDiscriminators(n_networks, n_features, hidden).double()
    return parallel, torch.randn(n_networks, n_rows, n_features, dtype=torch.float64, requires_grad=True)


@every_depth
@pytest.mark.usefixtures("_in_blocks")
def test_parallel_networks_equal_separate_ones_in_value_and_gradient(hidden):
    parallel, rows = make(hidden)
    networks = separate(parallel, hidden)
    logit = parallel(rows)
    expected = torch.stack([network(x)[:, 0] for network, x in zip(networks, rows, strict=True)])
    torch.testing.assert_close(logit, expected)
    weight = torch.randn_like(logit)
    (gradient,) = torch.autograd.grad((weight * logit).sum(), rows, retain_graph=True)
    (weight * logit).sum().backward(inputs=list(parallel.parameters()))
    (by_rows,) = torch.autograd.grad((weight * expected).sum(), rows, retain_graph=True)
    (weight * expected).sum().backward(inputs=[p for network in networks for p in network.parameters()])
    torch.testing.assert_close(gradient, by_rows)
    by_network = [
        [p.grad[k].flatten() for layer in zip(block.weights, block.biases, strict=True) for p in layer]
        for block in parallel.blocks
        for k in range(len(block.weights[0]))
    ]
    torch.testing.assert_close(by_network, [[p.grad.flatten() for p in network.parameters()] for network in networks])


@every_depth
def test_blocks_change_neither_first_weights_nor_what_is_drawn_later(hidden, monkeypatch):
    drawn = []
    for most in (10**6, 48, 1):
        monkeypatch.setattr(_parallel, "_MOST_WEIGHTS", most)
        torch.manual_seed(1)
        parallel = ParallelDiscriminators(5, 4, hidden)
        layers = zip(*(block.parameters() for block in parallel.blocks), strict=True)
        drawn.append([torch.cat(layer).detach() for layer in layers] + [torch.rand(3)])
    assert len(parallel.blocks) == 5
    torch.testing.assert_close(drawn[1:], [drawn[0], drawn[0]], rtol=0, atol=0)


def test_gradients_of_weights_lie_in_memory_as_the_weights_do():
    parallel, rows = make((6, 4))
    parallel(rows).sum().backward()
    assert all(p.grad.is_contiguous() for p in parallel.parameters())


@every_depth
def test_autocast_reaches_forward_and_backward_pass(hidden):
    parallel, rows = make(hidden)
    parallel, rows = parallel.float(), rows.detach().float().requires_grad_()
    exact = parallel(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logit = parallel(rows)
    assert logit.dtype == torch.bfloat16
    torch.testing.assert_close(logit.float(), exact, rtol=0.05, atol=0.05)
    gradients = (torch.autograd.grad(value.float().sum(), (rows, *parallel.parameters())) for value in (logit, exact))
    for half, full in zip(*gradients, strict=True):
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, full, rtol=0.1, atol=0.2)


@every_depth
@pytest.mark.usefixtures("_in_blocks")
def test_the_gradient_in_closed_form_is_that_of_autograd(hidden):
    parallel, rows = make(hidden)
    logit, gradient = parallel.with_gradient(rows)
    torch.testing.assert_close(logit, parallel(rows))
    torch.testing.assert_close(gradient, torch.autograd.grad(logit.sum(), rows)[0])


@every_depth
@pytest.mark.usefixtures("_in_blocks")
def test_the_closed_form_may_be_differentiated_like_a_double_backward_pass(hidden):
    parallel, rows = make(hidden)
    direction = torch.randn_like(rows)
    _, gradient = parallel.with_gradient(rows)
    (again,) = torch.autograd.grad(parallel(rows).sum(), rows, create_graph=True)
    weights = weights_of(parallel)
    ours, theirs = (torch.autograd.grad((direction * g).sum(), weights, retain_graph=True) for g in (gradient, again))
    torch.testing.assert_close(ours, theirs)


@every_depth
@pytest.mark.parametrize("coefficient", [0.0, 0.4, 1.0])
def test_reversed_logits_are_those_of_reversed_rows_in_value_and_gradient(hidden, coefficient):
    parallel, rows = make(hidden)
    weight = torch.randn(3, 7, dtype=torch.float64)
    logits = (
        reversed_logit(*_of(parallel, rows), coefficient),
        parallel(gradient_reversal(rows, coefficient)),
    )
    torch.testing.assert_close(*logits, rtol=0, atol=0)
    inputs = (rows, *parallel.parameters())
    torch.testing.assert_close(*(torch.autograd.grad((weight * logit).sum(), inputs) for logit in logits))


def _of(parallel, rows):
    logit, gradient = parallel.with_gradient(rows)
    return logit, rows, gradient


@every_depth
def test_a_single_network_starts_from_the_weights_of_a_plain_one(hidden):
    torch.manual_seed(3)
    parallel = ParallelDiscriminators(1, 4, hidden)
    torch.manual_seed(3)
    plain = [parameter.detach() for parameter in make_discriminator(4, hidden, 1).parameters()]
    (block,) = parallel.blocks
    own = [p[0].detach() for pair in zip(block.weights, block.biases, strict=True) for p in pair]
    torch.testing.assert_close(own, [p.view_as(q) for p, q in zip(plain, own, strict=True)])


def test_networks_start_from_different_weights():
    weights = ParallelDiscriminators(2, 4, (5,)).blocks[0].weights[0]
    assert not torch.equal(weights[0], weights[1])


def test_packed_rows_are_those_with_a_weight_in_order():
    weight = torch.tensor([[0.0, 2.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.5]])
    assert packed_rows(weight).tolist() == [[1, 3], [0, 3]]


def test_packed_rows_are_filled_up_by_rows_without_weight():
    weight = torch.tensor([[0.0, 2.0, 3.0, 1.0], [0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
    rows = packed_rows(weight)
    assert rows.shape == (3, 3)
    assert weight.gather(1, rows).sum(1).tolist() == [6.0, 0.5, 0.0]


def test_without_any_weight_there_are_no_packed_rows():
    assert packed_rows(torch.zeros(2, 3)).shape == (2, 0)


def test_taken_rows_are_those_of_the_table():
    features = torch.randn(5, 3)
    rows = torch.tensor([[4, 0], [2, 2], [1, 4]])
    assert torch.equal(take_rows(features, rows), features[rows])
    assert take_rows(features, rows[:, :0]).shape == (3, 0, 3)


def test_gradients_of_taken_rows_do_not_depend_on_the_threads():
    features, rows = torch.randn(32, 64, requires_grad=True), torch.randint(32, (40, 60))
    gradient = torch.randn(40, 60, 64)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        taken = [torch.autograd.grad(take_rows(features, rows), features, gradient)[0] for _ in range(10)]
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(taken[0], other) for other in taken)
