"""Shares of counts are those of decimal arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from skada_active.utils.shares import n_in_share, turns_by_share

COUNTS = np.array([1, 3, 7, 100, 999, 12_345, 10_000_000])


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_in_percent_is_rounded_as_its_fraction_is(percent):
    exact = [Fraction(percent, 100) * int(count) for count in COUNTS]
    assert n_in_share(percent / 100, COUNTS).tolist() == [floor(n) for n in exact]
    assert n_in_share(percent / 100, COUNTS, up=True).tolist() == [ceil(n) for n in exact]


def test_rounded_up_no_share_is_too_small_for_a_row():
    assert n_in_share(1e-15, COUNTS, up=True).tolist() == [1] * len(COUNTS)


def test_one_count_gives_one_number():
    assert n_in_share(0.5, 7) == 3
    assert n_in_share(0.5, 7, up=True) == 4


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.7, 0.2, 0.1], [3, 1], [1, 1, 1], [0.35, 0.33, 0.32], [1e-9, 1e9]])
def test_every_number_of_turns_is_shared_by_divisors(shares):
    turns = turns_by_share(shares, 40)
    had = np.zeros(len(shares))
    for turn in turns:
        claims = np.array(shares) / max(shares) / (2 * had + 1)
        assert claims[turn] == pytest.approx(claims.max(), rel=1e-12)
        had[turn] += 1


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.7, 0.2, 0.1], [0.6, 0.4], [0.1, 0.1, 0.1, 0.7]])
def test_shares_that_come_out_even_are_met_exactly(shares):
    for n in (10, 20, 70):
        counts = np.bincount(turns_by_share(shares, n), minlength=len(shares))
        np.testing.assert_array_equal(counts, np.round(np.array(shares) * n))


def test_turns_go_on_where_they_stopped():
    whole = turns_by_share([5, 3, 1], 30)
    np.testing.assert_array_equal(np.concatenate([turns_by_share([5, 3, 1], 10, at) for at in (0, 10, 20)]), whole)
    assert turns_by_share([1, 2], 0).shape == (0,)


def test_the_first_turn_is_that_of_the_largest_share_and_then_of_the_first():
    assert turns_by_share([0.2, 0.8], 1).tolist() == [1]
    assert turns_by_share([1, 1, 1], 4).tolist() == [0, 1, 2, 0]
