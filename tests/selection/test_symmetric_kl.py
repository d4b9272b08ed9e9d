from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from skada_active.selection import SymmetricKL, farthest_first, kmeans_plusplus


def divergences(proba, row):
    logs = np.log(np.maximum(proba, 1e-12))
    return 0.5 * ((proba - row) * (logs - np.log(np.maximum(row, 1e-12)))).sum(axis=1)


def naive(proba, k, first, centers=()):
    proba = np.asarray(proba, dtype=np.float64)
    picks = [] if len(centers) else [first]
    while len(picks) < k:
        nearest = np.min([divergences(proba, row) for row in [*centers, *proba[picks]]], axis=0)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
    return picks


@pytest.mark.parametrize("concentration", [1.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_picks_are_those_of_the_naive_loop(concentration, dtype):
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.full(5, concentration), size=2500).astype(dtype)
    centers = rng.dirichlet(np.ones(5), size=3)
    assert farthest_first(SymmetricKL(proba), 40, first=7).tolist() == naive(proba, 40, 7)
    found = farthest_first(SymmetricKL(proba), 40, centers=SymmetricKL(centers))
    assert found.tolist() == naive(proba, 40, None, centers)


def test_every_pick_is_the_farthest_where_predictions_are_certain_and_hardly_differ():
    proba = np.random.default_rng(0).dirichlet(np.full(5, 0.01), size=2500)
    picks = farthest_first(SymmetricKL(proba), 40, first=7)
    nearest = np.full(len(proba), np.inf)
    for before, pick in pairwise(picks):
        nearest = np.minimum(nearest, divergences(proba, proba[before]))
        assert nearest[pick] >= nearest.max() - 1e-9


def test_norms_and_products_give_the_divergence():
    proba = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    vectors = SymmetricKL(proba)
    values = vectors.rows(np.arange(6))
    norms, products = vectors.sq_norms(), values @ vectors.dual(values).T
    expected = [divergences(proba, row) for row in proba]
    np.testing.assert_allclose(norms[:, None] + norms - 2 * products, expected, atol=1e-12)
    assert (norms >= 0).all()


def test_the_floor_bounds_the_divergence_of_certain_predictions():
    for floor in (1e-12, 1e-3):
        vectors = SymmetricKL(np.eye(2), floor=floor)
        values = vectors.rows(np.arange(2))
        found = vectors.sq_norms().sum() - 2 * (values @ vectors.dual(values).T)[0, 1]
        np.testing.assert_allclose(found, -(1 - floor) * np.log(floor), rtol=1e-9)


def test_equal_distributions_coincide_and_the_seed_orders_them():
    proba = np.tile([[0.9, 0.1], [0.2, 0.8]], (5, 1))
    assert farthest_first(SymmetricKL(proba), 10, first=0).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    seconds = {int(farthest_first(SymmetricKL(proba), 2, first=0, random_state=seed)[1]) for seed in range(40)}
    assert seconds == {1, 3, 5, 7, 9}


def test_draws_by_divergence_reach_every_group():
    proba = np.repeat([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]], 20, axis=0)
    chosen = kmeans_plusplus(SymmetricKL(proba), 3, random_state=0)
    assert sorted(chosen // 20) == [0, 1, 2]
