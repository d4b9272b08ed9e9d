"""Record, ledger and model of a session stay in step, whatever is interrupted, copied or shared."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from torch import nn

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.exceptions import JournalError
from skada_active.io.journal import Journal
from skada_active.loop import ArrayOracle
from skada_active.query import RandomSampling

#: Where the fixture opens sessions: what a warning has to point at.
OPENED_IN = str(Path(__file__).parents[1] / "conftest.py")


def test_a_closed_session_takes_nothing_and_shows_what_it_knows(open_session, blobs):
    with open_session() as session:
        ids = session.ask()
    with pytest.raises(ValueError, match=r"is closed; open the session again"):
        session.tell(ids, blobs[1][ids])
    assert session.open_ids.tolist() == ids.tolist()
    assert session.estimator_.predict(blobs[0]).shape == (120,)


def test_a_session_with_a_journal_is_not_copied(open_session):
    with pytest.raises(TypeError, match="two of them would write to one journal"):
        pickle.dumps(open_session())


def test_an_interruption_between_disk_and_memory_takes_no_answer_twice(open_session, blobs, monkeypatch, lines_of):
    session, y = open_session(), blobs[1]
    ids = session.ask()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("skada_active.session.state.SessionState.apply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.tell(ids[0], y[ids[0]])
    with pytest.raises(ValueError, match="not an open question"):
        session.tell(ids[0], y[ids[0]])
    assert session.queried_ids_.tolist() == [ids[0]]
    assert [line["event"] for line in lines_of(session)[1:]] == ["asked", "told"]


@pytest.mark.parametrize("durable", [False, True], ids=["in memory", "with a journal"])
def test_threads_take_turns(open_session, blobs, start, durable):
    params = {"budget": 60, "n_rounds": 1, "strategy": RandomSampling()}
    session, y = (open_session if durable else start)(**params), blobs[1]
    ids, refused = session.ask(), []

    def tell(row):
        try:
            session.tell(row, y[row])
        except ValueError:
            refused.append(row)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, np.repeat(ids, 2).tolist()))
    assert sorted(session.queried_ids_) == sorted(refused) == sorted(ids)
    if durable:
        assert sorted(open_session(**params).queried_ids_) == sorted(ids)


def test_a_session_in_memory_is_copied_whole(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[:2], y[ids[:2]])
    copied = pickle.loads(pickle.dumps(session))
    for either in (session, copied):
        either.tell(ids[2:], y[ids[2:]])
    assert copied.ask().tolist() == session.ask().tolist()


class FailsOnZeros(LogisticRegression):
    def fit(self, X, y):
        if (y == 0).sum() >= 25:  # 20 of the source, and all of a round
            raise ValueError("too many zeros for me")
        return super().fit(X, y)


def test_a_training_that_fails_keeps_the_answers_and_can_be_corrected(open_session, blobs):
    session, y = open_session(FailsOnZeros(), RandomSampling(), target_weight=None), blobs[1]
    ids = session.ask()
    with pytest.raises(RuntimeError, match=r"The answers are recorded, but .* too many zeros for me .*correct"):
        session.tell(ids, np.zeros(5, dtype=int))
    with pytest.raises(RuntimeError, match="could not be trained"):
        _ = session.estimator_
    with pytest.warns(UserWarning, match="could not be trained on them: too many zeros for me") as caught:
        session = open_session(FailsOnZeros(), RandomSampling(), target_weight=None)
    assert caught[0].filename == OPENED_IN
    session.correct(ids, y[ids])
    assert session.estimator_.classes_.tolist() == [0, 1, 2]
    assert [entry["ids"].tolist() for entry in session.history_] == [ids.tolist()]


def test_no_model_is_shown_that_was_interrupted_in_training(open_session, blobs, monkeypatch):
    network = AdaptationClassifier(max_epochs=1)
    session, y = open_session(network, RandomSampling()), blobs[1]
    ids = session.ask()

    def stop(net, *args, **kwargs):
        for weight in net.module_.parameters():
            weight.data.zero_()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("skada_active.deep.net.AdaptationNet.train_epochs", stop)
        with pytest.raises(KeyboardInterrupt):
            session.tell(ids, y[ids])
    proba = session.estimator_.predict_proba(blobs[0])
    np.testing.assert_array_equal(open_session(network, RandomSampling()).estimator_.predict_proba(blobs[0]), proba)
    assert len(np.unique(proba.round(6), axis=0)) > 1


@pytest.mark.parametrize("harm", ["replaced", "removed"])
def test_a_file_that_another_program_touches_is_noticed(open_session, blobs, harm):
    session, y = open_session(), blobs[1]
    ids = session.ask()
    path = session.store.path
    content = path.read_bytes()
    path.unlink()
    if harm == "replaced":
        path.write_bytes(content)
    with pytest.raises(JournalError, match=r"another program changed, .*Nothing of this was recorded"):
        session.tell(ids, y[ids])
    assert session.queried_ids_.tolist() == []
    path.write_bytes(content)
    session = open_session()
    session.tell(session.ask(), y[ids])
    assert open_session().queried_ids_.tolist() == ids.tolist()


def test_bytes_that_another_program_appends_are_noticed(open_session, blobs):
    session = open_session()
    ids = session.ask()
    with session.store.path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(JournalError, match="another program changed"):
        session.tell(ids, blobs[1][ids])


def test_a_model_that_predicts_elsewhere_does_not_disturb_the_training(open_session, blobs):
    X, y, _ = blobs
    network = AdaptationClassifier(max_epochs=1)
    done = threading.Event()
    session = open_session(network, RandomSampling(), round_epochs=20)
    for disturbed in (True, False):
        ids = session.ask()
        session.tell(ids, y[ids])
        ids, model = session.ask(), session.estimator_
        before = model.predict_proba(X)
        reader = threading.Thread(target=lambda model=model: [model.predict(X) for _ in iter(done.is_set, True)])
        if disturbed:
            reader.start()
        session.tell(ids, y[ids])
        done.set()
        if disturbed:
            reader.join()
            np.testing.assert_array_equal(model.predict_proba(X), before)
            disturbed_proba = session.estimator_.predict_proba(X)
            session.close()
            session.store.path.unlink()
            session = open_session(network, RandomSampling(), round_epochs=20)
    np.testing.assert_array_equal(session.estimator_.predict_proba(X), disturbed_proba)


class KeepsItsModule(nn.Linear):
    def __init__(self):
        super().__init__(3, 4)

    def __reduce__(self):
        raise TypeError("not to be copied")


def test_a_module_that_cannot_be_copied_is_trained_all_the_same(start, blobs):
    y = blobs[1]
    session = start(estimator=AdaptationClassifier(module=lambda shape: KeepsItsModule(), max_epochs=1))
    for _ in range(2):
        ids = session.ask()
        session.tell(ids, y[ids])
    assert len(session.history_) == 2


def test_a_closed_session_writes_no_model(open_session, blobs, monkeypatch):
    session, y = open_session(AdaptationClassifier(max_epochs=1)), blobs[1]
    ids = session.ask()
    with monkeypatch.context() as patched:
        patched.setattr("skada_active.session.trainer.continue_fitting", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.tell(ids, y[ids])
    session.close()
    before = session.store.path.read_bytes()
    assert session.estimator_.predict(blobs[0]).shape == (120,)
    assert session.store.path.read_bytes() == before


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_an_error_says_what_a_row_is_instead(start, blobs):
    session, y = start(), blobs[1]
    ids = session.ask()
    session.tell(ids[0], y[ids[0]])
    session.abstain(ids[1])
    other = np.setdiff1d(np.arange(60, 120), ids)[0]
    for row, state in {
        ids[0]: rf"it was answered, {y[ids[0]]}: `correct` changes that",
        ids[1]: "it was abstained on: `readmit` lets it be asked about again",
        other: "nobody asked about it",
        0: "it is no target row",
    }.items():
        with pytest.raises(ValueError, match=state):
            session.tell(row, 0)
    with pytest.raises(ValueError, match="it is open: `tell` answers it"):
        session.correct(ids[2], 0)


def test_copies_of_a_session_know_nothing_of_each_other(start, blobs):
    session = start()
    ids = session.ask()
    copied = copy.copy(session)
    copied.tell(ids[:1], blobs[1][ids[:1]])
    assert session.queried_ids_.tolist() == []
    assert copied.queried_ids_.tolist() == ids[:1].tolist()


def test_a_session_that_is_dropped_gives_its_file_back(open_session, blobs, tmp_path):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression())
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=tmp_path / "labels.db")
            gc.collect()
    with Journal(tmp_path / "labels.db") as journal:
        assert journal.start is not None
        assert len(journal) == 0


def test_every_annotator_may_be_an_oracle(start, blobs):
    X, y, sample_domain = blobs
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=10, n_rounds=2, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, n_annotators=2)
    with pytest.raises(ValueError, match="say whose answers these are"):
        session.loop_.resume(ArrayOracle(y))
    for name in ("anna", "ben", "anna", "ben"):
        resumed = session.loop_.resume(ArrayOracle(y), annotator=name)
    assert resumed.termination_condition_ == "budget"
    assert resumed.n_queries_ == 10
    assert session.status().n_answers == {"anna": 10, "ben": 10}


def test_a_budget_is_not_cut_by_a_pool_that_costs_fractions(start, blobs):
    X, y, sample_domain = blobs
    known = np.where(np.arange(120) < 117, y, -1)
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=10, n_rounds=1, random_state=0)
    session = loop.session(X, known, sample_domain=sample_domain, costs=np.full(120, 1.3))
    ids = session.ask()
    session.tell(ids, y[ids])
    assert len(ids) == 3
    assert session.termination_condition_ == "pool"


def test_a_row_that_is_labelled_after_all_is_no_abstention(start, blobs):
    session, y = start(strategy=RandomSampling(), budget=60, n_rounds=1), blobs[1]
    ids = session.ask()
    session.abstain(ids[:2])
    session.readmit(ids[:1])
    session.tell(ids[2:], y[ids[2:]])
    session.tell(ids := session.ask(), y[ids])
    entry = session.history_[0]
    assert not set(entry["ids"]) & set(entry["abstained_ids"])


def test_threads_may_share_a_journal(tmp_path):
    with Journal(tmp_path / "labels.db") as journal, ThreadPoolExecutor(8) as pool:
        journal.begin("")
        list(pool.map(lambda number: journal.append(str(number)), range(100)))
    with Journal(tmp_path / "labels.db") as journal:
        assert sorted(map(int, journal.since(0))) == list(range(100))
