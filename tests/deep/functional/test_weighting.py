from __future__ import annotations

import pytest
import torch

from skada_active.deep.functional._weighting import relative_weight, weighted_mean


def test_a_weighted_mean_is_one_over_repeated_rows():
    losses = torch.tensor([[1.0, 2.0, 4.0], [0.0, 3.0, 5.0]])
    expected = losses[:, [0, 2, 2]].mean()
    torch.testing.assert_close(weighted_mean(losses, torch.tensor([2.0, 0.0, 4.0])), expected)
    assert weighted_mean(losses) == losses.mean()


def test_rows_without_any_weight_have_the_mean_zero():
    losses = torch.ones(3, requires_grad=True)
    mean = weighted_mean(losses, torch.zeros(3))
    mean.backward()
    assert mean == 0
    assert not losses.grad.any()


def test_relative_weights_have_the_mean_1_in_every_group():
    weight, group = torch.tensor([1.0, 3.0, 5.0, 0.0, 0.0]), torch.tensor([0, 0, 2, 3, 3])
    assert relative_weight(weight, group).tolist() == [0.5, 1.5, 1.0, 0.0, 0.0]
    assert relative_weight(weight).tolist() == pytest.approx([5 / 9, 15 / 9, 25 / 9, 0, 0])


@pytest.mark.parametrize("group", [None, torch.zeros(0, dtype=torch.int64)])
def test_no_row_has_no_weight(group):
    assert relative_weight(torch.zeros(0), group).shape == (0,)
