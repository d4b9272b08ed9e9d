"""TPN: its loss against loops, absent classes, and what its parameters do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import TPN, AdaptationClassifier


def softmax(values):
    exps = {key: math.exp(value) for key, value in values.items()}
    return {key: value / sum(exps.values()) for key, value in exps.items()}


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)


def mean_of(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def naive_losses(step, *, nearest=False, temperature=1.0):
    """Return task, alignment and agreement loss by loops over rows, classes and sets."""
    rows, labels, n_source = step.features.tolist(), step.labels.tolist(), step.n_source
    source = {c: mean_of([rows[i] for i in range(n_source) if labels[i] == c]) for c in set(labels[:n_source])}

    def proba(row, prototypes):
        return softmax({c: -distance(row, mean) / temperature for c, mean in prototypes.items()})

    task = -sum(math.log(proba(rows[i], source)[labels[i]]) for i in range(n_source)) / n_source
    for i, label in enumerate(labels):
        if label < 0:
            by_distance = min(source, key=lambda c: distance(rows[i], source[c]))
            labels[i] = by_distance if nearest else int(step.logits[i].argmax())
    shared = sorted(set(labels[:n_source]) & set(labels[n_source:]))
    everything = range(len(rows))
    members = (range(n_source), range(n_source, len(rows)), everything)
    sets = [{c: mean_of([rows[i] for i in part if labels[i] == c]) for c in shared} for part in members]
    alignment = agreement = 0.0
    for first, second in itertools.combinations(sets, 2):
        # The distances themselves are sums over the features, divided by their number like all others.
        alignment += sum(distance(first[c], second[c]) for c in shared) / len(shared) if shared else 0.0
        for row in rows if shared else []:
            p, q = proba(row, first), proba(row, second)
            agreement += sum((p[c] - q[c]) * math.log(p[c] / q[c]) for c in shared) / 2 / len(rows)
    return task, alignment, agreement


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"alpha": 0.3, "beta": 0.2, "trade_off": 0.5},
        {"alpha": 0.0, "beta": 0.0},
        {"pseudo_labels": "prototypes"},
        {"temperature": 0.4},
    ],
    ids=str,
)
def test_the_loss_equals_loops_over_rows_classes_and_sets(params):
    objective, step = TPN(**params), leaf_step(known=(1,))
    losses = naive_losses(step, nearest=objective.pseudo_labels == "prototypes", temperature=objective.temperature)
    expected = losses[0] + objective.alpha * losses[1] + objective.beta * losses[2]
    assert module_of(objective)(step).item() == pytest.approx(objective.trade_off * expected, abs=1e-12)
    for name, loss in zip(("task", "alignment", "agreement"), losses, strict=True):
        assert step.batch.terms[f"tpn_{name}_loss"].item() == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("pseudo_labels", ["classifier", "prototypes"])
def test_classes_without_a_source_row_are_left_out(pseudo_labels):
    step = leaf_step()
    step.labels[: step.n_source] = torch.tensor([0, 0, 2, 2, 0, 2])
    expected = sum(naive_losses(step, nearest=pseudo_labels == "prototypes"))
    loss = module_of(TPN(pseudo_labels=pseudo_labels))(step)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    assert torch.autograd.grad(loss, step.features)[0].isfinite().all()


def test_domains_without_a_class_in_common_have_the_task_loss_alone():
    step = leaf_step(3, 2, 2, known=(0, 1))
    step.labels[:] = torch.tensor([0, 1, 0, 2, 2, 2, 2])
    assert module_of(TPN())(step).item() == pytest.approx(naive_losses(step)[0], abs=1e-12)


def test_all_target_rows_take_part():
    step = leaf_step()
    module_of(TPN())(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).all()


def test_weights_of_the_source_rows_enter_the_task_loss():
    step, plain = leaf_step(), leaf_step()
    module = module_of(TPN(alpha=0.0, beta=0.0))
    step.weigh_source(torch.tensor([0.0, 3.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    features = plain.features / 2  # squared distances are means over four features
    prototypes = torch.stack([features[[c, c + 3]].mean(dim=0) for c in range(3)])
    losses = (features[:6, None] - prototypes).square().sum(dim=2).neg().log_softmax(dim=1).neg()
    torch.testing.assert_close(module(step), (3 * losses[1, 1] + losses[4, 1]) / 4)


def test_source_rows_draw_near_the_prototype_of_their_class(make_data):
    X, y, domain = make_data()
    spreads = []
    for objective in (None, TPN(alpha=0.0, beta=0.0, trade_off=5.0)):
        model = AdaptationClassifier(objective, max_epochs=8, batch_size=16, random_state=0).fit(X, y, domain)
        Z = model.transform(X[domain > 0])
        means = np.stack([Z[y[domain > 0] == c].mean(axis=0) for c in range(3)])
        spreads.append(np.square(Z - means[y[domain > 0]]).sum() / np.square(means - means.mean(axis=0)).sum())
    assert spreads[1] < 0.8 * spreads[0]
