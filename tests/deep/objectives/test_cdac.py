from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from steps import Views, gradients, make_network, make_step, module_of
from torch import nn
from torch.nn import functional as F

from skada_active.deep import CDAC, MCC, AdaptationClassifier


def naive_clustering(features, proba, other_proba, top_k):
    strongest = [set(row.argsort(descending=True)[:top_k].tolist()) for row in features]
    total = 0.0
    for i, p in enumerate(proba):
        for j, q in enumerate(other_proba):
            same = (p * q).sum()
            total = total - torch.log((same if strongest[i] == strongest[j] else 1 - same) + 1e-7)
    return total / len(proba) ** 2


def naive_terms(step, network, views, top_k=2, threshold=0.95):
    """Return the three losses, not weighted, and no gradient turned round."""
    proba = step.logits[step.target].softmax(dim=1)
    first, second = (network(view)[0].softmax(dim=1) for view in views.made)
    pseudo_label = sum(
        -second[i, p.argmax()].log() for i, p in enumerate(proba.detach()) if p.max() >= threshold
    ) / len(proba)
    consistency = (first - second).square().mean()
    return naive_clustering(step.features[step.target], proba, first, top_k), pseudo_label, consistency


def run(objective, layers=(), sizes=(6, 2, 8), **options):
    network, views = make_network(*layers), Views()
    step = make_step(network, *sizes, augmentation=views, **options)
    return module_of(objective)(step), step, network, views


def test_the_loss_is_the_weighted_sum_of_its_terms():
    objective = CDAC(clustering_weight=0.5, pseudo_label_weight=2.0, consistency_weight=7.0, rampup_steps=1000, top_k=2)
    loss, step, network, views = run(objective)
    clustering, pseudo_label, consistency = naive_terms(step, network, views)
    assert min(clustering, pseudo_label, consistency) > 1e-4
    weight = 7 * math.exp(-5 * 0.3**2)  # after 700 of 1000 steps
    assert loss.item() == pytest.approx((-0.5 * clustering + 2 * pseudo_label + weight * consistency).item())
    assert step.batch.terms["clustering_loss"].item() == pytest.approx(clustering.item())
    assert step.batch.terms["pseudo_label_loss"].item() == pytest.approx(pseudo_label.item())
    assert step.batch.terms["consistency_loss"].item() == pytest.approx(consistency.item())


def test_the_features_lower_the_clustering_loss_and_the_classifier_raises_it():
    loss, step, network, views = run(CDAC(pseudo_label_weight=0.0, consistency_weight=0.0, top_k=2))
    of_features, of_head = gradients(naive_terms(step, network, views)[0], network.backbone, network.head)
    assert of_features.abs().max() > 1e-3
    by_features, by_head = gradients(loss, network.backbone, network.head)
    torch.testing.assert_close(by_features, of_features)
    torch.testing.assert_close(by_head, -of_head)


def test_no_gradient_of_pseudo_labels_and_consistency_is_turned_round():
    objective = CDAC(clustering_weight=0.0, consistency_weight=3.0, rampup_steps=0)
    loss, step, network, views = run(objective)
    _, pseudo_label, consistency = naive_terms(step, network, views)
    for ours, naive in zip(gradients(loss, network), gradients(pseudo_label + 3 * consistency, network), strict=True):
        torch.testing.assert_close(ours, naive)


@pytest.mark.parametrize(("iteration", "expected"), [(0, math.exp(-5)), (500, math.exp(-1.25)), (1000, 1), (9000, 1)])
def test_the_weight_of_the_consistency_rises_and_stays(iteration, expected):
    objective = CDAC(clustering_weight=0.0, pseudo_label_weight=0.0, consistency_weight=1.0, rampup_steps=1000)
    loss, step, *_ = run(objective, iteration=iteration)
    assert loss.item() == pytest.approx(expected * step.batch.terms["consistency_loss"].item())


@pytest.mark.parametrize("n_target", [1, 2])
def test_few_target_rows_pass_through_batch_normalisation(n_target):
    loss, *_ = run(CDAC(), layers=[nn.BatchNorm1d(4)], sizes=(4, 0, n_target))
    assert loss.isfinite()


def test_without_an_augmentation_there_is_an_error(make_data):
    with pytest.raises(ValueError, match='augmentation="auto"'):
        AdaptationClassifier(CDAC()).fit(*make_data())


def test_views_of_another_shape_are_refused(make_data):
    data = make_data()
    unlabeled = np.where(data[2] > 0, data[1], -1)
    with pytest.raises(ValueError, match="augmentation must return rows of the shape it got"):
        AdaptationClassifier(CDAC(), augmentation=lambda rows: rows[:, :2]).fit(data[0], unlabeled, data[2])


def test_it_adds_up_and_goes_on_after_a_pickle(make_data):
    data = make_data()
    model = AdaptationClassifier(CDAC() + MCC(), augmentation="auto", max_epochs=1, random_state=0).fit(*data)
    twin = pickle.loads(pickle.dumps(model))
    assert np.array_equal(
        twin.partial_fit(*data).predict_proba(data[0]), model.partial_fit(*data).predict_proba(data[0])
    )


def test_the_second_view_alone_learns_the_pseudo_labels():
    loss, step, network, views = run(CDAC(clustering_weight=0.0, consistency_weight=0.0, confidence_threshold=0.0))
    expected = F.cross_entropy(network(views.made[1])[0], step.logits[step.target].argmax(dim=1))
    assert loss.item() == pytest.approx(expected.item())
    assert not torch.autograd.grad(loss, step.logits, materialize_grads=True)[0].any()
