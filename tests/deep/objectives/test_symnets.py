from __future__ import annotations

import math

import pytest
import torch
from steps import attached, criterion_of, gradients, make_network, make_step
from torch.nn import functional as F

from skada_active.deep import AdaptationClassifier, SymNets

N_CLASSES = 3


def references(module, step):
    """Return the losses of the paper by loops over the rows: by name, means over the rows of a domain."""
    of_source_classifier = module.source_classifier.classify(step.features)
    losses = {name: [] for name in ("source_task", "target_task", "domain", "category", "confusion", "entropy")}
    of_target = {name: [] for name in losses}
    for row in range(len(step.features)):
        s, t = of_source_classifier[row], step.logits[row]
        p = torch.cat([s, t]).softmax(0)
        first, second = p[:N_CLASSES].sum(), p[N_CLASSES:].sum()
        if row < step.n_source:
            label = step.labels[row]
            losses["source_task"].append(-s.softmax(0)[label].log())
            losses["target_task"].append(-t.softmax(0)[label].log())
            losses["domain"].append(-first.log())
            losses["category"].append(-(p[label].log() + p[label + N_CLASSES].log()) / 2)
        elif row >= step.batch.n_labeled:
            of_target["domain"].append(-second.log())
            of_target["confusion"].append(-(first.log() + second.log()) / 2)
            merged = p[:N_CLASSES] + p[N_CLASSES:]
            of_target["entropy"].append(-(merged * merged.log()).sum())
    means = {name: sum(rows) / max(1, len(rows)) for name, rows in losses.items()}
    return {name: means[name] + sum(rows) / max(1, len(rows)) for name, rows in of_target.items()}


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_classifiers_and_features_are_trained_by_their_own_losses(head):
    network = make_network(head=head)
    step = make_step(network, progress=0.6)
    module, loss = criterion_of(SymNets(trade_off=0.7), network, step)
    e = references(module, step)
    labeled_target = F.cross_entropy(step.logits[step.labeled_target], step.labels[step.labeled_target])
    growth = 2 / (1 + math.exp(-10 * 0.6)) - 1
    of_classifiers = e["source_task"] + e["target_task"] + 0.7 * e["domain"]
    of_features = e["category"] + 0.7 * growth * (e["confusion"] + e["entropy"])
    torch.testing.assert_close(loss, labeled_target + of_classifiers + of_features)
    by_backbone, by_head, by_source_classifier = gradients(
        loss, network.backbone, network.head, module.source_classifier
    )
    torch.testing.assert_close(by_backbone, gradients(labeled_target + of_features, network.backbone)[0])
    torch.testing.assert_close(by_head, gradients(labeled_target + of_classifiers, network.head)[0])
    torch.testing.assert_close(by_source_classifier, gradients(of_classifiers, module.source_classifier)[0])


def test_what_target_rows_teach_the_features_grows_with_training():
    network = make_network()
    found = {}
    for progress in (0.0, 1.0):
        step = make_step(network, progress=progress, n_labeled_target=0)
        module, loss = criterion_of(SymNets(), network, step)
        found[progress] = gradients(loss, network.backbone)[0]
    e = references(module, step)
    torch.testing.assert_close(found[0.0], gradients(e["category"], network.backbone)[0])
    growth = 2 / (1 + math.exp(-10)) - 1
    grown = e["category"] + growth * (e["confusion"] + e["entropy"])
    torch.testing.assert_close(found[1.0], gradients(grown, network.backbone)[0])


def test_the_source_logit_is_that_of_the_two_classifiers():
    network = make_network()
    step = make_step(network)
    module, _ = criterion_of(SymNets(), network, step)
    both = torch.cat([module.source_classifier.classify(step.features), step.logits], dim=1).softmax(1)
    expected = torch.logit(both[:, :N_CLASSES].sum(1))
    torch.testing.assert_close(module.source_logit(step.features, step.logits), expected)


def test_an_untrained_discriminator_is_refused():
    network = make_network()
    step = make_step(network)
    with pytest.raises(ValueError, match="untrained"):
        attached(SymNets(), network).source_logit(step.features, step.logits)


@pytest.mark.parametrize("missing", ["n_source", "n_target"])
def test_a_step_without_rows_of_a_domain_is_a_plain_one(missing):
    network = make_network()
    step = make_step(network, **{missing: 0})
    _, loss = criterion_of(SymNets(), network, step)
    losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
    blocks = [block for block in losses.tensor_split([step.n_source]) if len(block)]
    torch.testing.assert_close(loss, sum(block.mean() for block in blocks))


def test_predictions_are_those_of_the_target_classifier(make_data):
    X, y, domain = make_data()
    model = AdaptationClassifier(SymNets(), max_epochs=1, random_state=0).fit(X, y, domain)
    before = model.predict_proba(X)
    model.net_.criterion_.objective.source_classifier.head.weight.data.zero_()
    assert (model.predict_proba(X) == before).all()
    assert model.domain_logit(X).shape == (len(X),)
