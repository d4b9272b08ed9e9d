"""The loop as an estimator: what it buys, what it records, and how it goes on."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.loop import AbstainingOracle, ArrayOracle, BudgetSchedule
from skada_active.query import BADGE, SDM, KMeansSampling, MarginSampling, RandomSampling

SETTINGS = {"budget": 10, "n_rounds": 2, "round_epochs": 1, "random_state": 0}


def linear(strategy=None, **params):
    return ActiveAdaptationLoop(LogisticRegression(), strategy, **{**SETTINGS, **params})


def network(strategy=None, **params):
    return ActiveAdaptationLoop(AdaptationClassifier(max_epochs=2), strategy, **{**SETTINGS, **params})


@pytest.fixture
def fit(blobs):
    """Return a function that fits a loop on the blobs."""
    X, y, sample_domain = blobs
    return lambda loop, **params: loop.fit(X, y, sample_domain=sample_domain, **params)


class FailsOnce:
    """Answer from an array, but fail at one call."""

    def __init__(self, y, call):
        self.y, self.call, self.calls = y, call, 0

    def __call__(self, ids, rows):
        self.calls += 1
        if self.calls == self.call:
            raise ConnectionError("nobody is there")
        return self.y[ids]


# What is bought


@pytest.mark.parametrize("budget", [1, 7, 0.1, 0.5, [4, 2], [0.1, 0.05], BudgetSchedule(9, 3, "front_loaded")])
def test_the_budget_is_spent_exactly(fit, budget):
    loop = fit(linear(budget=budget))
    planned = (budget if isinstance(budget, BudgetSchedule) else BudgetSchedule(budget, 2)).rounds(60)
    assert loop.n_queries_ == len(loop.queried_ids_) == sum(planned)
    assert [len(entry["ids"]) for entry in loop.history_] == planned
    assert loop.termination_condition_ == "budget"


def test_questions_are_distinct_target_rows(fit, blobs):
    loop = fit(linear(budget=30, n_rounds=5))
    assert len(np.unique(loop.queried_ids_)) == 30
    assert (blobs[2][loop.queried_ids_] < 0).all()
    assert loop.queried_ids_.dtype == np.int64


@pytest.mark.filterwarnings("ignore:budget=")
def test_the_pool_ends_the_loop(fit):
    loop = fit(linear(budget=100))
    assert loop.termination_condition_ == "pool"
    assert sorted(loop.queried_ids_) == list(range(60, 120))


def test_abstentions_do_not_lower_what_is_spent(blobs):
    X, y, sample_domain = blobs
    oracle = AbstainingOracle(ArrayOracle(y), rate=0.4)
    loop = linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=oracle)
    assert loop.n_queries_ == 10
    abstained = np.concatenate([entry["abstained_ids"] for entry in loop.history_])
    assert len(abstained)
    assert not set(abstained) & set(loop.queried_ids_)


def test_target_rows_without_a_label_abstain(blobs):
    y = blobs[1].copy()
    y[60:110] = -1
    loop = linear(budget=60).fit(blobs[0], y, sample_domain=blobs[2])
    assert sorted(loop.queried_ids_) == list(range(110, 120))


@pytest.mark.filterwarnings("ignore:There is a budget")
def test_no_target_rows_no_rounds(blobs):
    X, y, _ = blobs
    loop = linear().fit(X, y)
    assert (loop.n_queries_, loop.history_, loop.termination_condition_) == (0, [], "no_target")
    np.testing.assert_array_equal(loop.predict(X), LogisticRegression().fit(X, y).predict(X))


@pytest.mark.filterwarnings("ignore:There is a budget")
def test_without_domains_minus_one_is_a_class(blobs):
    y = np.where(blobs[1] == 0, -1, 1)
    assert linear().fit(blobs[0], y).classes_.tolist() == [-1, 1]


def test_several_sources_and_targets():
    X, y, sample_domain = make_multi_source_blobs(3, 30, 30, random_state=0)
    sample_domain = np.where(np.arange(len(y)) % 7 == 0, -9, sample_domain)
    for loop in (linear(), network()):
        loop.fit(X, y, sample_domain=sample_domain)
        assert loop.n_queries_ == 10
        assert (sample_domain[loop.queried_ids_] < 0).all()


# What is known from the start


@pytest.mark.filterwarnings("ignore:There is a budget")
def test_labeled_target_is_known_and_not_asked_about(fit):
    known = np.arange(120) >= 100
    loop = fit(linear(budget=100), labeled_target=known)
    assert sorted(loop.queried_ids_) == list(range(60, 100))
    assert (loop.query_round_[known] == 0).all()
    assert loop.initial_["class_counts"] != {}


def test_labeled_target_makes_the_budget_a_fraction_of_the_rest(fit):
    assert fit(linear(budget=0.5), labeled_target=np.arange(120) >= 80).n_queries_ == 10


def test_labeled_target_reaches_the_first_model(fit, blobs):
    X, y, _ = blobs
    loop = fit(linear(budget=0, target_weight=None), labeled_target=np.arange(120) >= 100)
    rows = np.r_[0:60, 100:120]
    np.testing.assert_array_equal(loop.estimator_.coef_, LogisticRegression().fit(X[rows], y[rows]).coef_)


@pytest.mark.parametrize("make", [linear, network])
def test_no_source_rows_are_needed_with_labeled_target(blobs, make):
    X, y, sample_domain = (array[60:] for array in blobs)
    loop = make().fit(X, y, sample_domain=sample_domain, labeled_target=np.arange(60) < 12)
    assert loop.n_queries_ == 10
    assert loop.queried_ids_.min() >= 12


@pytest.mark.parametrize("make", [linear, network])
def test_no_label_at_all_is_an_error(blobs, make):
    X, y, sample_domain = (array[60:] for array in blobs)
    with pytest.raises(ValueError, match="No row has a label, so there is nothing to train on"):
        make().fit(X, y, sample_domain=sample_domain)


@pytest.mark.parametrize("mask", [np.arange(120), np.ones(119, dtype=bool), [0, 1]], ids=["ids", "length", "list"])
def test_labeled_target_is_a_mask(fit, mask):
    with pytest.raises(ValueError, match=r"labeled_target must be a boolean mask of shape \(120,\)"):
        fit(linear(), labeled_target=mask)


def test_labeled_target_needs_the_labels_that_it_names(blobs):
    y = blobs[1].copy()
    y[70] = -1
    with pytest.raises(ValueError, match="labeled_target names row 70, but y has no label"):
        linear().fit(blobs[0], y, sample_domain=blobs[2], labeled_target=np.arange(120) == 70)


def test_labeled_target_does_not_go_with_an_oracle(fit):
    with pytest.raises(ValueError, match="labeled_target goes without an oracle"):
        fit(linear(), labeled_target=np.ones(120, dtype=bool), oracle=ArrayOracle([]))


@pytest.mark.filterwarnings("ignore:There is a budget")
def test_with_an_oracle_a_label_that_is_present_is_known(blobs):
    X, y, sample_domain = blobs
    known = mask_target(y, sample_domain)
    known[100:] = y[100:]
    loop = linear(budget=100).fit(X, known, sample_domain=sample_domain, oracle=ArrayOracle(y))
    assert sorted(loop.queried_ids_) == list(range(60, 100))


def test_an_oracle_gives_what_the_labels_give(fit, blobs):
    X, y, sample_domain = blobs
    asked = linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=lambda ids, _: y[ids])
    np.testing.assert_array_equal(asked.estimator_.coef_, fit(linear()).estimator_.coef_)


# What is recorded


def test_query_round_says_when_a_label_became_known(fit):
    loop = fit(linear())
    assert (loop.query_round_[:60] == 0).all()
    for entry in loop.history_:
        assert np.flatnonzero(loop.query_round_ == entry["round"]).tolist() == sorted(entry["ids"])
    assert (loop.query_round_ == -1).sum() == 50
    assert loop.query_round_.dtype == np.int64


@pytest.mark.parametrize("make", [linear, network])
def test_history_has_an_entry_per_round(fit, make):
    loop = fit(make())
    keys = ["round", "ids", "utilities", "abstained_ids", "n_queries", "class_counts", "seconds", "loss"]
    keys += ["accuracy", "balanced_accuracy"]
    for number, entry in enumerate([loop.initial_, *loop.history_]):
        assert sorted(entry) == sorted(keys)
        assert entry["round"] == number
        assert entry["n_queries"] == 5 * number
        assert sum(entry["class_counts"].values()) == 5 * number
        assert sorted(entry["seconds"]) == ["oracle", "query", "train"]
        assert all(seconds >= 0 for seconds in entry["seconds"].values())
        assert sorted(entry["accuracy"]) == ["holdout", "transductive", "unqueried"]
        assert len(entry["utilities"]) == len(entry["ids"])
    assert np.concatenate([entry["ids"] for entry in loop.history_]).tolist() == loop.queried_ids_.tolist()


def test_utilities_are_those_of_the_chosen_rows(fit, blobs):
    loop = fit(linear(strategy=MarginSampling(), n_rounds=1))
    proba = np.sort(LogisticRegression().fit(blobs[0][:60], blobs[1][:60]).predict_proba(blobs[0]), axis=1)
    utilities = 1 - (proba[:, -1] - proba[:, -2])
    np.testing.assert_allclose(loop.history_[0]["utilities"], utilities[loop.queried_ids_])
    assert sorted(loop.queried_ids_) == sorted(60 + np.argsort(-utilities[60:])[:10])


def test_utilities_are_nan_where_a_strategy_has_none(fit):
    assert np.isnan(fit(linear(RandomSampling())).history_[0]["utilities"]).all()


def test_losses_of_the_last_epoch_are_kept_by_term(fit):
    assert set(fit(network()).history_[0]["loss"]) >= {"train_loss", "labeled_loss"}
    assert fit(linear()).history_[0]["loss"] == {}


def test_accuracies_are_those_of_the_model_of_the_round(fit, blobs):
    X, y, _ = blobs
    loop = fit(linear(target_weight=None), eval_set=(X[:30], y[:30]))
    labelled = np.arange(60)
    for entry in [loop.initial_, *loop.history_]:
        labelled = np.r_[labelled, entry["ids"]]
        model = LogisticRegression().fit(X[np.sort(labelled)], y[np.sort(labelled)])
        never = np.setdiff1d(np.arange(60, 120), labelled)
        assert entry["accuracy"] == {
            "transductive": pytest.approx(model.score(X[60:], y[60:])),
            "unqueried": pytest.approx(model.score(X[never], y[never])),
            "holdout": pytest.approx(model.score(X[:30], y[:30])),
        }


def test_accuracies_are_none_where_only_an_oracle_knows(blobs):
    X, y, sample_domain = blobs
    loop = linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=ArrayOracle(y))
    assert set(loop.history_[-1]["accuracy"].values()) == {None}
    assert np.isnan(loop.learning_curve()[1]).all()


@pytest.mark.parametrize("accuracy", ["unqueried", "transductive", "holdout"])
def test_learning_curve(fit, blobs, accuracy):
    loop = fit(linear(), eval_set=blobs[:2])
    n_queries, values = loop.learning_curve(accuracy)
    assert n_queries.tolist() == [0, 5, 10]
    assert values.tolist() == [entry["accuracy"][accuracy] for entry in [loop.initial_, *loop.history_]]


def test_learning_curve_of_an_unknown_accuracy_is_an_error(fit):
    with pytest.raises(ValueError, match=r"accuracy must be .* got 'f1'"):
        fit(linear()).learning_curve("f1")


def test_eval_set_may_be_lists(fit, blobs):
    X, y, _ = blobs
    assert fit(linear(), eval_set=(X.tolist(), y.tolist())).history_[0]["accuracy"]["holdout"] > 0


def test_an_eval_set_is_a_pair(fit, blobs, no_training):
    with pytest.raises(ValueError, match=r"eval_set must be a tuple \(X, y\)"):
        fit(linear(), eval_set=blobs)


def test_an_eval_set_that_does_not_fit_is_refused_before_any_training(fit, blobs, no_training):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(linear(), eval_set=(blobs[0], blobs[1][:-1]))


# What goes wrong


def test_answers_are_kept_when_the_oracle_fails(blobs):
    X, y, sample_domain = blobs
    known, oracle = mask_target(y, sample_domain), FailsOnce(y, call=3)
    loop = linear(n_rounds=5)
    with pytest.raises(ConnectionError):
        loop.fit(X, known, sample_domain=sample_domain, oracle=oracle)
    assert loop.n_queries_ == len(loop.queried_ids_) == 4
    assert len(loop.history_) == 2
    assert loop.termination_condition_ is None
    assert loop.predict(X).shape == (120,)
    assert loop.resume(oracle) is loop
    whole = linear(n_rounds=5).fit(X, known, sample_domain=sample_domain, oracle=ArrayOracle(y))
    assert loop.queried_ids_.tolist() == whole.queried_ids_.tolist()
    assert loop.termination_condition_ == "budget"
    np.testing.assert_array_equal(loop.estimator_.coef_, whole.estimator_.coef_)


def test_answers_are_kept_when_an_answer_is_wrong(blobs):
    X, y, sample_domain = blobs
    loop = linear(n_rounds=5)
    replies = iter([[0, 1], ["cat", "dog"]])
    with pytest.raises(ValueError, match="labels must be of the type of y"):
        loop.fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=lambda *_: next(replies))
    assert loop.n_queries_ == 2
    assert loop.resume(ArrayOracle(y)).n_queries_ == 10


def test_an_oracle_of_ones_own_has_to_be_given_again(blobs):
    X, y, sample_domain = blobs
    loop = linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=ArrayOracle(y))
    with pytest.raises(ValueError, match="pass who answers from now on"):
        loop.resume(budget=5)


def test_a_need_that_is_not_met_is_refused_before_any_training(fit, no_training):
    loop = ActiveAdaptationLoop(RandomForestClassifier(), SDM(), budget=5)
    with pytest.raises(ValueError, match=r"estimator=RandomForestClassifier\(\) cannot supply 'head_weight'"):
        fit(loop)
    assert not hasattr(loop, "estimator_")


def test_probabilities_are_asked_for_before_any_training(fit, no_training):
    with pytest.raises(ValueError, match="cannot supply 'proba'"):
        fit(ActiveAdaptationLoop(LinearSVC(), MarginSampling(), budget=5))


@pytest.mark.parametrize(
    "params",
    [
        {"estimator": "svm"},
        {"strategy": "margin"},
        {"strategy": MarginSampling},
        {"budget": -1},
        {"n_rounds": 0},
        {"round_epochs": -1},
        {"round_epochs": []},
        {"round_epochs": [1, 0.5]},
        {"round_epochs": "five"},
        {"warm_start": "yes"},
        {"verbose": -1},
        {"random_state": "zero"},
    ],
    ids=repr,
)
def test_invalid_parameters_are_named_before_any_training(fit, no_training, params):
    with pytest.raises((ValueError, TypeError), match=next(iter(params))):
        fit(linear().set_params(**params))


def test_a_predict_before_fit_is_an_error(blobs):
    with pytest.raises(ValueError, match="not fitted"):
        linear().predict(blobs[0])
    with pytest.raises(ValueError, match="not fitted"):
        linear().resume()


# How it goes on


def test_resume_with_more_budget(fit):
    loop = fit(linear())
    first = loop.queried_ids_.copy()
    loop.resume(budget=6, n_rounds=3)
    assert loop.queried_ids_[:10].tolist() == first.tolist()
    assert [len(entry["ids"]) for entry in loop.history_] == [5, 5, 2, 2, 2]
    assert loop.query_round_.max() == 5


def test_resume_reads_a_fraction_of_the_first_pool(fit):
    assert fit(linear()).resume(budget=0.1).n_queries_ == 16


def test_resume_with_nothing_left_changes_nothing(fit):
    loop = fit(linear())
    model = loop.estimator_
    assert loop.resume().n_queries_ == 10
    assert loop.estimator_ is model


def test_a_resumed_run_equals_one_with_the_whole_budget(fit):
    whole, parts = fit(network(budget=[5, 3, 2])), fit(network(budget=[5])).resume(budget=[3, 2])
    assert whole.queried_ids_.tolist() == parts.queried_ids_.tolist()


def test_fitting_again_starts_anew(fit):
    loop = fit(linear())
    first = loop.queried_ids_.tolist()
    assert fit(loop).queried_ids_.tolist() == first
    assert len(loop.history_) == 2


def test_a_warm_start_goes_on_with_the_same_network(fit):
    loop = fit(network(warm_start=True, round_epochs=3))
    assert len(loop.estimator_.net_.history) == 2 + 3 + 3


def test_a_cold_start_trains_anew(fit):
    loop = fit(network(warm_start=False, round_epochs=3))
    assert len(loop.estimator_.net_.history) == 2


def test_round_epochs_may_be_a_list_whose_last_entry_stays(fit):
    loop = fit(network(n_rounds=4, round_epochs=[3, 1]))
    assert len(loop.estimator_.net_.history) == 2 + 3 + 1 + 1 + 1


def test_a_session_leaves_a_fitted_loop_alone(fit, blobs):
    loop = fit(linear())
    loop.session(blobs[0][:, :1], mask_target(*blobs[1:]), sample_domain=blobs[2])
    assert loop.predict(blobs[0]).shape == (120,)


# What is said


def test_a_progress_bar_only_if_asked_for(fit, capfd):
    fit(linear(verbose=0))
    fit(network(verbose=0))
    assert capfd.readouterr() == ("", "")
    fit(linear(verbose=1))
    out, err = capfd.readouterr()
    assert out == ""
    assert "10/10" in err
    assert "unqueried=" in err


# Seeds


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("strategy", [None, RandomSampling(), BADGE(), KMeansSampling()], ids=repr)
def test_an_integer_seed_repeats_a_run_bit_for_bit(fit, blobs, make, strategy):
    one, other = fit(make(strategy)), fit(make(strategy))
    assert one.queried_ids_.tolist() == other.queried_ids_.tolist()
    np.testing.assert_array_equal(one.predict_proba(blobs[0]), other.predict_proba(blobs[0]))


def test_joblib_threads_give_the_runs_of_a_single_one(fit, blobs):
    alone = fit(network(BADGE()))
    for loop in Parallel(n_jobs=2, backend="threading")(delayed(fit)(network(BADGE())) for _ in range(3)):
        assert loop.queried_ids_.tolist() == alone.queried_ids_.tolist()
        np.testing.assert_array_equal(loop.predict_proba(blobs[0]), alone.predict_proba(blobs[0]))


@pytest.mark.parametrize("make", [linear, network])
def test_global_generators_stay_as_they_were(fit, make):
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    fit(make(RandomSampling(estimator=AdaptationClassifier(max_epochs=1))))
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    assert before == after


def test_the_seed_matters(fit):
    assert fit(linear(RandomSampling())).queried_ids_.tolist() != (
        fit(linear(RandomSampling(), random_state=1)).queried_ids_.tolist()
    )


def test_a_generator_is_drawn_from(fit):
    one, other = (fit(linear(RandomSampling(), random_state=np.random.RandomState(3))) for _ in range(2))
    assert one.queried_ids_.tolist() == other.queried_ids_.tolist()


def test_the_strategys_own_seed_wins(fit):
    one, other = (fit(linear(RandomSampling(random_state=7), random_state=seed)) for seed in (0, 1))
    assert one.history_[0]["ids"].tolist() == other.history_[0]["ids"].tolist()


def test_the_estimators_own_seed_wins(fit):
    loops = [
        ActiveAdaptationLoop(AdaptationClassifier(max_epochs=1, random_state=7), budget=0, random_state=seed)
        for seed in (0, 1)
    ]
    one, other = (fit(loop).estimator_.net_.module_.head.weight for loop in loops)
    assert torch.equal(one, other)


def test_the_loop_seeds_what_has_no_seed(fit):
    one, other = (
        fit(ActiveAdaptationLoop(AdaptationClassifier(max_epochs=1), budget=0, random_state=seed)) for seed in (0, 1)
    )
    assert not torch.equal(one.estimator_.net_.module_.head.weight, other.estimator_.net_.module_.head.weight)


# A strategy that brings its own model


def test_a_strategy_reads_its_own_estimator(fit, blobs):
    strategy = MarginSampling(estimator=LogisticRegression(C=1e-3))
    loop = fit(ActiveAdaptationLoop(RandomForestClassifier(5), strategy, **SETTINGS))
    alone = strategy.fit(blobs[0], mask_target(*blobs[1:]), blobs[2]).query(5)
    assert loop.history_[0]["ids"].tolist() == alone.tolist()


def test_a_strategys_estimator_without_a_seed_gets_one(fit):
    def make():
        return linear(MarginSampling(estimator=AdaptationClassifier(max_epochs=1)))

    assert fit(make()).queried_ids_.tolist() == fit(make()).queried_ids_.tolist()


def test_a_strategys_estimator_lacks_what_is_read(fit, no_training):
    with pytest.raises(ValueError, match="cannot supply 'head_weight'"):
        fit(linear(SDM(estimator=RandomForestClassifier())))


# Every argument counts


def outcome(loop):
    seen = [entry["ids"].tolist() for entry in loop.history_]
    return seen, loop.predict_proba(loop.session_.X).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"estimator": AdaptationClassifier(max_epochs=3)},
        {"strategy": RandomSampling()},
        {"budget": 12},
        {"n_rounds": 1},
        {"round_epochs": 2},
        {"warm_start": False},
        {"random_state": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_argument_changes_the_outcome(fit, change):
    assert outcome(fit(network())) != outcome(fit(network().set_params(**change)))


def test_rounds_without_a_budget_to_spend_are_refused(fit):
    with pytest.raises(ValueError, match="give the budget too"):
        fit(linear()).resume(n_rounds=3)


def test_an_array_as_oracle_is_refused_before_training(blobs):
    X, y, sample_domain = blobs
    with pytest.raises(TypeError, match=r"ArrayOracle\(y\)"):
        linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain, oracle=y)


def test_a_regressor_is_refused(fit):
    with pytest.raises(ValueError, match="must be a classifier"):
        fit(ActiveAdaptationLoop(LinearRegression()))


def test_answers_are_those_of_the_time_of_fitting(blobs):
    X, y, sample_domain = blobs
    mutable = y.copy()
    loop = linear().fit(X, mutable, sample_domain=sample_domain)
    mutable[:] = (y + 1) % 3
    loop.resume(budget=3)
    ids = loop.queried_ids_
    np.testing.assert_array_equal(loop.session_.state.y[ids], y[ids])


def test_without_a_seed_numpys_global_generator_is_left_alone(fit):
    before = np.random.mtrand._rand.get_state()[1].copy()
    fit(linear(random_state=None))
    np.testing.assert_array_equal(np.random.mtrand._rand.get_state()[1], before)


def test_round_epochs_as_a_numpy_scalar(fit):
    assert fit(network(round_epochs=np.array(1))).n_queries_ == 10


def test_a_loop_goes_on_from_a_session_with_its_settings(blobs):
    X, y, sample_domain = blobs
    strategy = BADGE(random_state=3)
    made = ActiveAdaptationLoop(LogisticRegression(C=2), strategy, budget=10, n_rounds=2, round_epochs=[2, 1])
    session = made.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    ids = session.ask()
    session.tell(ids, y[ids])
    loop = ActiveAdaptationLoop.from_session(session)
    assert loop.session_ is session
    assert loop.n_queries_ == 5
    assert (loop.estimator.C, loop.strategy.random_state, loop.budget) == (2, 3, [5, 5])
    assert loop.random_state == session.settings.seed
    assert loop.resume(ArrayOracle(y)).n_queries_ == 10


@pytest.mark.parametrize("budget", [1.0, 0])
def test_a_new_budget_with_nothing_to_ask_is_said(blobs, budget):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=budget, n_rounds=1, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain if budget else None)
    with pytest.warns(UserWarning, match="resume has a budget of 2, but no label is bought"):
        loop.resume(budget=2)
