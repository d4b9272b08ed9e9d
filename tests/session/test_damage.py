"""Whatever happens to a file of a session's folder: an error that names it, a warning, or no harm at all."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.io.journal import JournalError
from skada_active.query import MarginSampling
from skada_active.session import store as _record

#: Files, and how often each is damaged.
FILES = {
    "journal.jsonl": 300,
    "journal.tail": 100,
    "journal.lock": 20,
    "checkpoint.json": 100,
    "checkpoint-estimator": 100,
}
ESTIMATORS = {
    "network": AdaptationClassifier(max_epochs=1, random_state=0),
    "scikit-learn": LogisticRegression(),
}


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
    """A session in a folder, opened again and again, and the state that it was in after each event."""

    def __init__(self, estimator, folder, blobs):
        self.X, self.y, self.sample_domain = (array[30:90] for array in blobs)
        self.loop = ActiveAdaptationLoop(
            estimator, MarginSampling(), budget=6, n_rounds=2, round_epochs=1, random_state=0
        )
        self.folder = folder
        y = self.y
        with self.open() as session:
            ids = session.ask()
            session.tell(ids, (y[ids] + 1) % 3)
            session.correct(ids[:1], y[ids[:1]])
            ids = session.ask()
            session.tell(ids[:2], y[ids[:2]])
        self.n_events = len(session.events)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.states = {self.n_events: self.reopened()[0]}
        # As it was before the last event: a line less, and no count of the lines.
        *lines, _ = self.files["journal.jsonl"].splitlines(keepends=True)
        self.put_back()
        (folder / "journal.jsonl").write_bytes(b"".join(lines))
        (folder / "journal.tail").unlink()
        self.states[self.n_events - 1] = self.reopened()[0]
        self.put_back()

    def open(self):
        known = mask_target(self.y, self.sample_domain)
        return self.loop.session(self.X, known, sample_domain=self.sample_domain, journal=self.folder)

    def reopened(self):
        """Return the state after opening, and the texts of the warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with self.open() as session:
                return _state(session), [str(warning.message) for warning in caught]

    def put_back(self):
        for path in self.folder.iterdir():
            if path.name not in self.files:
                path.unlink()
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)

    def name(self, start):
        return next(name for name in self.files if name.startswith(start) and (name == start or "." not in start))


@pytest.fixture(scope="module", params=ESTIMATORS)
def recorded(request, tmp_path_factory, blobs):
    if request.param == "scikit-learn":
        pytest.importorskip("skops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return Recorded(ESTIMATORS[request.param], tmp_path_factory.mktemp("session"), blobs)


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """Flush nothing, and do not write the model anew after each of hundreds of openings."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    if "is_replaced" not in request.node.name:
        monkeypatch.setattr(_record, "save_checkpoint", lambda *args: None)


def _damaged(whole, rng):
    """Return what damage leaves of the bytes of a file, and of which kind it is."""
    kind = rng.choice(["flip", "cut", "zeros", "more"], p=[0.5, 0.3, 0.1, 0.1])
    if kind == "more" or not whole:
        return whole + rng.bytes(rng.integers(1, 50)), "more"
    position = int(rng.integers(len(whole)))
    if kind == "cut":
        return whole[:position], kind
    if kind == "zeros":
        return (whole[:position] + bytes(64) + whole[position + 64 :])[: len(whole)], kind
    damaged = bytearray(whole)
    damaged[position] ^= 1 << int(rng.integers(8))
    return bytes(damaged), kind


@pytest.mark.parametrize("file", FILES)
def test_no_damage_is_silently_wrong(recorded, file):
    name, rng = recorded.name(file), np.random.default_rng(list(FILES).index(file))
    path = recorded.folder / name
    for _ in range(FILES[file]):
        damaged, kind = _damaged(recorded.files[name], rng)
        recorded.put_back()
        path.write_bytes(damaged)
        try:
            state, texts = recorded.reopened()
        except JournalError as error:
            assert name == "journal.jsonl"
            assert str(path) in str(error)  # noqa: PT017 - one of three outcomes
            assert path.read_bytes() == damaged
            continue
        if any("incomplete" in text for text in texts):
            assert name == "journal.jsonl"
            assert str(path) in texts[0]
            # What is too much at the end is dropped as an incomplete line, too, and all others are whole.
            assert state == recorded.states[recorded.n_events - (kind != "more")]
        else:
            assert state == recorded.states[recorded.n_events]
            if damaged != recorded.files[name] and name.startswith("checkpoint-"):
                assert any(str(path) in text for text in texts)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_an_error_or_no_harm(recorded, file):
    recorded.put_back()
    path = recorded.folder / recorded.name(file)
    path.unlink()
    if file == "journal.jsonl":
        with pytest.raises(JournalError, match=r"journal\.jsonl, line 1: missing"):
            recorded.open()
        return
    state, texts = recorded.reopened()
    assert state == recorded.states[recorded.n_events]
    assert [str(path) in text for text in texts] == [True] * (file in ("journal.tail", "checkpoint-estimator"))


def test_a_folder_without_a_model_gives_the_model(recorded):
    recorded.put_back()
    for path in recorded.folder.glob("checkpoint*"):
        path.unlink()
    assert recorded.reopened() == (recorded.states[recorded.n_events], [])


@pytest.fixture
def open_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_who_may_read_the_journal_may_read_the_model(recorded, monkeypatch):
    monkeypatch.undo()
    for path in recorded.folder.iterdir():
        path.unlink()
    recorded.open().close()
    readable = {path.suffix: path.stat().st_mode & 0o444 == 0o444 for path in recorded.folder.iterdir()}
    assert readable == dict.fromkeys(readable, True)
    recorded.put_back()


def test_a_damaged_model_is_replaced_by_a_whole_one(recorded):
    recorded.put_back()
    path = recorded.folder / recorded.name("checkpoint-estimator")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="It is trained again from the journal"):
        recorded.open().close()
    assert recorded.reopened() == (recorded.states[recorded.n_events], [])
    assert len(list(recorded.folder.glob("checkpoint*"))) == 2


def test_the_model_of_another_session_is_not_used(recorded, tmp_path):
    recorded.put_back()
    shutil.copytree(recorded.folder, tmp_path / "other")
    other = Recorded.__new__(Recorded)
    vars(other).update(vars(recorded), folder=tmp_path / "other")
    for path in other.folder.glob("journal.*"):
        path.unlink()
    with pytest.warns(UserWarning, match="it is of another session"):
        session = other.open()
    with session:
        assert len(session.queried_ids_) == 0
        assert session.history_ == []


def test_a_model_that_cannot_be_written_stops_nothing(recorded, monkeypatch):
    def fail(*args):
        # What safetensors raises on a full disk is no OSError.
        raise RuntimeError("No space left on device")

    recorded.put_back()
    monkeypatch.undo()
    monkeypatch.setattr("skada_active.session._checkpoint.write_bundle", fail)
    with recorded.open() as session:
        ids = session.ask()
        with pytest.warns(UserWarning, match="The answers are safe"):
            session.tell(ids, recorded.y[ids])
        assert len(session.history_) == 2
    recorded.put_back()
