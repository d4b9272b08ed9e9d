"""Ask and tell: one run of the loop as a conversation."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.query import MarginSampling, QueryByCommittee, QueryStrategy, RandomSampling
from skada_active.query import _base as strategy_base
from skada_active.session.events import Asked


class ReadsLabels(QueryStrategy):
    """Read the classes of the answers, and take the first candidates."""

    needs: ClassVar[frozenset[str]] = frozenset({"labeled_y"})

    def _select(self, view, n_queries, rng):
        return np.arange(min(n_queries, len(view)))


def network(**params):
    return AdaptationClassifier(**{"max_epochs": 2, "random_state": 0, **params})


def test_asking_again_before_an_answer_gives_the_same_rows(start):
    session = start()
    assert session.ask().tolist() == session.ask().tolist() == session.ask(3).tolist()


def test_the_schedule_says_how_many_rows_a_round_asks_about(start, blobs, finish):
    session = finish(start(budget=[2, 5, 1]), blobs[1])
    assert [len(entry["ids"]) for entry in session.history_] == [2, 5, 1]


def test_only_target_rows_without_a_label_are_asked_about(start, blobs):
    session = start(budget=60, n_rounds=1)
    assert sorted(session.ask()) == np.flatnonzero(blobs[2] < 0).tolist()


def test_a_label_that_is_present_is_known(blobs):
    X, y, sample_domain = blobs
    known = mask_target(y, sample_domain)
    known[100:] = y[100:]
    session = ActiveAdaptationLoop(LogisticRegression(), budget=60).session(X, known, sample_domain=sample_domain)
    assert session.state.n_initial == 40
    assert (session.query_round_[100:] == 0).all()


def test_answers_may_come_in_parts_and_in_any_order(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[3:], y[ids[3:]])
    assert session.ask().tolist() == ids[:3].tolist()
    assert session.history_ == []
    session.tell(ids[2::-1], y[ids[2::-1]])
    assert len(session.history_) == 1
    assert session.queried_ids_.tolist() == [*ids[3:], *ids[2::-1]]


def test_the_model_is_retrained_when_the_last_question_is_answered(start, blobs):
    session, y = start(), blobs[1]
    first = session.estimator_
    ids = session.ask()
    session.tell(ids[:4], y[ids[:4]])
    assert session.estimator_ is first
    session.tell(ids[4], y[ids[4]])
    assert session.estimator_ is not first


def test_parts_give_the_model_of_one_answer(start, blobs):
    session, other, y = start(), start(), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    for row in other.ask():
        other.tell(row, y[row])
    np.testing.assert_array_equal(session.estimator_.coef_, other.estimator_.coef_)


def test_abstentions_cost_nothing(start):
    session = start()
    session.tell(session.ask(), [-1] * 5)
    assert session.remaining == 10
    assert len(session.queried_ids_) == 0


def test_abstentions_are_replaced_within_the_round(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids, [*y[ids[:3]], -1, -1])
    assert session.history_ == []
    others = session.ask()
    assert len(others) == 2
    session.tell(others, y[others])
    assert session.history_[0]["ids"].tolist() == [*ids[:3], *others]
    assert session.history_[0]["abstained_ids"].tolist() == ids[3:].tolist()
    assert session.query_round_[others].tolist() == [1, 1]


def test_nobody_is_asked_again_about_an_abstention(start):
    session, asked = start(), []
    while len(ids := session.ask()):
        asked += ids.tolist()
        session.tell(ids, [None] * len(ids))
    assert sorted(asked) == list(range(60, 120))
    assert session.termination_condition_ == "pool"
    assert session.remaining == 10


def test_a_round_without_an_answer_is_recorded_and_trains_nothing(start):
    session = start()
    model = session.estimator_
    while len(ids := session.ask()):
        session.tell(ids, [-1] * len(ids))
    assert [entry["n_queries"] for entry in session.history_] == [0]
    assert session.estimator_ is model


def test_a_series_goes_by_its_index_wherever_answers_are_given(start):
    pandas = pytest.importorskip("pandas")
    session = start()
    ids = session.ask()
    labels = pandas.Series([0, 1, 2, 1, 0], index=ids)
    session.tell(ids, labels[::-1])
    assert session.state.y[ids].tolist() == labels.tolist()
    session.correct(ids, ((labels + 1) % 3).sort_index())
    assert session.state.y[ids].tolist() == [1, 2, 0, 2, 1]


@pytest.mark.parametrize(
    ("position", "label"),
    [(slice(None), 0), (0, "cat"), (0, 0.5), (0, [0, 1]), ([0, 0], [0, 1]), (0, "1")],
    ids=["too few", "type", "fraction", "too many", "twice", "digits"],
)
def test_nothing_is_taken_of_a_wrong_answer(start, position, label):
    session = start()
    ids = session.ask()
    before = session.state.y.copy()
    with pytest.raises(ValueError, match=r"labels must|ids names"):
        session.tell(ids[position], label)
    assert session.ask().tolist() == ids.tolist()
    assert session.remaining == 10
    assert [type(event) for event in session.events] == [Asked]
    np.testing.assert_array_equal(session.state.y, before)


def test_one_bad_id_refuses_all_of_them(start):
    session = start()
    ids = session.ask()
    with pytest.raises(ValueError, match="row 0, which is not an open question"):
        session.tell([*ids, 0], [0] * 6)
    assert session.ask().tolist() == ids.tolist()


def test_a_row_is_answered_once(start):
    session = start()
    ids = session.ask()
    session.tell(ids[0], 1)
    with pytest.raises(ValueError, match="not an open question"):
        session.tell(ids[0], 1)


def test_nothing_is_answered_before_a_question(start):
    with pytest.raises(ValueError, match="not an open question"):
        start().tell([60], [1])


def test_no_answers_are_no_error(start):
    session = start()
    session.tell([], [])
    ids = session.ask()
    session.tell([], [])
    assert session.ask().tolist() == ids.tolist()


def test_a_number_of_ones_own_wins_over_the_schedule(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask(7)
    assert len(ids) == 7
    session.tell(ids, y[ids])
    assert len(session.ask()) == 3


def test_asking_beyond_the_budget_is_warned_about_and_capped(start, blobs):
    session = start()
    with pytest.warns(UserWarning, match=r"n_queries=11 exceeds the 10 label\(s\) left of the budget of 10"):
        ids = session.ask(11)
    assert len(ids) == 10
    session.tell(ids, blobs[1][ids])
    assert len(session.ask(1)) == 0


def test_the_warning_points_to_the_caller(start):
    with pytest.warns(UserWarning, match="exceeds") as caught:
        start().ask(11)
    assert [warning.filename for warning in caught if "exceeds" in str(warning.message)] == [__file__]


@pytest.mark.parametrize("n_queries", [-1, 2.0, "3", True])
def test_the_number_of_rows_is_an_integer(start, n_queries):
    with pytest.raises(ValueError, match="n_queries must be an integer >= 0"):
        start().ask(n_queries)


def test_asking_for_no_row_starts_no_round(start):
    session = start()
    assert len(session.ask(0)) == 0
    assert session.history_ == []
    assert len(session.ask()) == 5


def test_ends_with_the_budget(start, blobs, finish):
    session = start()
    assert session.termination_condition_ is None
    assert finish(session, blobs[1]).termination_condition_ == "budget"
    assert session.ask().tolist() == []


def test_zero_budget_ends_at_once(start):
    session = start(budget=0)
    assert (session.budget, session.termination_condition_, len(session.ask())) == (0, "budget", 0)


def test_ends_with_the_pool(start, blobs, finish):
    session = finish(start(budget=1000, n_rounds=3), blobs[1])
    assert session.termination_condition_ == "pool"
    assert len(session.queried_ids_) == 60


def test_a_target_without_a_pool_ends_with_the_pool(blobs):
    X, y, sample_domain = blobs
    session = ActiveAdaptationLoop(LogisticRegression()).session(X, y, sample_domain=sample_domain)
    assert session.termination_condition_ == "pool"


@pytest.mark.parametrize("domain", [None, 1])
def test_without_target_rows_there_is_no_session(blobs, domain):
    X, y, _ = blobs
    sample_domain = None if domain is None else np.full(len(y), domain)
    with pytest.raises(ValueError, match=r"A session needs target rows, but sample_domain (is None|holds no number)"):
        ActiveAdaptationLoop(LogisticRegression()).session(X, y, sample_domain=sample_domain)


def test_no_condition_holds_while_questions_are_open(start):
    session = start(budget=60, n_rounds=1)
    session.ask()
    assert session.termination_condition_ is None


def test_nothing_is_read_of_the_pool_once_the_budget_is_spent(start, blobs, finish, monkeypatch):
    session = finish(start(), blobs[1])
    monkeypatch.setattr(strategy_base, "snapshot", None)
    assert len(session.ask()) == 0


def test_more_rounds_may_be_added(start, blobs, finish):
    session = finish(start(), blobs[1])
    session.extend([3, 4])
    assert session.termination_condition_ is None
    finish(session, blobs[1])
    assert [len(entry["ids"]) for entry in session.history_] == [5, 5, 3, 4]


def test_an_unknown_class_is_refused_and_nothing_is_taken(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    with pytest.raises(ValueError, match="labels holds 7, which is none of the 3 classes"):
        session.tell(ids, [*y[ids[:4]], 7])
    assert session.open_ids.tolist() == ids.tolist()


def test_an_unknown_class_is_learned(start, blobs):
    session, y = start(new_classes="learn"), blobs[1]
    ids = session.ask()
    session.tell(ids, [7, *y[ids[1:]]])
    assert session.estimator_.classes_.tolist() == [0, 1, 2, 7]
    assert session.estimator_.predict_proba(blobs[0]).shape == (120, 4)
    session.tell(ids := session.ask(), y[ids])
    assert session.estimator_.classes_.tolist() == [0, 1, 2, 7]


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_a_network_is_trained_anew_for_an_unknown_class(start, blobs, wrap):
    session, y = start(estimator=wrap(network()), new_classes="learn"), blobs[1]
    first = session.estimator_
    ids = session.ask()
    session.tell(ids, [7, *y[ids[1:]]])
    assert session.estimator_ is not first
    assert session.estimator_.classes_.tolist() == [0, 1, 2, 7]
    second, seen = session.estimator_, session.estimator_.predict_proba(blobs[0])
    ids = session.ask()
    session.tell(ids, y[ids])
    last = session.estimator_[-1] if hasattr(second, "steps") else session.estimator_
    assert last._n_calls == 2  # it went on training
    np.testing.assert_array_equal(second.predict_proba(blobs[0]), seen)  # what was handed out stays as it is


def test_an_unknown_class_does_not_stop_the_replacement_of_an_abstention(start):
    session = start(strategy=ReadsLabels(), new_classes="learn")
    ids = session.ask()
    session.tell(ids, [7, 1, 2, -1, -1])
    replacements = session.ask()
    assert len(replacements) == 2
    assert not set(replacements) & set(ids)
    session.tell(replacements, [0, 1])
    assert 7 in session.estimator_.classes_


@pytest.mark.parametrize("make", [LogisticRegression, network])
@pytest.mark.parametrize("dtype", [float, str, object, bool, np.int8, np.uint8])
def test_labels_of_any_type(start, blobs, finish, make, dtype):
    y = blobs[1].astype(dtype)
    session = finish(start(y, make(), budget=4), y)
    assert session.estimator_.classes_.tolist() == np.unique(y).tolist()
    assert np.isin(session.estimator_.predict(blobs[0]), np.unique(y)).all()


@pytest.mark.parametrize("make", [LogisticRegression, network])
def test_strings_longer_than_those_known_are_learned(start, blobs, make):
    y = blobs[1].astype(str)
    session = start(y, make(), budget=3, n_rounds=1, new_classes="learn")
    session.tell(session.ask(), ["a much longer label", "0", "1"])
    assert "a much longer label" in session.estimator_.classes_.tolist()


def test_data_and_labels_are_never_written_to(blobs, finish):
    X, y, sample_domain = (array.copy() for array in blobs)
    known = mask_target(y, sample_domain)
    before = [array.copy() for array in (X, known, sample_domain)]
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=10)
    finish(loop.session(X, known, sample_domain=sample_domain), y)
    for array, copy in zip((X, known, sample_domain), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_read_only_memory_is_enough_for_a_network(start, blobs, finish):
    assert len(finish(start(estimator=network(), budget=4), blobs[1]).queried_ids_) == 4


def test_estimator_and_strategy_are_cloned(start, blobs, finish):
    estimator, strategy = LogisticRegression(), MarginSampling(estimator=LogisticRegression())
    finish(start(estimator=estimator, strategy=strategy), blobs[1])
    assert not hasattr(estimator, "coef_")
    assert not hasattr(strategy.estimator, "coef_")
    assert not hasattr(strategy, "estimator_")


def test_a_retraining_that_was_interrupted_is_done_again(start, blobs, monkeypatch):
    session, y = start(), blobs[1]
    ids = session.ask()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LogisticRegression, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.tell(ids, y[ids])
    assert session.queried_ids_.tolist() == ids.tolist()
    following = session.ask()
    assert session.history_[0]["ids"].tolist() == ids.tolist()
    session.tell(following, y[following])
    assert [entry["round"] for entry in session.history_] == [1, 2]
    assert np.unique(session.query_round_[following]).tolist() == [2]


def test_a_frozen_network_is_never_trained(blobs, start, finish):
    X, y, sample_domain = blobs
    frozen = network().fit(X, mask_target(y, sample_domain), sample_domain)
    before = frozen.predict_proba(X)
    for estimator in (FrozenEstimator(frozen), make_pipeline(StandardScaler(), FrozenEstimator(frozen))):
        finish(start(estimator=estimator), y)
        np.testing.assert_array_equal(frozen.predict_proba(X), before)


def test_a_frozen_model_needs_no_label(blobs, finish):
    X, y, sample_domain = blobs
    frozen = FrozenEstimator(LogisticRegression().fit(X, y))
    target = sample_domain < 0
    session = ActiveAdaptationLoop(frozen, budget=4, n_rounds=2).session(
        X[target], mask_target(y, sample_domain)[target], sample_domain=sample_domain[target]
    )
    assert len(finish(session, y[target]).queried_ids_) == 4


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (QueryByCommittee(members=[LogisticRegression()]), "members must hold at least two"),
        (QueryByCommittee(n_members=1), "n_members"),
        (RandomSampling(random_state="seed"), "random_state"),
    ],
    ids=["committee", "parameter", "seed"],
)
def test_a_strategy_that_cannot_work_is_refused_before_any_training(start, no_training, strategy, message):
    with pytest.raises(ValueError, match=message):
        start(strategy=strategy)


def test_no_warning_is_given(start, blobs, finish):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        finish(start(), blobs[1])
        finish(start(estimator=network(), budget=4), blobs[1])
    assert [w for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))] == []


def test_the_state_is_read_only_and_follows_the_session(start, blobs):
    session, y = start(), blobs[1]
    state, ids = session.state, session.ask()
    for array in (state.y, state.query_round):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    session.tell(ids, y[ids])
    assert session.state is state
    assert state.y[ids].tolist() == y[ids].tolist()
    assert state.query_round[ids].tolist() == [1] * len(ids)


def test_answers_are_a_table(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[:3], y[ids[:3]])
    session.abstain(ids[3])
    session.correct(ids[0], (y[ids[0]] + 1) % 3)
    table = session.answers()
    assert table.dtype.names == ("id", "label", "round", "annotator", "time")
    assert {entry["id"]: entry["label"] for entry in table} == {
        ids[0]: (y[ids[0]] + 1) % 3,
        ids[1]: y[ids[1]],
        ids[2]: y[ids[2]],
        ids[3]: None,
    }
    assert table["round"].tolist() == [1] * 4
    assert table["id"][-1] == ids[0]  # the latest
    assert table["time"].tolist() == sorted(table["time"])


def test_answers_name_their_annotators(blobs):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=2, n_rounds=1, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, n_annotators=2)
    ids = session.ask()
    session.tell(ids, y[ids], annotator="ben")
    session.tell(ids[:1], y[ids[:1]], annotator="anna")
    table = session.answers()
    assert sorted(zip(table["id"], table["annotator"], strict=True)) == sorted(
        [(ids[0], "anna"), (ids[0], "ben"), (ids[1], "ben")]
    )


def test_a_session_without_answers_has_an_empty_table(start):
    assert len(start().answers()) == 0


def test_a_session_shows_the_model_as_it_is_before_the_answers(blobs):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=12, n_rounds=3, target_weight=None, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    bought, purity = [], []
    while len(ids := session.ask()):
        known = [*range(60), *bought]
        before = LogisticRegression().fit(X[known], y[known])
        purity.append(np.mean(session.estimator_.predict(X[ids]) != y[ids]))
        assert purity[-1] == np.mean(before.predict(X[ids]) != y[ids])
        session.tell(ids, y[ids])
        bought += ids.tolist()
    assert len(purity) == 3
    assert bought == loop.fit(X, y, sample_domain=sample_domain).queried_ids_.tolist()
