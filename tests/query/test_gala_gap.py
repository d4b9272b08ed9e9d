from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skada_active.query import domain_gap

# Sources of mean (0, 0) and (4, 0), and deviation (1, 1) and (2, 1).
SOURCE = np.array([[-1.0, -1.0], [1.0, 1.0], [2.0, -1.0], [6.0, 1.0]])
DOMAIN = np.array([1, 1, 2, 2])
FEATURES = np.array([[1.0, 1.0], [6.0, 3.0], [2.0, -2.0]])
FIRST, SECOND = [1.0, 4.743416, 2.0], [1.274755, 2.236068, 1.581139]


def naive_gap(features, source, domain, aggregation, gap, labels):
    gaps = []
    for number in sorted(set(domain.tolist())):
        rows = source[domain == number]
        mean, std = rows.mean(axis=0), rows.std(axis=0)
        eps = 1e-8 * (1 + np.median(std))
        one = []
        for x, label in zip(features, labels, strict=True):
            width = features[labels == label].std(axis=0)
            terms = ((x - mean) / (std + eps)) ** 2 if gap == "standardized" else (x - mean) ** 2 + (width - std) ** 2
            one.append(np.sqrt(terms.mean()))
        gaps.append(one)
    return {"mean": np.mean, "min": np.min, "max": np.max}[aggregation](gaps, axis=0)


def test_gaps_to_each_source_of_the_worked_example():
    np.testing.assert_allclose(domain_gap(FEATURES, SOURCE[:2], DOMAIN[:2]), FIRST, atol=1e-6)
    np.testing.assert_allclose(domain_gap(FEATURES, SOURCE[2:], DOMAIN[2:]), SECOND, atol=1e-6)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("mean", [1.137377, 3.489742, 1.790569]),
        ("min", np.minimum(FIRST, SECOND)),
        ("max", np.maximum(FIRST, SECOND)),
    ],
)
def test_gaps_to_both_sources_of_the_worked_example(aggregation, expected):
    gap = domain_gap(FEATURES, SOURCE, DOMAIN, aggregation=aggregation)
    assert gap.dtype == np.float64
    np.testing.assert_allclose(gap, expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    aggregation=st.sampled_from(["mean", "min", "max"]),
    gap=st.sampled_from(["standardized", "gaussian_w2"]),
    n_sources=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_gaps_are_those_of_a_loop_over_sources_and_rows(aggregation, gap, n_sources, seed):
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(9, 3)), rng.integers(0, 3, size=9)
    source, domain = 2 * rng.normal(size=(20, 3)) + 1, np.arange(20) % n_sources + 5
    found = domain_gap(features, source, domain, aggregation=aggregation, gap=gap, cluster_labels=labels)
    np.testing.assert_allclose(found, naive_gap(features, source, domain, aggregation, gap, labels), rtol=1e-6)


@pytest.mark.parametrize("gap", ["standardized", "gaussian_w2"])
def test_one_source_has_one_gap_whatever_the_aggregation(gap):
    gaps = [domain_gap(FEATURES, SOURCE, [7] * 4, aggregation=a, gap=gap) for a in ("mean", "min", "max")]
    np.testing.assert_array_equal(gaps[0], gaps[1])
    np.testing.assert_array_equal(gaps[0], gaps[2])


def test_the_numbers_and_the_order_of_the_sources_do_not_matter():
    expected = domain_gap(FEATURES, SOURCE, DOMAIN)
    np.testing.assert_allclose(domain_gap(FEATURES, SOURCE[[3, 0, 2, 1]], [0, 9, 0, 9]), expected)


def test_a_row_at_the_centroid_has_no_gap():
    assert domain_gap([[0.0, 0.0]], SOURCE[:2], DOMAIN[:2]).tolist() == [0.0]


def test_units_of_the_features_do_not_matter():
    # But for epsilon, which keeps divisions finite.
    expected = domain_gap(FEATURES, SOURCE, DOMAIN)
    np.testing.assert_allclose(domain_gap(FEATURES * [1e3, 1e-2], SOURCE * [1e3, 1e-2], DOMAIN), expected, rtol=1e-2)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_dimension_without_variance_in_a_source_is_left_out(constant, dtype):
    source = np.column_stack([SOURCE, np.full(4, constant)]).astype(dtype)
    features = np.column_stack([FEATURES, [3.0, -4.0, 1e5]]).astype(dtype)
    np.testing.assert_allclose(domain_gap(features, source, DOMAIN), domain_gap(FEATURES, SOURCE, DOMAIN), rtol=1e-5)


def test_a_dimension_is_left_out_of_that_source_alone_in_which_it_is_constant():
    source = np.column_stack([SOURCE, [5.0, 5.0, 0.0, 2.0]])
    features = np.column_stack([FEATURES, [3.0, 3.0, 3.0]])
    second = np.sqrt((2 * np.square(SECOND) + 4) / 3)
    np.testing.assert_allclose(domain_gap(features, source, DOMAIN), (np.array(FIRST) + second) / 2, atol=1e-6)


def test_a_source_of_one_row_has_no_units_and_is_left_out():
    with_single = domain_gap(FEATURES, [*SOURCE, [100.0, 100.0]], [*DOMAIN, 3], aggregation="max")
    np.testing.assert_array_equal(with_single, domain_gap(FEATURES, SOURCE, DOMAIN, aggregation="max"))


def test_without_any_units_distances_are_plain():
    expected = np.sqrt(np.square(FEATURES - [1.0, 0.0]).mean(axis=1))
    np.testing.assert_allclose(domain_gap(FEATURES, [[1.0, 0.0]], [1]), expected)


def test_constant_features_have_no_gap():
    assert domain_gap(np.full((3, 2), 0.1), np.full((5, 2), 0.1), np.ones(5, dtype=int)).tolist() == [0.0] * 3


def test_the_gap_does_not_depend_on_the_size_of_the_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(30, 4)), rng.normal(size=(50, 4)), np.arange(50) % 3
    expected = domain_gap(*arrays)
    monkeypatch.setattr("skada_active.query.gala_gap._BLOCK_BYTES", 1)
    np.testing.assert_allclose(domain_gap(*arrays), expected, rtol=1e-12)


def test_a_constant_of_many_blocks_is_left_out_though_its_mean_is_rounded(monkeypatch):
    monkeypatch.setattr("skada_active.query.gala_gap._BLOCK_BYTES", 8 * 7)
    source, domain = np.tile(SOURCE, (25, 1)), np.tile(DOMAIN, 25)
    expected = domain_gap(FEATURES, source, domain)
    features = np.column_stack([FEATURES, [3.0, -4.0, 1e5]])
    np.testing.assert_allclose(domain_gap(features, np.column_stack([source, np.full(100, 0.1)]), domain), expected)


def test_without_labels_all_rows_are_one_cluster():
    one = domain_gap(FEATURES, SOURCE, DOMAIN, gap="gaussian_w2", cluster_labels=[0, 0, 0])
    np.testing.assert_array_equal(domain_gap(FEATURES, SOURCE, DOMAIN, gap="gaussian_w2"), one)


def test_the_mean_square_over_a_cluster_is_the_distance_between_gaussians_and_its_spread():
    rng = np.random.default_rng(1)
    features, source = rng.normal(size=(40, 3)) + 2, 3 * rng.normal(size=(60, 3))
    gap = domain_gap(features, source, np.ones(60, dtype=int), gap="gaussian_w2")
    places = np.square(features.mean(axis=0) - source.mean(axis=0)) + features.var(axis=0)
    widths = np.square(features.std(axis=0) - source.std(axis=0))
    np.testing.assert_allclose(np.square(gap).mean(), (places + widths).mean())


def test_no_source_row_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"source_features has no row.*sample_domain >= 0.*BADGE"):
        domain_gap(FEATURES, np.empty((0, 2)), [])


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match="of one width, got 2 and 3"):
        domain_gap(FEATURES, np.ones((4, 3)), DOMAIN)


@pytest.mark.parametrize("options", [{"aggregation": "median"}, {"gap": "cosine"}])
def test_unknown_options_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        domain_gap(FEATURES, SOURCE, DOMAIN, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="contains"):
        domain_gap([[1.0, bad]], SOURCE, DOMAIN)
