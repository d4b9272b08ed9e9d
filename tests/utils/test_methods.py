"""Methods that estimators get when they are fitted."""

from __future__ import annotations

import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC, LinearSVC

from skada_active.utils.methods import gets_at_fit

PAIR = [("a", LogisticRegression()), ("b", LogisticRegression())]


class Wrapper(BaseEstimator):
    """Delegate to what `fit` makes."""

    @property
    def predict_proba(self):
        return self.model_.predict_proba


@pytest.mark.parametrize(
    "estimator",
    [StackingClassifier(PAIR), GridSearchCV(StackingClassifier(PAIR), {}), Wrapper()],
    ids=["stacking", "search", "wrapper"],
)
def test_some_get_their_methods_when_they_are_fitted(estimator):
    assert not hasattr(estimator, "predict_proba")
    assert gets_at_fit(estimator, "predict_proba")


@pytest.mark.parametrize(
    "estimator",
    [
        LinearSVC(),
        SVC(),
        SGDClassifier(),
        VotingClassifier(PAIR),
        StackingClassifier(PAIR, final_estimator=LinearSVC()),
        object(),
    ],
    ids=repr,
)
def test_others_never_have_them(estimator):
    assert not gets_at_fit(estimator, "predict_proba")
