from __future__ import annotations

import math

import pytest
import torch
from steps import criterion_of, gradients, make_network, make_step
from torch.nn import functional as F

from skada_active.deep import MDD


def references(module, network, step, margin):
    """Return the labelled loss, and the discrepancy by a loop over the rows."""
    adversarial = module.adversarial_head(step.features)
    source, target = [], []
    for row, (logits, proba) in enumerate(zip(step.logits, adversarial.softmax(1), strict=True)):
        agreement = proba[logits.argmax()]
        if row < step.n_source:
            source.append(agreement.log())
        elif row >= step.batch.n_labeled:
            target.append((1 - agreement).log())
    losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
    labeled = losses[: step.n_source].mean() + losses[step.n_source :].mean()
    return labeled, margin * torch.stack(source).mean() + torch.stack(target).mean()


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_the_adversarial_head_raises_the_discrepancy_and_the_features_lower_it(head):
    network = make_network(head=head)
    step = make_step(network)
    options = {"margin": 2.0, "trade_off": 0.5, "max_reversal": 0.3, "hidden": (6,)}
    module, loss = criterion_of(MDD(schedule="constant", **options), network, step)
    labeled, discrepancy = references(module, network, step, 2.0)
    torch.testing.assert_close(loss, labeled - 0.5 * discrepancy)
    of_backbone, of_head, of_adversary = gradients(loss, network.backbone, network.head, module)
    torch.testing.assert_close(of_adversary, gradients(-0.5 * discrepancy, module)[0])
    torch.testing.assert_close(of_backbone, gradients(labeled + 0.3 * 0.5 * discrepancy, network.backbone)[0])
    torch.testing.assert_close(of_head, gradients(labeled, network.head)[0])


def test_the_reversal_warms_up_over_the_iterations_to_a_tenth():
    network = make_network()
    for iteration in (0, 700, 10**5):
        step = make_step(network, iteration=iteration)
        module, loss = criterion_of(MDD(), network, step)
        labeled, discrepancy = references(module, network, step, 4.0)
        coefficient = 0.1 * (2 / (1 + math.exp(-iteration / 1000)) - 1)
        expected = gradients(labeled + coefficient * discrepancy, network.backbone)
        torch.testing.assert_close(gradients(loss, network.backbone), expected)


@pytest.mark.parametrize("missing", ["n_source", "n_target"])
def test_a_step_without_rows_of_a_domain_is_a_plain_one(missing):
    network = make_network()
    step = make_step(network, **{missing: 0})
    _, loss = criterion_of(MDD(), network, step)
    losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
    blocks = [block for block in losses.tensor_split([step.n_source]) if len(block)]
    torch.testing.assert_close(loss, sum(block.mean() for block in blocks))


@pytest.mark.parametrize("options", [{"margin": 0}, {"hidden": (0,)}, {"schedule": "linear"}, {"max_reversal": -1}])
def test_parameters_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MDD(**options)._validate_params()
