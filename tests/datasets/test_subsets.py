"""Harder tasks from one's own rows: label shift, partial target, wider gap."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.datasets import (
    displace_source,
    make_multi_source_blobs,
    subsample_label_shift,
    subsample_partial_target,
)
from skada_active.domains import mask_target

# Rows of each class in the published list for the source Clipart of Office-Home RSUT, by rank from the most frequent
# one: the first ranks, and the last ones as (first rank, last rank, rows).
HEAD = {0: 39, 2: 35, 3: 33, 4: 31, 5: 30, 6: 29, 7: 27, 8: 26, 9: 25}
TAIL = [(30, 33, 13), (34, 37, 12), (38, 41, 11), (42, 47, 10), (48, 54, 9), (55, 63, 8), (64, 64, 7)]


def task(n_per_class, n_classes):
    """Return labels and domains of a source and a target with as many rows of every class."""
    y = np.tile(np.repeat(np.arange(n_classes), n_per_class), 2)
    return y, np.repeat([1, -2], len(y) // 2)


def sizes(y, sample_domain, rows, number):
    return np.bincount(y[rows][sample_domain[rows] == number], minlength=y.max() + 1)


def naive_profile(n_head, n_classes, imbalance):
    return [int(n_head / (1 + (imbalance - 1) * rank / (n_classes - 1)) + 0.5) for rank in range(n_classes)]


# Label shift


@pytest.mark.parametrize("imbalance", [1, 5.2, 20])
def test_the_classes_fall_by_the_curve_and_the_target_is_reversed(imbalance):
    y, sample_domain = task(40, 7)
    rows = subsample_label_shift(y, sample_domain, imbalance=imbalance, random_state=0)
    expected = naive_profile(40, 7, imbalance)
    assert sizes(y, sample_domain, rows, 1)[::-1].tolist() == expected
    assert sizes(y, sample_domain, rows, -2).tolist() == expected


def test_the_default_gives_the_published_class_sizes_to_within_one_row():
    y, sample_domain = task(39, 65)
    found = sizes(y, sample_domain, subsample_label_shift(y, sample_domain, random_state=0), 1)[::-1]
    published = HEAD | {rank: n for first, last, n in TAIL for rank in range(first, last + 1)}
    assert max(abs(found[rank] - n) for rank, n in published.items()) <= 1


def test_without_reversal_both_domains_are_long_tailed_alike():
    y, sample_domain = task(40, 4)
    rows = subsample_label_shift(y, sample_domain, reversed_target=False, random_state=0)
    source, target = (sizes(y, sample_domain, rows, number) for number in (1, -2))
    assert source.tolist() == target.tolist() == sorted(source)


def test_a_class_with_fewer_rows_keeps_all_of_them():
    y, sample_domain = task(30, 3)
    kept = np.ones(len(y), dtype=bool)
    kept[np.flatnonzero((sample_domain == 1) & (y == 1))[2:]] = False
    y, sample_domain = y[kept], sample_domain[kept]
    rows = subsample_label_shift(y, sample_domain, imbalance=2, random_state=0)
    assert sizes(y, sample_domain, rows, 1).tolist() == [15, 2, 30]


def test_every_domain_is_subsampled_by_itself():
    _, y, sample_domain = make_multi_source_blobs(n_source=60, n_target=90, n_sources=3, random_state=0)
    rows = subsample_label_shift(y, sample_domain, imbalance=4, random_state=0)
    found = {number: sizes(y, sample_domain, rows, number).tolist() for number in np.unique(sample_domain)}
    assert found == {-4: [30, 12, 8], 1: [5, 8, 20], 2: [5, 8, 20], 3: [5, 8, 20]}


def test_the_seed_draws_the_rows():
    y, sample_domain = task(40, 4)
    first, again, other = (subsample_label_shift(y, sample_domain, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (np.diff(first) > 0).all()
    assert first.dtype == np.int64
    assert not np.array_equal(first, other)


def test_every_class_keeps_a_row():
    y, sample_domain = task(5, 4)
    rows = subsample_label_shift(y, sample_domain, imbalance=1000, random_state=0)
    assert sizes(y, sample_domain, rows, 1).tolist() == [1, 1, 1, 5]


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        ([0, 1, 0, 1], {"imbalance": 0.5}, "imbalance"),
        ([0, 1, 0, 1], {"imbalance": np.nan}, "imbalance"),
        ([1, 1, 1, 1], {}, "one class, 1"),
        ([0, 0, 0, 1], {}, "Domain 1 has no row of class 1"),
        ([0, 1, 0, -1], {}, r"no label for 1 target row\(s\), the first is row 3"),
    ],
)
def test_label_shift_refuses_what_it_cannot_make(y, params, message):
    with pytest.raises(ValueError, match=message):
        subsample_label_shift(y, [1, 1, -2, -2], **params)


@pytest.mark.parametrize("sample_domain", [None, [1, 1, 2, 2], [0, 0, 1, 1]])
def test_a_task_without_a_target_is_refused(sample_domain):
    with pytest.raises(ValueError, match=r"sample_domain names no target row|a target is numbered below 0"):
        subsample_label_shift([0, 1, 0, 1], sample_domain)
    with pytest.raises(ValueError, match=r"sample_domain names no target row|a target is numbered below 0"):
        subsample_partial_target([0, 1, 0, 1], sample_domain, 1)


# Partial target


def test_the_target_keeps_the_classes_named_and_the_source_all():
    y, sample_domain = task(4, 5)
    rows = subsample_partial_target(y, sample_domain, [3, 1])
    assert sizes(y, sample_domain, rows, 1).tolist() == [4] * 5
    assert sizes(y, sample_domain, rows, -2).tolist() == [0, 4, 0, 4, 0]
    assert (np.diff(rows) > 0).all()


def test_a_number_stands_for_the_first_classes():
    y, sample_domain = task(4, 5)
    for labels in (y, np.array(["a", "b", "c", "d", "e"])[y], np.array(["a", "b", "c", "d", "e"], dtype=object)[y]):
        rows = subsample_partial_target(labels, sample_domain, 2)
        assert sizes(y, sample_domain, rows, -2).tolist() == [4, 4, 0, 0, 0]


@pytest.mark.parametrize("classes", [0, 4, "ab", None, ["z"], [], ["c"], True])
def test_classes_that_leave_no_target_are_refused(classes):
    with pytest.raises(ValueError, match="classes"):
        subsample_partial_target(["a", "b", "c", "a", "b"], [1, 1, 1, -2, -2], classes)


def test_a_target_row_without_a_label_has_no_class():
    with pytest.raises(ValueError, match="the first is row 3"):
        subsample_partial_target(["a", "b", "a", None], [1, 1, -2, -2], 1)


# Wider gap


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_of_the_source_move_by_weighted_differences_of_the_means(dtype):
    X, y, sample_domain = make_multi_source_blobs(30, 30, n_classes=4, n_features=5, random_state=0)
    X = X.astype(dtype)
    source = sample_domain > 0
    moved = displace_source(X, y, sample_domain, scale=0.3, random_state=1)
    assert moved.dtype == dtype
    means = [X[source & (y == label)].mean(axis=0) for label in range(4)]
    weights = np.random.RandomState(1).uniform(-0.3, 0.3, size=(4, 4))
    for label in range(4):
        move = sum(weights[label, i] * (means[i] - means[label]) for i in range(4))
        rows = source & (y == label)
        np.testing.assert_allclose(moved[rows] - X[rows], np.tile(move, (rows.sum(), 1)), atol=1e-5)
    np.testing.assert_array_equal(moved[~source], X[~source])


def test_target_labels_are_not_read_and_rows_not_written_to(blobs):
    X, y, sample_domain = blobs
    moved = displace_source(X, mask_target(y, sample_domain), sample_domain, random_state=0)
    np.testing.assert_array_equal(moved, displace_source(X, y, sample_domain, random_state=0))
    assert not np.array_equal(moved, displace_source(X, y, sample_domain, random_state=1))


def test_scale_is_the_length_of_the_moves(blobs):
    X, y, sample_domain = blobs
    one, two = (displace_source(X, y, sample_domain, scale=scale, random_state=0) - X for scale in (0.1, 0.2))
    np.testing.assert_allclose(two, 2 * one, atol=1e-12)
    np.testing.assert_array_equal(displace_source(X, y, sample_domain, scale=0), X)


@pytest.mark.parametrize("params", [{"scale": -1}, {"scale": np.inf}])
def test_a_scale_out_of_range_is_refused(blobs, params):
    with pytest.raises(ValueError, match="scale"):
        displace_source(*blobs, **params)


def test_rows_that_are_no_finite_numbers_are_refused():
    with pytest.raises(ValueError, match="X contains NaN"):
        displace_source([[np.nan], [1.0]], [0, 1], [1, -2])
