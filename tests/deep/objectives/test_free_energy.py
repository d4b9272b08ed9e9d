from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from steps import leaf_step, make_network, make_step, module_of

from skada_active.deep import MCC, AdaptationClassifier, FreeEnergyAlignment


def free_energies(logits, beta):
    return [-math.log(sum(math.exp(beta * z) for z in row)) / beta for row in logits.tolist()]


def naive(steps, beta, momentum):
    """Return the loss of the last of some steps, by a loop."""
    bound = None
    for step in steps:
        energies = free_energies(step.logits[step.source], beta)
        now = sum(energies) / len(energies)
        bound = now if bound is None else momentum * bound + (1 - momentum) * now
    energies = free_energies(steps[-1].logits[step.target], beta)
    return sum(max(0.0, energy - bound) for energy in energies) / len(energies)


@pytest.mark.parametrize(("beta", "momentum"), [(1.0, 0.9), (0.5, 0.9), (2.0, 0.0)])
def test_the_bound_is_a_moving_average_of_the_mean_free_energy_of_source_rows(beta, momentum):
    network = make_network()
    term = module_of(FreeEnergyAlignment(beta=beta, momentum=momentum))
    steps = [make_step(network, seed=seed) for seed in range(4)]
    losses = [term.loss(step).item() for step in steps]
    assert losses == pytest.approx([naive(steps[: n + 1], beta, momentum) for n in range(4)])


def test_the_worked_example_against_a_bound_of_before():
    energies = torch.tensor([[-2.0, 0.0, 1.0], [-0.1, 0.0, 0.1], [3.0, 3.5, 4.0]])
    step = leaf_step(1, 0, 3)
    source = torch.full((1, 3), 1.5 - math.log(3))  # a free energy of -1.5
    step.logits = torch.cat([source, -energies])
    assert module_of(FreeEnergyAlignment()).loss(step).item() == pytest.approx(1.405929, abs=1e-6)


def test_no_gradient_reaches_the_source_rows():
    step = make_step(make_network())
    (by_logits,) = torch.autograd.grad(module_of(FreeEnergyAlignment()).loss(step), step.logits)
    assert not by_logits[: step.batch.n_labeled].any()
    assert by_logits[step.target].any()


def test_a_random_momentum_is_drawn_at_every_step():
    network = make_network()
    term = module_of(FreeEnergyAlignment(momentum="random"))
    steps = [make_step(network, seed=seed) for seed in range(3)]
    torch.manual_seed(3)
    for step in steps:
        term.loss(step)
    torch.manual_seed(3)
    means = [np.mean(free_energies(step.logits[step.source], 1.0)) for step in steps]
    bound = means[0]
    for mean in means:
        share = float(torch.rand(()))
        bound = share * bound + (1 - share) * mean
    assert term.bound.item() == pytest.approx(bound)


def test_steps_without_source_rows_neither_count_nor_move_the_bound():
    network = make_network()
    term = module_of(FreeEnergyAlignment())
    term(make_step(network))
    bound = term.bound.clone()
    assert term(make_step(network, 0, 2, 8, seed=1)) == 0
    assert torch.equal(term.bound, bound)


def test_the_bound_is_saved_and_goes_on(make_data):
    data = make_data()
    model = AdaptationClassifier(MCC() + FreeEnergyAlignment(), max_epochs=1, random_state=0).fit(*data)
    bound = model.net_.criterion_.objective.parts["freeenergyalignment"].bound
    twin = pickle.loads(pickle.dumps(model))
    assert torch.equal(twin.net_.criterion_.objective.parts["freeenergyalignment"].bound, bound)
    assert bound.isfinite()
    assert model.net_.history[-1]["free_energy_bound"] < 0
    assert np.array_equal(
        twin.partial_fit(*data).predict_proba(data[0]), model.partial_fit(*data).predict_proba(data[0])
    )


@pytest.mark.parametrize("options", [{"beta": 0.0}, {"momentum": 1.0}, {"momentum": "fixed"}, {"trade_off": -1.0}])
def test_parameters_out_of_range_are_named(options, make_data):
    (name,) = options
    with pytest.raises(ValueError, match=f"'{name}' parameter of FreeEnergyAlignment"):
        AdaptationClassifier(FreeEnergyAlignment(**options)).fit(*make_data())
