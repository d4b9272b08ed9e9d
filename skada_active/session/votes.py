"""Majority vote of the annotators of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["UNDECIDED", "majority_vote"]

#: What `majority_vote` returns where a row has no label yet.
UNDECIDED = object()


def majority_vote(votes: Iterable[Any], n_needed: int) -> Any:
    """Return the label that most votes are for, None if all abstain, `UNDECIDED` for a tie or too few votes."""
    votes = list(votes)
    if len(votes) < n_needed:
        return UNDECIDED
    (label, n_votes), *others = Counter(vote for vote in votes if vote is not None).most_common(2) or [(None, 1)]
    return UNDECIDED if others and others[0][1] == n_votes else label
