from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import CoreSet

X = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [5.0, 1.0], [0.0, 4.0]])


def naive(features, centers, k):
    chosen, centers = [], list(centers)
    for _ in range(k):
        distances = np.array([min(np.linalg.norm(row - center) for center in centers) for row in features])
        distances[chosen] = -np.inf
        chosen.append(int(np.argmax(distances)))
        centers.append(features[chosen[-1]])
    return chosen


def test_picks_of_the_worked_example():
    assert CoreSet().select(PoolView(features=X, labeled_features=X[:1]), 3).tolist() == [3, 4, 1]


def test_without_centers_the_row_nearest_to_the_mean_comes_first():
    chosen = CoreSet(initial_centers=None).select(PoolView(features=X), 3)
    assert chosen.tolist() == [1, *naive(X, X[1:2], 2)]


def test_an_empty_labelled_set_counts_as_no_centers():
    view = PoolView(features=X, labeled_features=np.empty((0, 2)))
    np.testing.assert_array_equal(CoreSet().select(view, 4), CoreSet(initial_centers=None).select(view, 4))


def test_source_rows_count_as_covered_only_on_demand():
    view = PoolView(features=X, labeled_features=X[:1], source_features=X[3:4])
    assert CoreSet(initial_centers="labeled").select(view, 1).tolist() == [4]
    assert CoreSet().select(view, 1).tolist() == [3]


@pytest.mark.parametrize(
    ("initial_centers", "fields"),
    [
        (None, {"features"}),
        ("labeled_target", {"features", "labeled_features"}),
        ("labeled", {"features", "labeled_features", "source_features"}),
    ],
)
def test_only_the_fields_of_the_centers_are_required(initial_centers, fields):
    assert CoreSet(initial_centers=initial_centers).needs == fields


def test_duplicates_of_centers_come_last():
    view = PoolView(features=np.array([[0.0], [0.0], [1.0], [0.0]]), labeled_features=[[0.0]])
    assert CoreSet().select(view, 4).tolist() == [2, 0, 1, 3]


def test_an_unknown_name_of_the_centers_is_refused():
    with pytest.raises(ValueError, match=r"'initial_centers' parameter of CoreSet must be.*'labeled_target'"):
        CoreSet(initial_centers="source").select(PoolView(features=X), 2)
