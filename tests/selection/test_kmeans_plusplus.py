from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import chisquare

from skada_active.selection import Outer, kmeans_plusplus

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [-1.0, -2.0]])
WEIGHTS = np.array([1.0, 3.0, 0.5, 1.0, 2.0])


def explicit(vectors):
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def law(X, k, weights, first=None):
    """Return the probability of every ordered pick of k rows."""
    sq = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    table = {}
    for picks in permutations(range(len(X)), k):
        p = weights[picks[0]] / weights.sum() if first is None else float(picks[0] == first)
        for t in range(1, k):
            w = weights * sq[:, picks[:t]].min(axis=1)
            p *= w[picks[t]] / w.sum()
        if p > 0:
            table[picks] = p
    return table


def assert_law(vectors, table, k, n_draws=4000, **options):
    rng = np.random.RandomState(0)
    counts = dict.fromkeys(table, 0)
    for _ in range(n_draws):
        counts[tuple(kmeans_plusplus(vectors, k, random_state=rng, **options).tolist())] += 1
    expected = np.array(list(table.values())) * n_draws
    rare = expected < 5
    observed = np.array(list(counts.values()))
    observed, expected = (
        np.append(observed[~rare], observed[rare].sum()),
        np.append(expected[~rare], expected[rare].sum()),
    )
    keep = expected > 0
    assert chisquare(observed[keep], expected[keep]).pvalue > 1e-3


def test_first_pick_follows_the_weights():
    assert_law(X, law(X, 1, WEIGHTS), 1, sample_weight=WEIGHTS)


def test_law_of_three_picks():
    assert_law(X, law(X, 3, np.ones(5)), 3)


def test_law_of_all_picks_with_weights():
    assert_law(X, law(X, 5, WEIGHTS, first=2), 5, sample_weight=WEIGHTS, first=2)


def test_law_of_the_last_pick_after_blocks_of_several_candidates():
    """The ninth pick of nine far rows and four near ones is drawn within a block of eight candidates."""
    far = np.eye(8) * 1000
    near = np.array([[1.0], [2.0], [3.0]]) * np.ones(8)
    rows = np.concatenate([np.zeros((1, 8)), far, near])
    counts = np.zeros(3)
    rng = np.random.RandomState(1)
    for _ in range(2000):
        picks = kmeans_plusplus(rows, 10, first=0, random_state=rng)
        if set(picks[:9].tolist()) == set(range(9)):
            counts[picks[9] - 9] += 1
    expected = np.array([1.0, 4.0, 9.0]) / 14 * counts.sum()
    assert counts.sum() > 1900
    assert chisquare(counts, expected).pvalue > 1e-3


def test_squared_distances_of_the_worked_example():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])
    f = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    vectors = Outer(p - np.array([1, 0]), f)
    assert int(vectors.sq_norms().argmax()) == 2
    assert_law(vectors, {(2, 0): 0.5 / 2.28, (2, 1): 1.78 / 2.28}, 2, first=2)


def test_greedy_takes_the_candidate_that_leaves_the_least_potential():
    rows = np.array([[0.0], [0.0], [10.0], [11.0], [12.0]])
    assert kmeans_plusplus(rows, 2, first=0, n_trials=200, random_state=0).tolist() == [0, 3]


def greedy_law(X, k, weights, first, n_trials):
    """Return the probability of every ordered pick: of all ways to draw the trials, which one leaves the least."""
    sq = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    table = {(first,): 1.0}
    for _ in range(k - 1):
        longer = {}
        for picks, p in table.items():
            current = sq[:, picks].min(axis=1)
            shares = weights * current / (weights @ current)
            left = weights @ np.minimum(sq, current[:, None])
            for trials in product(range(len(X)), repeat=n_trials):
                if (q := np.prod(shares[list(trials)])) > 0:
                    best = trials[int(np.argmin(left[list(trials)]))]
                    longer[(*picks, best)] = longer.get((*picks, best), 0.0) + p * q
        table = longer
    return table


@pytest.mark.parametrize("n_trials", [2, 3])
def test_law_of_greedy_picks(n_trials):
    rows = np.concatenate([X, [[5.0, -3.0]]])
    weights = np.append(WEIGHTS, 0.7)
    table = greedy_law(rows, 5, weights, 2, n_trials)
    assert_law(rows, table, 5, sample_weight=weights, first=2, n_trials=n_trials)


def test_greedy_factored_equals_explicit():
    rng = np.random.default_rng(0)
    vectors = Outer(rng.normal(size=(40, 2)), rng.normal(size=(40, 3)))
    for seed in range(5):
        picks = kmeans_plusplus(vectors, 10, n_trials=4, random_state=seed)
        assert picks.tolist() == kmeans_plusplus(explicit(vectors), 10, n_trials=4, random_state=seed).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_plain_sampling_factored_equals_explicit(seed):
    rng = np.random.default_rng(1)
    vectors = Outer(rng.normal(size=(40, 2)), rng.normal(size=(40, 3)))
    picks = kmeans_plusplus(vectors, 20, random_state=seed)
    assert picks.tolist() == kmeans_plusplus(explicit(vectors), 20, random_state=seed).tolist()


def test_once_all_distances_are_zero_the_rest_is_uniform():
    rng = np.random.RandomState(0)
    counts = np.bincount([kmeans_plusplus(np.ones((4, 2)), 2, first=1, random_state=rng)[1] for _ in range(900)])
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3]]).pvalue > 1e-3


def test_rows_of_weight_zero_come_last():
    weights = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    for seed in range(20):
        picks = kmeans_plusplus(X, 5, sample_weight=weights, random_state=seed)
        assert set(picks[:3].tolist()) == {1, 3, 4}


def test_all_weights_zero_count_as_equal():
    picks = [kmeans_plusplus(X, 1, sample_weight=np.zeros(5), random_state=s)[0] for s in range(50)]
    assert set(picks) == set(range(5))


def test_a_seed_repeats_and_a_generator_goes_on():
    assert np.array_equal(kmeans_plusplus(X, 4, random_state=3), kmeans_plusplus(X, 4, random_state=3))
    rng = np.random.default_rng(0)
    assert len({tuple(kmeans_plusplus(X, 4, random_state=rng)) for _ in range(20)}) > 1
    again = np.random.default_rng(0)
    assert np.array_equal(
        kmeans_plusplus(X, 4, random_state=again), kmeans_plusplus(X, 4, random_state=np.random.default_rng(0))
    )


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.RandomState(0).random_sample()
    kmeans_plusplus(X, 4)
    assert np.random.random_sample() == expected  # noqa: NPY002


def test_read_only_inputs():
    rows, weights = X.copy(), WEIGHTS.copy()
    rows.flags.writeable = weights.flags.writeable = False
    assert len(kmeans_plusplus(rows, 3, sample_weight=weights, random_state=0)) == 3


@pytest.mark.parametrize(
    ("weights", "message"), [([1, 1], "shape"), ([1, 1, 1, 1, -1], "negative"), ([1, 1, 1, 1, np.nan], "NaN")]
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=f"sample_weight.*{message}"):
        kmeans_plusplus(X, 2, sample_weight=weights)


@pytest.mark.parametrize("options", [{"n_trials": 0}, {"first": 7}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kmeans_plusplus(X, 2, **options)
