from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import KMeansSampling

BLOBS = np.concatenate([center + np.linspace(-1, 1, 11)[:, None] for center in (0.0, 50.0, 100.0)])


def test_the_middle_of_every_cluster_is_chosen():
    chosen = KMeansSampling(n_init=5, random_state=0).select(PoolView(features=BLOBS), 3)
    assert sorted(chosen.tolist()) == [5, 16, 27]


def test_n_init_keeps_the_clustering_of_lowest_inertia():
    view = PoolView(features=np.random.default_rng(0).normal(size=(80, 3)))

    def inertia(n_init, seed):
        centers = view.features[KMeansSampling(n_init=n_init).select(view, 8, random_state=seed)]
        return np.square(view.features[:, None] - centers).sum(axis=2).min(axis=1).sum()

    assert np.mean([inertia(8, seed) for seed in range(5)]) < np.mean([inertia(1, seed) for seed in range(5)])


@pytest.mark.parametrize("n_init", [0, 1.5, "auto"])
def test_n_init_must_be_a_positive_integer(n_init):
    with pytest.raises(ValueError, match="'n_init' parameter of KMeansSampling must be an int"):
        KMeansSampling(n_init=n_init).select(PoolView(features=BLOBS), 2)
