from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import LAMDA, lamda_picks

X = np.array([[0.0], [0.1], [2.0], [2.1], [5.0]])


def naive(features, k, labeled, margin, gamma, threshold):
    n, rows = len(features), np.concatenate([features, labeled])
    kernel = [[np.exp(-gamma * ((a - b) ** 2).sum()) for b in rows] for a in rows]
    chosen, bought, free = [], [], []
    while len(bought) < k and len(chosen) < len(rows):
        scores = []
        for x in range(len(rows)):
            attraction = 2 / len(rows) * sum(kernel[i][x] for i in range(len(rows)))
            repulsion = (2 * sum(kernel[s][x] for s in chosen) + kernel[x][x]) / (len(chosen) + 1)
            scores.append(-np.inf if x in chosen else attraction - repulsion)
        chosen.append(int(np.argmax(scores)))
        is_free = chosen[-1] >= n or margin[chosen[-1]] > threshold
        (free if is_free else bought).append(chosen[-1])
        if len(free) > 2 * (len(labeled) + k):
            bought.append(free.pop(next(i for i, x in enumerate(free) if x < n)))
    free = [x for x in free if x < n]
    return bought + free[: k - len(bought)], free[max(0, k - len(bought)) :]


def pool(seed, n=40, n_labeled=4):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n + n_labeled, 3)) + 2 * rng.integers(3, size=(n + n_labeled, 1))
    return rows[:n], rows[n:], rng.random(n)


def test_picks_of_the_worked_example():
    bought, free = lamda_picks(X, 3, gamma=1.0)
    assert bought.tolist() == [2, 0, 4]
    assert free.tolist() == []


@pytest.mark.parametrize("threshold", [0.3, 0.8, 1.0])
@pytest.mark.parametrize(("seed", "n_labeled", "k"), [(0, 4, 5), (1, 0, 3), (2, 9, 20), (3, 2, 40)])
def test_prototypes_are_those_of_loops_over_rows(threshold, seed, n_labeled, k):
    features, labeled, margin = pool(seed, n_labeled=n_labeled)
    bought, free = lamda_picks(
        features, k, labeled_features=labeled, margin=margin, gamma=0.4, pseudo_label_threshold=threshold
    )
    assert (bought.tolist(), free.tolist()) == naive(features, k, labeled, margin, 0.4, threshold)


def test_prototypes_of_several_blocks_are_those_of_a_whole_kernel():
    features, labeled, _ = pool(0, n=700, n_labeled=20)
    rows = np.concatenate([features, labeled])
    kernel = np.exp(-((rows[:, None] - rows[None]) ** 2).sum(axis=2) / 3)
    chosen, bought = [], []
    while len(bought) < 25:
        scores = 2 * kernel.mean(axis=0) - (2 * kernel[chosen].sum(axis=0) + 1) / (len(chosen) + 1)
        scores[chosen] = -np.inf
        chosen.append(int(scores.argmax()))
        bought += [chosen[-1]] if chosen[-1] < 700 else []
    assert lamda_picks(features, 25, labeled_features=labeled)[0].tolist() == bought


def test_each_prototype_lowers_the_discrepancy_to_the_pool_the_most():
    features, _, _ = pool(4, n=25)
    kernel = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=2))

    def objective(rows):
        return 2 * kernel[:, rows].mean() - kernel[np.ix_(rows, rows)].mean()

    picks = lamda_picks(features, 2, gamma=1.0)[0].tolist()
    assert picks[0] == max(range(25), key=lambda x: objective([x]))
    # The score is the part of the objective's growth that depends on the row, up to a factor.
    assert picks[1] == max(set(range(25)) - {picks[0]}, key=lambda x: objective([picks[0], x]))


def test_sure_candidates_are_prototypes_that_are_not_bought():
    bought, free = lamda_picks(X, 2, margin=[0.1, 0.1, 0.9, 0.1, 0.1], gamma=1.0)
    assert bought.tolist() == [0, 4]
    assert free.tolist() == [2]


def test_beyond_the_limit_the_oldest_free_prototype_is_bought_but_none_with_a_label():
    labeled = X[:1]
    bought, free = lamda_picks(X, 1, labeled_features=labeled, margin=np.ones(5), gamma=1.0)
    assert len(bought) == 1
    assert len(free) <= 4
    assert bought.tolist() == [naive(X, 1, labeled, np.ones(5), 1.0, 0.8)[0][0]]


def test_surroundings_of_labelled_rows_are_not_bought_again():
    rows = np.array([[0.0], [0.1], [0.2], [2.0], [2.1]])
    assert lamda_picks(rows, 1, gamma=1.0)[0].tolist() == [1]
    assert lamda_picks(rows, 1, labeled_features=[[0.1], [0.11]], gamma=1.0)[0].tolist() != [1]


def test_strategy_is_the_function_on_the_view():
    features, labeled, _ = pool(5)
    proba = np.random.default_rng(0).dirichlet(np.full(3, 0.3), size=40)
    view = PoolView(features=features, labeled_features=labeled, proba=proba)
    expected = lamda_picks(features, 12, labeled_features=labeled, margin=view.margin)[0]
    np.testing.assert_array_equal(LAMDA().select(view, 12), expected)
    choices = {
        tuple(strategy.select(view, 12).tolist())
        for strategy in (LAMDA(), LAMDA(gamma=3.0), LAMDA(pseudo_label_threshold=0.1), LAMDA(None, None))
    }
    assert len(choices) == 4


def test_probabilities_are_read_only_where_sure_candidates_are_free():
    assert LAMDA().needs == {"features", "labeled_features", "proba"}
    assert LAMDA(pseudo_label_threshold=None).needs == {"features", "labeled_features"}


def test_an_offset_of_all_rows_changes_nothing():
    features, _, _ = pool(6)
    single, moved = features.astype(np.float32), (features + 1000).astype(np.float32)
    assert lamda_picks(single, 9)[0].tolist() == lamda_picks(moved, 9)[0].tolist()
