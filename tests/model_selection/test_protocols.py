"""Protocols as roles of rows: few labels per class, each domain in turn, one domain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.model_selection import labeled_per_class, leave_one_domain_out, single_domain


def loop_of(estimator=None, **params):
    estimator = LogisticRegression() if estimator is None else estimator
    return ActiveAdaptationLoop(estimator, **{"budget": 4, "n_rounds": 2, "random_state": 0, **params})


# Few labels per class


@pytest.mark.parametrize("shots", [1, 3])
def test_every_class_of_the_target_gets_as_many_labels(blobs, shots):
    _, y, sample_domain = blobs
    mask = labeled_per_class(y, sample_domain, shots, random_state=0)
    assert mask.dtype == bool
    assert not mask[sample_domain > 0].any()
    assert np.bincount(y[mask]).tolist() == [shots] * 3


def test_the_mask_goes_into_a_loop_that_buys_nothing(blobs):
    X, y, sample_domain = blobs
    mask = labeled_per_class(y, sample_domain, 3, random_state=0)
    loop = loop_of(budget=0).fit(X, y, sample_domain=sample_domain, labeled_target=mask)
    assert loop.n_queries_ == 0
    assert loop.initial_["class_counts"] == {0: 3, 1: 3, 2: 3}


def test_the_seed_draws_the_rows_and_fewer_shots_are_among_more(blobs):
    _, y, sample_domain = blobs
    one, three, other = (
        labeled_per_class(y, sample_domain, n, random_state=seed) for n, seed in [(1, 0), (3, 0), (3, 1)]
    )
    assert (one <= three).all()
    assert (three != other).any()
    np.testing.assert_array_equal(three, labeled_per_class(y, sample_domain, 3, random_state=0))


def test_target_rows_without_a_label_are_not_drawn(blobs):
    _, y, sample_domain = blobs
    names = np.array(["a", "b", "c"], dtype=object)[y]
    names[70:] = None
    mask = labeled_per_class(names, sample_domain, random_state=0)
    assert set(np.flatnonzero(mask)) < set(range(60, 70))


def test_a_class_with_too_few_rows_is_named():
    with pytest.raises(ValueError, match=r"n_per_class=2, but class 'b' has 1 target row\(s\)"):
        labeled_per_class(["a", "a", "a", "b"], [1, -2, -2, -2], 2)


@pytest.mark.parametrize(("y", "shots"), [([0, -1, -1], 1), ([0, 1, 1], 0)])
def test_few_labels_per_class_refuses_what_it_cannot_draw(y, shots):
    with pytest.raises(ValueError, match=r"no target row|n_per_class"):
        labeled_per_class(y, [1, -2, -2], shots)


# Each domain in turn


def test_every_domain_is_the_target_once():
    X, y, sample_domain = make_multi_source_blobs(20, 20, random_state=0)
    seen = dict(leave_one_domain_out(sample_domain))
    assert list(seen) == np.unique(np.abs(sample_domain)).tolist()
    for number, domain in seen.items():
        np.testing.assert_array_equal(np.abs(domain), np.abs(sample_domain))
        np.testing.assert_array_equal(domain < 0, np.abs(sample_domain) == number)
        loop = loop_of().fit(X, y, sample_domain=domain)
        assert (domain[loop.queried_ids_] == -number).all()


def test_the_domains_given_are_left_as_they_are():
    sample_domain = np.array([1, -2])
    for _, domain in leave_one_domain_out(sample_domain):
        domain[:] = 7
    assert sample_domain.tolist() == [1, -2]


@pytest.mark.parametrize(
    ("sample_domain", "message"),
    [([0, 1], "holds 0"), ([3, -3], r"names 1 domain\(s\)"), ([0.5, 1], "one integer per row"), (3, "one integer")],
)
def test_domains_that_cannot_be_left_out_are_refused_at_once(sample_domain, message):
    with pytest.raises(ValueError, match=message):
        leave_one_domain_out(sample_domain)


# One domain


@pytest.mark.parametrize(("n_initial", "n_rows"), [(0.1, 12), (12, 12), (0.3, 36)])
def test_so_many_rows_are_labelled_from_the_start(blobs, n_initial, n_rows):
    domain = single_domain(blobs[1], n_initial, random_state=0)
    assert (domain == 1).sum() == n_rows
    assert (domain == -1).sum() == 120 - n_rows


def test_which_rows_does_not_depend_on_the_labels(blobs):
    y = blobs[1]
    first = single_domain(y, random_state=0)
    np.testing.assert_array_equal(first, single_domain(y[::-1], random_state=0))
    assert (first != single_domain(y, random_state=1)).any()


def test_rows_without_a_label_are_in_the_pool(blobs):
    _, y, sample_domain = blobs
    domain = single_domain(mask_target(y, sample_domain), 50, random_state=0)
    assert (domain[60:] == -1).all()


@pytest.mark.parametrize("estimator", [None, AdaptationClassifier(max_epochs=1)], ids=["linear", "network"])
def test_a_loop_buys_in_a_single_domain(blobs, estimator):
    X, y, _ = blobs
    domain = single_domain(y, 0.3, random_state=0)
    loop = loop_of(estimator, round_epochs=1).fit(X, y, sample_domain=domain)
    assert loop.n_queries_ == 4
    assert (domain[loop.queried_ids_] == -1).all()


@pytest.mark.parametrize("n_initial", [0, 120, 0.0, 1.0, 0.001, -1, True, None, "a", 61])
def test_a_split_with_an_empty_side_is_refused(blobs, n_initial):
    _, y, sample_domain = blobs
    y = mask_target(y, sample_domain) if n_initial == 61 else y
    with pytest.raises(ValueError, match="n_initial"):
        single_domain(y, n_initial)
