"""The model of the round before, handed to a strategy that reads its probabilities."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.query import LAS, LFTL, MarginSampling, Mixed, Prefilter, Staged

NETWORK = AdaptationClassifier(max_epochs=1, random_state=0)
ESTIMATORS = {"logistic regression": LogisticRegression(), "network": NETWORK}
SETTINGS = {"budget": 12, "n_rounds": 4, "round_epochs": 1, "target_weight": None, "random_state": 0}


@pytest.fixture
def seen(monkeypatch):
    """Return a list of the views that LFTL is asked to choose from."""
    views, utilities = [], LFTL._utilities
    monkeypatch.setattr(LFTL, "_utilities", lambda self, view: views.append(view) or utilities(self, view))
    return views


@pytest.fixture
def begin(blobs):
    """Return a function that starts a session."""
    X, y, sample_domain = blobs

    def begin(strategy=None, estimator="logistic regression", journal=None, **params):
        strategy = LFTL(contrast=2.0) if strategy is None else strategy
        loop = ActiveAdaptationLoop(ESTIMATORS[estimator], strategy, **{**SETTINGS, **params})
        return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=journal)

    return begin


def play(session, y, n_rounds=1):
    """Answer whole rounds, and return the models that these were asked by."""
    models = []
    for _ in range(n_rounds):
        models.append(session.estimator_)
        ids = session.ask()
        session.tell(ids, y[ids])
    return models


def copied(folder, number, keeps_checkpoint):
    """Return a copy of the journal as a kill would leave it, with its checkpoint or without."""
    shutil.copy(folder / "labels.db", path := folder / f"{number}.db")
    if not keeps_checkpoint:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM checkpoint")
    return path


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_is_the_model_that_asked_the_round_before(begin, blobs, seen, estimator):
    X, y, _ = blobs
    models = play(begin(estimator=estimator), y, 3)
    for view, before, now in zip(seen, [models[0], *models], models, strict=False):
        np.testing.assert_allclose(view.proba, now.predict_proba(X[view.index]), rtol=1e-6)
        np.testing.assert_allclose(view.previous_proba, before.predict_proba(X[view.index]), rtol=1e-6)
    assert len(seen) == 3
    assert not np.array_equal(seen[2].previous_proba, seen[2].proba)


def test_it_matters_what_is_asked(begin, blobs):
    asked = []
    for contrast in (0, 20.0):
        session = begin(LFTL(contrast=contrast, class_weight=0))
        play(session, blobs[1], 4)
        asked.append(session.queried_ids_)
    np.testing.assert_array_equal(asked[0][:3], asked[1][:3])  # there is no change in the first round
    assert asked[0].tolist() != asked[1].tolist()


def test_it_is_kept_only_where_it_is_read(begin, blobs):
    for strategy in (MarginSampling(), LFTL(contrast=0), LFTL(estimator=LogisticRegression())):
        session = begin(strategy)
        play(session, blobs[1], 2)
        assert session.trainer.model.previous is None


@pytest.mark.parametrize(
    "strategy",
    [
        Prefilter(LFTL(contrast=2.0), n_candidates=30),
        Prefilter(by=LFTL(contrast=2.0), n_candidates=30),
        LAS(by=LFTL(contrast=2.0)),
    ],
    ids=repr,
)
def test_it_is_passed_on_to_the_parts_of_a_strategy(begin, blobs, seen, strategy):
    X, y, _ = blobs
    models = play(begin(strategy), y, 3)
    np.testing.assert_allclose(seen[-1].previous_proba, models[-2].predict_proba(X[seen[-1].index]))


def test_in_stages_and_shares_it_is_there_in_the_rounds_that_read_it(begin, blobs, seen):
    X, y, _ = blobs
    lftl = Mixed([(LFTL(contrast=2.0), 0.7), (MarginSampling(), 0.3)])
    session = begin(Staged([(MarginSampling(), 1), (lftl, 2), (MarginSampling(), None)]))
    models = []
    for is_read in (False, True, True, False):
        assert (session.trainer.model.previous is not None) == is_read
        models += play(session, y)
    for view, before in zip(seen, models, strict=False):
        np.testing.assert_allclose(view.previous_proba, before.predict_proba(X[view.index]))
    assert len(seen) == 2


def test_of_an_estimator_of_the_strategy_it_is_the_one_fitted_a_round_ago(begin, blobs, seen):
    X, y, domain = blobs
    session = begin(LFTL(contrast=2.0, estimator=LogisticRegression(C=0.1)))
    play(session, y, 3)
    known = (domain >= 0) | np.isin(np.arange(len(y)), session.queried_ids_[:3])
    before = LogisticRegression(C=0.1).fit(X[known], y[known])
    np.testing.assert_allclose(seen[2].previous_proba, before.predict_proba(X[seen[2].index]))
    np.testing.assert_array_equal(seen[0].previous_proba, seen[0].proba)


def test_of_a_frozen_estimator_it_is_the_same(begin, blobs, seen):
    X, y, domain = blobs
    frozen = FrozenEstimator(LogisticRegression().fit(X[domain >= 0], y[domain >= 0]))
    play(begin(LFTL(estimator=frozen)), y, 2)
    np.testing.assert_array_equal(seen[1].previous_proba, seen[1].proba)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("keeps_checkpoint", [True, False])
def test_a_session_that_is_opened_again_asks_what_one_that_goes_on_asks(
    begin, blobs, tmp_path, estimator, keeps_checkpoint
):
    y = blobs[1]
    session = begin(estimator=estimator, journal=tmp_path / "labels.db")
    play(session, y)
    for number in (2, 3):
        play(session, y)
        again = begin(estimator=estimator, journal=copied(tmp_path, number, keeps_checkpoint))
        assert again.ask().tolist() == session.ask().tolist()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("rounds", [[0], [2]], ids=str)
def test_after_a_correction_it_is_the_model_that_the_right_answers_give(
    begin, blobs, seen, tmp_path, estimator, rounds
):
    X, y, _ = blobs
    session = begin(estimator=estimator, journal=tmp_path / "labels.db")
    for number in range(3):
        play(session, (y + 1) % 3 if number in rounds else y)
    ids = session.queried_ids_.reshape(3, 3)[rounds].ravel()
    session.correct(ids, y[ids])
    replayed = begin(estimator=estimator, journal=copied(tmp_path, 0, keeps_checkpoint=False))
    asked = session.ask(), replayed.ask()
    assert asked[0].tolist() == asked[1].tolist()
    known, roles, _ = session.state.as_of(2)
    if estimator == "logistic regression":
        before = LogisticRegression().fit(X[roles.labeled], known[roles.labeled])
        np.testing.assert_array_equal(seen[-1].previous_proba, before.predict_proba(X[seen[-1].index]))
    np.testing.assert_array_equal(seen[-2].previous_proba, seen[-1].previous_proba)


def test_a_loop_that_is_loaded_goes_on_as_one_that_was_not_saved(blobs, tmp_path):
    X, y, domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), LFTL(contrast=5.0), budget=9, n_rounds=3, random_state=0)
    loop.fit(X, y, sample_domain=domain).save(tmp_path / "loop.skops")
    loaded = ActiveAdaptationLoop.load(tmp_path / "loop.skops")
    assert loaded.session_.trainer.model.previous is not None
    loaded.resume(budget=6, n_rounds=2)
    loop.resume(budget=6, n_rounds=2)
    np.testing.assert_array_equal(loaded.queried_ids_, loop.queried_ids_)


class Rooted(AdaptationClassifier):
    """A network that cannot be copied, and so is trained on in place."""

    def __deepcopy__(self, memo):
        raise TypeError("it cannot be copied")


def test_where_a_network_is_trained_in_place_the_previous_probabilities_are_the_present_ones(blobs, seen):
    X, y, domain = blobs
    loop = ActiveAdaptationLoop(Rooted(max_epochs=1, random_state=0), LFTL(), **SETTINGS)
    play(loop.session(X, mask_target(y, domain), sample_domain=domain), y, 2)
    np.testing.assert_array_equal(seen[1].previous_proba, seen[1].proba)


def test_a_class_that_is_new_has_probability_zero_before(blobs, seen):
    X, y, domain = blobs
    rows = (domain < 0) | (y < 2)  # the source knows two classes
    loop = ActiveAdaptationLoop(LogisticRegression(), LFTL(), new_classes="learn", budget=40, n_rounds=2)
    loop.fit(X[rows], y[rows], sample_domain=domain[rows])
    assert seen[1].proba.shape[1] == 3
    assert not seen[1].previous_proba[:, 2].any()
