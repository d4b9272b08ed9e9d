"""The logistic regression that starts at another model, as pure functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from skada_active.source_free.transfer import choose_C, fit_transfer, log_proba


def some_rows(n=30, width=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % n_classes
    Z = rng.normal(size=(n, width)) + np.eye(n_classes, width)[codes]
    return Z, log_softmax(rng.normal(size=(n, n_classes)), axis=1), codes


def objective(transfer, Z, offset, codes, C):
    logits = log_softmax(transfer.logits(Z, offset), axis=1)[np.arange(len(codes)), codes]
    pulled = np.square(transfer.weight).sum() / C + np.square(transfer.bias).sum() + np.log(transfer.scale) ** 2
    return -logits.sum() + pulled / 2


@pytest.mark.parametrize("width", [4, 50], ids=["more rows than features", "fewer"])
def test_it_is_the_minimum_of_its_loss(width):
    Z, offset, codes = some_rows(width=width)
    found = fit_transfer(Z, offset, codes, 0.5)

    def near(parameters):
        weight = parameters[: 3 * width].reshape(3, -1)
        moved = found._replace(weight=weight, bias=parameters[-4:-1], scale=np.exp(parameters[-1]))
        return objective(moved, Z, offset, codes, 0.5)

    parameters = np.concatenate([found.weight.ravel(), found.bias, [np.log(found.scale)]])
    assert np.abs(approx_fprime(parameters, near, 1e-6)).max() < 1e-3


def test_without_rows_it_changes_nothing():
    Z, offset, codes = some_rows()
    found = fit_transfer(Z[:0], offset[:0], codes[:0], 1.0)
    np.testing.assert_array_equal(found.logits(Z, offset), offset)


def test_with_c_of_zero_there_are_no_weights():
    Z, offset, codes = some_rows()
    found = fit_transfer(Z, offset, codes, 0.0)
    assert not found.weight.any()
    assert found.bias.any()
    assert found.scale != 1


def test_from_a_model_that_knows_nothing_it_is_a_logistic_regression():
    Z, _, codes = some_rows(n=300)
    fresh = LogisticRegression(C=1.0, tol=1e-8).fit(Z, codes)
    found = fit_transfer(Z, np.full((300, 3), -np.log(3)), codes, 1.0)
    np.testing.assert_allclose(found.weight, fresh.coef_, atol=1e-2)


def test_a_model_that_is_too_sure_is_cooled_down():
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=400)
    said = np.where(rng.random(400) < 0.7, codes, 1 - codes)  # right in 70 % of the rows, and sure of all
    found = fit_transfer(np.empty((400, 0)), log_proba(np.eye(2)[said]), codes, 0.0)
    assert found.scale * np.log(1e4) == pytest.approx(np.log(0.7 / 0.3), abs=0.2)


def test_probabilities_of_zero_have_a_finite_logarithm():
    logs = log_proba([[1.0, 0.0], [0.5, 0.5]])
    assert np.exp(logs).sum(axis=1) == pytest.approx(1)
    assert logs[0, 1] == pytest.approx(np.log(1e-4), abs=1e-3)


def test_c_grows_with_what_the_labels_say():
    Z, offset, codes = some_rows(n=200)
    rng = np.random.RandomState(0)
    assert choose_C(Z, offset, codes, 5, rng) >= 1e-2
    assert choose_C(np.random.default_rng(1).normal(size=Z.shape), 5 * np.eye(3)[codes], codes, 5, rng) <= 1e-3


def test_a_weight_of_two_is_a_row_twice():
    Z, offset, codes = some_rows()
    weight = 1.0 + np.arange(30) % 3
    rows = np.repeat(np.arange(30), weight.astype(int))
    weighted = fit_transfer(Z, offset, codes, 0.5, weight)
    repeated = fit_transfer(Z[rows], offset[rows], codes[rows], 0.5)
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=1e-5)
    np.testing.assert_allclose(weighted.bias, repeated.bias, atol=1e-5)
    assert weighted.scale == pytest.approx(repeated.scale, abs=1e-5)


def test_rows_of_weight_zero_do_not_count_in_the_choice_of_c():
    Z, offset, codes = some_rows(n=60)
    counts, rng = np.arange(60) < 30, np.random.RandomState(0)
    mixed = np.where(counts, codes, (codes + 1) % 3)
    folds = [(np.arange(0, 60, 2), np.arange(1, 60, 2))]
    of_half = [(np.arange(0, 30, 2), np.arange(1, 30, 2))]
    chosen = choose_C(Z, offset, mixed, folds, rng, counts.astype(float))
    assert chosen == choose_C(Z[:30], offset[:30], codes[:30], of_half, rng)
    assert chosen != choose_C(Z, offset, mixed, folds, rng)


def test_a_model_that_is_right_may_stay():
    offset = np.log(np.tile([0.6, 0.2, 0.2], (60, 1)))
    codes = np.resize([0, 0, 0, 1, 2], 60)
    noise, rng = np.random.default_rng(0).normal(size=(60, 4)), np.random.RandomState(0)
    assert choose_C(noise, offset, codes, 5, rng) is None
    assert choose_C(noise, offset, codes, 5, rng, may_stay=False) is not None
    np.testing.assert_array_equal(fit_transfer(noise, offset, codes, None).logits(noise, offset), offset)


@pytest.mark.parametrize("n", range(5))
def test_few_labels_choose_no_weights(n):
    Z, offset, codes = some_rows()
    assert choose_C(Z[:n], offset[:n], codes[:n], 5, np.random.RandomState(0)) == 0
