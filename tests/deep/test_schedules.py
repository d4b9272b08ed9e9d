from __future__ import annotations

import math

import pytest

from skada_active.deep.schedules import reversal_coefficient


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_dann_schedule_follows_the_progress(progress):
    expected = 2 / (1 + math.exp(-10 * progress)) - 1
    assert reversal_coefficient("dann", progress, 10**6) == pytest.approx(expected)


@pytest.mark.parametrize(("iteration", "expected"), [(0, 0.0), (500, 0.245), (1000, 0.462), (10**4, 0.99991)])
def test_tll_schedule_follows_the_iterations(iteration, expected):
    assert reversal_coefficient("tll", 1.0, iteration) == pytest.approx(expected, abs=1e-3)


def test_constant_schedule_is_one_from_the_start():
    assert reversal_coefficient("constant", 0.0, 0) == 1.0


def test_unknown_schedule_is_refused_by_name():
    with pytest.raises(ValueError, match="schedule"):
        reversal_coefficient("linear", 0.0, 0)
