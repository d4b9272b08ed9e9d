from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skada_active.pool import PoolView
from skada_active.query.gala_pools import is_isolated, parts_of, share_budget


def make_view(n=20, **fields):
    rng = np.random.default_rng(0)
    source = {"source_features": rng.normal(size=(5, 2)), "source_domain": np.ones(5, dtype=int)}
    features = {"proba": rng.dirichlet(np.ones(3), size=n), "features": rng.normal(size=(n, 2))}
    return PoolView(**{**features, **source, **fields})


@pytest.mark.parametrize(
    ("weights", "capacities", "total", "expected"),
    [
        ([1, 1], [10, 10], 6, [3, 3]),
        ([1, 3], [10, 10], 8, [2, 6]),
        ([1, 1, 1], [5, 5, 5], 4, [2, 1, 1]),
        ([0.5, 0.3, 0.2], [9, 9, 9], 6, [3, 2, 1]),
        ([1, 1, 2], [10, 10, 3], 9, [3, 3, 3]),
        ([0, 1], [4, 4], 6, [2, 4]),
        ([0, 0], [6, 2], 4, [3, 1]),
        ([1, 1], [1, 2], 9, [1, 2]),
        ([1, 2], [3, 3], 0, [0, 0]),
        ([0, 5], [3, 0], 2, [2, 0]),
    ],
)
def test_shares_are_whole_and_proportional(weights, capacities, total, expected):
    assert share_budget(weights, capacities, total).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(data=st.data(), m=st.integers(1, 6), total=st.integers(0, 60))
def test_shares_sum_to_the_total_and_fit_and_no_open_pool_is_off_by_one_or_more(data, m, total):
    weights = data.draw(st.lists(st.floats(0, 1e6), min_size=m, max_size=m))
    capacities = data.draw(st.lists(st.integers(0, 20), min_size=m, max_size=m))
    shares = share_budget(weights, capacities, total)
    assert shares.dtype == np.int64
    assert shares.sum() == min(total, sum(capacities))
    assert (shares >= 0).all()
    assert (shares <= capacities).all()
    if sum(weights) > 0 and (shares < capacities).all():
        assert (np.abs(shares - shares.sum() * np.divide(weights, sum(weights))) < 1 + 1e-6).all()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_share_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="weights must be finite and not negative"):
        share_budget([1.0, bad], [5, 5], 3)


def test_as_many_weights_as_capacities_are_needed():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        share_budget([1.0, 2.0], [5], 3)


def test_a_far_spacing_is_isolated():
    assert is_isolated([1.0, 1.1, 1.2, 1.3, 20.0]).tolist() == [False] * 4 + [True]


def test_less_than_twice_the_median_is_never_isolated():
    assert not is_isolated([1.0] * 20 + [1.9]).any()
    assert is_isolated([1.0] * 20 + [2.1]).tolist() == [False] * 20 + [True]


def test_regions_of_different_density_are_ordinary():
    assert not is_isolated(np.geomspace(0.01, 1.0, 50)).any()


def test_duplicates_do_not_make_all_others_isolated():
    assert not is_isolated([0.0] * 30 + [1.0, 1.2, 0.9, 1.1]).any()
    assert not is_isolated(np.zeros(5)).any()


def test_the_scale_of_the_spacings_does_not_matter():
    spacing = np.random.default_rng(0).lognormal(sigma=1.5, size=100)
    np.testing.assert_array_equal(is_isolated(spacing), is_isolated(1e-6 * spacing))


def test_a_view_of_one_part_is_that_part():
    view = make_view()
    (part,) = parts_of(view, False, None)
    assert part.pool is view
    assert len(part) == len(part.inliers) == 20


def test_targets_are_parts_with_the_same_sources():
    view = make_view(target_domain=[-1, -3] * 10)
    parts = parts_of(view, True, None)
    assert [part.inliers.tolist() for part in parts] == [list(range(1, 20, 2)), list(range(0, 20, 2))]
    np.testing.assert_array_equal(parts[0].pool.features, view.features[1::2])
    np.testing.assert_array_equal(parts[1].pool.source_features, view.source_features)


def test_outliers_are_apart_the_least_isolated_first():
    features = np.random.default_rng(0).normal(size=(20, 2))
    features[3], features[11] = [90.0, 0.0], [30.0, 30.0]
    (part,) = parts_of(make_view(features=features), False, 2)
    assert part.outliers.tolist() == [11, 3]
    assert sorted([*part.inliers, *part.outliers]) == list(range(20))
    np.testing.assert_array_equal(part.pool.features, features[part.inliers])


def test_a_far_group_of_more_rows_than_neighbours_is_ordinary():
    features = np.random.default_rng(0).normal(size=(20, 2))
    features[:4] += 100.0
    assert len(parts_of(make_view(features=features), False, 3)[0].outliers) == 0
    assert parts_of(make_view(features=features), False, 4)[0].outliers.tolist() != []


def test_each_target_has_outliers_of_its_own():
    features = np.random.default_rng(0).normal(size=(20, 2))
    features[1::2] *= 50
    features[4] += 100
    view = make_view(features=features, target_domain=[-1, -2] * 10)
    assert [part.outliers.tolist() for part in parts_of(view, True, 3)] == [[], [4]]
    assert parts_of(view, False, 3)[0].outliers.tolist() == []


@pytest.mark.parametrize("n", [1, 2])
def test_a_pool_of_hardly_any_rows_has_no_outliers(n):
    (part,) = parts_of(make_view(n), False, 3)
    assert part.inliers.tolist() == list(range(n))
