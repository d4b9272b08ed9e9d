"""The label that most votes are for, where there is one."""

from __future__ import annotations

import pytest

from skada_active.session.votes import UNDECIDED, majority_vote


@pytest.mark.parametrize(
    ("votes", "n_needed", "label"),
    [
        ([1], 1, 1),
        ([1, 1, 0], 3, 1),
        ([0, 1, 1], 3, 1),
        ([1, 0], 2, UNDECIDED),
        ([2, 1, 0], 3, UNDECIDED),
        ([1, 1], 3, UNDECIDED),
        ([], 1, UNDECIDED),
        ([None], 1, None),
        ([None, None], 2, None),
        ([None, None], 3, UNDECIDED),
        ([None, None, 1], 3, 1),
        ([None, 0, 1], 3, UNDECIDED),
        (["a", "b", "b", None], 2, "b"),
        ([1, 1, 0, 0, 2], 2, UNDECIDED),
    ],
)
def test_the_majority_decides(votes, n_needed, label):
    assert majority_vote(votes, n_needed) is label or majority_vote(votes, n_needed) == label
