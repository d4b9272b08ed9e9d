from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from skada_active.pool import PoolView
from skada_active.query import S3VAADA, s3vaada_picks


def divergence(p, q):
    return sum(a * (np.log(max(a, 1e-12)) - np.log(max(b, 1e-12))) for a, b in zip(p, q, strict=True))


def similarity(p, q):
    return -np.log(1 - sum(np.sqrt(a * b) for a, b in zip(p, q, strict=True)) + 1e-6)


def scaled(values):
    span = values.max() - values.min()
    return (values - values.min()) / span if span else np.zeros_like(values)


def naive(proba, vap, k, alpha=0.5, beta=0.3):
    rows = range(len(proba))
    vap = scaled(vap)
    kl, sim = (scaled(np.array([[f(p, q) for q in proba] for p in proba])) for f in (divergence, similarity))
    chosen = []
    while len(chosen) < k:
        gains = alpha * vap if chosen else vap.copy()
        if chosen:
            for x in rows:
                covered = [max(sim[i, s] for s in chosen) for i in rows]
                stands_for = sum(max(sim[i, x] - covered[i], 0) for i in rows) / len(rows)
                gains[x] += beta * min(kl[s, x] for s in chosen) + (1 - alpha - beta) * stands_for
        gains[chosen] = -np.inf
        # Two rows that stand for each other alone are a tie.
        chosen.append(int(np.flatnonzero(gains > gains.max() - 1e-9)[0]))
    return chosen


def pool(n=30, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.5), size=n), rng.random(n)


def test_divergence_and_similarity_of_the_worked_example():
    assert divergence([0.7, 0.3], [0.4, 0.6]) == pytest.approx(0.183787, abs=5e-7)
    assert similarity([0.7, 0.3], [0.4, 0.6]) == pytest.approx(3.066441, abs=5e-7)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.3), (0.1, 0.1), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_picks_are_those_of_loops_over_rows_and_classes(alpha, beta, seed):
    proba, vap = pool(seed=seed)
    expected = naive(proba, vap, 10, alpha, beta)
    assert s3vaada_picks(proba, vap, 10, alpha=alpha, beta=beta).tolist() == expected


def test_picks_of_several_blocks_of_rows_are_those_of_matrices_of_all_pairs():
    proba, vap = pool(n=600, n_classes=6, seed=2)
    log_proba = np.log(np.maximum(proba, 1e-12))
    kl = scaled((proba * log_proba).sum(axis=1)[:, None] - proba @ log_proba.T)
    cosine = np.sqrt(proba) @ np.sqrt(proba).T
    sim, vap_ = scaled(-np.log(np.maximum(1 - cosine, 0) + 1e-6)), scaled(vap)
    chosen = [int(vap.argmax())]
    while len(chosen) < 40:
        stands_for = np.maximum(sim - sim[chosen].max(axis=0)[:, None], 0).mean(axis=0)
        gains = 0.5 * vap_ + 0.3 * kl[chosen].min(axis=0) + 0.2 * stands_for
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
    assert s3vaada_picks(proba, vap, 40).tolist() == chosen


def test_predictions_that_hardly_differ_are_told_apart():
    rng = np.random.default_rng(2)
    for _ in range(3):
        proba, vap = softmax(1e-3 * rng.normal(size=(200, 8)), axis=1), rng.random(200)
        log_proba = np.log(8 * proba)
        kl = scaled((proba * log_proba).sum(axis=1)[:, None] - proba @ log_proba.T)
        chosen = [int(vap.argmax())]
        while len(chosen) < 20:
            gains = 0.2 * scaled(vap) + 0.8 * kl[chosen].min(axis=0)
            gains[chosen] = -np.inf
            chosen.append(int(gains.argmax()))
        assert s3vaada_picks(proba, vap, 20, alpha=0.2, beta=0.8).tolist() == chosen


def test_first_row_is_that_of_largest_divergence_alone():
    proba, vap = pool()
    assert s3vaada_picks(proba, vap, 1, alpha=0.01, beta=0.0).tolist() == [vap.argmax()]


def test_divergences_that_are_all_equal_say_nothing():
    proba, _ = pool()
    picks = s3vaada_picks(proba, np.full(30, 0.7), 6)
    assert picks.tolist() == s3vaada_picks(proba, np.zeros(30), 6).tolist() == naive(proba, np.zeros(30), 6)


def test_float32_gives_the_same_picks():
    proba, vap = pool(n=200)
    single = s3vaada_picks(proba.astype(np.float32), vap.astype(np.float32), 20)
    np.testing.assert_array_equal(single, s3vaada_picks(proba, vap, 20))


def test_strategy_is_the_function_on_the_view():
    proba, vap = pool()
    view = PoolView(proba=proba, virtual_divergence=vap)
    chosen = S3VAADA(alpha=0.2, beta=0.1).select(view, 8)
    np.testing.assert_array_equal(chosen, s3vaada_picks(proba, vap, 8, alpha=0.2, beta=0.1))
    assert chosen.tolist() != S3VAADA().select(view, 8).tolist()


def test_a_larger_pool_is_drawn_from_by_the_seed():
    proba, vap = pool(n=60)
    view = PoolView(proba=proba, virtual_divergence=vap)
    choices = [S3VAADA(max_pool=10).select(view, 10, random_state=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(choices[0], choices[1])
    assert set(choices[0]) != set(choices[2])
    assert len(set(S3VAADA(max_pool=10).select(view, 25, random_state=0))) == 25


def test_weights_beyond_one_are_refused():
    view = PoolView(proba=[[0.5, 0.5]], virtual_divergence=[1.0])
    with pytest.raises(ValueError, match=r"alpha and beta .* sum at most 1, got alpha=0.8 and beta=0.3"):
        S3VAADA(alpha=0.8).select(view, 1)
