"""The query rules of scikit-activeml as contenders."""

from __future__ import annotations

from typing import Any

import numpy as np
from _selection import Arrays, contender
from numpy.typing import NDArray


def _ready(proba: NDArray[np.float32], embedding: NDArray[np.float32] | None = None) -> Any:
    """Return a classifier of scikit-activeml that answers with ready arrays."""
    from skactiveml.base import SkactivemlClassifier

    class Ready(SkactivemlClassifier):
        def fit(self, X: Any, y: Any) -> Any:
            return self

        def predict_proba(self, X: Any) -> Any:
            return proba if embedding is None else (proba, embedding)

        def predict(self, X: Any) -> Any:
            return proba.argmax(axis=1)

    model = Ready(classes=np.arange(proba.shape[1]))
    model.classes_ = np.arange(proba.shape[1])
    return model


def _unlabeled(arrays: Arrays, X: NDArray[Any] | None = None) -> dict[str, Any]:
    n = len(arrays.proba)
    X = np.zeros((n, 1)) if X is None else X
    return {"X": X, "y": np.full(n, np.nan), "batch_size": arrays.n_queries}


def _uncertainty(rule: str, method: str) -> None:
    def choose(arrays: Arrays) -> NDArray[np.int64]:
        from skactiveml.pool import UncertaintySampling

        strategy = UncertaintySampling(method=method, random_state=0)
        return strategy.query(clf=_ready(arrays.proba), fit_clf=False, **_unlabeled(arrays))

    contender(rule, "scikit-activeml")(choose)


_uncertainty("entropy", "entropy")
_uncertainty("least confidence", "least_confident")
_uncertainty("margin", "margin_sampling")


@contender("random", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import RandomSampling

    return RandomSampling(random_state=0).query(**_unlabeled(arrays))


@contender("committee", "scikit-activeml", at="a b b2 c")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import QueryByCommittee

    ensemble = [_ready(proba) for proba in arrays.committee]
    strategy = QueryByCommittee(method="vote_entropy", random_state=0)
    return strategy.query(ensemble=ensemble, fit_ensemble=False, **_unlabeled(arrays))


@contender("CoreSet", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import CoreSet

    known = _unlabeled(arrays, arrays.features)
    known["y"][0] = 0
    return CoreSet(random_state=0).query(**known)


@contender("BADGE", "scikit-activeml", at="a b")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import Badge

    model = _ready(arrays.proba)
    return Badge(random_state=0).query(clf=model, fit_clf=False, **_unlabeled(arrays, arrays.features))


@contender("CLUE", "scikit-activeml")
def _(arrays: Arrays) -> NDArray[np.int64]:
    from skactiveml.pool import Clue

    strategy = Clue(random_state=0, cluster_algo_dict={"n_init": 1, "random_state": 0})
    model = _ready(arrays.proba)
    return strategy.query(estimator=model, fit_estimator=False, **_unlabeled(arrays, arrays.features))
