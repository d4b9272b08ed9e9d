"""Open questions as a table."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from torch.utils.data import Dataset

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.query import MarginSampling, RandomSampling

OWN = ["id", "prediction", "probability", "utility", "round", "label"]


class Rows(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        return self.X[row]


@pytest.fixture
def begin(blobs):
    """Return a function that starts a session over other rows or by another model."""
    X, y, sample_domain = blobs

    def begin(rows=X, estimator=None, strategy=None):
        loop = ActiveAdaptationLoop(
            estimator or LogisticRegression(), strategy, budget=8, n_rounds=2, round_epochs=1, random_state=0
        )
        return loop.session(rows, mask_target(y, sample_domain), sample_domain=sample_domain)

    return begin


def test_a_question_comes_with_what_the_model_makes_of_it(begin, blobs):
    session = begin(strategy=MarginSampling())
    ids = session.ask()
    table, proba = session.questions(), session.estimator_.predict_proba(blobs[0][ids])
    assert table.columns.tolist() == [OWN[0], "x0", "x1", "x2", *OWN[1:]]
    assert table["id"].tolist() == ids.tolist()
    np.testing.assert_array_equal(table[["x0", "x1", "x2"]], blobs[0][ids])
    np.testing.assert_array_equal(table["prediction"], session.estimator_.predict(blobs[0][ids]))
    np.testing.assert_array_equal(table["probability"], proba.max(axis=1))
    assert table["utility"].tolist() == [session.state.round.utilities[row] for row in ids]
    assert set(table["round"]) == {1}
    assert table["label"].isna().all()


def test_a_frame_lends_its_columns_and_its_index(begin, blobs):
    frame = pd.DataFrame(blobs[0], columns=["id", "label", "x_id"], index=[f"r{i}" for i in range(120)][::-1])
    session = begin(frame)
    ids = session.ask()
    table = session.questions()
    assert table.columns.tolist() == ["id", "index", "x_x_id", "x_label", "x_id", *OWN[1:]]
    assert table["index"].tolist() == frame.index[ids].tolist()
    np.testing.assert_array_equal(table["x_x_id"], frame["id"].iloc[ids])


@pytest.mark.parametrize("form", ["sparse", "images", "dataset"])
def test_rows_that_are_no_table_have_no_columns(begin, blobs, form):
    X = blobs[0].astype(np.float32)
    images = np.repeat(X, 64, axis=1).reshape(len(X), 3, 8, 8)
    rows = {"sparse": sparse.csr_array(X), "images": images, "dataset": Rows(X)}[form]
    session = begin(rows, LogisticRegression() if form == "sparse" else AdaptationClassifier(max_epochs=1))
    session.ask()
    assert session.questions().columns.tolist() == OWN


@pytest.mark.parametrize(
    ("form", "name"),
    [(list, "x0"), (pd.Series, "x0"), (lambda texts: pd.Series(texts, name="mail"), "mail")],
    ids=["list", "Series", "named Series"],
)
def test_texts_are_shown(begin, form, name):
    texts = [f"word{row % 7} row{row}" for row in range(120)]
    session = begin(form(texts), make_pipeline(TfidfVectorizer(), LogisticRegression()))
    ids = session.ask()
    assert session.questions()[name].tolist() == [texts[row] for row in ids]


def test_what_is_answered_is_no_question(begin, blobs):
    session = begin()
    assert session.questions().empty
    ids = session.ask()
    session.tell(ids[:3], blobs[1][ids[:3]])
    assert session.questions()["id"].tolist() == ids[3:].tolist()
    session.tell(ids[3:], blobs[1][ids[3:]])
    assert session.questions().empty
    session.ask()
    assert set(session.questions()["round"]) == {2}


def test_without_probabilities_the_column_is_empty(begin):
    session = begin(estimator=LinearSVC(), strategy=RandomSampling())
    session.ask()
    assert session.questions()["probability"].isna().all()
    assert session.questions()["utility"].isna().all()


def test_without_pandas_the_error_says_what_to_install(begin, monkeypatch):
    session = begin()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        session.questions()
