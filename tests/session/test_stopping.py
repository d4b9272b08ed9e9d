"""Sessions and loops that a stopping rule ends."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.loop import SmallGain, StablePredictions, StoppingRule, TargetAccuracy
from skada_active.query import RandomSampling

X, Y, DOMAIN = make_shifted_blobs(n_source=60, n_target=60, random_state=0)


class AfterRounds(StoppingRule):
    """Stop after a number of rounds."""

    def __init__(self, n_rounds=2):
        self.n_rounds = n_rounds

    def _check(self, history):
        return f"{self.n_rounds} rounds are enough" if len(history) > self.n_rounds else None


def make_loop(stopping, **options):
    options = {"budget": 20, "n_rounds": 4, "random_state": 0} | options
    return ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), stopping=stopping, **options)


def fit(stopping, **options):
    return make_loop(stopping, **options).fit(X, Y, sample_domain=DOMAIN)


def test_a_rule_ends_the_loop_and_says_why():
    loop = fit(AfterRounds(2))
    assert loop.termination_condition_ == "stopped"
    assert loop.stopping_reason_ == "2 rounds are enough"
    assert loop.n_queries_ == 10


def test_a_rule_that_never_holds_changes_nothing():
    loop, plain = fit(AfterRounds(9)), fit(None)
    assert loop.queried_ids_.tolist() == plain.queried_ids_.tolist()
    assert loop.termination_condition_ == "budget"
    assert loop.stopping_reason_ is None
    assert "stability" not in plain.history_[0]


def test_any_of_several_rules_ends_the_loop():
    assert fit(AfterRounds(9) | AfterRounds(1)).n_queries_ == 5


def test_more_budget_buys_one_more_round_at_least():
    loop = fit(AfterRounds(2))
    assert loop.resume().n_queries_ == 10
    assert loop.resume(budget=5, n_rounds=1).n_queries_ == 15


def test_a_stopped_session_asks_nothing_and_says_so():
    session = make_loop(AfterRounds(1)).session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN)
    ids = session.ask()
    session.tell(ids, Y[ids])
    assert len(session.ask()) == 0
    assert session.termination_condition_ == "stopped"
    assert "stopped; 1 rounds are enough" in str(session.status())


def test_a_rule_may_change_when_a_journal_is_opened_again(tmp_path):
    def opened(rule):
        journal = tmp_path / "labels.db"
        return make_loop(rule).session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, journal=journal)

    with opened(AfterRounds(1)) as session:
        ids = session.ask()
        session.tell(ids, Y[ids])
        assert len(session.ask()) == 0
    with opened(AfterRounds(3)) as session:
        assert len(session.ask()) == 5


def test_the_history_says_how_far_predictions_moved():
    loop = fit(AfterRounds(9), audit=0.4)
    assert loop.initial_["stability"] is None
    source_model = LogisticRegression().fit(X[DOMAIN >= 0], Y[DOMAIN >= 0])
    first = ActiveAdaptationLoop(
        LogisticRegression(), RandomSampling(), budget=5, n_rounds=1, audit=0.4, random_state=0
    )
    first.fit(X, Y, sample_domain=DOMAIN)
    rest = first.session_.state.audit(1).pool
    changed = np.mean(source_model.predict(X[rest]) != first.predict(X[rest]))
    assert loop.history_[0]["stability"]["changed"] == pytest.approx(changed)
    assert loop.history_[-1]["audit_counts"][1:] == (8, 48)


def test_a_loop_stops_when_its_target_is_certified():
    loop = fit(TargetAccuracy(0.3), audit=0.5, budget=50, n_rounds=5)
    assert loop.termination_condition_ == "stopped"
    assert loop.accuracy_.value > 0.3


def test_a_loop_that_certifies_nothing_says_how_many_labels_would():
    loop = fit(TargetAccuracy(0.9), audit=0.2)
    assert loop.termination_condition_ == "budget"
    assert "audited labels would" in loop.stopping_reason_ or "below it" in loop.stopping_reason_
    assert "cannot be certified without audited labels" in fit(TargetAccuracy(0.9)).stopping_reason_


@pytest.mark.parametrize("rule", [StablePredictions(kappa=0.5, rounds=1), SmallGain(points=100)])
def test_rules_without_labels_end_a_loop_whose_predictions_have_settled(rule):
    loop = fit(rule)
    assert loop.termination_condition_ == "stopped"
    assert loop.n_queries_ == 5


def test_a_loop_with_a_rule_is_saved(tmp_path):
    loop = fit(StablePredictions(kappa=1.0) | TargetAccuracy(0.95), audit=0.2)
    loop.save(tmp_path / "loop.skops")
    loaded = ActiveAdaptationLoop.load(tmp_path / "loop.skops")
    assert repr(loaded.stopping) == repr(loop.stopping)
    assert loaded.stopping_reason_ == loop.stopping_reason_


def test_after_a_correction_stability_is_that_of_the_right_answers():
    def session():
        loop = make_loop(AfterRounds(9), budget=10, n_rounds=2)
        return loop.session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN)

    right, slip = session(), session()
    for number in range(2):
        ids = right.ask()
        right.tell(ids, Y[ids])
        slip.ask()
        slip.tell(ids, (Y[ids] + (number == 0)) % 3)
    slip.correct(ids := slip.queried_ids_[:5], Y[ids])
    assert [entry["stability"] for entry in slip.history_] == [entry["stability"] for entry in right.history_]


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match="stopping"):
        fit("soon")


def test_searches_turn_parameters_of_the_rule():
    assert make_loop(SmallGain(1)).set_params(stopping__points=2).stopping.points == 2
