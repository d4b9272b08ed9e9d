"""EvidentialLoss: DUC's losses on a step, and what they make of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of
from torch.distributions import Dirichlet, kl_divergence

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier, EvidentialLoss
from skada_active.deep.functional import dirichlet_uncertainties
from skada_active.query import DUC, dirichlet_uncertainty


def divergence(step):
    alpha = step.labeled_logits.exp()
    alpha = torch.where(torch.nn.functional.one_hot(step.known_labels, 3).bool(), 1.0, alpha)
    return kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 0.05), (0.5, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 3.0)])
@pytest.mark.parametrize("trade_off", [1.0, 0.3])
def test_the_loss_is_the_weighted_sum_of_its_three_parts(weights, trade_off):
    step = leaf_step()
    distributional, data = dirichlet_uncertainties(step.logits[9:])
    of_rows = divergence(step)
    parts = (of_rows[:6].mean() + of_rows[6:].mean(), distributional.mean(), data.mean())
    expected = trade_off * sum(weight * part for weight, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(module_of(EvidentialLoss(*weights, trade_off=trade_off))(step), expected)
    torch.testing.assert_close(step.batch.terms["distributional_uncertainty"], parts[1].detach())
    torch.testing.assert_close(step.batch.terms["data_uncertainty"], parts[2].detach())


def test_the_defaults_are_those_of_the_published_configuration():
    params = EvidentialLoss().get_params()
    assert params == {"kl_weight": 1.0, "distributional_weight": 1.0, "data_weight": 0.05, "trade_off": 1.0}


def test_labelled_rows_are_averaged_like_the_cross_entropy():
    step = leaf_step(class_weight=torch.tensor([1.0, 2.0, 0.5]), source_weight=0.2, joint=True)
    found = module_of(EvidentialLoss(distributional_weight=0, data_weight=0))(step)
    torch.testing.assert_close(found, step.labeled_mean(divergence(step)))


def test_labels_of_the_target_batch_are_not_read():
    losses = [module_of(EvidentialLoss())(leaf_step(known=known)) for known in ((), (1, 3))]
    torch.testing.assert_close(*losses)


def test_without_labelled_target_rows_the_source_counts_alone():
    step = leaf_step(6, 0, 5)
    found = module_of(EvidentialLoss(distributional_weight=0, data_weight=0))(step)
    torch.testing.assert_close(found, divergence(step).mean())


@pytest.mark.parametrize("name", ["kl_weight", "distributional_weight", "data_weight"])
@pytest.mark.parametrize("value", [-0.1, "much", None])
def test_weights_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of EvidentialLoss must be"):
        EvidentialLoss(**{name: value})._validate_params()


def test_wrong_classes_have_no_evidence_and_target_rows_more_than_before(make_data):
    X, y, domain = make_data()
    known = np.where(domain < 0, -1, y)
    found = {}
    for objective in (EvidentialLoss(distributional_weight=0, data_weight=0), EvidentialLoss()):
        model = AdaptationClassifier(objective, max_epochs=6, batch_size=24, random_state=0).fit(X, known, domain)
        logits = model.decision_function(X)
        wrong = logits[domain >= 0][np.arange(len(logits[0]))[None] != y[domain >= 0][:, None]]
        assert np.abs(wrong).mean() < 1.0
        distributional, _ = dirichlet_uncertainty(logits[domain < 0])
        found[objective.distributional_weight] = distributional.mean()
    assert found[1.0] < 0.9 * found[0]


def test_the_method_runs_in_a_loop(make_data):
    X, y, domain = make_data()
    model = AdaptationClassifier(EvidentialLoss(), max_epochs=2, random_state=0)
    loop = ActiveAdaptationLoop(model, DUC(first_stage=2), budget=6, n_rounds=2, round_epochs=1, random_state=0)
    loop.fit(X, y, sample_domain=domain)
    assert len(set(loop.queried_ids_.tolist())) == 6
    assert {"distributional_uncertainty", "data_uncertainty", "evidential_loss"} <= loop.history_[-1]["loss"].keys()
