"""Random states: numpy's global generator is never drawn from."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["RandomStateLike", "check_rng"]

RandomStateLike = int | np.random.RandomState | np.random.Generator | None


def check_rng(random_state: RandomStateLike) -> np.random.RandomState:
    """Return a RandomState that never is numpy's global one, unless that one is passed."""
    if random_state is None:
        return np.random.RandomState()
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.bit_generator)
    return check_random_state(random_state)
