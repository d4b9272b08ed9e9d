"""The strategy of a loop that names none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.query import default_strategy

WITH_HEAD = "Staged(stages=[(KMeansSampling(), 1), (CLUE(), None)])"
BY_PROBABILITY = "Mixed(parts=[(RandomSampling(), 0.5), (MarginSampling(), 0.5)])"
NUMBERS = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("estimator", "X", "expected"),
    [
        (LogisticRegression(), NUMBERS, WITH_HEAD),
        (make_pipeline(StandardScaler(), LogisticRegression()), pd.DataFrame(NUMBERS), WITH_HEAD),
        (AdaptationClassifier(), np.zeros((4, 1, 8, 8)), WITH_HEAD),
        (LogisticRegression(), None, WITH_HEAD),
        (HistGradientBoostingClassifier(), NUMBERS, BY_PROBABILITY),
        (LogisticRegression(), sparse.csr_array(NUMBERS), BY_PROBABILITY),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), np.array(["a", "b"]), BY_PROBABILITY),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), np.array(["a", "b"], dtype=object), BY_PROBABILITY),
        (LogisticRegression(), pd.DataFrame({"number": [1.0], "text": ["a b"]}), BY_PROBABILITY),
        (LogisticRegression(), pd.DataFrame(NUMBERS).astype("category"), WITH_HEAD),
        (LinearSVC(), NUMBERS, "RandomSampling()"),
    ],
)
def test_the_rule_follows_from_what_the_model_supplies(estimator, X, expected):
    assert repr(default_strategy(estimator, X)) == expected


def test_a_loop_says_what_it_asked_by():
    X, y, sample_domain = make_shifted_blobs(random_state=0)
    loop = ActiveAdaptationLoop(LogisticRegression(), budget=4, n_rounds=2, random_state=0)
    assert repr(loop.fit(X, y, sample_domain=sample_domain).strategy_) == WITH_HEAD
    assert loop.strategy is None


def test_a_loop_over_texts_needs_no_dense_vocabulary():
    texts = [f"word{row % 7} common" for row in range(40)]
    labels = np.array([row % 7 < 4 for row in range(40)]).astype(int)
    domain = np.where(np.arange(40) < 20, 1, -1)
    loop = ActiveAdaptationLoop(make_pipeline(TfidfVectorizer(), LogisticRegression()), budget=4, random_state=0)
    assert repr(loop.fit(texts, labels, sample_domain=domain).strategy_) == BY_PROBABILITY
