"""Random states: numpy's global generator is never drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["RandomStateLike", "TiesByPosition", "check_rng", "child_state"]

RandomStateLike = int | np.random.RandomState | np.random.Generator | None


class TiesByPosition(np.random.RandomState):
    """Random state that ties are not left to: where nobody gave a seed, what needs no chance repeats itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (0,), self.get_state(legacy=False)


def check_rng(random_state: RandomStateLike) -> np.random.RandomState:
    """Return a RandomState that never is numpy's global one, unless that one is passed."""
    if random_state is None:
        return TiesByPosition()
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.bit_generator)
    return check_random_state(random_state)


def child_state(rng: np.random.RandomState) -> RandomStateLike:
    """Return a seed drawn for a part of the work, or None where nobody seeded the whole."""
    return None if isinstance(rng, TiesByPosition) else int(rng.randint(np.iinfo(np.int32).max))
