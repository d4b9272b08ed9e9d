"""Model selection on target rows: splits, scores, and scikit-learn's searches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop, TargetShuffleSplit, holdout_target, target_accuracy
from skada_active.datasets import load_gas_drift
from skada_active.deep import AdaptationClassifier, MarginLoss
from skada_active.domains import mask_target
from skada_active.query import SDM, KMeansSampling, MarginSampling, QueryByCommittee, RandomSampling

both_routings = pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])
BUDGET = 12


@pytest.fixture(scope="module")
def gas():
    """Return every fourth row of the real sensor data: two sources, one target."""
    return tuple(array[::4] for array in load_gas_drift())


def loop_of(estimator, strategy=None):
    return ActiveAdaptationLoop(estimator, strategy, budget=BUDGET, n_rounds=2, round_epochs=1, random_state=0)


def linear(strategy=None):
    return loop_of(make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-2)), strategy)


def network(strategy=None):
    return loop_of(AdaptationClassifier(MarginLoss(), max_epochs=2), strategy)


def search(loop, grid, **params):
    cv = TargetShuffleSplit(2, random_state=0)
    return GridSearchCV(loop, grid, **{"cv": cv, "scoring": target_accuracy, "error_score": "raise", **params})


def labels_bought(estimator, X, y):
    return estimator.n_queries_


# The splitter


def splits(y, sample_domain, **params):
    return list(TargetShuffleSplit(**{"n_splits": 3, "random_state": 0, **params}).split(y, y, groups=sample_domain))


def test_test_folds_hold_target_rows_only(gas):
    _, y, sample_domain = gas
    for _, test in splits(y, sample_domain):
        assert (sample_domain[test] < 0).all()


def test_training_folds_hold_all_source_rows_and_the_rest_of_the_target(gas):
    _, y, sample_domain = gas
    for train, test in splits(y, sample_domain):
        assert set(np.flatnonzero(sample_domain >= 0)) <= set(train)
        assert sorted([*train, *test]) == list(range(len(y)))


@pytest.mark.parametrize("dtype", [int, float, str])
def test_rows_without_a_label_are_never_tested_but_stay_in_training(gas, dtype):
    _, y, sample_domain = gas
    y = np.unique(y, return_inverse=True)[1].astype(dtype)
    known = mask_target(y, sample_domain)
    rows = np.flatnonzero(sample_domain < 0)[::2]
    known[rows] = y[rows]
    for train, test in splits(known, sample_domain):
        assert set(test) <= set(rows)
        assert len(train) + len(test) == len(y)


@pytest.mark.parametrize(("test_size", "n_test"), [(0.5, 20), (0.25, 10), (7, 7)])
def test_the_test_size_counts_target_rows(test_size, n_test):
    sample_domain = np.repeat([1, -1], [100, 40])
    for _, test in splits(np.zeros(140), sample_domain, test_size=test_size):
        assert len(test) == n_test


def test_half_of_the_target_is_tested_by_default():
    assert len(splits(np.zeros(50), np.repeat([1, -1], [10, 40]))[0][1]) == 20


def test_an_integer_seed_repeats_the_splits_and_splits_differ(gas):
    _, y, sample_domain = gas
    one, other = splits(y, sample_domain), splits(y, sample_domain)
    for (_, mine), (_, yours) in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert one[0][1].tolist() != one[1][1].tolist()
    assert one[0][1].tolist() != splits(y, sample_domain, random_state=1)[0][1].tolist()


def test_splits_need_no_labels():
    sample_domain = [1, 1, -1, -1]
    for _, test in TargetShuffleSplit(2, random_state=0).split(np.zeros((4, 1)), groups=sample_domain):
        assert test[0] in (2, 3)


def test_the_number_of_splits_is_known():
    assert TargetShuffleSplit(4).get_n_splits() == 4
    assert TargetShuffleSplit().get_n_splits() == 5


def test_the_splitter_shows_its_parameters():
    assert repr(TargetShuffleSplit(2, test_size=0.3)).startswith("TargetShuffleSplit(n_splits=2, ")


def test_groups_are_needed():
    with pytest.raises(ValueError, match="pass groups=sample_domain"):
        next(TargetShuffleSplit().split(np.zeros((4, 1))))


@pytest.mark.parametrize("sample_domain", [[1, 1, 1], [1, 1, -1]])
def test_two_target_rows_are_needed(sample_domain):
    with pytest.raises(ValueError, match=r"target row\(s\) with a label; a split needs at least 2"):
        next(TargetShuffleSplit().split(np.zeros((3, 1)), groups=sample_domain))


# The hold-out


def held_out(gas, **params):
    _, y, sample_domain = gas
    rows = np.arange(len(y))
    (train, _, _), (test, _) = holdout_target(rows, y, sample_domain, **{"random_state": 0, **params})
    return train, test


def test_half_of_the_target_is_held_out_and_nothing_else(gas):
    _, y, sample_domain = gas
    train, test = held_out(gas)
    assert (sample_domain[test] < 0).all()
    assert len(test) == -(-(sample_domain < 0).sum() // 2)
    assert sorted([*train, *test]) == list(range(len(y)))


def test_held_out_rows_keep_their_order_labels_and_domains(gas):
    X, y, sample_domain = gas
    train, test = held_out(gas)
    (X_train, y_train, domain_train), (X_test, y_test) = holdout_target(X, y, sample_domain, random_state=0)
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    np.testing.assert_array_equal(X_train, X[train])
    np.testing.assert_array_equal(X_test, X[test])
    np.testing.assert_array_equal(domain_train, sample_domain[train])
    assert (y_train.tolist(), y_test.tolist()) == (y[train].tolist(), y[test].tolist())


@pytest.mark.parametrize(("test_size", "n_test"), [(0.25, 10), (7, 7)])
def test_the_size_of_the_hold_out_counts_target_rows(test_size, n_test):
    sample_domain = np.repeat([1, -1, -2], [100, 20, 20])
    _, (_, y_test) = holdout_target(np.zeros((140, 1)), sample_domain, sample_domain, test_size=test_size)
    assert len(y_test) == n_test
    assert (y_test < 0).all()


def test_labels_do_not_decide_what_is_held_out(gas):
    X, y, sample_domain = gas
    known = mask_target(y, sample_domain)
    known[-5:] = y[-5:]
    for labels in (np.roll(y, 7), known):
        train, test = held_out((X, labels, sample_domain))
        np.testing.assert_array_equal(train, held_out(gas)[0])
        np.testing.assert_array_equal(test, held_out(gas)[1])


def test_an_integer_seed_repeats_the_hold_out(gas):
    assert held_out(gas, random_state=3)[1].tolist() == held_out(gas, random_state=3)[1].tolist()
    assert held_out(gas, random_state=3)[1].tolist() != held_out(gas, random_state=4)[1].tolist()


def test_held_out_rows_of_a_frame_and_of_a_dataset():
    pandas = pytest.importorskip("pandas")
    torch_data = pytest.importorskip("torch.utils.data")

    class Rows(torch_data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, row):
            return np.float32([row])

    y, sample_domain = ["a", "b", None, None, None, None], [1, 1, -1, -1, -1, -1]
    (_, _, domain), (frame, _) = holdout_target(pandas.DataFrame({"row": range(6)}), y, sample_domain, random_state=0)
    _, (dataset, labels) = holdout_target(Rows(), y, sample_domain, random_state=0)
    assert [int(dataset[position][0]) for position in range(2)] == frame["row"].tolist()
    assert labels.tolist() == [None, None]
    assert domain.tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"test_size": 1.0}, "test_size=1.0 should be"),
        ({"test_size": 4}, "test_size=4 should be"),
        ({"sample_domain": [1, 1, 1, -1]}, r"sample_domain names 1 target row\(s\)"),
        ({"sample_domain": None}, r"sample_domain names 0 target row\(s\)"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
    ],
)
def test_a_hold_out_that_cannot_be_is_refused(params, message):
    data = {"X": np.zeros((4, 1)), "y": [0, 1, 0, 1], "sample_domain": [-1] * 4}
    with pytest.raises(ValueError, match=message):
        holdout_target(**{**data, **params})


def test_the_hold_out_is_what_a_loop_evaluates_on(gas):
    train, eval_set = holdout_target(*gas, random_state=0)
    loop = linear().fit(train[0], train[1], sample_domain=train[2], eval_set=eval_set)
    assert loop.learning_curve("holdout")[1][-1] == pytest.approx(loop.score(*eval_set))


# The searches


@both_routings
@pytest.mark.parametrize(
    ("loop", "grid"),
    [
        (linear(SDM()), {"strategy__gradient_weight": [0.0, 1.0]}),
        (linear(QueryByCommittee(n_members=2)), {"strategy__disagreement": ["vote_entropy", "kl"]}),
        (linear(), {"strategy": [RandomSampling(), MarginSampling()], "n_rounds": [1, 2]}),
        (network(), {"estimator__objective__margin": [0.5, 2.0]}),
        (network(KMeansSampling()), {"strategy__n_init": [1, 2], "estimator__objective": [None, MarginLoss()]}),
    ],
    ids=["strategy's parameter", "strategy's choice", "strategy", "objective's parameter", "objective"],
)
def test_grid_search(gas, loop, grid, routing):
    X, y, sample_domain = gas
    with config_context(enable_metadata_routing=routing):
        found = search(loop, grid).fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    assert len(found.cv_results_["mean_test_score"]) == np.prod([len(values) for values in grid.values()])
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert found.best_estimator_.n_queries_ == BUDGET
    assert found.predict(X).shape == y.shape


@pytest.mark.parametrize("make", [linear, network])
def test_the_budget_is_never_exceeded_in_any_fold(gas, make):
    X, y, sample_domain = gas
    scores = cross_validate(
        make(),
        X,
        y,
        cv=TargetShuffleSplit(2, random_state=0),
        scoring={"bought": labels_bought, "accuracy": target_accuracy},
        params={"sample_domain": sample_domain},
        groups=sample_domain,
        return_estimator=True,
        return_indices=True,
    )
    assert scores["test_bought"].tolist() == [BUDGET] * 2
    for loop, train in zip(scores["estimator"], scores["indices"]["train"], strict=True):
        assert (sample_domain[train][loop.queried_ids_] < 0).all()
        assert (loop.query_round_ > 0).sum() == BUDGET


def test_a_fraction_is_one_of_the_folds_pool(gas):
    X, y, sample_domain = gas
    bought = cross_val_score(
        linear().set_params(budget=0.5),
        X,
        y,
        cv=TargetShuffleSplit(1, test_size=0.5, random_state=0),
        scoring=labels_bought,
        params={"sample_domain": sample_domain},
        groups=sample_domain,
    )
    n_target = (sample_domain < 0).sum()
    assert bought.tolist() == [round(n_target // 2 / 2)]


@both_routings
@pytest.mark.parametrize("scoring", [None, "balanced_accuracy", target_accuracy], ids=str)
def test_cross_val_score(gas, routing, scoring):
    X, y, sample_domain = gas
    passed = {"params": {"sample_domain": sample_domain, "groups": sample_domain}}
    if not routing:
        passed = {"params": {"sample_domain": sample_domain}, "groups": sample_domain}
    with config_context(enable_metadata_routing=routing):
        scores = cross_val_score(
            linear(), X, y, cv=TargetShuffleSplit(2, random_state=0), scoring=scoring, error_score="raise", **passed
        )
    assert scores.shape == (2,)
    assert (scores > 0.2).all()


def test_test_rows_are_not_seen_in_training(gas):
    X, y, sample_domain = gas
    cv = TargetShuffleSplit(1, random_state=0)
    train, test = next(cv.split(X, y, groups=sample_domain))
    poisoned = y.copy()
    poisoned[test] = "poison"
    passed = {"cv": cv, "params": {"sample_domain": sample_domain}, "groups": sample_domain, "return_estimator": True}
    clean, dirty = (cross_validate(linear(), X, labels, **passed)["estimator"][0] for labels in (y, poisoned))
    assert clean.queried_ids_.tolist() == dirty.queried_ids_.tolist()
    np.testing.assert_array_equal(clean.predict_proba(X), dirty.predict_proba(X))
    assert len(clean.query_round_) == len(train)


@both_routings
def test_two_processes_give_the_scores_of_one(gas, routing):
    X, y, sample_domain = gas
    with config_context(enable_metadata_routing=routing):
        one, two = (
            search(linear(), {"n_rounds": [1, 3]}, n_jobs=n_jobs)
            .fit(X, y, sample_domain=sample_domain, groups=sample_domain)
            .cv_results_["mean_test_score"]
            .tolist()
            for n_jobs in (1, 2)
        )
    assert one == two


def test_a_pipeline_around_the_loop_is_searched(gas):
    X, y, sample_domain = gas
    pipeline = Pipeline([("scale", StandardScaler()), ("loop", loop_of(LogisticRegression(C=0.1, tol=1e-2)))])
    found = search(pipeline, {"loop__n_rounds": [1, 2], "loop__strategy": [RandomSampling(), MarginSampling()]})
    found.fit(X, y, loop__sample_domain=sample_domain, groups=sample_domain)
    assert found.best_estimator_["loop"].n_queries_ == BUDGET


def test_known_target_labels_are_split_with_their_rows(gas):
    X, y, sample_domain = gas
    known = (sample_domain < 0) & (np.arange(len(y)) % 2 == 0)
    found = search(linear(), {"n_rounds": [1]})
    found.fit(X, y, sample_domain=sample_domain, labeled_target=known, groups=sample_domain)
    assert (found.best_estimator_.query_round_[known] == 0).all()


def test_a_random_search(gas):
    X, y, sample_domain = gas
    found = RandomizedSearchCV(
        linear(SDM()),
        {"strategy__gradient_weight": [0.0, 0.1, 1.0]},
        n_iter=2,
        cv=TargetShuffleSplit(1, random_state=0),
        random_state=0,
    ).fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    assert found.best_estimator_.n_queries_ == BUDGET


@both_routings
def test_a_search_without_the_domains_for_the_splitter_says_what_to_do(gas, routing):
    X, y, sample_domain = gas
    with (
        config_context(enable_metadata_routing=routing),
        pytest.raises(ValueError, match="pass groups=sample_domain next to sample_domain=sample_domain"),
    ):
        search(linear(), {"n_rounds": [1]}).fit(X, y, sample_domain=sample_domain)


def test_a_search_leaves_the_loop_unfitted(gas):
    X, y, sample_domain = gas
    loop = linear()
    before = repr(clone(loop))
    search(loop, {"n_rounds": [1]}).fit(X, y, sample_domain=sample_domain, groups=sample_domain)
    assert repr(loop) == before
    assert not hasattr(loop, "estimator_")
