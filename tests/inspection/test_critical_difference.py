"""Display of average ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from skada_active.experiments import Results
from skada_active.inspection import CriticalDifferenceDisplay


def display(ranks, **params):
    methods = [f"method {column}" for column in range(len(ranks[0]))]
    return CriticalDifferenceDisplay(methods=methods, ranks=ranks, **params)


# The quantiles of Demšar's Table 5.
@pytest.mark.parametrize(("n_methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_paper(n_methods, q):
    ranks = np.tile(np.arange(1, n_methods + 1), (7, 1))
    expected = q * np.sqrt(n_methods * (n_methods + 1) / (6 * 7))
    assert display(ranks).critical_difference == pytest.approx(expected, abs=2e-3)


def test_the_p_value_is_friedmans():
    ranks = np.array([rng.permutation(4) + 1 for rng in map(np.random.default_rng, range(6))])
    assert display(ranks).p_friedman == pytest.approx(friedmanchisquare(*ranks.T).pvalue)
    assert np.isnan(display([[1, 2], [2, 1]]).p_friedman)


def test_groups_are_as_large_as_the_difference_allows():
    ranks = np.tile([1.0, 2.0, 3.0, 5.0, 4.0], (30, 1))  # a critical difference of 1.11
    names = [[f"method {column}" for column in group] for group in ([0, 1], [1, 2], [2, 4], [4, 3])]
    assert display(ranks).groups() == names
    assert display(ranks[:2]).groups() == [[f"method {column}" for column in (0, 1, 2, 4, 3)]]
    assert display(np.tile([1.0, 2.0, 3.0], (500, 1))).groups() == []


def test_the_picture_has_a_point_per_method_and_a_bar_per_group():
    pytest.importorskip("matplotlib")
    shown = display(np.tile([1.0, 3.0, 2.0], (30, 1))).plot()
    points, *bars = shown.ax_.get_lines()
    np.testing.assert_array_equal(points.get_xdata(), [1, 2, 3])
    assert [label.get_text().split("  ")[0] for label in shown.ax_.get_yticklabels()] == [
        "method 0",
        "method 2",
        "method 1",
    ]
    assert len(bars) == len(shown.groups())


def test_results_are_ranked_by_task():
    pytest.importorskip("matplotlib")
    runs = [
        {
            **{"method": method, "task": task, "seed": 0, "n_queries": [0, 5]},
            "curves": {"accuracy": {"transductive": [0.0, value]}},
        }
        for task in ("a", "b")
        for method, value in {"good": 0.9, "bad": 0.1}.items()
    ]
    shown = CriticalDifferenceDisplay.from_results(Results(runs), "last")
    np.testing.assert_array_equal(shown.average_ranks, [1, 2])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ranks": [[1, 2, 3]]}, "ranks must have two rows"),
        ({"ranks": [[1, 2]] * 3}, "a column for each of the 3 methods"),
        ({"ranks": [[1, 2, 3]] * 3, "confidence": 95}, "confidence must be between 0 and 1"),
        ({"ranks": [[1]] * 3, "methods": ["alone"]}, "methods must be two or more"),
    ],
)
def test_bad_input_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        CriticalDifferenceDisplay(**{"methods": ["a", "b", "c"], **params})
