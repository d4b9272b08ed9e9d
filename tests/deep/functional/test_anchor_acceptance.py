from __future__ import annotations

import pytest
import torch

from skada_active.deep.functional import anchor_acceptance


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 0, 0], [1 / 6, 1, 1]), ([3, 2, 1], [0.5, 0.75, 1]), ([4, 4, 4], [1, 1, 1]), ([0, 0], [1, 1])],
)
def test_frequent_classes_are_accepted_less_often(counts, expected):
    assert anchor_acceptance(torch.tensor(counts)).tolist() == pytest.approx(expected)
