from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from skada_active.deep.functional import coral_loss, fused_mmd, joint_mmd, multi_kernel_mmd


def rows(n, n_features=3, seed=0):
    return torch.randn(n, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_mmd(kernel, n_source, n_target):
    total = 0.0
    n = n_source + n_target
    for i in range(n):
        for j in range(n):
            if i < n_source and j < n_source:
                total += kernel[i][j] / (n_source * (n_source - 1)) if i != j else 0.0
            elif i >= n_source and j >= n_source:
                total += kernel[i][j] / (n_target * (n_target - 1)) if i != j else 0.0
            else:
                total -= kernel[i][j] / (n_source * n_target)
    return total + 1 / (n_source - 1) + 1 / (n_target - 1)


def naive_kernel(points, scales, bandwidth=None):
    n = len(points)
    squared = [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in points] for p in points]
    mean = sum(map(sum, squared)) / n**2
    widths = [2 * scale * mean for scale in scales] if bandwidth is None else [2 * bandwidth**2]
    return [[sum(math.exp(-value / width) for width in widths) for value in row] for row in squared]


@pytest.mark.parametrize(("n_source", "n_target"), [(4, 4), (3, 5)])
def test_mmd_equals_a_loop_over_pairs(n_source, n_target):
    source, target = rows(n_source), rows(n_target, seed=1) + 1
    kernel = naive_kernel(torch.cat([source, target]).tolist(), [0.5, 2.0])
    mmd = multi_kernel_mmd(source, target, kernel_scales=(0.5, 2.0)).item()
    assert mmd == pytest.approx(naive_mmd(kernel, n_source, n_target), abs=1e-12)


def test_joint_mmd_multiplies_the_kernels_of_the_layers():
    source, target = rows(4), rows(4, seed=1)
    layers = [(source, target), (rows(4, 2, 2), rows(4, 2, 3)), (source.softmax(dim=1), target.softmax(dim=1))]
    points = [torch.cat(pair).tolist() for pair in layers]
    scales = [0.125, 0.25, 0.5, 1.0, 2.0]
    kernels = [naive_kernel(points[0], scales), naive_kernel(points[1], scales), naive_kernel(points[2], [], 0.92)]
    product = [[a * b * c for a, b, c in zip(*entries, strict=True)] for entries in zip(*kernels, strict=True)]
    loss = joint_mmd([pair[0] for pair in layers], [pair[1] for pair in layers]).item()
    assert loss == pytest.approx(naive_mmd(product, 4, 4), abs=1e-12)


def test_coral_is_a_quarter_of_the_mean_squared_difference_of_the_covariances():
    source, target = rows(6), 2 * rows(5, seed=1)
    expected = (source.T.cov() - target.T.cov()).square().mean() / 4
    torch.testing.assert_close(coral_loss(source, target), expected)


def test_coral_ignores_where_the_domains_lie():
    source, target = rows(6), rows(5, seed=1)
    torch.testing.assert_close(coral_loss(source + 100, target), coral_loss(source, target))


@pytest.mark.parametrize("loss", [multi_kernel_mmd, coral_loss, lambda s, t: joint_mmd([s, s.exp()], [t, t.exp()])])
def test_gradients_are_right(loss):
    source, target = rows(3).requires_grad_(), rows(4, seed=1).requires_grad_()
    if loss is coral_loss:
        assert gradcheck(loss, (source, target))
        return
    # The bandwidth is a constant for the gradient, so finite differences need one that does not move.
    loss(source, target).backward()
    assert source.grad.isfinite().all()
    assert (source.grad != 0).any()


def test_mmd_gradient_pulls_the_domains_together():
    source, target = rows(8).requires_grad_(), rows(8, seed=1) + 3
    multi_kernel_mmd(source, target).backward()
    assert (source.grad.mean(dim=0) < 0).all()


def test_rows_that_are_all_the_same_give_no_nan():
    source = torch.ones(3, 2, requires_grad=True)
    loss = multi_kernel_mmd(source, torch.ones(4, 2))
    loss.backward()
    assert loss.isfinite()
    assert source.grad.isfinite().all()


@pytest.mark.parametrize("loss", [multi_kernel_mmd, coral_loss, lambda s, t: joint_mmd([s], [t])])
def test_a_single_row_is_refused(loss):
    with pytest.raises(ValueError, match=r"two rows or more each, got 1 and 4"):
        loss(rows(1), rows(4))


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0)])
def test_scales_are_positive(scales):
    with pytest.raises(ValueError, match="kernel_scales"):
        multi_kernel_mmd(rows(2), rows(2), kernel_scales=scales)


def test_layers_and_bandwidth_of_joint_mmd_are_checked():
    with pytest.raises(ValueError, match="same layers, got 2 and 1"):
        joint_mmd([rows(2), rows(2)], [rows(2)])
    with pytest.raises(ValueError, match="proba_bandwidth"):
        joint_mmd([rows(2)], [rows(2)], proba_bandwidth=0)


@pytest.mark.parametrize("kernel_scales", [(1.0,), (0.125, 2.0)])
def test_fused_mmd_is_that_of_the_outer_products(kernel_scales):
    features, proba = rows(9) + 2, (2 * rows(9, n_features=4, seed=1)).softmax(dim=1)
    products = [[float(f * p) for f in one for p in other] for one, other in zip(features, proba, strict=True)]
    expected = naive_mmd(naive_kernel(products, kernel_scales), 4, 5)
    value = fused_mmd(features[:4], features[4:], proba[:4], proba[4:], kernel_scales=kernel_scales)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_fused_mmd_has_the_right_gradient():
    features, proba = rows(7).requires_grad_(), rows(7, n_features=4, seed=1).softmax(dim=1).requires_grad_()
    products = torch.einsum("nd,nc->ndc", features, proba).flatten(1)
    expected = torch.autograd.grad(multi_kernel_mmd(products[:3], products[3:]), (features, proba))
    value = fused_mmd(features[:3], features[3:], proba[:3], proba[3:])
    torch.testing.assert_close(torch.autograd.grad(value, (features, proba)), expected)


def test_fused_mmd_of_near_rows_keeps_its_digits_in_single_precision():
    features, proba = 100 + 0.01 * rows(8), rows(8, n_features=4, seed=1).mul(0.01).softmax(dim=1)
    single = [part.float() for part in (features[:4], features[4:], proba[:4], proba[4:])]
    exact = fused_mmd(*(part.double() for part in single))
    assert fused_mmd(*single).item() == pytest.approx(exact.item(), rel=2e-3)


def test_fused_mmd_needs_two_rows_of_either_domain():
    features, proba = rows(3), rows(3).softmax(dim=1)
    with pytest.raises(ValueError, match="two rows or more"):
        fused_mmd(features[:1], features[1:], proba[:1], proba[1:])
