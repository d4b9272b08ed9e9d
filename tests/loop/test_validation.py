"""What a loop says where a target was meant, or nothing can be asked."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

from skada_active import ActiveAdaptationLoop
from skada_active.deep import DANN, AdaptationClassifier, MarginLoss
from skada_active.domains import mask_target
from skada_active.loop import ArrayOracle, BudgetSchedule
from skada_active.query import MarginSampling


def linear(**params):
    return ActiveAdaptationLoop(LogisticRegression(), random_state=0, **{"budget": 6, "n_rounds": 2, **params})


@pytest.mark.parametrize("dtype", [int, float, np.uint8, object])
def test_a_target_that_is_numbered_1_is_refused(blobs, dtype):
    X, y, sample_domain = blobs
    usual = (sample_domain < 0).astype(int).astype(dtype)
    for begin in (linear().fit, linear().session):
        with pytest.raises(ValueError, match=r"holds 0 and 1 only.*np\.where\(sample_domain == 1, -1, 1\)"):
            begin(X, y, sample_domain=usual)
    with pytest.raises(ValueError, match="holds 0 and 1 only"):
        MarginSampling().fit(X, y, usual)


def test_sources_that_are_numbered_0_and_1_next_to_a_target_are_ordinary(blobs):
    X, y, sample_domain = blobs
    domain = np.where(sample_domain < 0, -1, np.arange(120) % 2)
    assert linear().fit(X, y, sample_domain=domain).n_queries_ == 6


@pytest.mark.parametrize("given", ["oracle", "labeled_target"])
def test_what_needs_a_target_is_refused_without_one(blobs, given):
    X, y, _ = blobs
    value = ArrayOracle(y) if given == "oracle" else np.ones(120, dtype=bool)
    with pytest.raises(ValueError, match=f"{given} needs target rows, but sample_domain is None"):
        linear().fit(X, y, **{given: value})
    with pytest.raises(ValueError, match=f"{given} needs target rows, but .* no number below 0, but 3"):
        linear().fit(X, y, sample_domain=np.full(120, 3), **{given: value})


def test_masked_labels_without_domains_are_refused(blobs):
    X, y, sample_domain = blobs
    known = mask_target(y.astype(str), sample_domain)
    for begin in (linear().fit, linear().session, MarginSampling().fit, AdaptationClassifier().fit):
        with pytest.raises(ValueError, match="sample_domain is None"):
            begin(X, known)


def test_a_budget_without_domains_is_said(blobs):
    X, y, _ = blobs
    with pytest.warns(UserWarning, match="no label is bought: sample_domain is None.*all rows count as source"):
        assert linear().fit(X, y).n_queries_ == 0


def test_minus_one_without_domains_is_said_to_be_a_class(blobs):
    X, y, sample_domain = blobs
    with pytest.warns(UserWarning, match="all rows count as source, and -1 as a class"):
        linear().fit(X, mask_target(y, sample_domain))


def test_a_budget_without_a_number_below_0_is_said(blobs):
    X, y, sample_domain = blobs
    with pytest.warns(UserWarning, match="holds no number below 0, but 1, 2: all rows count as source"):
        linear(budget=BudgetSchedule(3)).fit(X, y, sample_domain=np.where(sample_domain < 0, 2, 1))


def test_labels_that_are_all_known_are_said(blobs):
    X, y, sample_domain = blobs
    known = r"y holds a label for each of the 60 target row.*mask_target\(y, sample_domain\)"
    with pytest.warns(UserWarning, match=known):
        linear().session(X, y, sample_domain=sample_domain)
    with pytest.warns(UserWarning, match=known):
        linear().fit(X, y, sample_domain=sample_domain, oracle=ArrayOracle(y))
    with pytest.warns(UserWarning, match="labeled_target names each of the 60"):
        linear().fit(X, y, sample_domain=sample_domain, labeled_target=np.ones(120, dtype=bool))


def test_labels_that_nobody_can_give_are_said(blobs):
    X, y, sample_domain = blobs
    with pytest.warns(UserWarning, match="y holds no label of the 60 target row.*oracle=.*session"):
        assert linear().fit(X, mask_target(y, sample_domain), sample_domain=sample_domain).n_queries_ == 0


def test_cross_validation_without_domains_is_said(blobs):
    with pytest.warns(UserWarning, match="sample_domain is None"):
        cross_validate(linear(), *blobs[:2], cv=2)


def test_nothing_is_said_where_nothing_is_to_be_bought_or_all_goes_well(blobs, tmp_path):
    X, y, sample_domain = blobs
    known = mask_target(y, sample_domain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for budget in (0, 0.0, [0, 0], BudgetSchedule(0)):
            linear(budget=budget).fit(X, y)
        linear().fit(X, y, sample_domain=sample_domain).resume()
        for _ in range(3):  # started, gone on with and finished
            with linear().session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
                ids = session.ask()
                session.tell(ids, y[ids])
                assert session.settings.rounds == [3, 3]


def test_an_objective_without_the_target_that_it_reads_is_said(blobs):
    X, y, _ = blobs
    with pytest.warns(UserWarning, match=r"objective=DANN\(\) reads target rows, but there are none"):
        AdaptationClassifier(DANN(), max_epochs=1).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AdaptationClassifier(MarginLoss(), max_epochs=1).fit(X, y)


def test_labels_for_a_frozen_model_are_warned_of(blobs):
    X, y, sample_domain = blobs
    is_source = sample_domain > 0
    frozen = FrozenEstimator(LogisticRegression().fit(X[is_source], y[is_source]))
    rows, answers, domain = X[~is_source], y[~is_source], sample_domain[~is_source]
    with pytest.warns(UserWarning, match=r"is frozen: the labels .* train nothing.*HypothesisTransfer"):
        ActiveAdaptationLoop(frozen, budget=5, random_state=0).fit(rows, answers, sample_domain=domain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ActiveAdaptationLoop(frozen, budget=0, random_state=0).fit(rows, answers, sample_domain=domain)
        ActiveAdaptationLoop(frozen, budget=10, audit=0.5, random_state=0).fit(rows, answers, sample_domain=domain)
