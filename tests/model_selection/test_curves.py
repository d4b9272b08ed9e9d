"""Learning curves over several seeds."""

from __future__ import annotations

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop, holdout_target, recipes
from skada_active.model_selection import learning_curves
from skada_active.query import RandomSampling

LOOP = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=[3] * 3)


def curves(blobs, loop=LOOP, **params):
    X, y, sample_domain = blobs
    return learning_curves(loop, X, y, sample_domain=sample_domain, **{"seeds": [4, 5], **params})


def test_half_of_the_target_is_held_out_by_the_same_seed(blobs):
    n_queries, values = curves(blobs)
    assert n_queries.tolist() == [0, 3, 6, 9]
    for seed, curve in zip([4, 5], values, strict=True):
        train, eval_set = holdout_target(*blobs, random_state=seed)
        loop = clone(LOOP).set_params(random_state=seed)
        loop.fit(train[0], train[1], sample_domain=train[2], eval_set=eval_set)
        np.testing.assert_array_equal(curve, loop.learning_curve("holdout")[1])


@pytest.mark.parametrize("group", ["transductive", "unqueried"])
def test_without_held_out_rows_the_whole_target_is_the_pool(blobs, group):
    X, y, sample_domain = blobs
    _, values = curves(blobs, group=group)
    loop = clone(LOOP).set_params(random_state=5).fit(X, y, sample_domain=sample_domain)
    np.testing.assert_array_equal(values[1], loop.learning_curve(group)[1])


def test_rows_to_score_on_can_be_given(blobs):
    X, y, sample_domain = blobs
    eval_set = X[::7], y[::7]
    _, values = curves(blobs, eval_set=eval_set)
    loop = clone(LOOP).set_params(random_state=4).fit(X, y, sample_domain=sample_domain, eval_set=eval_set)
    np.testing.assert_array_equal(values[0], loop.learning_curve("holdout")[1])


def test_the_share_held_out_and_the_metric_are_arguments(blobs):
    default = curves(blobs)[1]
    assert not np.array_equal(default, curves(blobs, test_size=0.2)[1])
    assert not np.array_equal(default, curves(blobs, metric="balanced_accuracy")[1])
    scored = clone(LOOP).set_params(scoring="f1_macro")
    assert curves(blobs, scored, metric="f1_macro")[1].shape == (2, 4)


def test_the_number_of_jobs_changes_nothing(blobs):
    with parallel_config("threading"):
        np.testing.assert_array_equal(curves(blobs, n_jobs=2)[1], curves(blobs)[1])


def test_eight_seeds_by_default(blobs):
    X, y, sample_domain = blobs
    _, values = learning_curves(LOOP, X, y, sample_domain=sample_domain)
    assert values.shape == (8, 4)


def test_the_loop_itself_is_not_fitted(blobs):
    loop = clone(LOOP)
    curves(blobs, loop)
    assert not hasattr(loop, "estimator_")
    assert loop.random_state is None


def test_a_recipe_and_a_table_are_taken(blobs):
    pandas = pytest.importorskip("pandas")
    X, y, sample_domain = blobs
    recipe = recipes.sdm(budget=[2, 2], max_epochs=1, round_epochs=1)
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    assert learning_curves(recipe, table, y, sample_domain=sample_domain, seeds=[0])[1].shape == (1, 3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"group": "test"}, "group must be one of"),
        ({"metric": "f1"}, "metric must be one of"),
        ({"seeds": []}, r"seeds=\[\] must be"),
        ({"seeds": 8}, r"seeds=8 must be .* range\(8\)"),
        ({"seeds": [0.5]}, "must be one or more integers"),
        ({"group": "unqueried", "eval_set": ([[0.0] * 3], [0])}, "eval_set is read for"),
    ],
)
def test_bad_arguments_are_refused_before_any_training(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        curves(blobs, ActiveAdaptationLoop(), **params)


def test_an_estimator_that_is_no_loop_is_refused(blobs):
    with pytest.raises(TypeError, match="has no learning curve"):
        curves(blobs, LogisticRegression())


def test_seeds_that_end_with_different_numbers_of_labels_are_refused(blobs):
    X, y, sample_domain = blobs
    y = y.copy()
    y[65:] = -1
    loop = clone(LOOP).set_params(budget=[1, 30])
    with pytest.raises(ValueError, match=r"bought .* labels with seed 0 and .* with seed"):
        learning_curves(loop, X, y, sample_domain=sample_domain, seeds=range(8))
