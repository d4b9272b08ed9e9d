"""A choice that will take minutes says so first; see `skada_active.query._cost`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active.pool import PoolView
from skada_active.query import BADGE, CLUE, GALA, LAS, SAGE, CoreSet, KMeansSampling, MarginSampling, Prefilter, _cost
from skada_active.testing._views import make_fields

LONG = [
    LAS(),
    GALA(),
    GALA(embedding="reduced"),
    GALA(mode="local", outlier_neighbors=3),
    KMeansSampling(),
    CLUE(),
    SAGE(),
    CoreSet(),
    BADGE(),
]


@pytest.fixture(name="threshold")
def _threshold(monkeypatch):
    return lambda seconds: monkeypatch.setattr(_cost, "LONG_SECONDS", seconds)


@pytest.mark.parametrize("strategy", LONG, ids=repr)
def test_a_long_choice_warns_once_with_an_estimate_and_a_remedy(strategy, threshold):
    threshold(0.0)
    name = type(strategy).__name__
    with pytest.warns(
        UserWarning, match=rf"{name} will take about .*seconds .* for 4 of 12 candidates.*Prefilter\({name}"
    ) as found:
        strategy.select(PoolView(**make_fields()), 4, random_state=0)
    assert len(found) == 1
    assert found[0].filename == __file__


@pytest.mark.parametrize("strategy", [*LONG, MarginSampling()], ids=repr)
def test_a_short_choice_says_nothing(strategy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(strategy.select(PoolView(**make_fields(400)), 40, random_state=0)) == 40


def estimate(strategy, n, width, n_queries, dtype=np.float32):
    """Return the estimate for a view of rows that take no memory."""
    features = np.broadcast_to(np.zeros(1, dtype=dtype), (n, width))
    view = PoolView(features=features, proba=np.broadcast_to(np.full(1, 0.1, dtype=dtype), (n, 10)))
    return strategy._seconds(view, n_queries)


def test_the_estimate_is_of_the_order_of_what_was_measured():
    # One thread, 200,000 rows of 64 columns in float32, 500 of them chosen.
    size = 200_000, 64, 500
    assert 60 < estimate(LAS(), *size) < 300
    assert 10 < estimate(KMeansSampling(), *size) < 120
    assert estimate(CoreSet(), *size) < 5
    assert estimate(BADGE(), *size) < 5
    assert estimate(GALA(mode="local"), *size) == 0
    assert estimate(GALA(mode="local", outlier_neighbors=5), *size) > 60
    assert estimate(LAS(), 55_000, 256, 550) < 60
    assert estimate(LAS(), *size, dtype=np.float64) > estimate(LAS(), *size)


def test_a_search_that_was_made_is_not_announced_again(threshold):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.repeat([0, 1, -1], 20)
    fitted = LAS(oversampling=0, estimator=LogisticRegression(), random_state=0).fit(X, y, np.where(y < 0, -1, 1))
    threshold(0.0)
    with pytest.warns(UserWarning, match="LAS will take about"):
        first = fitted.query(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(fitted.query(4), first)


def test_a_short_list_is_not_announced(threshold):
    strategy, view = Prefilter(LAS(), n_candidates=20), PoolView(**make_fields(4000))
    threshold(estimate(LAS(), 4000, 4, 5) / 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(strategy.select(view, 5, random_state=0)) == 5


@pytest.mark.parametrize(("seconds", "text"), [(61, "61 seconds"), (600, "10 minutes"), (9000, "2 hours")])
def test_the_estimate_is_said_in_a_unit_that_fits(seconds, text):
    with pytest.warns(UserWarning, match=f"LAS will take about {text} on one core"):
        _cost.warn_long("LAS", seconds, 10, 2)
