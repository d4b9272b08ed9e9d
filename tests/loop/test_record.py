"""A session with a journal: what it begins with, what it refuses to go on with, and what it keeps."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.loop import ArrayOracle
from skada_active.query import CoreSet, MarginSampling, RandomSampling


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


def lines_of(session):
    return [json.loads(line) for line in (session.record.folder / "journal.jsonl").read_text().splitlines()]


def test_the_first_line_says_what_the_session_is(open_session):
    start = lines_of(open_session(LogisticRegression(C=0.5), CoreSet()))[0]
    assert start["event"] == "start"
    assert start["rounds"] == [5, 5]
    assert isinstance(start["seed"], int)
    assert {"python", "numpy", "scikit-learn", "skada-active", "torch"} <= set(start["versions"])
    assert set(start["data"]) == {"X", "y", "sample_domain"}
    assert start["settings"]["estimator"]["params"]["C"] == 0.5
    assert "CoreSet" in start["settings"]["strategy"]["$object"]


def test_everything_that_happens_is_a_line(open_session, blobs):
    session, y = open_session(), blobs[1]
    ids = session.ask()
    session.tell(ids[:3], y[ids[:3]])
    session.abstain(ids[3])
    session.correct(ids[0], (y[ids[0]] + 1) % 3)
    session.readmit(ids[3])
    session.extend([2])
    events = [line["event"] for line in lines_of(session)]
    assert events == ["start", "ask", "tell", "tell", "correct", "readmit", "extend"]
    told = [line["labels"] for line in lines_of(session) if line["event"] == "tell"]
    assert told == [y[ids[:3]].tolist(), [None]]


def test_both_labels_of_a_corrected_answer_are_kept(open_session, blobs):
    session, y = open_session(), blobs[1]
    ids = session.ask()
    session.tell(ids[0], y[ids[0]])
    session.correct(ids[0], (y[ids[0]] + 1) % 3)
    labels = [line["labels"] for line in lines_of(session) if "labels" in line]
    assert labels == [[y[ids[0]]], [(y[ids[0]] + 1) % 3]]


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), AdaptationClassifier(max_epochs=2)], ids=["linear", "network"]
)
def test_a_session_without_a_seed_keeps_the_one_it_drew(open_session, blobs, estimator):
    session, y = open_session(estimator, RandomSampling(), random_state=None), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    following = session.ask()
    again = open_session(estimator, RandomSampling(), random_state=None)
    assert again.ask().tolist() == following.tolist()
    np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), session.estimator_.predict_proba(blobs[0]))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": LogisticRegression(C=2)}, r"estimator.C was 1.0, is 2"),
        ({"strategy": CoreSet()}, r"strategy was .*MarginSampling.*, is .*CoreSet"),
        ({"random_state": 1}, r"random_state was 0, is 1"),
        ({"budget": 20}, r"the budget made rounds of \[5, 5\], now of \[10, 10\].*session.extend"),
        ({"session": {"costs": np.full(120, 0.5)}}, r"costs are not those that the session began with"),
        ({"session": {"n_annotators": 2}}, r"n_annotators was 1, is 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused(open_session, params, message):
    open_session().ask()
    with pytest.raises(ValueError, match=message):
        open_session(**params)
    open_session()  # the refusal gave the folder back


@pytest.mark.parametrize("change", ["rows", "a value", "labels"])
def test_other_data_are_refused(open_session, blobs, change):
    X, y, _ = blobs
    open_session().ask()
    if change == "labels":
        y = np.where(np.arange(120) == 3, (y + 1) % 3, y)
    else:
        X = X[::-1] if change == "rows" else np.where(np.arange(360).reshape(120, 3) == 77, 0, X)
    with pytest.raises(ValueError, match=r"journal in .*labels"):
        open_session(X=X, y=y)


@pytest.mark.filterwarnings("error::UserWarning")
def test_nothing_binds_a_session_in_which_nothing_was_asked(open_session, blobs):
    open_session()
    session = open_session(LogisticRegression(C=2), CoreSet(), X=blobs[0] + 1, budget=7)
    assert session.budget == 7
    assert lines_of(session)[0]["rounds"] == [3, 4]
    session.ask()
    assert open_session(LogisticRegression(C=2), CoreSet(), X=blobs[0] + 1, budget=7).open_ids.tolist()


def test_whether_new_classes_are_learned_may_change(open_session, blobs):
    ids = open_session().ask()
    session = open_session(new_classes="learn", verbose=1)
    session.tell(ids, [7, *blobs[1][ids[1:]]])
    assert session.estimator_.classes_.tolist() == [0, 1, 2, 7]


def test_other_versions_are_warned_of(open_session, blobs, monkeypatch):
    session, y = open_session(AdaptationClassifier(max_epochs=1)), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    for module in ("_record", "_checkpoint"):
        monkeypatch.setattr(f"skada_active.loop.{module}.package_versions", lambda: {"torch": "9.9"})
    with (
        pytest.warns(UserWarning, match="now there is {'torch': '9.9'}: the model .* may differ") as began,
        pytest.warns(UserWarning, match="is not used: it was written with .* trained again from the journal") as model,
    ):
        again = open_session(AdaptationClassifier(max_epochs=1))
    assert {warning.filename for warning in [*began, *model]} == {__file__}
    np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), session.estimator_.predict_proba(blobs[0]))


def test_a_journal_of_a_later_format_is_refused(open_session, monkeypatch):
    monkeypatch.setattr("skada_active.loop._record._FORMAT", 99)
    open_session()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="a journal of format 99, this version reads 1"):
        open_session()


def test_a_loop_goes_on_with_the_session_and_its_journal(open_session, blobs):
    session, y = open_session(), blobs[1]
    ids = session.ask()
    session.tell(ids[:2], y[ids[:2]])
    loop = session.loop_
    assert loop.n_queries_ == 2
    loop.resume(ArrayOracle(y), budget=4, n_rounds=1)
    assert loop.n_queries_ == 14
    again = open_session()
    assert again.queried_ids_.tolist() == loop.queried_ids_.tolist()
    assert again.termination_condition_ == "budget"
    np.testing.assert_array_equal(again.estimator_.coef_, loop.estimator_.coef_)


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


def test_a_model_that_no_file_holds_is_trained_again(open_session, blobs, monkeypatch, recwarn):
    monkeypatch.setattr("skada_active._persistence.find_spec", lambda name: None)
    session, y = open_session(RandomForestClassifier(5), RandomSampling()), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    assert not list(session.record.folder.glob("checkpoint*"))
    again = open_session(RandomForestClassifier(5), RandomSampling())
    np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), session.estimator_.predict_proba(blobs[0]))
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]


def test_the_model_is_restored_not_trained(open_session, blobs, monkeypatch):
    network = AdaptationClassifier(max_epochs=1)
    session, y = open_session(network), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    monkeypatch.setattr(AdaptationClassifier, "_train", None)
    again = open_session(network)
    np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), session.estimator_.predict_proba(blobs[0]))
    assert again.history_[0]["loss"] == session.history_[0]["loss"]


def test_an_interruption_between_disk_and_memory_takes_no_answer_twice(open_session, blobs, monkeypatch):
    session, y = open_session(), blobs[1]
    ids = session.ask()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("skada_active.loop._ledger.Ledger.apply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.tell(ids[0], y[ids[0]])
    with pytest.raises(ValueError, match="not an open question"):
        session.tell(ids[0], y[ids[0]])
    assert session.queried_ids_.tolist() == [ids[0]]
    assert [line["event"] for line in lines_of(session)] == ["start", "ask", "tell"]


@pytest.mark.parametrize("journal", ["", 7, b""])
def test_a_journal_is_the_path_of_a_folder(blobs, journal):
    X, y, sample_domain = blobs
    with pytest.raises(ValueError, match="journal must be the path of a folder"):
        ActiveAdaptationLoop(LogisticRegression()).session(X, y, sample_domain=sample_domain, journal=journal)


def test_a_file_is_no_folder(blobs, tmp_path):
    X, y, sample_domain = blobs
    (tmp_path / "labels").write_text("")
    with pytest.raises(NotADirectoryError, match="labels is a file"):
        ActiveAdaptationLoop(LogisticRegression()).session(
            X, y, sample_domain=sample_domain, journal=tmp_path / "labels"
        )


def test_resuming_imports_no_torch_for_a_scikit_learn_model(open_session, tmp_path, blobs):
    open_session(strategy=MarginSampling()).close()
    code = "import sys; from skada_active.loop import AdaptationSession, Journal; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    copy = pickle.loads(pickle.dumps(session))
    for either in (session, copy):
        either.tell(ids[2:], y[ids[2:]])
    assert copy.ask().tolist() == session.ask().tolist()
