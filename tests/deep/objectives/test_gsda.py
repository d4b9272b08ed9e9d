from __future__ import annotations

import numpy as np
import pytest
import steps
import torch
from torch.autograd import gradcheck
from torch.func import functional_call
from torch.nn import functional as F

from skada_active.datasets import make_shifted_blobs
from skada_active.deep import DANN, GSDA, MCC, AdaptationClassifier
from skada_active.deep.batches import Batch
from skada_active.domains import mask_target

N_SOURCE, N_LABELED_TARGET, N_TARGET, N_CLASSES, N_FEATURES = 9, 2, 7, 6, 4
ABLATION = [((), 0.0), (("domain",), 0.0), (("domain", "class"), 0.0), (("domain", "group", "class"), 0.0)]
ABLATION += [(("domain", "group", "class"), 1.0)]


def make_step(n_source=N_SOURCE, n_target=N_TARGET, n_classes=N_CLASSES, scale=3.0, **options):
    """Return a step of so many rows."""
    head = steps.make_network(scale=scale, n_classes=n_classes).head
    return steps.leaf_step(n_source, N_LABELED_TARGET, n_target, head=head, progress=0.1, **options)


def module_of(n_classes=N_CLASSES, **params):
    """Return the module in float64; by default every target row takes part, and no entropy is added."""
    params = {"alpha": 0.0, "confidence_threshold": 0.0, "n_groups": 2, "hidden": (5,), "random_state": 0, **params}
    return steps.module_of(GSDA(**params), n_classes=n_classes)


def loss_of(step=None, n_classes=N_CLASSES, **params):
    return module_of(n_classes, **params)(make_step(n_classes=n_classes) if step is None else step).item()


def row_weights(step, labels, balanced):
    """Return the weight of each of the rows source, target as a list: half for each domain."""
    n_source, weights = step.source.stop, []
    for block in (labels[:n_source], labels[n_source:]):
        counted = [label for label in block if label >= 0]
        for label in block:
            balance = len(counted) / (len(set(counted)) * counted.count(label)) if balanced and label >= 0 else 1.0
            weights.append(balance / (2 * len(block)))
    return weights


def reference(module, step, balanced=True, threshold=0.0, reduction="sum"):
    """Return adversarial and synchronisation loss by loops over classes, groups and rows, with plain gradients."""
    features = torch.cat([step.features[step.source], step.features[step.target]])
    logits = torch.cat([step.logits[step.source], step.logits[step.target]]).detach()
    known = torch.cat([step.labels[step.source], step.labels[step.target]]).tolist()
    proba = [
        F.one_hot(torch.tensor(label), len(row)).double() if label >= 0 else row.softmax(0)
        for label, row in zip(known, logits, strict=True)
    ]
    takes_part = [p.max().item() >= threshold for p in proba]
    labels = [p.argmax().item() if p.max().item() >= threshold else -1 for p in proba]
    weights = row_weights(step, labels, balanced)
    of_group = module.group_of_class.tolist()
    members = {"domain": [None], "group": range(max(of_group) + 1), "class": range(len(of_group))}
    adversarial, magnitude = 0.0, {}
    for level, discriminators in module.discriminators.items():
        (networks,) = discriminators.blocks
        for k, piece in enumerate(members[level]):
            loss, shared = 0.0, 0.0
            for i, row in enumerate(features):
                p = {
                    "domain": 1.0,
                    "group": sum(proba[i][c] for c in range(len(of_group)) if of_group[c] == piece) * takes_part[i],
                    "class": (proba[i][piece] if level == "class" else 0.0) * takes_part[i],
                }[level]
                logit = row
                for depth, (w, b) in enumerate(zip(networks.weights, networks.biases, strict=True)):
                    logit = w[k] @ (logit.relu() if depth else logit) + b[k, 0]
                is_source = torch.full((1,), float(i < step.source.stop), dtype=torch.float64)
                term = weights[i] * p * F.binary_cross_entropy_with_logits(logit, is_source)
                loss, shared = loss + term, shared + term * takes_part[i]
            adversarial = adversarial + loss
            (gradient,) = torch.autograd.grad(shared, features, create_graph=True)
            magnitude[level, piece] = gradient.norm(dim=1).sum()
    gaps = []
    for q in members["group"]:
        parts = [magnitude["class", c] for c in members["class"] if of_group[c] == q]
        gaps.append((magnitude["group", q] - sum(parts)).abs())
    synchronization = sum(gaps) / (len(gaps) if reduction == "mean" else 1)
    whole = sum(magnitude["group", q] for q in members["group"])
    return adversarial, synchronization + (magnitude["domain", None] - whole).abs()


@pytest.mark.parametrize("hidden", [(), (5,), (5, 3)])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"confidence_threshold": 0.6},
        {"class_balanced": False, "n_groups": 3},
        {"syn_reduction": "mean", "trade_off": 0.5, "max_reversal": 0.2},
    ],
)
def test_loss_and_gradients_equal_loops_over_classes_and_rows(params, hidden):
    module, step = module_of(beta=3.0, hidden=hidden, **params), make_step(known=(0, 3))
    loss = module(step)
    inputs = (step.features, *module.parameters())
    gradients = torch.autograd.grad(loss, inputs)
    adversarial, synchronization = reference(
        module,
        step,
        balanced=params.get("class_balanced", True),
        threshold=params.get("confidence_threshold", 0.0),
        reduction=params.get("syn_reduction", "sum"),
    )
    trade_off = params.get("trade_off", 1.0)
    torch.testing.assert_close(loss, trade_off * (adversarial + 3.0 * synchronization))
    of_adversarial = torch.autograd.grad(adversarial, inputs, retain_graph=True)
    of_synchronization = torch.autograd.grad(synchronization, inputs, allow_unused=True)
    # Features descend r (beta L_syn - L_adv), discriminators L_adv + beta L_syn.
    r = module.reversal(step)
    factors = [(-r, 3.0 * r)] + [(1.0, 3.0)] * (len(inputs) - 1)
    for gradient, by_loss, by_gap, (a, b) in zip(gradients, of_adversarial, of_synchronization, factors, strict=True):
        by_gap = torch.zeros_like(by_loss) if by_gap is None else by_gap
        torch.testing.assert_close(gradient, trade_off * (a * by_loss + b * by_gap))


@pytest.mark.parametrize("max_reversal", [0.1, 1.0, 2.0])
def test_encoder_classifier_and_discriminators_each_follow_their_own_equation(max_reversal):
    # Eq. 14 to 17 at a coefficient r of the reversal, of a whole network: alpha H + r (beta L_syn - L_adv) trains the
    # encoder, the conditional entropy H alone the classifier, L_adv + beta L_syn the discriminators.
    module = module_of(alpha=0.7, beta=2.5, max_reversal=max_reversal, schedule="constant")
    network = steps.make_network(scale=3.0, n_classes=N_CLASSES)
    step = steps.make_step(network, N_SOURCE, N_LABELED_TARGET, N_TARGET)
    parts = {"E": network.backbone, "C": network.head, "D": module}
    loss = module(step)
    adversarial, synchronization = reference(module, step)
    proba = step.logits[step.target].softmax(1)
    entropy = -(proba * proba.log()).sum(1).mean()
    objectives = {
        "E": 0.7 * entropy + max_reversal * (2.5 * synchronization - adversarial),
        "C": 0.7 * entropy,
        "D": adversarial + 2.5 * synchronization,
    }
    for name, part in parts.items():
        parameters = [*part.parameters()]
        got = torch.autograd.grad(loss, parameters, retain_graph=True)
        expected = torch.autograd.grad(objectives[name], parameters, retain_graph=True)
        for ours, literal in zip(got, expected, strict=True):
            torch.testing.assert_close(ours, literal)


def test_the_largest_reversal_scales_what_the_features_learn_from_the_alignment_as_a_whole():
    gradients = []
    for max_reversal in (1.0, 0.1):
        step = make_step()
        module_of(beta=5.0, max_reversal=max_reversal, schedule="constant")(step).backward()
        gradients.append(step.features.grad)
    torch.testing.assert_close(0.1 * gradients[0], gradients[1])


def test_gradients_of_the_discriminators_are_the_numeric_ones():
    module, step = module_of(beta=2.0), make_step()
    step.features = step.features.detach()
    names, parameters = zip(*module.named_parameters(), strict=True)

    def loss(*values):
        return functional_call(module, dict(zip(names, values, strict=True)), (step,))

    assert gradcheck(loss, parameters)


def test_gradients_of_the_features_are_the_numeric_ones_with_the_adversarial_losses_turned_round():
    module, step = module_of(beta=2.0, schedule="constant"), make_step()
    module(step).backward()
    gradient, features = step.features.grad, step.features.detach()

    def descended(moved):
        step.features = moved
        module(step)
        terms = step.batch.terms
        losses = sum(terms[f"gsda_{level}_loss"] for level in ("domain", "group", "class"))
        return (2.0 * terms["gsda_sync_loss"] - losses).item()

    for row, column in [(0, 0), (3, 2), (N_SOURCE + N_LABELED_TARGET + 4, 1)]:
        move = torch.zeros_like(features)
        move[row, column] = 1e-6
        slope = (descended(features + move) - descended(features - move)) / 2e-6
        assert gradient[row, column].item() == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_features_raise_the_adversarial_losses_and_discriminators_lower_them():
    module, step = module_of(beta=0.0, schedule="constant"), make_step()
    before = module(step)
    before.backward()
    with torch.no_grad():
        step.features -= 1e-3 * step.features.grad
        assert module(step) > before
        step.features += 1e-3 * step.features.grad
        for parameter in module.parameters():
            parameter -= 1e-3 * parameter.grad
        assert module(step) < before


def test_features_and_discriminators_both_lower_the_synchronisation_loss():
    module, step = module_of(beta=1000.0, schedule="constant"), make_step()

    def gap():
        module(step)
        return step.batch.terms["gsda_sync_loss"].item()

    module(step).backward()
    before = gap()
    with torch.no_grad():
        step.features -= 1e-6 * step.features.grad
        assert gap() < before
        step.features += 1e-6 * step.features.grad
        for parameter in module.parameters():
            parameter -= 1e-6 * parameter.grad
        assert gap() < before


def test_the_classifier_gets_no_gradient_from_the_alignment():
    step = make_step()
    module_of(beta=1.0)(step).backward()
    assert not any(parameter.grad.any() for parameter in step.head.parameters())


def test_the_conditional_entropy_trains_classifier_and_features():
    step = make_step()
    loss = module_of(alpha=0.5, levels=())(step)
    logits = step.logits[step.target]
    torch.testing.assert_close(loss, -0.5 * (logits.softmax(1) * logits.log_softmax(1)).sum(1).mean())
    loss.backward()
    assert all(parameter.grad.any() for parameter in step.head.parameters())
    assert step.features.grad[step.target].any()


def test_the_labelled_target_block_takes_no_part():
    step = make_step()
    module_of(alpha=1.0, beta=1.0)(step).backward()
    assert not step.features.grad[step.labeled_target].any()


def test_the_losses_do_not_grow_with_the_batch():
    step = make_step(known=(0,))
    twice = make_step(known=(0,))
    order = [*range(9), *range(9), 9, 10, *range(11, 18), *range(11, 18)]
    twice.features, twice.logits = step.features[order], step.logits[order]
    twice.batch = Batch(step.labels[order], step.domain[order], 18, 20)
    assert loss_of(step, beta=2.0) == pytest.approx(loss_of(twice, beta=2.0))


def test_every_row_of_the_ablation_is_a_configuration():
    losses = [loss_of(levels=levels, beta=beta) for levels, beta in ABLATION]
    assert losses[0] == 0.0
    assert all(np.diff(losses) > 0)


def test_the_domain_level_alone_is_dann():
    dann, gsda = DANN(hidden=(5,)), {"levels": ("domain",), "class_balanced": False}
    expected = steps.module_of(dann, n_classes=N_CLASSES)(make_step()).item()
    assert loss_of(**gsda, beta=1.0) == pytest.approx(expected, rel=1e-5)
    assert loss_of(**gsda, beta=0.0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("levels", [("domain", "class"), ("group", "class"), ("domain", "group")])
def test_a_missing_level_is_skipped_by_the_synchronisation(levels):
    module, step = module_of(levels=levels, n_groups=1, beta=1.0), make_step()
    module(step)
    whole, parts = (step.batch.terms[f"gsda_{level}_gradient"] for level in levels)
    torch.testing.assert_close(step.batch.terms["gsda_sync_loss"], (whole - parts).abs())


def test_a_single_level_has_nothing_to_synchronise():
    assert loss_of(levels=("class",), beta=5.0) == pytest.approx(loss_of(levels=("class",), beta=0.0))


def test_levels_may_come_in_any_order():
    assert loss_of(levels=("class", "domain", "group")) == loss_of()


def test_a_known_target_label_replaces_the_prediction():
    weights, takes_part = module_of(class_balanced=False, confidence_threshold=1.0)._weights(make_step(known=(2,)))
    assert takes_part.nonzero()[:, 0].tolist() == [*range(N_SOURCE), N_SOURCE + 2]
    expected = torch.zeros(N_CLASSES, dtype=torch.float64)
    expected[1] = 1 / (2 * N_TARGET)
    torch.testing.assert_close(weights["class"][:, N_SOURCE + 2], expected)


def test_unconfident_rows_take_part_in_the_domain_level_alone():
    step = make_step()
    confidence = step.logits[step.target].softmax(1).amax(1)
    threshold = confidence.median().item()
    weights, takes_part = module_of(confidence_threshold=threshold)._weights(step)
    assert torch.equal(takes_part[N_SOURCE:], confidence >= threshold)
    assert takes_part[:N_SOURCE].all()
    for level in ("group", "class"):
        assert torch.equal(weights[level].sum(0) > 0, takes_part)
    assert (weights["domain"] > 0).all()


def test_levels_give_every_row_that_takes_part_the_same_weight():
    weights, _ = module_of()._weights(make_step())
    for level in ("group", "class"):
        torch.testing.assert_close(weights[level].sum(0), weights["domain"][0].double())
    torch.testing.assert_close(weights["domain"].sum(), torch.tensor(1.0))


def test_balancing_makes_the_classes_of_the_source_count_the_same():
    step = make_step()
    step.batch.labels[:N_SOURCE] = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 3])
    by_class = module_of()._weights(step)[0]["class"][:, :N_SOURCE].sum(1)
    assert by_class.tolist() == pytest.approx([1 / 6, 1 / 6, 0, 1 / 6, 0, 0])
    unbalanced = module_of(class_balanced=False)._weights(step)[0]["class"][:, :N_SOURCE].sum(1)
    assert unbalanced.tolist() == pytest.approx([5 / 18, 3 / 18, 0, 1 / 18, 0, 0])


def test_balancing_makes_the_pseudo_classes_of_the_target_count_the_same():
    step = make_step(scale=1e4)  # predictions without doubt
    pseudo = step.logits[step.target].argmax(1)
    by_class = module_of()._weights(step)[0]["class"][:, N_SOURCE:].sum(1)
    present = pseudo.unique()
    torch.testing.assert_close(by_class[present], torch.full((len(present),), 0.5 / len(present), dtype=torch.float64))


@pytest.mark.parametrize(
    ("n_classes", "n_groups", "sizes"), [(31, 6, {5, 6}), (65, 13, {5}), (12, 4, {3}), (5, 5, {1})]
)
def test_groups_divide_the_classes_evenly(n_classes, n_groups, sizes):
    group_of_class = module_of(n_classes, n_groups=n_groups).group_of_class
    counts = torch.bincount(group_of_class)
    assert group_of_class.shape == (n_classes,)
    assert len(counts) == n_groups
    assert set(counts.tolist()) == sizes


@pytest.mark.parametrize(("n_classes", "n_groups"), [(1, 1), (2, 1), (5, 1), (6, 2), (12, 4), (31, 6), (65, 13)])
def test_by_default_about_five_classes_make_a_group_and_the_numbers_of_the_paper_come_out(n_classes, n_groups):
    module = module_of(n_classes, n_groups="auto")
    assert len(module.group_of_class.unique()) == n_groups == len(module.discriminators["group"].blocks[0].weights[0])


def test_groups_are_random_and_follow_the_seed():
    groups = [module_of(31, n_groups=6, random_state=seed).group_of_class.tolist() for seed in (0, 0, 1)]
    assert groups[0] == groups[1] != groups[2]
    assert groups[0] != sorted(groups[0])


def test_without_a_seed_groups_follow_that_of_the_classifier():
    X, y, sample_domain = make_shifted_blobs(60, 60, n_classes=6, random_state=0)

    def groups(seed):
        model = AdaptationClassifier(GSDA(n_groups=3), max_epochs=0, random_state=seed).fit(X, y, sample_domain)
        return model.net_.criterion_.objective.group_of_class.tolist()

    assert groups(0) == groups(0)
    assert len({tuple(groups(seed)) for seed in range(4)}) > 1


def test_more_groups_than_classes_are_refused():
    with pytest.raises(ValueError, match="n_groups=7 is more than the 6 classes"):
        module_of(n_groups=7)


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_work(n_classes):
    step = make_step(n_classes=n_classes)
    loss = module_of(n_classes, alpha=0.1, n_groups="auto")(step)
    loss.backward()
    assert loss.isfinite()
    assert step.features.grad.isfinite().all()


def test_a_class_that_the_batch_lacks_trains_no_discriminator():
    module, step = module_of(confidence_threshold=1.0, beta=1.0), make_step()
    step.batch.labels[:N_SOURCE] = 2
    module(step).backward()
    grad = module.discriminators["class"].blocks[0].weights[0].grad
    assert grad[2].any()
    assert not grad[[0, 1, 3, 4, 5]].any()


def test_without_any_confident_target_row_the_loss_is_finite():
    step = make_step()
    loss = module_of(confidence_threshold=1.0)(step)
    loss.backward()
    assert loss.isfinite()
    assert step.features.grad.isfinite().all()


def test_target_rows_alone_have_their_entropy_lowered():
    step = make_step(n_source=0)
    loss = module_of(alpha=0.3)(step)
    torch.testing.assert_close(loss.detach(), 0.3 * step.batch.terms["target_entropy"])


def test_a_step_without_target_rows_costs_nothing():
    assert loss_of(make_step(n_target=0), alpha=1.0) == 0.0


def test_every_term_and_magnitude_is_logged():
    step = make_step()
    loss = module_of(alpha=0.5, beta=2.0)(step)
    terms = step.batch.terms
    levels = ("domain", "group", "class")
    assert set(terms) == {"target_entropy", "gsda_sync_loss"} | {
        f"gsda_{level}_{what}" for level in levels for what in ("loss", "gradient")
    }
    expected = 0.5 * terms["target_entropy"] + 2.0 * terms["gsda_sync_loss"]
    torch.testing.assert_close(loss.detach(), expected + sum(terms[f"gsda_{level}_loss"] for level in levels))


def test_the_domain_logit_is_that_of_the_domain_discriminator():
    step, module = make_step(), module_of()
    with pytest.raises(ValueError, match="untrained"):
        module.source_logit(step.features, step.logits)
    module(step)
    domain = module.discriminators["domain"]
    torch.testing.assert_close(module.source_logit(step.features, step.logits), domain(step.features[None])[0])


def test_without_weight_the_domain_discriminator_stays_untrained():
    step, module = make_step(), module_of(trade_off=0.0)
    module(step)
    with pytest.raises(ValueError, match="trade_off > 0"):
        module.source_logit(step.features, step.logits)


def test_without_the_domain_level_there_is_no_domain_logit():
    objective = GSDA(levels=("group", "class"))
    assert objective.supplies == frozenset()
    assert GSDA().supplies == {"source_logit"}
    assert not hasattr(objective.build(N_FEATURES, N_CLASSES, 2), "source_logit")


def test_in_a_sum_the_domain_logit_comes_from_the_part_that_has_a_domain_level():
    X, y, sample_domain = make_shifted_blobs(60, 60, random_state=0)
    model = AdaptationClassifier(GSDA(levels=("class",)) + DANN(), max_epochs=1, random_state=0)
    model.fit(X, mask_target(y, sample_domain), sample_domain)
    assert model.domain_logit(X).shape == (120,)


@pytest.mark.parametrize("n_labels", [0, 20, 60])
def test_training_works_under_any_labelling_budget(n_labels):
    X, y, sample_domain = make_shifted_blobs(60, 60, n_classes=6, n_features=8, shift=3.0, random_state=0)
    known = mask_target(y, sample_domain)
    known[60 : 60 + n_labels] = y[60 : 60 + n_labels]
    model = AdaptationClassifier(GSDA() + MCC(), max_epochs=8, batch_size=32, random_state=0)
    assert model.fit(X, known, sample_domain).score(X[60:], y[60:]) > 0.8


@pytest.mark.parametrize(("levels", "beta"), ABLATION)
def test_training_works_at_every_row_of_the_ablation(levels, beta):
    X, y, sample_domain = make_shifted_blobs(60, 60, n_classes=6, random_state=0)
    model = AdaptationClassifier(GSDA(levels=levels, beta=beta), max_epochs=2, random_state=0)
    assert np.isfinite(model.fit(X, mask_target(y, sample_domain), sample_domain).predict_proba(X)).all()


def test_target_classes_may_be_a_part_of_those_of_the_source():
    X, y, sample_domain = make_shifted_blobs(90, 90, n_classes=6, n_features=8, random_state=0)
    keep = (sample_domain > 0) | (y < 3)
    X, y, sample_domain = X[keep], y[keep], sample_domain[keep]
    model = AdaptationClassifier(GSDA(alpha=0.2, beta=10.0), max_epochs=8, random_state=0)
    model.fit(X, mask_target(y, sample_domain), sample_domain)
    target = sample_domain < 0
    assert model.score(X[target], y[target]) > 0.8
