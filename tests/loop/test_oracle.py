"""Who answers: arrays, callables, noise and abstentions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.labels import is_missing
from skada_active.loop import AbstainingOracle, ArrayOracle, NoisyOracle

IDS = np.arange(600)
TRUTH = IDS % 3


def noisy(**params):
    return NoisyOracle(ArrayOracle(TRUTH), classes=[0, 1, 2], **params)


def test_array_oracle_answers_by_row_number():
    assert ArrayOracle(["a", "b", "c"])([2, 0]).tolist() == ["c", "a"]


def test_array_oracle_answers_nothing_to_no_question():
    assert len(ArrayOracle([1, 2])([])) == 0


def test_array_oracle_passes_missing_labels_on():
    assert is_missing(ArrayOracle(["a", None])([0, 1])).tolist() == [False, True]


def test_any_callable_is_an_oracle():
    oracle = NoisyOracle(lambda ids, rows: rows[:, 0].astype(int), classes=[0, 1], noise_rate=0.0)
    assert oracle([7, 5], np.array([[1.0], [0.0]])).tolist() == [1, 0]


def test_noise_comes_at_its_rate():
    wrong = noisy(noise_rate=0.3)(IDS) != TRUTH
    assert 0.24 < wrong.mean() < 0.36


def test_a_wrong_answer_is_never_the_right_one_and_one_of_the_classes():
    answers = noisy(noise_rate=1.0)(IDS)
    assert (answers != TRUTH).all()
    assert set(answers) == {0, 1, 2}


def test_wrong_answers_are_drawn_uniformly():
    answers = noisy(noise_rate=1.0)(IDS[TRUTH == 0])
    assert 0.4 < (answers == 1).mean() < 0.6


def test_no_noise_at_rate_zero():
    assert noisy(noise_rate=0.0)(IDS).tolist() == TRUTH.tolist()


def test_noise_depends_on_the_row_and_not_on_what_else_is_asked():
    answers = noisy(noise_rate=0.5)(IDS)
    shuffled = np.random.default_rng(0).permutation(IDS)[:50]
    assert noisy(noise_rate=0.5)(shuffled).tolist() == answers[shuffled].tolist()


def test_noise_depends_on_the_seed():
    assert noisy(noise_rate=0.5, random_state=1)(IDS).tolist() != noisy(noise_rate=0.5, random_state=2)(IDS).tolist()


def test_wrong_answers_may_be_longer_strings():
    oracle = NoisyOracle(ArrayOracle(["cat", "cat"]), classes=["cat", "elephant"], noise_rate=1.0)
    assert oracle([0, 1]).tolist() == ["elephant", "elephant"]


def test_noise_leaves_the_other_oracles_labels_alone():
    known = TRUTH.copy()
    NoisyOracle(lambda ids, rows: known, classes=[0, 1, 2], noise_rate=1.0)(IDS)
    assert known.tolist() == TRUTH.tolist()


@pytest.mark.parametrize("y", [[0, -1], [0.0, np.nan], ["a", None]])
def test_noise_leaves_abstentions_alone(y):
    classes = [y[0], "b" if isinstance(y[0], str) else 7]
    answers = NoisyOracle(ArrayOracle(y), classes=classes, noise_rate=1.0)([0, 1])
    assert is_missing(answers).tolist() == [False, True]


def test_noise_needs_two_classes():
    with pytest.raises(ValueError, match=r"classes must hold at least two labels .* got \[1\]"):
        NoisyOracle(ArrayOracle([1, 1]), classes=[1])([0])


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_are_probabilities(rate):
    with pytest.raises(ValueError, match="noise_rate must be a probability"):
        noisy(noise_rate=rate)(IDS)
    with pytest.raises(ValueError, match="rate must be a probability"):
        AbstainingOracle(ArrayOracle(TRUTH), rate=rate)(IDS)


@pytest.mark.parametrize("labels", [TRUTH, TRUTH.astype(float), TRUTH.astype(str), TRUTH.astype(bool)])
def test_abstentions_come_at_their_rate_in_the_convention_of_the_type(labels):
    missing = is_missing(AbstainingOracle(ArrayOracle(labels), rate=0.3)(IDS))
    assert 0.24 < missing.mean() < 0.36


def test_abstentions_leave_other_answers_alone():
    answers = AbstainingOracle(ArrayOracle(TRUTH), rate=0.5)(IDS)
    assert (answers[answers != -1] == TRUTH[answers != -1]).all()


def test_abstentions_depend_on_row_and_seed_alone():
    oracle = AbstainingOracle(ArrayOracle(TRUTH), rate=0.5)
    assert oracle(IDS[100:200]).tolist() == oracle(IDS)[100:200].tolist()
    other = AbstainingOracle(ArrayOracle(TRUTH), rate=0.5, random_state=1)
    assert oracle(IDS).tolist() != other(IDS).tolist()


def test_noise_and_abstentions_of_equal_seeds_fall_on_different_rows():
    answers = AbstainingOracle(noisy(noise_rate=0.4), rate=0.4)(IDS)
    given = answers != -1
    assert 0.3 < (answers[given] != TRUTH[given]).mean() < 0.5


def test_order_of_noise_and_abstention_does_not_matter():
    first = AbstainingOracle(noisy(noise_rate=0.3), rate=0.3)(IDS)
    second = NoisyOracle(AbstainingOracle(ArrayOracle(TRUTH), rate=0.3), classes=[0, 1, 2], noise_rate=0.3)(IDS)
    assert first.tolist() == second.tolist()


def test_oracles_are_cloned_by_their_parameters():
    oracle = AbstainingOracle(noisy(noise_rate=0.3), rate=0.2, random_state=5)
    assert clone(oracle)(IDS).tolist() == oracle(IDS).tolist()
    assert clone(oracle).set_params(oracle__noise_rate=0.0).oracle.noise_rate == 0.0


@pytest.mark.parametrize("wrap", [lambda oracle: oracle, lambda o: NoisyOracle(o, [0, 1, 2], 0.0), AbstainingOracle])
@pytest.mark.parametrize(
    "reply",
    [
        lambda y, ids, rows: pd.Series(y[ids], index=rows.index),
        lambda y, ids, rows: pd.Series(y[ids], index=rows.index)[::-1],
        lambda y, ids, rows: pd.Series(y[ids], index=ids)[::-1],
        lambda y, ids, rows: pd.Series(y[ids]),
    ],
    ids=["rows", "rows upside down", "ids upside down", "order"],
)
def test_a_reply_in_a_series_goes_by_its_index(blobs, wrap, reply):
    X, y, sample_domain = blobs
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(len(X))])
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=6, n_rounds=2, random_state=0)
    loop.fit(
        frame,
        mask_target(y, sample_domain),
        sample_domain=sample_domain,
        oracle=wrap(lambda ids, rows: reply(y, ids, rows)),
    )
    bought = loop.session_.state.bought_ids
    np.testing.assert_array_equal(loop.session_.state.y[bought], y[bought])


@pytest.mark.parametrize("missing", [np.nan, pd.NA, pd.NaT, None], ids=repr)
@pytest.mark.parametrize("container", [np.asarray, pd.Series, pd.Categorical], ids=lambda kind: kind.__name__)
def test_text_that_misses_is_an_abstention_in_any_container(blobs, missing, container):
    X, y, sample_domain = blobs
    names = np.array(["a", "b", "c"], dtype=object)[y]
    names[60:110] = missing
    answers = container(names)
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=4, n_rounds=1, random_state=0)
    hidden = loop.fit(X, answers, sample_domain=sample_domain).queried_ids_
    assert hidden.min() >= 110
    assert len(hidden) == 4
    asked = loop.fit(X, mask_target(answers, sample_domain), sample_domain=sample_domain, oracle=ArrayOracle(answers))
    assert asked.queried_ids_.tolist() == hidden.tolist()
