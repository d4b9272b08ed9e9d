"""Shares of counts are those of decimal arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from skada_active.utils.shares import n_in_share

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
