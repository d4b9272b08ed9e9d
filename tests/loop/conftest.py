"""Data and helpers that the tests of the loop share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target


@pytest.fixture(scope="session")
def blobs():
    """Return read-only X, y, sample_domain: 60 source and 60 target rows of 3 classes."""
    data = make_shifted_blobs(60, 60, n_features=3, random_state=0)
    for array in data:
        array.flags.writeable = False
    return data


@pytest.fixture
def start(blobs):
    """Return a function that starts a session on the blobs; its keywords go to the loop."""
    X, y, sample_domain = blobs
    settings = {"budget": 10, "n_rounds": 2, "round_epochs": 1, "random_state": 0}

    def start(y=y, estimator=None, strategy=None, **params):
        estimator = LogisticRegression() if estimator is None else estimator
        loop = ActiveAdaptationLoop(estimator, strategy, **{**settings, **params})
        known = mask_target(y, sample_domain)
        known.flags.writeable = False
        return loop.session(X, known, sample_domain=sample_domain)

    return start


@pytest.fixture
def no_training(monkeypatch):
    """Make any training of a model that is not a network an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("the estimator was trained")

    for model in (LogisticRegression, RandomForestClassifier, LinearSVC):
        monkeypatch.setattr(model, "fit", refuse)


@pytest.fixture(scope="session")
def finish():
    """Return a function that runs a session to its end with the labels `y`, and returns it."""

    def finish(session, y):
        y = np.asarray(y)
        while len(ids := session.ask()):
            session.tell(ids, y[ids])
        return session

    return finish


@pytest.fixture
def open_session(blobs, tmp_path):
    """Return a function that opens a session with its journal in ``labels``; keywords go to the loop or the session."""
    X, y, sample_domain = blobs
    opened = []

    def open_session(estimator=None, strategy=None, X=X, y=y, session=None, **params):
        for earlier in opened:
            earlier.close()
        estimator = LogisticRegression() if estimator is None else estimator
        settings = {"budget": 10, "n_rounds": 2, "round_epochs": 1, "random_state": 0}
        loop = ActiveAdaptationLoop(estimator, strategy, **settings | params)
        known = mask_target(y, sample_domain)
        opened.append(
            loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels", **(session or {}))
        )
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture(scope="session")
def lines_of():
    """Return a function that reads the lines of a session's journal."""

    def lines_of(session):
        return [json.loads(line) for line in (session.record.folder / "journal.jsonl").read_text().splitlines()]

    return lines_of
