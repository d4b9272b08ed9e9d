"""Exact numbers of labels per round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skada_active.loop import BudgetSchedule

fractions = st.floats(0, 1)
pools = st.integers(0, 2000)
few = settings(max_examples=25, deadline=None)


def test_count_is_divided_evenly():
    assert BudgetSchedule(20, n_rounds=4).rounds(100) == [5, 5, 5, 5]


def test_remainder_is_bought_in_the_last_round():
    assert BudgetSchedule(23, n_rounds=5).rounds(100) == [4, 4, 4, 4, 7]


@pytest.mark.parametrize(("fraction", "n_pool", "total"), [(0.05, 294, 15), (0.1, 2817, 282), (1.0, 7, 7), (0.0, 7, 0)])
def test_fraction_is_of_the_pool_and_rounded(fraction, n_pool, total):
    assert sum(BudgetSchedule(fraction).rounds(n_pool)) == total


def test_default_is_five_percent_in_five_rounds():
    assert BudgetSchedule().rounds(1000) == [10] * 5


def test_one_is_a_label_and_one_point_zero_the_whole_pool():
    assert BudgetSchedule(1, n_rounds=1).rounds(30) == [1]
    assert BudgetSchedule(1.0, n_rounds=1).rounds(30) == [30]


@pytest.mark.parametrize("budget", [[3, 1, 6], (3, 1, 6), np.array([3, 1, 6])])
def test_sequence_of_counts_gives_the_rounds(budget):
    assert BudgetSchedule(budget, n_rounds=99).rounds(100) == [3, 1, 6]


def test_sequence_of_fractions_gives_the_rounds():
    assert BudgetSchedule([0.1, 0.05, 0.2]).rounds(100) == [10, 5, 20]


def test_sequence_of_fractions_adds_up_to_the_rounded_total():
    assert BudgetSchedule([0.015] * 4).rounds(100) == [2, 1, 1, 2]


@pytest.mark.parametrize("n_rounds", [3, 6, 9, 49])
def test_fractions_that_add_up_to_one_buy_the_whole_pool(n_rounds):
    assert sum(BudgetSchedule([1 / n_rounds] * n_rounds).rounds(1000)) == 1000


def test_empty_sequence_buys_nothing():
    assert BudgetSchedule([]).rounds(100) == []


def test_rounds_without_a_label_are_left_out():
    assert BudgetSchedule([3, 0, 2]).rounds(100) == [3, 2]


def test_front_loaded_rounds_shrink_by_decay():
    assert BudgetSchedule(40, n_rounds=3, allocation="front_loaded", decay=1 / 3).rounds(100) == [28, 9, 3]


def test_fewer_labels_than_rounds_gives_one_label_a_round():
    assert BudgetSchedule(3, n_rounds=5).rounds(100) == [1, 1, 1]


@pytest.mark.parametrize("budget", [0, 0.0, [0, 0]])
def test_zero_budget_has_no_round(budget):
    assert BudgetSchedule(budget).rounds(100) == []


def test_empty_pool_has_no_round():
    assert BudgetSchedule(10).rounds(0) == []


def test_counts_are_capped_at_the_pool():
    assert BudgetSchedule(50, n_rounds=2).rounds(30) == [25, 5]
    assert BudgetSchedule([20, 20, 20]).rounds(30) == [20, 10]


def test_numpy_numbers_are_numbers():
    assert BudgetSchedule(np.int64(4), n_rounds=np.int64(2)).rounds(np.int64(10)) == [2, 2]
    assert BudgetSchedule(np.float32(0.5), n_rounds=1).rounds(10) == [5]


@few
@given(total=st.integers(0, 3000), n_rounds=st.integers(1, 40), n_pool=pools)
def test_equal_rounds_add_up_exactly(total, n_rounds, n_pool):
    rounds = BudgetSchedule(total, n_rounds=n_rounds).rounds(n_pool)
    assert sum(rounds) == min(total, n_pool)
    assert len(rounds) <= n_rounds
    assert all(size >= 1 for size in rounds)


@few
@given(
    total=st.integers(0, 3000), n_rounds=st.integers(1, 40), n_pool=pools, decay=st.floats(0.01, 0.99, exclude_max=True)
)
def test_front_loaded_rounds_add_up_exactly_and_never_grow(total, n_rounds, n_pool, decay):
    rounds = BudgetSchedule(total, n_rounds=n_rounds, allocation="front_loaded", decay=decay).rounds(n_pool)
    assert sum(rounds) == min(total, n_pool)
    assert rounds == sorted(rounds, reverse=True)


@few
@given(shares=st.lists(fractions, min_size=1, max_size=12), n_pool=pools)
def test_fractions_per_round_add_up_to_the_rounded_total(shares, n_pool):
    shares = (np.array(shares) / max(1.0, sum(shares))).tolist()
    rounds = BudgetSchedule(shares).rounds(n_pool)
    assert sum(rounds) == round(n_pool * min(1.0, float(np.cumsum(shares)[-1])))


@few
@given(sizes=st.lists(st.integers(0, 500), max_size=12), n_pool=pools)
def test_counts_per_round_add_up_to_the_budget_or_the_pool(sizes, n_pool):
    assert sum(BudgetSchedule(sizes).rounds(n_pool)) == min(sum(sizes), n_pool)


@pytest.mark.parametrize(
    "budget",
    [-1, -0.1, 1.5, float("nan"), True, "all", None, [3, -1], [0.5, -0.1], [0.5, float("nan")], [True], [3, "all"]],
)
def test_invalid_budget_names_the_value_and_the_choices(budget):
    with pytest.raises(ValueError, match=r"budget must be a number of labels .* got "):
        BudgetSchedule(budget).rounds(100)


def test_counts_and_fractions_do_not_mix():
    with pytest.raises(ValueError, match=r"only counts .* or only fractions"):
        BudgetSchedule([3, 0.5]).rounds(100)


def test_fractions_above_the_pool_are_refused():
    with pytest.raises(ValueError, match=r"add up to 1 at most, got \[0\.7, 0\.6\]"):
        BudgetSchedule([0.7, 0.6]).rounds(100)


@pytest.mark.parametrize("n_rounds", [0, -2, 2.0, "5", None, True])
def test_invalid_n_rounds_is_refused(n_rounds):
    with pytest.raises(ValueError, match="n_rounds must be an integer >= 1"):
        BudgetSchedule(10, n_rounds=n_rounds).rounds(100)


def test_unknown_allocation_is_refused():
    with pytest.raises(ValueError, match=r"allocation must be .* got 'back_loaded'"):
        BudgetSchedule(10, allocation="back_loaded").rounds(100)


@pytest.mark.parametrize("decay", [0, 1, -0.5, 2.0])
def test_decay_outside_of_zero_and_one_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be in"):
        BudgetSchedule(10, allocation="front_loaded", decay=decay).rounds(100)


def test_schedule_is_cloned_by_its_parameters():
    schedule = BudgetSchedule([3, 4], n_rounds=2, allocation="front_loaded", decay=0.3)
    assert clone(schedule).get_params() == schedule.get_params()


@pytest.mark.parametrize("budget", [0.001, [0.001, 0.001], np.float32(0.001)], ids=repr)
def test_a_fraction_that_rounds_to_nothing_is_said(budget):
    with pytest.warns(UserWarning, match=r"0\.001.* of a pool of 200 is rounded to 0 labels.*fraction of 0\.005"):
        assert BudgetSchedule(budget).rounds(200) == []


def test_rounds_that_get_nothing_are_counted():
    with pytest.warns(UserWarning, match="0 labels in 2 of 3 rounds"):
        assert BudgetSchedule([0.001, 0.1, 0.001]).rounds(200) == [20]


@pytest.mark.parametrize("budget", [300, [100, 150]], ids=repr)
def test_a_count_above_the_pool_is_said(budget):
    with pytest.warns(UserWarning, match="of a pool of 200 is more than there is"):
        assert sum(BudgetSchedule(budget).rounds(200)) == 200


@pytest.mark.parametrize("budget", [0, 0.0, [0, 0], [0.0, 0.1], 200, 1.0, [3, 0]], ids=repr)
def test_nothing_is_said_of_a_budget_that_is_spent_as_it_says(budget, recwarn):
    BudgetSchedule(budget).rounds(200)
    BudgetSchedule(0.001).rounds(0)
    assert not recwarn.list
