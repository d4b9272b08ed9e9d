"""DAN and JAN: their losses on a step, and what their parameters do."""

from __future__ import annotations

import math

import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import DAN, JAN, AdaptationClassifier
from skada_active.deep.functional import joint_mmd, multi_kernel_mmd

SOURCE, TARGET = slice(0, 6), slice(9, 14)
BOTH = pytest.mark.parametrize("kind", [DAN, JAN])


def naive_mmd(kernel, n_source, n_target):
    """Return the discrepancy by loops over pairs of rows."""
    source, target = range(n_source), range(n_source, n_source + n_target)
    within = [
        sum(kernel(i, j) for i in rows for j in rows if i != j) / (len(rows) * (len(rows) - 1)) + 1 / (len(rows) - 1)
        for rows in (source, target)
    ]
    return sum(within) - 2 * sum(kernel(i, j) for i in source for j in target) / (n_source * n_target)


def gaussian(rows, scales):
    squared = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    mean = sum(map(sum, squared)) / len(rows) ** 2
    return lambda i, j: sum(math.exp(-squared[i][j] / (2 * scale * mean)) for scale in scales)


@pytest.mark.parametrize("params", [{}, {"kernel_scales": (0.5, 3.0), "trade_off": 0.3}], ids=str)
def test_dan_equals_loops_over_pairs_of_rows(params):
    objective, step = DAN(**params), leaf_step()
    rows = step.source_and_target(step.features).tolist()
    expected = naive_mmd(gaussian(rows, objective.kernel_scales), 6, 5)
    assert module_of(objective)(step).item() == pytest.approx(objective.trade_off * expected)
    assert step.batch.terms["dan_loss"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "params", [{}, {"kernel_scales": (0.5, 3.0), "trade_off": 0.3}, {"proba_bandwidth": 0.4}], ids=str
)
def test_jan_equals_loops_over_pairs_of_rows(params):
    objective, step = JAN(**params), leaf_step()
    of_features = gaussian(step.source_and_target(step.features).tolist(), objective.kernel_scales)
    proba = step.source_and_target(step.logits.softmax(dim=1)).tolist()

    def kernel(i, j):
        squared = sum((a - b) ** 2 for a, b in zip(proba[i], proba[j], strict=True))
        return of_features(i, j) * math.exp(-squared / (2 * objective.proba_bandwidth**2))

    expected = naive_mmd(kernel, 6, 5)
    assert module_of(objective)(step).item() == pytest.approx(objective.trade_off * expected)
    assert step.batch.terms["jan_loss"].item() == pytest.approx(expected)


def test_the_losses_are_the_functions_of_the_blocks():
    step = leaf_step()
    features, proba = step.features, step.logits.softmax(dim=1)
    torch.testing.assert_close(module_of(DAN())(step), multi_kernel_mmd(features[SOURCE], features[TARGET]))
    layers = [[layer[rows] for layer in (features, proba)] for rows in (SOURCE, TARGET)]
    torch.testing.assert_close(module_of(JAN())(step), joint_mmd(*layers))


@BOTH
def test_all_but_the_labelled_target_rows_get_a_gradient(kind):
    step = leaf_step()
    module_of(kind())(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).tolist() == [True] * 6 + [False] * 3 + [True] * 5


def test_jan_trains_the_classifier_and_dan_does_not():
    step = leaf_step()
    assert torch.autograd.grad(module_of(DAN())(step), step.logits, allow_unused=True) == (None,)
    assert torch.autograd.grad(module_of(JAN())(step), step.logits)[0][SOURCE].any()


@BOTH
@pytest.mark.parametrize("sizes", [(1, 0, 5), (6, 2, 1), (0, 3, 5), (6, 0, 0)])
def test_fewer_than_two_rows_of_a_domain_count_zero(kind, sizes):
    assert module_of(kind())(leaf_step(*sizes)) == 0


@BOTH
def test_a_step_along_the_gradient_brings_the_domains_together(kind):
    step = leaf_step(shift=2.0)
    (gradient,) = torch.autograd.grad(module_of(kind())(step), step.features)
    moved = step.features - gradient
    apart = [(rows[SOURCE].mean(dim=0) - rows[TARGET].mean(dim=0)).norm() for rows in (step.features, moved)]
    assert apart[1] < apart[0]


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (DAN(kernel_scales=()), "kernel_scales"),
        (DAN(kernel_scales=(0.0,)), "kernel_scales"),
        (JAN(proba_bandwidth=0.0), "proba_bandwidth"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_refused_by_name(make_data, objective, name):
    with pytest.raises(ValueError, match=name):
        AdaptationClassifier(objective, max_epochs=1, random_state=0).fit(*make_data())
