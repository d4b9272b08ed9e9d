"""LabelMatching and PartialWeights: the weights of the classes, and what reads them."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of
from torch.nn import functional as F

from skada_active.deep import (
    CDAN,
    DANN,
    GSDA,
    MADA,
    MCC,
    TSF,
    AdaptationClassifier,
    LabelMatching,
    PartialWeights,
)
from skada_active.deep._module import AdaptationCriterion


def weights_of(objective, steps):
    """Return the weights of the source rows of the last of several steps."""
    module = module_of(objective)
    for step in steps:
        module.prepare(step)
    assert torch.equal(step.labeled_weight[: step.n_source], step.source_importance)
    assert (step.labeled_weight[step.n_source :] == 1).all()
    return step.source_importance


def naive_matching(steps, threshold, momentum):
    source, target = [0.0] * 3, [0.0] * 3
    for step in steps:
        source, target = ([momentum * count for count in counts] for counts in (source, target))
        for i, label in enumerate(step.labels.tolist()):
            proba = step.logits[i].softmax(dim=0).tolist()
            second, first = sorted(proba)[-2:]
            if i < step.n_source:
                source[label] += 1
            elif label >= 0:
                target[label] += 1
            elif first - second > threshold:
                target[proba.index(first)] += first
    shares = [[(count + 1) / (sum(counts) + 3) for count in counts] for counts in (source, target)]
    return [t / s for s, t in zip(*shares, strict=True)]


def naive_partial(steps, momentum):
    share = [1 / 3] * 3
    for step in steps:
        proba = [
            np.eye(3)[label] if label >= 0 else step.logits[i].softmax(dim=0).tolist()
            for i, label in enumerate(step.labels.tolist())
            if i >= step.batch.n_labeled
        ]
        mean = [sum(column) / len(proba) for column in zip(*proba, strict=True)]
        share = [momentum * old + (1 - momentum) * new for old, new in zip(share, mean, strict=True)]
    return [value / max(share) for value in share]


@pytest.mark.parametrize("trade_off", [1.0, 0.5])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("threshold", [0.8, 0.2])
def test_label_matching_weighs_by_the_ratio_of_decayed_counts(threshold, momentum, trade_off):
    steps = [leaf_step(n_target=9, known=(2,), seed=seed) for seed in range(3)]
    objective = LabelMatching(pseudo_label_threshold=threshold, momentum=momentum, trade_off=trade_off)
    by_class = naive_matching(steps, threshold, momentum)
    expected = [by_class[label] ** trade_off for label in steps[-1].labels[:6].tolist()]
    np.testing.assert_allclose(weights_of(objective, steps), expected, rtol=1e-6)


@pytest.mark.parametrize("trade_off", [1.0, 0.5])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_partial_weights_are_the_target_shares_relative_to_the_largest(momentum, trade_off):
    steps = [leaf_step(known=(2,), seed=seed) for seed in range(3)]
    by_class = naive_partial(steps, momentum)
    expected = [by_class[label] ** trade_off for label in steps[-1].labels[:6].tolist()]
    objective = PartialWeights(momentum=momentum, trade_off=trade_off)
    np.testing.assert_allclose(weights_of(objective, steps), expected, rtol=1e-6)


@pytest.mark.parametrize("objective", [LabelMatching(), PartialWeights()], ids=str)
def test_weights_are_no_loss_and_have_no_gradient(objective):
    step = leaf_step()
    criterion = AdaptationCriterion(module_of(objective))
    criterion(step).backward(inputs=[step.features])
    assert criterion.objective(step) == 0
    assert not step.labeled_weight.requires_grad
    assert not step.features.grad[9:].any()
    losses = F.cross_entropy(step.logits[:9], step.labels[:9], reduction="none")
    weight = step.labeled_weight[:6]
    expected = (weight * losses[:6]).sum() / weight.sum() + losses[6:].mean()
    torch.testing.assert_close(AdaptationCriterion.labeled_loss(step), expected)


@pytest.mark.parametrize("kind", [LabelMatching, PartialWeights])
def test_no_trade_off_weighs_nothing(kind):
    step = leaf_step()
    AdaptationCriterion(module_of(kind(trade_off=0.0))).prepare(step)
    assert step.labeled_weight is None


@pytest.mark.parametrize("objective", [LabelMatching(momentum=0.5), PartialWeights(momentum=0.5)], ids=str)
def test_what_was_seen_is_pickled(objective):
    module = module_of(objective)
    module.prepare(leaf_step())
    twin = pickle.loads(pickle.dumps(module))
    steps = leaf_step(seed=1), leaf_step(seed=1)
    for one, step in zip((module, twin), steps, strict=True):
        one.prepare(step)
    assert torch.equal(*(step.source_importance for step in steps))
    assert not torch.equal(steps[0].source_importance, weights_of(objective, [leaf_step(seed=1)]))


@pytest.mark.parametrize("kind", [LabelMatching, PartialWeights])
@pytest.mark.parametrize("lacking", ["target", "source", "labels"])
@pytest.mark.filterwarnings("ignore:objective=")
def test_training_works_with_whatever_rows_there_are(make_data, kind, lacking):
    X, y, domain = make_data()
    y = np.where((domain < 0) & (lacking == "labels"), -1, y)
    rows = {"target": domain > 0, "source": domain < 0, "labels": domain != 0}[lacking]
    model = AdaptationClassifier(kind() + DANN(), labeled_loss="joint", max_epochs=1, random_state=0)
    assert np.isfinite(model.fit(X[rows], y[rows], domain[rows]).predict_proba(X)).all()


DOMAIN_LOSSES = [
    DANN(),
    DANN(discriminator="per_source"),
    DANN(discriminator="multiclass"),
    CDAN(),
    CDAN(entropy_weighted=True),
    MADA(),
    TSF(),
    GSDA(levels=("domain",), beta=0.0, class_balanced=False),
    GSDA(confidence_threshold=0.0, class_balanced=False),
]
every_domain_loss = pytest.mark.parametrize("objective", DOMAIN_LOSSES, ids=str)


def gradient(module, step):
    return torch.autograd.grad(module(step), step.features)[0]


@every_domain_loss
def test_domain_losses_read_the_importance_of_source_rows(objective):
    module = module_of(objective)
    weighted = leaf_step()
    weighted.weigh_source(torch.tensor([1.0, 0, 2, 1, 0, 3], dtype=torch.float64), labeled=False, domains=True)
    by_row = gradient(module, weighted)
    assert not by_row[[1, 4]].any()
    assert by_row[[0, 2, 3, 5]].any(dim=1).all()


@every_domain_loss
def test_equal_weights_change_no_domain_loss(objective):
    module, plain, weighted = module_of(objective), leaf_step(), leaf_step()
    weighted.weigh_source(torch.full((6,), 0.2, dtype=torch.float64), labeled=False, domains=True)
    torch.testing.assert_close(module(weighted), module(plain))
    torch.testing.assert_close(gradient(module, weighted), gradient(module, plain))


@every_domain_loss
def test_source_rows_of_one_kind_may_all_lose_their_weight(objective):
    step = leaf_step()
    step.weigh_source(torch.zeros(6, dtype=torch.float64), labeled=False, domains=True)
    assert gradient(module_of(objective), step).isfinite().all()


@pytest.mark.parametrize("discriminator", ["per_source", "multiclass"])
def test_each_of_several_sources_counts_as_much_as_without_weights(discriminator):
    module = module_of(DANN(discriminator=discriminator), n_domains=3)
    plain, weighted = leaf_step(), leaf_step()
    for step in (plain, weighted):
        step.domain[:] = torch.tensor([0, 0, 0, 1, 1, 1, *[2] * 8])
    weight = torch.tensor([1.0, 1, 1, 5, 5, 5], dtype=torch.float64)
    weighted.weigh_source(weight, labeled=False, domains=True)
    torch.testing.assert_close(module(weighted), module(plain))
    other = leaf_step()
    other.domain[:] = plain.domain
    other.weigh_source(weight + torch.arange(6), labeled=False, domains=True)
    assert module(other) != module(plain)


def test_the_order_of_the_parts_does_not_matter():
    parts = [PartialWeights(momentum=0.5), MCC(), TSF(hidden=(4,)), LabelMatching()]
    totals = []
    for order in itertools.permutations(range(4)):
        module = module_of(sum((parts[position] for position in order[1:]), start=parts[order[0]]))
        with torch.no_grad():
            for weight in module.parts["tsf"].discriminator.parameters():
                weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))
        step = leaf_step()
        totals.append((AdaptationCriterion(module)(step), step.source_importance))
    torch.testing.assert_close(totals[1:], totals[:1] * 23)
    alone = leaf_step()
    loss = module.parts["tsf"](alone)
    assert alone.source_importance is None
    assert loss != step.batch.terms["transferability_loss"]


def partial_blobs(seed=0):
    """Return six classes on a circle in the source, of which the target has two, all of them turned a little."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(240) % 6, np.arange(120) % 2])
    angle = np.pi / 3 * y + np.repeat([0.0, 0.25], [240, 120])
    X = 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(360, 2))
    return X.astype(np.float32), y, np.repeat([1, -1], [240, 120])


def test_classes_that_the_target_lacks_lose_their_weight():
    X, y, domain = partial_blobs()
    hidden = np.where(domain < 0, -1, y)
    model = AdaptationClassifier(PartialWeights() + DANN(), max_epochs=6, batch_size=32, random_state=0)
    share = model.fit(X, hidden, domain).net_.criterion_.objective.parts["partialweights"].share
    weight = share / share.max()
    assert weight[:2].min() > 0.6
    assert weight[2:].max() < 0.35


def test_class_shares_of_the_target_are_found():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.choice(3, 300, p=[0.6, 0.3, 0.1]), rng.choice(3, 300, p=[0.1, 0.3, 0.6])])
    X = (5 * np.eye(3)[y] + rng.normal(size=(600, 3))).astype(np.float32)
    domain = np.repeat([1, -1], 300)
    model = AdaptationClassifier(LabelMatching(), max_epochs=6, batch_size=32, random_state=0)
    counts = model.fit(X, np.where(domain < 0, -1, y), domain).net_.criterion_.objective.counts
    source, target = counts / counts.sum(dim=1, keepdim=True)
    np.testing.assert_allclose(source, [0.6, 0.3, 0.1], atol=0.07)
    np.testing.assert_allclose(target, [0.1, 0.3, 0.6], atol=0.07)
