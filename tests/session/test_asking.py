"""Audited rows: drawn at random, answered like all others, never trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.metrics import history_records
from skada_active.query import MarginSampling, RandomSampling

X, Y, DOMAIN = make_shifted_blobs(n_source=60, n_target=60, cluster_std=2.0, random_state=0)
POOL = np.flatnonzero(DOMAIN < 0)


def make_loop(audit=0.2, strategy=None, estimator=None, **options):
    options = {"budget": 20, "n_rounds": 4, "random_state": 0} | options
    return ActiveAdaptationLoop(estimator or LogisticRegression(), strategy or MarginSampling(), audit=audit, **options)


def begin(audit=0.2, **options):
    of_session = {name: options.pop(name) for name in ("journal", "costs", "n_annotators") if name in options}
    return make_loop(audit, **options).session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, **of_session)


def run(session, answers=Y, **options):
    while len(ids := session.ask()):
        session.tell(ids, answers[ids], **options)
    return session


def fit(audit=0.2, y=Y, **options):
    return make_loop(audit, **options).fit(X, y, sample_domain=DOMAIN)


@pytest.mark.parametrize(("audit", "n_audited"), [(0.0, 0), (0.2, 4), (0.25, 5), (1, 4), (3, 12), (0.9, 18)])
def test_so_many_labels_measure_the_model(audit, n_audited):
    loop = fit(audit)
    assert loop.n_queries_ == len(set(loop.queried_ids_.tolist())) == 20
    assert len(loop.session_.state.audited_ids) == n_audited


def test_a_share_is_made_up_over_small_rounds():
    loop = fit(0.2, budget=10, n_rounds=10)
    held = np.cumsum([len(entry["audit_ids"]) for entry in loop.history_])
    assert held.tolist() == np.rint(0.2 * np.arange(1, 11)).tolist()


def test_audited_labels_never_reach_the_model():
    loop = fit()
    audited = loop.session_.state.audited_ids
    poisoned = Y.copy()
    poisoned[audited] = (loop.predict(X[audited]) + 1) % (Y.max() + 1)
    other = fit(y=poisoned)
    assert other.queried_ids_.tolist() == loop.queried_ids_.tolist()
    np.testing.assert_array_equal(other.predict_proba(X), loop.predict_proba(X))
    assert other.accuracy_.value == 0 < loop.accuracy_.value


def test_a_strategy_is_not_handed_audited_labels():
    class Spy(MarginSampling):
        def view(self, estimator, X, y, roles, **options):
            seen.append((y[roles.is_target] == -1).sum())
            return super().view(estimator, X, y, roles, **options)

    seen = []
    loop = fit(strategy=Spy())
    held = np.cumsum([0] + [len(entry["ids"]) - len(entry["audit_ids"]) for entry in loop.history_[:-1]])
    assert seen == (len(POOL) - held).tolist()


def test_the_strategy_chooses_as_if_nothing_were_audited():
    loop = fit(0.2)
    asked_to_learn = [row for row in loop.queried_ids_ if row not in loop.session_.state.audited_ids]
    plain = fit(0.0, budget=16, n_rounds=4)
    assert set(asked_to_learn) == set(plain.queried_ids_.tolist())


def test_an_audited_row_that_is_chosen_later_serves_training():
    loop = fit(0.5, budget=56, n_rounds=7)
    audited = {row for entry in loop.history_ for row in entry["audit_ids"].tolist()}
    promoted = audited - set(loop.session_.state.audited_ids)
    assert promoted
    assert len(loop.session_.state.audited_ids) == 28
    assert len(set(loop.queried_ids_.tolist())) == loop.n_queries_ == 56
    assert promoted < set(loop.session_.state.roles.labeled_target.tolist())


def test_every_row_of_the_rest_is_audited_with_the_same_probability():
    counts = np.zeros(len(X))
    left = np.zeros(len(X))
    for seed in range(150):
        state = fit(
            0.5, budget=20, n_rounds=2, random_state=seed, estimator=DummyClassifier(), strategy=First()
        ).session_.state
        counts[state.audited_ids] += 1
        left[state.audit(2).pool] += 1
    rates = counts[left == 150] / 150
    assert len(rates) == 50
    assert abs(rates.mean() - 0.2) < 0.005
    # Pearson's statistic of 50 binomial rates: its mean is 49 (less, for the draw is systematic), its deviation 10.
    assert ((rates - 0.2) ** 2 / (0.2 * 0.8 / 150)).sum() < 85


class First(MarginSampling):
    """Ask for the first rows, whatever the model says."""

    needs = frozenset()

    def _utilities(self, view):
        return -view.index.astype(float)


def test_the_questions_do_not_tell_which_are_audited():
    places = np.zeros(5)
    for seed in range(60):
        session = begin(0.2, random_state=seed)
        ids = session.ask().tolist()
        places[ids.index(*session.state.round.audit_ids)] += 1
        assert "audit" not in " ".join(session.questions().columns)
    assert places.min() > 3


def test_no_utility_in_the_table_gives_audited_rows_away():
    session = begin(0.4)
    session.ask()
    assert session.questions()["utility"].isna().all()


def test_an_audited_row_that_nobody_can_label_is_replaced_by_another_one():
    session = begin(0.4)
    ids = session.ask()
    audited = list(session.state.round.audit_ids)
    session.abstain(audited)
    others = [row for row in ids if row not in audited]
    session.tell(others, Y[others])
    again = session.ask()
    assert len(again) == 2
    assert set(again).isdisjoint(ids)
    session.tell(again, Y[again])
    assert session.state.audited_ids == again.tolist()
    assert set(audited).isdisjoint(session.state.audit(1).pool)


def test_a_row_abstained_on_and_readmitted_may_be_audited_or_learned_from():
    session = begin(0.4, budget=60, n_rounds=1)
    session.abstain(list(session.state.round.audit_ids) if len(session.ask()) else [])
    session.readmit(session.abstained_ids)
    run(session)
    state = session.state
    assert len(state.bought_ids) == 60
    assert len(state.audited_ids) == 24


def test_a_corrected_audited_label_changes_the_estimate_alone():
    session = run(begin())
    before, row = session.estimator_.predict_proba(X), session.state.audited_ids[0]
    right = session.accuracy_
    session.correct([row], [(Y[row] + 1) % 3])
    np.testing.assert_array_equal(session.estimator_.predict_proba(X), before)
    assert session.accuracy_ != right


def test_the_majority_of_annotators_labels_audited_rows_too():
    session = begin(0.2, n_annotators=3)
    while len(session.ask()):
        for name in "abc":
            ids = session.ask(annotator=name)
            session.tell(ids, Y[ids] if name != "c" else (Y[ids] + 1) % 3, annotator=name)
    audit = session.state.audit(4)
    np.testing.assert_array_equal(audit.labels, Y[audit.rows])


def test_costs_are_paid_for_audited_rows():
    costs = np.random.RandomState(0).uniform(0.5, 2, len(X))
    session = run(begin(0.3, costs=costs))
    assert session.spent <= 20
    assert 0 < len(session.state.audited_ids) < len(session.queried_ids_) / 2


def test_a_session_goes_on_from_its_journal_as_if_nothing_had_happened(tmp_path):
    whole = run(begin(0.4))
    with begin(0.4, journal=tmp_path / "labels.db") as session:
        for _ in range(2):
            ids = session.ask()
            session.tell(ids, Y[ids])
        open_ids = session.ask()
    with begin(0.4, journal=tmp_path / "labels.db") as session:
        assert session.ask().tolist() == open_ids.tolist()
        run(session)
        assert session.queried_ids_.tolist() == whole.queried_ids_.tolist()
        assert session.accuracy_ == whole.accuracy_
        assert session.initial_["accuracy"]["audit"] == whole.initial_["accuracy"]["audit"]


def test_a_journal_keeps_its_audit(tmp_path):
    begin(0.4, journal=tmp_path / "labels.db").ask()
    with pytest.raises(ValueError, match=r"audit was 0\.4, is 0\.2"):
        begin(0.2, journal=tmp_path / "labels.db")


def test_a_loaded_loop_measures_on(tmp_path):
    loop = fit()
    loop.save(tmp_path / "loop.skops")
    loaded = ActiveAdaptationLoop.load(tmp_path / "loop.skops")
    assert loaded.accuracy_ == loop.accuracy_
    assert loaded.resume(budget=10).accuracy_ == loop.resume(budget=10).accuracy_
    assert loaded.initial_["accuracy"]["audit"] == loop.initial_["accuracy"]["audit"]


def test_the_source_model_is_measured_by_all_rows_audited_since():
    loop = fit(0.5)
    source_model = LogisticRegression().fit(X[DOMAIN >= 0], Y[DOMAIN >= 0])
    audit = loop.session_.state.audit(4)
    assert loop.initial_["accuracy"]["audit"].n_audit == len(audit.rows) == 10
    plain = np.mean(source_model.predict(X[audit.rows]) == Y[audit.rows])
    assert loop.initial_["accuracy"]["audit"].value == pytest.approx(plain, abs=0.1)


def test_a_pool_that_is_answered_for_is_measured_exactly():
    loop = fit(0.5, budget=60, n_rounds=3)
    audited = loop.session_.state.audited_ids
    assert loop.accuracy_.value == pytest.approx(np.mean(loop.predict(X[audited]) == Y[audited]))
    assert loop.termination_condition_ == "pool"


def test_a_model_without_probabilities_is_audited_too():
    loop = fit(0.5, estimator=RidgeClassifier(), strategy=RandomSampling())
    assert loop.accuracy_.low < loop.accuracy_.value <= loop.accuracy_.high


def test_without_an_audit_there_is_no_estimate():
    with pytest.raises(AttributeError, match="audit=0 buys none"):
        _ = fit(0.0).accuracy_


def test_the_history_with_estimates_is_plain_json():
    records = json.loads(json.dumps(history_records(fit())))
    assert records[-1]["accuracy"]["audit"]["n_audit"] == 4


def test_learning_curves_have_the_audited_accuracy():
    loop = fit()
    assert loop.learning_curve("audit")[1][-1] == loop.accuracy_.value


@pytest.mark.parametrize("audit", [-1, 1.0, 1.5, -0.1, "half", None, True, np.nan])
def test_what_is_no_count_and_no_share_is_refused(audit):
    with pytest.raises(ValueError, match="audit must be a number of labels per round"):
        fit(audit)


def test_an_audit_as_large_as_a_round_is_refused():
    with pytest.raises(ValueError, match=r"audit=5 row\(s\) per round leave no label to learn from in a round of 5"):
        fit(5)


def test_a_small_question_leaves_a_row_to_learn_from():
    session = begin(3)
    assert len(session.ask(2)) == 2
    assert len(session.state.round.audit_ids) == 1


def test_people_are_shown_the_estimate_beside_the_source_model(caplog):
    with caplog.at_level("INFO", logger="skada_active"):
        session = run(begin())
    estimate, source = session.accuracy_, session.initial_["accuracy"]["audit"].value
    words = f"audited {estimate}, source model {100 * source:.0f} %"
    assert words in str(session.status())
    assert words in caplog.messages[-1]
    assert "4 of them to measure the model" in str(session.status())


def test_any_metric_of_scoring_is_estimated_by_the_audit():
    def share_of_zeros(estimator, X, y):
        return float(np.mean(estimator.predict(X) == 0))

    session = run(begin(0.5, scoring={"f1_macro": "f1_macro", "zeros": share_of_zeros}))
    audit = session.state.audit(4)
    predicted = session.estimator_.predict(X[audit.rows])
    entry = session.history_[-1]
    assert entry["zeros"]["audit"].value == pytest.approx(np.mean(predicted == 0))
    assert entry["f1_macro"]["audit"].value == pytest.approx(f1_score(audit.labels, predicted, average="macro"))
    assert entry["balanced_accuracy"]["audit"].value == pytest.approx(balanced_accuracy_score(audit.labels, predicted))


def test_a_single_function_of_scoring_is_audited_in_a_session_without_other_labels():
    session = run(begin(0.5, scoring=lambda estimator, X, y: float(estimator.score(X, y))))
    audit = session.state.audit(4)
    plain = np.mean(session.estimator_.predict(X[audit.rows]) == audit.labels)
    assert session.history_[-1]["score"]["audit"].value == pytest.approx(plain)
