from __future__ import annotations

import numpy as np

from skada_active.pool import PoolView
from skada_active.query import RandomSampling


def test_every_candidate_is_chosen_equally_often():
    view, strategy = PoolView(index=range(5)), RandomSampling()
    chosen = np.concatenate([strategy.select(view, 2, random_state=seed) for seed in range(2000)])
    np.testing.assert_allclose(np.bincount(chosen) / 4000, 0.2, atol=0.03)


def test_a_smaller_choice_begins_a_larger_one():
    view = PoolView(index=range(50))
    large = RandomSampling(random_state=0).select(view, 20)
    np.testing.assert_array_equal(RandomSampling(random_state=0).select(view, 5), large[:5])


def test_random_state_changes_the_choice():
    view = PoolView(index=range(50))
    first, second = (RandomSampling(random_state=seed).select(view, 5) for seed in (0, 1))
    assert first.tolist() != second.tolist()
