from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import moment_matching_loss


def domains(*sizes, n_features=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, n_features, generator=generator, dtype=torch.float64) + size for size in sizes]


def naive(sources, targets, n_moments):
    def moment(rows, k, j):
        return sum(row[j].item() ** k for row in rows) / len(rows)

    def distance(a, b, k):
        return math.sqrt(sum((moment(a, k, j) - moment(b, k, j)) ** 2 for j in range(a.shape[1])))

    total = 0.0
    for k in range(1, n_moments + 1):
        crossed = [distance(s, t, k) for s in sources for t in targets]
        paired = [distance(a, b, k) for a, b in combinations(sources, 2)]
        total += sum(crossed) / len(crossed) + (sum(paired) / len(paired) if paired else 0.0)
    return total


def test_moments_of_the_worked_example():
    sources = [torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 2.0]])]
    targets = [torch.tensor([[2.0, 0.0], [2.0, 2.0]])]
    first = moment_matching_loss(sources, targets, n_moments=1).item()
    assert first == pytest.approx(2.414214, abs=1e-6)
    assert moment_matching_loss(sources, targets).item() - first == pytest.approx(6.823780, abs=1e-6)


@pytest.mark.parametrize("n_moments", [1, 2, 4])
@pytest.mark.parametrize(("n_sources", "n_targets"), [(1, 1), (2, 1), (4, 1), (3, 2)])
def test_moments_equal_a_loop_over_pairs_of_domains_of_unequal_sizes(n_sources, n_targets, n_moments):
    rows = domains(5, 3, 8, 1, 4, 6)
    sources, targets = rows[:n_sources], rows[-n_targets:]
    loss = moment_matching_loss(sources, targets, n_moments=n_moments).item()
    assert loss == pytest.approx(naive(sources, targets, n_moments))


def test_a_single_source_is_compared_with_the_target_only():
    source, target = domains(5, 3)
    distance = (source.mean(0) - target.mean(0)).norm()
    torch.testing.assert_close(moment_matching_loss([source], [target], n_moments=1), distance)


def test_two_moments_are_the_default():
    sources, targets = domains(5, 3), domains(4, seed=1)
    assert moment_matching_loss(sources, targets).item() == pytest.approx(naive(sources, targets, 2))


def test_the_order_of_the_sources_does_not_matter():
    sources, targets = domains(5, 3, 8), domains(4, seed=1)
    torch.testing.assert_close(
        moment_matching_loss(sources, targets), moment_matching_loss(sources[::-1], targets), rtol=1e-12, atol=0
    )


def test_domains_of_the_same_moments_cost_nothing_and_have_finite_gradients():
    rows = torch.ones(4, 3, requires_grad=True)
    loss = moment_matching_loss([rows, rows[:2]], [rows[:1]])
    loss.backward()
    assert loss.item() == 0.0
    assert not rows.grad.any()


def test_moments_gradient_is_the_numeric_one():
    rows = [domain.requires_grad_() for domain in domains(3, 2, 4)]
    assert gradcheck(lambda a, b, t: moment_matching_loss([a, b], [t], n_moments=3), rows)


@pytest.mark.parametrize(
    ("sources", "targets", "n_moments", "name"),
    [
        ([torch.ones(1, 2)], [torch.ones(1, 2)], 0, "n_moments"),
        ([], [torch.ones(1, 2)], 2, "sources"),
        ([torch.ones(1, 2)], [], 2, "targets"),
        ([torch.ones(0, 2)], [torch.ones(1, 2)], 2, "sources"),
    ],
)
def test_bad_arguments_are_refused_by_name(sources, targets, n_moments, name):
    with pytest.raises(ValueError, match=name):
        moment_matching_loss(sources, targets, n_moments=n_moments)
