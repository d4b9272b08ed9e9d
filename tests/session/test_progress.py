"""What a run shows and logs while it goes on."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target


def loop_of(estimator=None, **params):
    settings = {"budget": 4, "n_rounds": 2, "round_epochs": 2, "random_state": 0, **params}
    return ActiveAdaptationLoop(estimator or LogisticRegression(), **settings)


def session_of(data, loop):
    X, y, sample_domain = data
    return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, eval_set=(X, y))


def test_the_bar_shows_the_epochs_of_every_training_from_the_first_on(blobs, capfd):
    X, y, sample_domain = blobs
    loop_of(AdaptationClassifier(max_epochs=3), verbose=1).fit(X, y, sample_domain=sample_domain)
    shown = capfd.readouterr().err
    at = [shown.index(text) for text in ("0/4", "epoch 1 of 3", "epoch 3 of 3", "2/4", "epoch 2 of 2", "4/4")]
    assert at == sorted(at)
    assert "(balanced " in shown
    assert shown.count("\n") == 1  # one bar


def test_a_session_shows_its_trainings_if_asked_to(blobs, capfd, finish):
    finish(session_of(blobs, loop_of()), blobs[1])
    assert capfd.readouterr() == ("", "")
    session = session_of(blobs, loop_of(verbose=1))
    assert "holdout=" in capfd.readouterr().err
    session.tell(session.ask(), blobs[1][session.ask()])
    assert "2/4" in capfd.readouterr().err


def test_a_loop_that_goes_on_obeys_verbose_as_it_is_then(blobs, capfd):
    X, y, sample_domain = blobs
    loop = loop_of().fit(X, y, sample_domain=sample_domain)
    loop.set_params(verbose=1).resume(budget=2, n_rounds=1)
    assert "6/6" in capfd.readouterr().err
    loop.set_params(verbose=0).resume(budget=2, n_rounds=1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))])
def test_a_session_with_a_bar_can_be_copied(blobs, copied):
    session = session_of(blobs, loop_of(verbose=1))
    assert copied(session).ask().tolist() == session.ask().tolist()


def test_every_round_is_logged_under_the_name_of_the_package(blobs, caplog, finish):
    with caplog.at_level(logging.INFO, logger="skada_active"):
        finish(session_of(blobs, loop_of()), blobs[1])
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("skada_active.")]
    assert [line.partition(";")[0] for line in lines] == [
        "round 0: 0 label(s) bought, 0 in all",
        "round 1: 2 label(s) bought, 2 in all",
        "round 2: 2 label(s) bought, 4 in all",
    ]
    assert all("accuracy: holdout 0." in line and "train" in line for line in lines)


def test_nothing_is_logged_unless_asked_for(blobs, caplog):
    session_of(blobs, loop_of())
    assert not caplog.records
