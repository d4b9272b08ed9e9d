from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import skops.io
import torch
from steps import Views, attached, gradients, make_network, make_step
from torch import nn

from skada_active.deep import MCC, AdaptationClassifier, SelfEnsembling


def naive(student_logits, teacher_logits, threshold):
    total = 0.0
    for z, t in zip(student_logits, teacher_logits, strict=True):
        p, q = z.softmax(dim=0), t.softmax(dim=0)
        if q.max() > threshold:
            total = total + ((p - q) ** 2).sum() / len(p)
    return total / len(student_logits)


def nudged(network, generator):
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0])
def test_the_loss_equals_a_loop_over_the_confident_rows_of_the_teacher(threshold):
    network, views = make_network(), Views()
    term = attached(SelfEnsembling(trade_off=1.0, decay=0.9, confidence_threshold=threshold), network)
    nudged(network, torch.Generator().manual_seed(1))
    loss = term(make_step(network, augmentation=views))
    student_logits, teacher_logits = network(views.made[0])[0], term.teacher(views.made[1])[0]
    expected = naive(student_logits, teacher_logits, threshold)
    assert loss.item() == pytest.approx(torch.as_tensor(expected).item())
    if threshold < 1:
        for ours, theirs in zip(gradients(loss, network), gradients(expected, network), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_teacher_is_a_moving_average_of_the_weights():
    network = make_network()
    term = attached(SelfEnsembling(decay=0.75), network)
    averages = [weight.detach().clone() for weight in network.parameters()]
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        nudged(network, generator)
        term(make_step(network, augmentation=Views()))
        averages = [0.75 * a + 0.25 * w.detach() for a, w in zip(averages, network.parameters(), strict=True)]
    for kept, average in zip(term.teacher.parameters(), averages, strict=True):
        torch.testing.assert_close(kept, average)
        assert not kept.requires_grad


def test_the_teacher_normalises_by_the_statistics_of_its_own_view():
    network, views = make_network(nn.BatchNorm1d(4)), Views()
    term = attached(SelfEnsembling(trade_off=1.0, decay=0.0, confidence_threshold=0.0), network)
    loss = term(make_step(network, augmentation=views))
    proba = []
    for view in views.made:
        hidden = network.backbone[0](view)
        scaled = (hidden - hidden.mean(dim=0)) / (hidden.var(dim=0, unbiased=False) + 1e-5).sqrt()
        proba.append(network.head(scaled).softmax(dim=1))
    assert loss.item() == pytest.approx((proba[0] - proba[1]).square().mean().item())


def test_buffers_of_the_teacher_are_those_of_the_network():
    network = make_network(nn.BatchNorm1d(4, momentum=1.0))
    network.backbone[1].eval()  # as frozen batch normalisation is
    term = attached(SelfEnsembling(), network)
    with torch.no_grad():
        network.backbone[1].running_mean += 3
    term(make_step(network, augmentation=Views()))
    assert torch.equal(term.teacher.backbone[1].running_mean, network.backbone[1].running_mean)


@pytest.mark.parametrize("n_target", [1, 2])
def test_few_target_rows_pass_through_batch_normalisation(n_target):
    network = make_network(nn.BatchNorm1d(4))
    term = attached(SelfEnsembling(confidence_threshold=0.0), network)
    assert term(make_step(network, 4, 0, n_target, augmentation=Views())).isfinite()


CARRIERS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "skops": lambda model: skops.io.loads(
        (content := skops.io.dumps(model)), trusted=skops.io.get_untrusted_types(data=content)
    ),
}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_the_teacher_is_saved_and_goes_on(carrier, make_data):
    data = make_data()
    objective = SelfEnsembling(confidence_threshold=0.4) + MCC()
    model = AdaptationClassifier(objective, augmentation="auto", max_epochs=1, random_state=0).fit(*data)
    twin = carrier(model)
    teachers = [it.net_.criterion_.objective.parts["selfensembling"].teacher for it in (model, twin)]
    assert torch.equal(teachers[0].head.weight, teachers[1].head.weight)
    assert not torch.equal(teachers[0].head.weight, model.net_.module_.head.weight)
    assert not teachers[1].head.weight.requires_grad
    assert np.array_equal(
        twin.partial_fit(*data).predict_proba(data[0]), model.partial_fit(*data).predict_proba(data[0])
    )


def test_without_an_augmentation_there_is_an_error(make_data):
    with pytest.raises(ValueError, match='augmentation="auto"'):
        AdaptationClassifier(SelfEnsembling()).fit(*make_data())
