from __future__ import annotations

import math

import numpy as np
import pytest
import steps
import torch
from torch import nn

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, VAT, AdaptationClassifier
from skada_active.deep._module import AdaptationModule
from skada_active.deep.functional import (
    minimax_entropy_loss,
    virtual_adversarial_divergence,
    virtual_adversarial_loss,
)
from skada_active.networks import MLP, Standardize
from skada_active.query import S3VAADA

N_SOURCE, N_LABELED = 6, 8
SCALE = torch.tensor([1.0, 100.0, 0.01, 5.0])


def make_network(standardize=True, batch_norm=False):
    torch.manual_seed(0)
    layers = [Standardize(torch.zeros(4), SCALE)] if standardize else []
    backbone = nn.Sequential(*layers, MLP(4, hidden=(8, 6), batch_norm=batch_norm))
    return AdaptationModule(backbone, nn.Linear(6, 3)).double()


def make_step(network, n_target=5):
    return steps.make_step(network, N_SOURCE, N_LABELED - N_SOURCE, n_target, units=SCALE)


def expected_loss(network, step, *, epsilon, source=1.0, target=0.01, entropy=0.01, scale=SCALE, n_power=1, xi=None):
    loss = -entropy * minimax_entropy_loss(step.logits[N_LABELED:])
    for weight, rows in ((source, step.inputs[:N_SOURCE]), (target, step.inputs[N_LABELED:])):
        lengths = epsilon(rows) if callable(epsilon) else epsilon
        loss = loss + weight * virtual_adversarial_loss(
            lambda rows: network(rows)[0],
            rows,
            network(rows)[0],
            epsilon=lengths,
            scale=scale,
            n_iterations=n_power,
            xi=xi,
        )
    return loss


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epsilon": 0.7}, {"epsilon": 0.7}),
        ({"epsilon": 0.7, "source_weight": 0.3}, {"epsilon": 0.7, "source": 0.3}),
        ({"epsilon": 0.7, "target_weight": 2.0}, {"epsilon": 0.7, "target": 2.0}),
        ({"epsilon": 0.7, "entropy_weight": 1.0}, {"epsilon": 0.7, "entropy": 1.0}),
        ({"epsilon": 0.7, "n_power": 3}, {"epsilon": 0.7, "n_power": 3}),
        ({"epsilon": 0.7, "xi": 0.5}, {"epsilon": 0.7, "xi": 0.5}),
    ],
)
def test_loss_is_the_weighted_sum_of_its_parts(options, expected):
    network = make_network()
    step = make_step(network)
    torch.manual_seed(3)
    loss = VAT(**options).loss(step)
    torch.manual_seed(3)
    torch.testing.assert_close(loss, expected_loss(network, step, **expected))


def test_automatic_steps_are_a_tenth_of_a_standardised_row():
    network = make_network()
    step = make_step(network)
    torch.manual_seed(3)
    loss = VAT().loss(step)
    torch.manual_seed(3)
    torch.testing.assert_close(loss, expected_loss(network, step, epsilon=0.1 * math.sqrt(4)))


def test_automatic_steps_of_raw_rows_are_a_tenth_of_their_length():
    network = make_network(standardize=False)
    step = make_step(network)
    torch.manual_seed(3)
    loss = VAT().loss(step)
    torch.manual_seed(3)
    lengths = {"epsilon": lambda rows: 0.1 * rows.norm(dim=1), "scale": None}
    torch.testing.assert_close(loss, expected_loss(network, step, **lengths))


def test_automatic_steps_of_images_are_those_of_the_paper():
    seen = []

    class Network(nn.Module):
        def forward(self, images):
            seen.append(images.detach())
            return images.flatten(1) @ torch.ones(12, 2) * torch.tensor([1.0, -1.0]), images

    VAT().divergence(Network(), torch.zeros(3, 3, 2, 2), torch.zeros(3, 2))
    torch.testing.assert_close(seen[1].flatten(1).norm(dim=1), torch.full((3,), 5.0))


def test_running_statistics_are_those_of_a_step_without_the_loss():
    def statistics(objective):
        network = make_network(batch_norm=True)
        step = make_step(network)
        if objective is not None:
            objective.loss(step).backward()
        return network.state_dict()

    plain, vat = statistics(None), statistics(VAT(epsilon=1.0))
    assert any("running" in name for name in plain)
    for name, value in plain.items():
        assert torch.equal(vat[name], value), name


def test_statistics_are_tracked_again_after_the_loss_and_after_an_error():
    network = make_network(batch_norm=True)
    step = make_step(network)
    VAT(epsilon=1.0).loss(step)
    step.inputs = step.inputs[:, :2]
    with pytest.raises(RuntimeError):
        VAT(epsilon=1.0).loss(step)
    assert all(module.track_running_stats for module in network.modules() if isinstance(module, nn.BatchNorm1d))


def test_a_step_of_length_zero_costs_nothing_even_with_batch_statistics():
    # Rows of a block are normalised by themselves before and after the step.
    network = make_network(batch_norm=True)
    step = make_step(network)
    loss = VAT(epsilon=1e-7, entropy_weight=0.0).loss(step)
    assert loss.item() == pytest.approx(0, abs=1e-9)


def test_a_block_of_a_single_row_has_statistics():
    network = make_network(batch_norm=True)
    loss = VAT(epsilon=1.0).loss(make_step(network, n_target=1))
    assert loss.isfinite()


def test_parts_of_weight_zero_are_not_computed():
    calls = []
    network = make_network()
    step = make_step(network)
    step.forward = lambda rows: calls.append(rows) or network(rows)
    VAT(epsilon=1.0, source_weight=0.0, target_weight=0.0).loss(step)
    assert calls == []
    VAT(epsilon=1.0, target_weight=0.0).loss(step)
    assert len(calls) == 3


def test_vaada_is_a_sum_of_objectives(make_data):
    model = AdaptationClassifier(VAT() + DANN(trade_off=0.01), max_epochs=2, random_state=0).fit(*make_data())
    assert {"vat_loss", "domain_loss"} <= model.loss_terms_.keys()


def test_steps_do_not_depend_on_the_units_of_the_columns(make_data):
    X, y, domain = make_data()
    scale = np.array([1, 128, 1 / 32, 4], dtype=np.float32)  # by powers of two nothing is rounded
    options = {"standardize": True, "max_epochs": 2, "random_state": 0}
    models = [AdaptationClassifier(VAT(), **options).fit(rows, y, domain) for rows in (X, X * scale)]
    divergences = [
        model.pool_outputs(rows, {"virtual_divergence"})["virtual_divergence"]
        for model, rows in zip(models, (X, X * scale), strict=True)
    ]
    np.testing.assert_allclose(*divergences, rtol=1e-3)


def test_divergence_of_the_pool_is_that_of_the_objective_of_the_model(make_data):
    X, y, domain = make_data()
    options = {"max_epochs": 1, "random_state": 0}
    for objective, epsilon in [
        (None, 0.2),
        (VAT(epsilon=1.5, trade_off=0.0), 1.5),
        (DANN() + VAT(epsilon=0.5), 0.5),
    ]:
        model = AdaptationClassifier(objective, **options).fit(X, y, domain)
        module = model.net_.module_.eval()
        rows = torch.as_tensor(X)
        expected = virtual_adversarial_divergence(
            lambda rows, module=module: module(rows)[0],
            rows,
            module(rows)[0],
            epsilon=epsilon,
            scale=module.backbone[0].scale,
        )
        found = model.pool_outputs(X, {"virtual_divergence"})["virtual_divergence"]
        np.testing.assert_allclose(found, expected.numpy(), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 5, 20])
def test_divergence_repeats_itself_and_depends_on_no_other_row(make_data, n_rows):
    X, y, domain = make_data()
    model = AdaptationClassifier(max_epochs=1, random_state=0).fit(X, y, domain)

    def divergence(rows):
        return model.pool_outputs(rows, {"virtual_divergence"})["virtual_divergence"]

    whole = divergence(X)
    np.testing.assert_array_equal(divergence(X), whole)
    parts = [divergence(X[start : start + n_rows]) for start in range(0, 20, n_rows)]
    np.testing.assert_allclose(np.concatenate(parts), whole[:20], rtol=1e-3, atol=1e-6)
    assert (whole > 0).all()
    assert whole.dtype == np.float32


def test_reading_the_divergence_leaves_network_and_generators_as_they_were(make_data):
    X, y, domain = make_data()
    model = AdaptationClassifier(max_epochs=1, random_state=0).fit(X, y, domain)
    before = {name: value.clone() for name, value in model.net_.module_.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        model.pool_outputs(X, {"virtual_divergence"})
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.net_.module_.state_dict().items())


def test_s3vaada_runs_in_a_loop_on_a_network_that_vaada_trains(make_data):
    X, _, domain = make_data()
    y = np.arange(len(X)) % 3
    model = AdaptationClassifier(VAT() + DANN(trade_off=0.01), max_epochs=2, random_state=0)
    loop = ActiveAdaptationLoop(model, S3VAADA(), budget=6, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert len(set(loop.queried_ids_.tolist())) == 6
    assert (domain[loop.queried_ids_] < 0).all()


def test_images_have_a_divergence_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 1, 8, 8)).astype(np.float32)
    y, domain = np.arange(24) % 2, np.repeat([1, -1], 12)
    y[16:] = -1
    model = AdaptationClassifier(VAT(), max_epochs=1, batch_size=8, random_state=0).fit(X, y, domain)
    divergence = model.pool_outputs(X, {"virtual_divergence"})["virtual_divergence"]
    assert divergence.shape == (24,)
    assert (divergence > 0).all()
