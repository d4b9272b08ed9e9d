"""A session with a journal: what it begins with, what it refuses to go on with, and what it keeps."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from torch import nn

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_gas_drift, load_heart_disease
from skada_active.deep import MCC, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.exceptions import UnsaveableError
from skada_active.loop import ArrayOracle
from skada_active.query import CoreSet, MarginSampling, RandomSampling

#: Where the fixture opens sessions: what a warning has to point at.
OPENED_IN = str(Path(__file__).parents[1] / "conftest.py")


def test_the_start_says_what_the_session_is(open_session, lines_of):
    start = lines_of(open_session(LogisticRegression(C=0.5), CoreSet()))[0]
    assert start["settings"]["rounds"] == "[5, 5]"
    assert isinstance(start["seed"], int)
    assert {"python", "numpy", "scikit-learn", "skada-active", "torch"} <= set(start["versions"])
    assert set(start["data"]) == {"X", "y", "sample_domain"}
    assert start["settings"]["estimator__C"] == "0.5"
    assert start["settings"]["strategy"] == "CoreSet"


def test_everything_that_happens_is_a_line(open_session, blobs, lines_of):
    session, y = open_session(), blobs[1]
    ids = session.ask()
    session.tell(ids[:3], y[ids[:3]])
    session.abstain(ids[3])
    session.correct(ids[0], (y[ids[0]] + 1) % 3)
    session.readmit(ids[3])
    session.extend([2])
    _, *events = lines_of(session)
    kinds = [event["event"] for event in events]
    assert kinds == ["asked", "told", "told", "corrected", "readmitted", "extended"]
    told = [event["labels"] for event in events if event["event"] == "told"]
    assert told == [y[ids[:3]].tolist(), [None]]


def test_both_labels_of_a_corrected_answer_are_kept(open_session, blobs, lines_of):
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
        ({"estimator": LogisticRegression(C=2)}, r"estimator__C was 1.0, is 2"),
        ({"strategy": CoreSet()}, r"strategy was .*Staged.*, is .*CoreSet"),
        ({"random_state": 1}, r"random_state was 0, is 1"),
        ({"budget": 20}, r"rounds was \[5, 5\], is \[10, 10\].*session.extend"),
        ({"session": {"costs": np.full(120, 0.5)}}, r"costs was None, is an array with the hash"),
        ({"session": {"n_annotators": 2}}, r"n_annotators was 1, is 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused(open_session, params, message):
    open_session().ask()
    with pytest.raises(ValueError, match=message):
        open_session(**params)
    open_session()  # the refusal gave the file back


@pytest.mark.parametrize("change", ["rows", "a value", "labels"])
def test_other_data_are_refused(open_session, blobs, change):
    X, y, _ = blobs
    open_session().ask()
    if change == "labels":
        y = np.where(np.arange(120) == 3, (y + 1) % 3, y)
    else:
        X = X[::-1] if change == "rows" else np.where(np.arange(360).reshape(120, 3) == 77, 0, X)
    with pytest.raises(ValueError, match=r"the journal .*labels.db was made with"):
        open_session(X=X, y=y)


@pytest.mark.filterwarnings("error::UserWarning")
def test_nothing_binds_a_session_in_which_nothing_was_asked(open_session, blobs, lines_of):
    open_session()
    session = open_session(LogisticRegression(C=2), CoreSet(), X=blobs[0] + 1, budget=7)
    assert session.budget == 7
    assert lines_of(session)[0]["settings"]["rounds"] == "[3, 4]"
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
    monkeypatch.setattr("skada_active.session.store.package_versions", lambda: {"torch": "9.9"})
    with (
        pytest.warns(UserWarning, match="now there is {'torch': '9.9'}: the model .* may differ") as began,
        pytest.warns(UserWarning, match="is not used: .* with the versions .* trained again from the answers") as model,
    ):
        again = open_session(AdaptationClassifier(max_epochs=1))
    assert {warning.filename for warning in [*began, *model]} == {OPENED_IN}
    np.testing.assert_array_equal(again.estimator_.predict_proba(blobs[0]), session.estimator_.predict_proba(blobs[0]))


def test_a_journal_of_a_later_format_is_refused(open_session, monkeypatch):
    monkeypatch.setattr("skada_active.io.journal._FORMAT", 99)
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


def test_a_model_that_no_file_holds_is_trained_again(open_session, blobs, monkeypatch, recwarn):
    def refuse(value):
        raise UnsaveableError("no form without pickle")

    monkeypatch.setattr("skada_active.session.store.dumps", refuse)
    session, y = open_session(RandomForestClassifier(5), RandomSampling()), blobs[1]
    ids = session.ask()
    session.tell(ids, y[ids])
    assert session.store.journal.read_checkpoint() is None
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


@pytest.mark.parametrize(
    ("load", "model"),
    [
        (partial(load_heart_disease, source="cleveland", target="va"), make_pipeline(SimpleImputer(), GaussianNB())),
        (partial(load_gas_drift, source=[1, 2], target=[8]), AdaptationClassifier(MCC(), max_epochs=1)),
    ],
    ids=["heart disease", "gas drift"],
)
def test_day_two_goes_on_where_day_one_stopped(tmp_path, load, model):
    X, y, sample_domain = load()
    loop = ActiveAdaptationLoop(model, MarginSampling(), budget=8, n_rounds=4, round_epochs=1, random_state=0)
    known = mask_target(y, sample_domain)
    for _ in range(10):  # one answer a day, each day a session of its own
        with loop.session(X, known, sample_domain=sample_domain, journal=tmp_path / "labels.db") as session:
            row = session.ask()[:1]
            session.tell(row, y[row])
    whole = loop.session(X, known, sample_domain=sample_domain)
    while len(ids := whole.ask()):
        whole.tell(ids, y[ids])
    assert session.queried_ids_.tolist() == whole.queried_ids_.tolist()
    np.testing.assert_array_equal(session.estimator_.predict_proba(X), whole.estimator_.predict_proba(X))


@pytest.mark.parametrize("journal", ["", 7, b""])
def test_a_journal_is_the_path_of_a_file(blobs, journal):
    X, y, sample_domain = blobs
    with pytest.raises(ValueError, match="journal must be the path of a file"):
        ActiveAdaptationLoop(LogisticRegression()).session(X, y, sample_domain=sample_domain, journal=journal)


def test_a_folder_is_no_file(blobs, tmp_path):
    X, y, sample_domain = blobs
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        ActiveAdaptationLoop(LogisticRegression()).session(X, y, sample_domain=sample_domain, journal=tmp_path)


def test_resuming_imports_no_torch_for_a_scikit_learn_model(open_session, tmp_path, blobs):
    open_session(strategy=MarginSampling()).close()
    code = "import sys; from skada_active.session import AdaptationSession; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (
            {"estimator": RandomForestClassifier(3, n_jobs=1)},
            {"estimator": RandomForestClassifier(3, n_jobs=2, verbose=0)},
        ),
        (
            {"estimator": AdaptationClassifier(max_epochs=1)},
            {"estimator": AdaptationClassifier(max_epochs=1, device="cpu")},
        ),
        ({"budget": [3, 3]}, {"budget": (3, np.int64(3))}),
        ({"budget": 10}, {"budget": 10 / 60}),
        ({"random_state": 0}, {"random_state": np.int64(0)}),
        ({"random_state": np.random.RandomState(0)}, {"random_state": None}),
    ],
    ids=["n_jobs", "device", "sequence", "fraction", "integer", "generator"],
)
def test_what_says_the_same_is_no_other_setting(open_session, then, now):
    ids = open_session(strategy=RandomSampling(), **then).ask()
    assert open_session(strategy=RandomSampling(), **now).ask().tolist() == ids.tolist()


def test_a_parameter_that_a_release_added_is_no_other_setting(open_session, monkeypatch):
    class Model(LogisticRegression):
        def __init__(self, C=1.0):
            super().__init__(C=C)

    earlier = Model

    class Model(LogisticRegression):
        def __init__(self, C=1.0, new_option=1):
            super().__init__(C=C)
            self.new_option = new_option

    open_session(earlier(C=2)).ask()
    with pytest.raises(ValueError, match=r"estimator__new_option was not there, is 1"):
        open_session(Model(C=2))
    monkeypatch.setattr("skada_active.session.store.package_versions", lambda: {"scikit-learn": "9.9"})
    with pytest.raises(ValueError, match=r"estimator__C was 2, is 3"):
        open_session(Model(C=3))
    with pytest.warns(UserWarning, match="now there is {'scikit-learn': '9.9'}"):
        open_session(Model(C=2))


def test_what_cannot_be_made_again_is_warned_of_at_the_start(open_session):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with pytest.warns(UserWarning, match=r"estimator__module has a state of its own.*from a seed or a file") as caught:
        open_session(AdaptationClassifier(module=module, max_epochs=1)).ask()
    assert caught[0].filename == OPENED_IN
    with pytest.raises(ValueError, match=r"estimator__module was .*Sequential"):
        open_session(AdaptationClassifier(module=nn.Sequential(nn.Linear(3, 4), nn.ReLU()), max_epochs=1))
    assert len(open_session(AdaptationClassifier(module=module, max_epochs=1)).open_ids) == 5


def test_a_history_is_measured_on_one_set_of_held_out_rows(open_session, blobs):
    X, y, _ = blobs
    network = AdaptationClassifier(max_epochs=1)
    session = open_session(network, session={"eval_set": (X[:20], y[:20])})
    ids = session.ask()
    session.tell(ids, y[ids])
    again = open_session(network, session={"eval_set": (X[:20], y[:20])})
    assert again.history_[0]["accuracy"] == session.history_[0]["accuracy"]
    with pytest.warns(UserWarning, match="with the eval_set of the session. It is trained again"):
        other = open_session(network, session={"eval_set": (X[60:], y[60:])})
    right = (other.estimator_.predict(X[60:]) == y[60:]).mean()
    assert other.history_[0]["accuracy"]["holdout"] == pytest.approx(right)
