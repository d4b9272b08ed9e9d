"""CORAL: its loss on a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import CORAL
from skada_active.deep.functional import coral_loss


def test_the_loss_is_the_distance_of_the_covariances():
    module, step = module_of(CORAL(trade_off=3.0)), leaf_step()
    source, target = (np.cov(step.features[rows].detach().numpy().T) for rows in (slice(0, 6), slice(9, 14)))
    expected = np.square(source - target).sum() / (4 * 4**2)
    assert module(step).item() == pytest.approx(3 * expected)
    assert step.batch.terms["coral_loss"].item() == pytest.approx(expected)
    torch.testing.assert_close(module(step), 3 * coral_loss(step.features[:6], step.features[9:]))


def test_all_but_the_labelled_target_rows_get_a_gradient():
    step = leaf_step()
    module_of(CORAL())(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).tolist() == [True] * 6 + [False] * 3 + [True] * 5


def test_where_the_domains_lie_does_not_matter():
    module = module_of(CORAL())
    torch.testing.assert_close(module(leaf_step()), module(leaf_step(shift=5.0)))


@pytest.mark.parametrize("sizes", [(1, 0, 5), (6, 2, 1), (0, 3, 5), (6, 0, 0)])
def test_fewer_than_two_rows_of_a_domain_count_zero(sizes):
    assert module_of(CORAL())(leaf_step(*sizes)) == 0
