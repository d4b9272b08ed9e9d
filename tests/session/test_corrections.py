"""A corrected answer gives the model that the right answer would have given at once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.io.journal import Journal
from skada_active.query import RandomSampling
from skada_active.session.events import Corrected, Told
from skada_active.session.trainer import Trainer

ESTIMATORS = {
    "network": AdaptationClassifier(max_epochs=1, random_state=0),
    "logistic regression": LogisticRegression(),
    "pipeline with a network": make_pipeline(StandardScaler(), AdaptationClassifier(max_epochs=1)),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
}


@pytest.fixture
def begin(blobs):
    """Return a function that starts a session whose questions do not depend on the model."""
    X, y, sample_domain = blobs

    def begin(estimator="logistic regression", journal=None, **params):
        settings = {"budget": 6, "n_rounds": 3, "round_epochs": 1, "random_state": 0, **params}
        loop = ActiveAdaptationLoop(ESTIMATORS[estimator], RandomSampling(), **settings)
        return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=journal)

    return begin


@pytest.fixture
def wrong(blobs):
    """Return labels none of which is right."""
    return (blobs[1] + 1) % 3


def play(session, n_rounds, labels):
    """Answer whole rounds, and return the rows of each."""
    asked = []
    for _ in range(n_rounds):
        asked.append(session.ask())
        session.tell(asked[-1], labels[asked[-1]])
    return asked


def state(session):
    """Return all that follows from the answers: the model bit for bit, its labels and its history."""
    return (
        session.estimator_.predict_proba(session.X).tobytes(),
        session.state.y.tolist(),
        session.queried_ids_.tolist(),
        session.query_round_.tolist(),
        [
            (entry["round"], entry["ids"].tolist(), entry["n_queries"], entry["class_counts"], entry["loss"])
            for entry in [session.initial_, *session.history_]
        ],
    )


def early(session, y, wrong):
    first = play(session, 1, wrong)[0]
    play(session, 2, y)
    session.correct(first, y[first])


def at_once(session, y, wrong):
    first = play(session, 1, wrong)[0]
    session.correct(first, y[first])
    play(session, 2, y)


def one_row(session, y, wrong):
    first, second, _ = play(session, 3, wrong)
    session.correct(first, y[first])
    session.correct(second[::-1], y[second[::-1]])
    third = session.history_[2]["ids"]
    for row in third:
        session.correct(row, y[row])


def several_rounds(session, y, wrong):
    first = play(session, 1, wrong)[0]
    play(session, 1, y)
    third = play(session, 1, wrong)[0]
    ids = np.r_[third, first]
    session.correct(ids, y[ids])


def open_round(session, y, wrong):
    play(session, 2, y)
    ids = session.ask()
    session.tell(ids[:1], wrong[ids[:1]])
    session.correct(ids[:1], y[ids[:1]])
    session.tell(ids[1:], y[ids[1:]])


def early_while_a_round_is_open(session, y, wrong):
    first = play(session, 1, wrong)[0]
    play(session, 1, y)
    ids = session.ask()
    session.tell(ids[:1], y[ids[:1]])
    session.correct(first, y[first])
    session.tell(ids[1:], y[ids[1:]])


def twice(session, y, wrong):
    first = play(session, 1, y)[0]
    session.correct(first, wrong[first])
    play(session, 2, y)
    session.correct(first, y[first])


WAYS = [early, at_once, one_row, several_rounds, open_round, early_while_a_round_is_open, twice]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_model_is_that_of_the_right_answers(begin, blobs, wrong, estimator, way):
    session, right = begin(estimator), begin(estimator)
    play(right, 3, blobs[1])
    way(session, blobs[1], wrong)
    assert state(session) == state(right)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_wrong_answer_gives_another_model(begin, blobs, wrong, estimator):
    session, right = begin(estimator), begin(estimator)
    play(session, 3, wrong)
    play(right, 3, blobs[1])
    assert state(session)[0] != state(right)[0]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_training_goes_on_from_the_corrected_model(begin, blobs, wrong, estimator):
    session, right = begin(estimator), begin(estimator)
    first = play(session, 1, wrong)[0]
    play(session, 1, blobs[1])
    play(right, 2, blobs[1])
    session.correct(first, blobs[1][first])
    assert state(session) == state(right)
    play(session, 1, blobs[1])
    play(right, 1, blobs[1])
    assert state(session) == state(right)


@pytest.mark.parametrize("estimator", ["network", "logistic regression"])
def test_a_class_that_never_was_is_forgotten(begin, blobs, estimator):
    session, right = begin(estimator, new_classes="learn"), begin(estimator, new_classes="learn")
    play(right, 3, blobs[1])
    first = play(session, 1, np.full(len(blobs[1]), 7))[0]
    play(session, 2, blobs[1])
    assert 7 in session.estimator_.classes_
    session.correct(first, blobs[1][first])
    assert state(session) == state(right)


@pytest.mark.parametrize("estimator", ["network", "logistic regression"])
def test_a_class_that_was_taken_for_another_is_learned(begin, blobs, wrong, estimator):
    session, right = begin(estimator, new_classes="learn"), begin(estimator, new_classes="learn")
    seven = np.full(len(blobs[1]), 7)
    first = play(session, 1, wrong)[0]
    play(session, 1, blobs[1])
    session.correct(first, seven[first])
    play(right, 1, seven)
    play(right, 1, blobs[1])
    assert state(session) == state(right)


@pytest.mark.parametrize("estimator", ["network", "logistic regression"])
def test_a_round_that_nobody_could_answer_keeps_the_corrected_model(begin, blobs, wrong, estimator):
    models = []
    for labels in (wrong, blobs[1]):
        session = begin(estimator)
        first = play(session, 1, labels)[0]
        while len(ids := session.ask()):
            session.abstain(ids)
        assert [len(entry["ids"]) for entry in session.history_] == [2, 0]
        if labels is wrong:
            session.correct(first, blobs[1][first])
        models.append(state(session)[0])
    assert models[0] == models[1]


def test_the_history_counts_the_corrected_labels(begin, blobs, wrong):
    session = begin()
    first = play(session, 1, wrong)[0]
    play(session, 1, blobs[1])
    before = [sum(entry["class_counts"].values()) for entry in session.history_]
    session.correct(first, blobs[1][first])
    for number, entry in enumerate(session.history_, start=1):
        known = blobs[1][session.queried_ids_[: 2 * number]]
        assert entry["class_counts"] == {label: int((known == label).sum()) for label in sorted({*known.tolist()})}
    assert [sum(entry["class_counts"].values()) for entry in session.history_] == before


def test_a_correction_costs_nothing_and_ends_nothing(begin, blobs, wrong):
    session = begin()
    first = play(session, 1, wrong)[0]
    ids = session.ask()
    session.correct(first, blobs[1][first])
    assert (session.remaining, len(session.history_)) == (4, 1)
    assert session.ask().tolist() == ids.tolist()


def test_only_rounds_from_the_first_change_on_are_trained_again(begin, blobs, wrong, monkeypatch):
    session, fitted, fit = begin(target_weight=None), [], LogisticRegression.fit
    play(session, 1, blobs[1])
    second = play(session, 1, wrong)[0]
    play(session, 1, blobs[1])
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, X, y: fitted.append(len(y)) or fit(self, X, y))
    session.correct(second, blobs[1][second])
    assert fitted == [64, 66]


@pytest.mark.parametrize("estimator", ["network", "logistic regression"])
def test_a_correction_that_changes_no_label_trains_nothing(begin, blobs, estimator, monkeypatch):
    session = begin(estimator)
    first = play(session, 2, blobs[1])[0]
    monkeypatch.setattr(Trainer, "_train_round", None)
    monkeypatch.setattr(Trainer, "_train_start", None)
    session.correct(first, blobs[1][first])
    assert session.status().n_corrections == 0


def test_a_correction_of_the_open_round_trains_nothing(begin, blobs, wrong, monkeypatch):
    session = begin("network")
    play(session, 1, blobs[1])
    ids = session.ask()
    session.tell(ids[:1], wrong[ids[:1]])
    monkeypatch.setattr(Trainer, "_train_round", None)
    monkeypatch.setattr(Trainer, "_train_start", None)
    session.correct(ids[:1], blobs[1][ids[:1]])
    assert session.state.y[ids[0]] == blobs[1][ids[0]]


def test_string_labels_are_corrected(blobs):
    X, y, sample_domain = blobs
    names = np.array(["cat", "dog", "a bird"])[y]
    loop = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=2, n_rounds=1, random_state=0)
    session = loop.session(X, mask_target(names, sample_domain), sample_domain=sample_domain)
    ids = session.ask()
    session.tell(ids, ["cat", "cat"])
    session.correct(ids[1], "a bird")
    assert session.state.y[ids].tolist() == ["cat", "a bird"]


class TestInAJournal:
    @pytest.fixture(autouse=True)
    def no_warnings(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    @pytest.mark.parametrize("with_model", [True, False], ids=["with the model", "without the model"])
    @pytest.mark.parametrize("estimator", ["network", "logistic regression"])
    def test_a_resumed_session_agrees(self, begin, blobs, wrong, tmp_path, estimator, with_model):
        right = begin(estimator)
        play(right, 2, blobs[1])
        with begin(estimator, journal=tmp_path / "labels.db") as session:
            first = play(session, 1, wrong)[0]
            play(session, 1, blobs[1])
            session.correct(first, blobs[1][first])
        if not with_model:
            with Journal(tmp_path / "labels.db") as journal:
                journal.write_checkpoint("{}", b"")
            warnings.filterwarnings("ignore", message="The model in .* is not used")
        with begin(estimator, journal=tmp_path / "labels.db") as resumed:
            assert state(resumed) == state(session) == state(right)
            play(resumed, 1, blobs[1])
            play(right, 1, blobs[1])
            assert state(resumed) == state(right)

    @pytest.mark.parametrize("estimator", ["network", "logistic regression"])
    def test_a_correction_before_a_kill_is_trained_when_the_session_is_resumed(
        self, begin, blobs, wrong, tmp_path, estimator, monkeypatch
    ):
        def kill(*args, **kwargs):
            raise SystemExit

        right = begin(estimator)
        play(right, 2, blobs[1])
        with begin(estimator, journal=tmp_path / "labels.db") as session:
            first = play(session, 1, wrong)[0]
            play(session, 1, blobs[1])
            with monkeypatch.context() as patch:
                patch.setattr(Trainer, "train_to", kill)
                with pytest.raises(SystemExit):
                    session.correct(first, blobs[1][first])
        with pytest.warns(UserWarning, match="It is trained again from the answers"):
            resumed = begin(estimator, journal=tmp_path / "labels.db")
        with resumed:
            assert state(resumed) == state(right)

    @pytest.mark.parametrize("estimator", ["network", "logistic regression"])
    def test_an_interrupted_training_is_done_again(self, begin, blobs, wrong, estimator, monkeypatch):
        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        session, right = begin(estimator), begin(estimator)
        play(right, 2, blobs[1])
        first = play(session, 1, wrong)[0]
        play(session, 1, blobs[1])
        with monkeypatch.context() as patch:
            patch.setattr("skada_active.session.trainer.fit_estimator", interrupt)
            with pytest.raises(KeyboardInterrupt):
                session.correct(first, blobs[1][first])
        session.ask()
        assert state(session) == state(right)

    def test_the_journal_holds_both_labels(self, begin, blobs, wrong, tmp_path):
        with begin(journal=tmp_path / "labels.db") as session:
            first = play(session, 1, wrong)[0]
            session.correct(first, blobs[1][first])
        session = begin(journal=tmp_path / "labels.db")
        told, corrected = (event for event in session.events if isinstance(event, Told))
        assert (type(told), type(corrected)) == (Told, Corrected)
        assert list(told.ids) == list(corrected.ids) == first.tolist()
        assert list(told.labels) == wrong[first].tolist()
        assert list(corrected.labels) == blobs[1][first].tolist()

    def test_a_correction_that_cannot_be_written_changes_nothing(self, begin, blobs, wrong, tmp_path, monkeypatch):
        def fail(*args):
            raise OSError(28, "No space left on device")

        with begin(journal=tmp_path / "labels.db") as session:
            first = play(session, 1, wrong)[0]
            before, model = state(session), session.estimator_
            with monkeypatch.context() as patch:
                patch.setattr(Journal, "append", fail)
                with pytest.raises(OSError, match="No space left"):
                    session.correct(first, blobs[1][first])
            assert state(session) == before
            assert session.estimator_ is model


class TestRefused:
    @pytest.fixture
    def session(self, begin, blobs):
        session = begin()
        self.answered = play(session, 1, blobs[1])[0]
        self.abstained = session.ask()[:1]
        session.abstain(self.abstained)
        self.open = session.ask()[:1]
        self.never = np.setdiff1d(np.flatnonzero(blobs[2] < 0), np.r_[self.answered, self.abstained, session.ask()])
        return session

    def refused(self, session, ids, labels, match, **options):
        before, events, model = state(session), session.events, session.estimator_
        with pytest.raises(ValueError, match=match):
            session.correct(ids, labels, **options)
        assert state(session) == before
        assert session.events == events
        assert session.estimator_ is model

    @pytest.mark.parametrize("rows", ["abstained", "open", "never"])
    def test_rows_without_an_answer(self, session, rows):
        row = getattr(self, rows)[0]
        self.refused(
            session, [row], [0], rf"ids holds row {row}, which is not a row that has a label .*; 2 row\(s\) are"
        )

    def test_rows_of_the_source(self, session):
        self.refused(session, [0], [0], "ids holds row 0, which is not a row that has a label .*")

    def test_nothing_is_taken_where_one_row_of_several_was_not_answered(self, session):
        self.refused(session, [self.answered[0], self.never[0]], [0, 0], f"row {self.never[0]}")

    @pytest.mark.parametrize("missing", [-1, None])
    def test_missing_labels(self, session, missing):
        labels = [0, missing]
        self.refused(session, self.answered, labels, f"labels has no label for row {self.answered[1]}")

    def test_unknown_classes(self, session):
        self.refused(session, self.answered, [0, 7], "labels holds 7, which is none of the 3 classes")

    @pytest.mark.parametrize(
        ("labels", "match"),
        [([0], "one label for each"), (["a", "b"], "type of y"), ([0.5, 1], "type of y"), ([np.nan, 0], "NaN")],
    )
    def test_labels_that_are_none(self, session, labels, match):
        self.refused(session, self.answered, labels, match)

    def test_a_row_that_comes_twice(self, session):
        self.refused(session, self.answered[[0, 0]], [0, 1], "names a row twice")

    def test_an_annotator_who_said_nothing(self, session):
        self.refused(session, self.answered, [0, 1], "not a row that anna answered", annotator="anna")

    @pytest.mark.parametrize("annotator", ["", 3])
    def test_an_annotator_without_a_name(self, session, annotator):
        self.refused(session, self.answered, [0, 1], "annotator must be a name", annotator=annotator)

    def test_no_row_at_all_is_no_correction(self, session):
        events = session.events
        session.correct([], [])
        assert session.events == events
