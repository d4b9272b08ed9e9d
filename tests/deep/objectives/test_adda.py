from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from steps import attached, criterion_of, gradients, make_network, make_step
from torch import nn
from torch.nn import functional as F

from skada_active.deep import ADDA, AdaptationClassifier, MarginLoss
from skada_active.deep._module import AdaptationCriterion


def by_source_network(module, step):
    return module.source_network(step.inputs[step.source])[1]


def test_the_first_stage_is_the_labelled_loss_alone():
    network = make_network()
    step = make_step(network, progress=0.49)
    module, loss = criterion_of(ADDA(), network, step)
    plain = AdaptationCriterion.labeled_loss(make_step(network))
    torch.testing.assert_close(loss, plain)
    assert not gradients(loss, module)[0].any()
    with pytest.raises(ValueError, match="untrained"):
        module.source_logit(step.features, step.logits)


def test_discriminator_and_encoder_are_trained_by_their_own_losses():
    network = make_network()
    module = attached(ADDA(encoder_weight=0.3, trade_off=0.7, hidden=(6,)), network)
    criterion = AdaptationCriterion(module)
    criterion(make_step(network))
    with torch.no_grad():  # the encoder goes on, its copy does not
        network.backbone[0].weight += 0.3
    step = make_step(network)
    loss = criterion(step)
    source, target = by_source_network(module, step), step.features[step.target]
    assert not torch.equal(source, step.features[step.source])
    of_source, of_target = (module.discriminator(rows)[:, 0].sigmoid() for rows in (source, target))
    discriminator = -(of_source.log().mean() + (1 - of_target).log().mean()) / 2
    encoder = -of_target.log().mean()
    labeled = F.cross_entropy(step.logits[step.labeled_target], step.labels[step.labeled_target])
    torch.testing.assert_close(loss, labeled + 0.7 * (discriminator + 0.3 * encoder))
    by_backbone, by_head, by_discriminator = gradients(loss, network.backbone, network.head, module)
    torch.testing.assert_close(by_discriminator, gradients(0.7 * discriminator, module)[0])
    torch.testing.assert_close(by_backbone, gradients(labeled + 0.7 * 0.3 * encoder, network.backbone)[0])
    torch.testing.assert_close(by_head, gradients(labeled, network.head)[0])


def test_class_probabilities_are_told_apart_without_training_the_head():
    network = make_network(head="cosine")
    step = make_step(network, n_labeled_target=0)
    objective = ADDA(discriminator_input="proba", encoder_weight=0.3, pretrain=0.0)
    module, loss = criterion_of(objective, network, step)
    source = module.source_network(step.inputs[step.source])[0].softmax(1)
    of_source, of_target = (
        module.discriminator(rows)[:, 0].sigmoid() for rows in (source, step.logits[step.target].softmax(1))
    )
    discriminator = -(of_source.log().mean() + (1 - of_target).log().mean()) / 2
    encoder = -0.3 * of_target.log().mean()
    torch.testing.assert_close(loss, discriminator + encoder)
    by_backbone, by_head, by_discriminator = gradients(loss, network.backbone, network.head, module)
    torch.testing.assert_close(by_backbone, gradients(encoder, network.backbone)[0])
    torch.testing.assert_close(by_head, torch.zeros_like(by_head))
    torch.testing.assert_close(by_discriminator, gradients(discriminator, module)[0])


def test_without_labelled_target_rows_the_head_gets_no_gradient_in_the_second_stage():
    network = make_network()
    _, loss = criterion_of(ADDA(), network, make_step(network, n_labeled_target=0))
    assert not gradients(loss, network.head)[0].any()
    assert gradients(loss, network.backbone)[0].any()


def test_the_copy_is_the_network_at_the_end_of_the_first_stage():
    network = make_network()
    module = attached(ADDA(), network)
    with torch.no_grad():
        network.backbone[0].weight += 1
    criterion = AdaptationCriterion(module)
    criterion(make_step(network, progress=0.2))
    assert not torch.equal(module.source_network.backbone[0].weight, network.backbone[0].weight)
    criterion(make_step(network, progress=0.5))
    torch.testing.assert_close(module.source_network.state_dict(), network.state_dict())
    copied = copy.deepcopy(module.source_network.state_dict())
    with torch.no_grad():
        network.backbone[0].weight += 1
    criterion(make_step(network, progress=0.1))  # a later call of training
    torch.testing.assert_close(module.source_network.state_dict(), copied)
    assert not module.train().source_network.training


def test_source_rows_leave_all_labelled_losses_in_the_second_stage():
    network = make_network()
    step = make_step(network, n_labeled_target=0)
    module = attached(ADDA(), network)
    module.prepare(step)
    assert MarginLoss().loss(step) == 0


@pytest.mark.parametrize("missing", ["n_source", "n_target"])
def test_a_step_without_rows_of_a_domain_is_a_plain_one(missing):
    network = make_network()
    step = make_step(network, **{missing: 0})
    module, loss = criterion_of(ADDA(), network, step)
    torch.testing.assert_close(loss, AdaptationCriterion.labeled_loss(make_step(network, **{missing: 0})))
    assert not module.is_trained


def test_the_second_stage_goes_on_in_later_rounds_and_after_a_pickle(make_data):
    backbone = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
    model = AdaptationClassifier(ADDA(), module=backbone, max_epochs=2, batch_size=16, random_state=0)
    model.fit(*make_data())
    assert model.net_.criterion_.objective.is_trained
    copied = copy.deepcopy(model.net_.criterion_.objective.source_network.state_dict())
    twin = pickle.loads(pickle.dumps(model))
    for one in (model, twin):
        one.partial_fit(*make_data())
    torch.testing.assert_close(twin.net_.criterion_.objective.source_network.state_dict(), copied)
    X = make_data()[0]
    np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
    np.testing.assert_array_equal(model.domain_logit(X), twin.domain_logit(X))


@pytest.mark.parametrize("options", [{"pretrain": 1.5}, {"hidden": (0,)}, {"encoder_weight": -1}])
def test_parameters_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ADDA(**options)._validate_params()
