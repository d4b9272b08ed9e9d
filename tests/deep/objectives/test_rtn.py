from __future__ import annotations

import pytest
import torch
from steps import attached, criterion_of, gradients, make_network, make_step
from torch.nn import functional as F

from skada_active.deep import RTN, AdaptationClassifier
from skada_active.deep.functional import multi_kernel_mmd


def residual(module, logits):
    first, _, last = module.residual
    return (logits @ first.weight.T + first.bias).clamp_min(0) @ last.weight.T + last.bias


def reference(module, step, scales, entropy_weight, trade_off):
    """Return the total loss by loops: outer products are made, entropies added up row by row."""
    source, labeled = step.n_source, step.batch.n_labeled
    logits = step.logits[:source] + residual(module, step.logits[:source])
    total = sum(-z.log_softmax(0)[k] for z, k in zip(logits, step.labels, strict=False)) / source
    total = total + F.cross_entropy(step.logits[source:labeled], step.labels[source:labeled])
    products = torch.stack(
        [torch.outer(f, z.softmax(0)).flatten() for f, z in zip(step.features, step.logits, strict=True)]
    )
    discrepancy = multi_kernel_mmd(products[:source], products[labeled:], kernel_scales=scales)
    entropy = sum(-(p * p.log()).sum() for p in step.logits[labeled:].softmax(1)) / step.n_target
    return total + trade_off * (discrepancy + entropy_weight * entropy)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_loss_and_gradients_equal_a_loop(head):
    network = make_network(head=head)
    step = make_step(network)
    module, loss = criterion_of(RTN(entropy_weight=0.7, kernel_scales=(0.5, 2.0), trade_off=0.4), network, step)
    expected = reference(module, step, (0.5, 2.0), 0.7, 0.4)
    torch.testing.assert_close(loss, expected)
    modules = network.backbone, network.head, module
    torch.testing.assert_close(gradients(loss, *modules), gradients(expected, *modules))


def test_the_source_classifier_begins_near_that_of_the_target():
    network = make_network()
    module = attached(RTN(), network)
    logits = make_step(network).logits
    assert 0 < residual(module, logits).abs().max() < 0.1 * logits.abs().max()


def test_source_rows_count_by_the_weights_of_their_classes_and_of_the_source():
    network = make_network()
    weight = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    step = make_step(network, n_labeled_target=0, class_weight=weight, source_weight=0.5)
    module, _ = criterion_of(RTN(), network, step)
    labels = step.labels[step.source]
    logits = step.logits[step.source] + residual(module, step.logits[step.source])
    expected = 0.5 * F.cross_entropy(logits, labels, weight=weight)
    torch.testing.assert_close(step.batch.terms["rtn_source_loss"], expected.detach())


@pytest.mark.parametrize("missing", ["n_source", "n_target"])
def test_a_step_without_rows_of_a_domain_is_a_plain_one(missing):
    network = make_network()
    step = make_step(network, **{missing: 0})
    _, loss = criterion_of(RTN(), network, step)
    losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
    blocks = [block for block in losses.tensor_split([step.n_source]) if len(block)]
    torch.testing.assert_close(loss, sum(block.mean() for block in blocks))


def test_a_kernel_scale_that_is_not_positive_is_named(make_data):
    with pytest.raises(ValueError, match="kernel_scales"):
        AdaptationClassifier(RTN(kernel_scales=(0.0,)), max_epochs=1).fit(*make_data())
