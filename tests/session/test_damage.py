"""Whatever happens to a session's file: an error that names it, a warning, or no harm at all."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.exceptions import JournalError
from skada_active.io import journal as journal_module
from skada_active.query import MarginSampling
from skada_active.session.store import JournalStore

ESTIMATORS = {
    "network": AdaptationClassifier(max_epochs=1, random_state=0),
    "scikit-learn": LogisticRegression(),
}
TRAINED_AGAIN = "It is trained again from the answers"


def _state(session):
    """Return all that a session says of itself: answers, model bit for bit, and what it asks next."""
    return (
        session.state.y.tolist(),
        session.query_round_.tolist(),
        session.queried_ids_.tolist(),
        [(entry["n_queries"], entry["class_counts"]) for entry in session.history_],
        session.estimator_.predict_proba(session.X).tobytes(),
        session.ask().tolist(),
    )


class Recorded:
    """A session in a file, opened again and again, and the state that it was in at the end."""

    def __init__(self, estimator, path, blobs):
        self.X, self.y, self.sample_domain = (array[30:90] for array in blobs)
        self.loop = ActiveAdaptationLoop(
            estimator, MarginSampling(), budget=6, n_rounds=2, round_epochs=1, random_state=0
        )
        self.path = path
        y = self.y
        with self.open() as session:
            ids = session.ask()
            session.tell(ids, (y[ids] + 1) % 3)
            session.correct(ids[:1], y[ids[:1]])
            ids = session.ask()
            session.tell(ids[:2], y[ids[:2]])
        self.whole = path.read_bytes()
        self.state, texts = self.reopened()
        assert texts == []
        self.put_back()

    def open(self):
        known = mask_target(self.y, self.sample_domain)
        return self.loop.session(self.X, known, sample_domain=self.sample_domain, journal=self.path)

    def reopened(self):
        """Return the state after opening, and the texts of the warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with self.open() as session:
                return _state(session), [str(warning.message) for warning in caught]

    def put_back(self, content=None):
        self.path.write_bytes(self.whole if content is None else content)

    def change(self, *statements):
        """Do what another program may do with the file."""
        program = sqlite3.connect(self.path, isolation_level=None)
        for statement in statements:
            program.execute(statement).fetchall()
        program.close()


@pytest.fixture(scope="module", params=ESTIMATORS)
def recorded(request, tmp_path_factory, blobs):
    return Recorded(ESTIMATORS[request.param], tmp_path_factory.mktemp("session") / "labels.db", blobs)


@pytest.fixture
def quick(monkeypatch):
    """Flush nothing, and do not write the model after each of hundreds of openings."""
    monkeypatch.setattr(journal_module, "_SETTINGS", ["synchronous = OFF", *journal_module._SETTINGS[1:]])
    monkeypatch.setattr(JournalStore, "save_model", lambda store, trainer: None)


def _damaged(whole, rng):
    """Return what damage leaves of the bytes of a file."""
    kind = rng.choice(["flip", "cut", "zeros", "more"], p=[0.6, 0.2, 0.1, 0.1])
    if kind == "more":
        return whole + rng.bytes(rng.integers(1, 50))
    position = int(rng.integers(len(whole)))
    if kind == "cut":
        return whole[:position]
    if kind == "zeros":
        return (whole[:position] + bytes(64) + whole[position + 64 :])[: len(whole)]
    damaged = bytearray(whole)
    damaged[position] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def test_no_damage_is_silently_wrong(recorded, quick):
    rng, n_refused = np.random.default_rng(0), 0
    for _ in range(100):
        damaged = _damaged(recorded.whole, rng)
        recorded.put_back(damaged)
        try:
            state, texts = recorded.reopened()
        except JournalError as error:
            n_refused += str(recorded.path) in str(error)
            assert recorded.path.read_bytes() == damaged
        else:
            assert state == recorded.state
            assert all(TRAINED_AGAIN in text for text in texts)
    assert n_refused > 10


def test_a_damaged_model_is_trained_again_to_the_same_bits(recorded, quick):
    (model,) = recorded_model(recorded)
    rng, n_warned = np.random.default_rng(0), 0
    for position in rng.integers(0, len(model) - 8, 30):
        recorded.put_back()
        damaged = bytearray(model)
        damaged[position] ^= 1 << int(rng.integers(8))
        program = sqlite3.connect(recorded.path)
        with program:
            program.execute("UPDATE checkpoint SET model = ?", (bytes(damaged),))
        program.close()
        state, texts = recorded.reopened()
        assert state == recorded.state
        n_warned += len(texts) == 1 and TRAINED_AGAIN in texts[0] and str(recorded.path) in texts[0]
    assert n_warned == 30


def recorded_model(recorded):
    program = sqlite3.connect(recorded.path)
    row = program.execute("SELECT model FROM checkpoint").fetchone()
    program.close()
    return row


@pytest.mark.parametrize(
    ("statement", "is_warned"),
    [
        ("DELETE FROM checkpoint", False),
        ("UPDATE checkpoint SET model = x''", True),
        ("UPDATE checkpoint SET info = '{}'", True),
        ("UPDATE checkpoint SET digest = 'x'", True),
    ],
)
def test_a_file_without_a_usable_model_gives_the_model(recorded, quick, statement, is_warned):
    recorded.put_back()
    recorded.change(statement)
    state, texts = recorded.reopened()
    assert state == recorded.state
    assert [TRAINED_AGAIN in text for text in texts] == [True] * is_warned


def test_a_damaged_model_is_replaced_by_a_whole_one(recorded):
    recorded.put_back()
    recorded.change("UPDATE checkpoint SET model = x'00'")
    with pytest.warns(UserWarning, match=TRAINED_AGAIN) as caught:
        recorded.open().close()
    assert [warning.filename for warning in caught] == [__file__]
    assert "return self.loop.session" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]
    assert recorded.reopened() == (recorded.state, [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET content = replace(content, 'told', 'asked') WHERE number = 2",
        "DELETE FROM entries WHERE number = (SELECT max(number) FROM entries)",
        "DELETE FROM entries WHERE number = 3",
        "UPDATE head SET n_entries = n_entries - 1",
    ],
)
def test_a_changed_answer_is_refused(recorded, statement):
    recorded.put_back()
    recorded.change(statement)
    damaged = recorded.path.read_bytes()
    with pytest.raises(JournalError, match=r"labels\.db.* Restore it from a copy, or start a new session"):
        recorded.open()
    assert recorded.path.read_bytes() == damaged


def test_the_model_of_another_session_is_not_used(recorded, tmp_path):
    recorded.put_back()
    shutil.copy(recorded.path, tmp_path / "labels.db")
    other = Recorded.__new__(Recorded)
    vars(other).update(vars(recorded), path=tmp_path / "labels.db")
    other.loop = ActiveAdaptationLoop(**{**recorded.loop.get_params(deep=False), "budget": 4})
    other.path.unlink()
    with other.open() as session:
        ids = session.ask()
        session.tell(ids, other.y[ids])
    other.change(
        "DELETE FROM checkpoint",
        f"ATTACH '{recorded.path}' AS other",
        "INSERT INTO checkpoint SELECT * FROM other.checkpoint",
    )
    with pytest.warns(UserWarning, match="it was not trained with the purchases of the session. It is trained"):
        again = other.open()
    with again:
        assert again.queried_ids_.tolist() == ids.tolist()
        proba = again.estimator_.predict_proba(recorded.X)
    other.path.unlink()
    with other.open() as session:
        session.tell(session.ask(), other.y[ids])
        np.testing.assert_array_equal(session.estimator_.predict_proba(recorded.X), proba)


def test_a_model_that_cannot_be_written_stops_nothing(recorded, monkeypatch):
    def fail(*args):
        raise RuntimeError("No space left on device")

    recorded.put_back()
    monkeypatch.setattr("skada_active.session.store.dumps", fail)
    with recorded.open() as session:
        ids = session.ask()
        with pytest.warns(UserWarning, match="The answers are safe"):
            session.tell(ids, recorded.y[ids])
        assert len(session.history_) == 2
    monkeypatch.undo()
    with recorded.open() as session:
        assert len(session.history_) == 2


def test_an_event_of_a_later_version_is_refused(recorded):
    recorded.put_back()
    with recorded.open() as session:
        session.store.journal.append('{"event": "teleported", "time": "now"}')
    damaged = recorded.path.read_bytes()
    with pytest.raises(JournalError, match="is no event of a session"):
        recorded.open()
    assert recorded.path.read_bytes() == damaged
    recorded.put_back()
    recorded.open().close()
