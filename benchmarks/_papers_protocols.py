"""The papers' protocols on a pair of domains: what a run trains and which figures it returns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _papers_rows import ACTIVE, INDUCTIVE, QUERIES
from _papers_unlabeled import PARTIAL, UNLABELED
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import normalize

from skada_active import recipes
from skada_active.datasets import subsample_partial_target
from skada_active.deep import DANN, TSF, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.metrics import area_under_curve
from skada_active.model_selection import learning_curves

__all__ = ["PROTOCOLS", "Data", "is_task", "load_task", "make_model", "run_protocol"]

PROTOCOLS = ("active", "active10", "unlabeled", "partial", "inductive", "timing")
#: Office-31's ten classes that Caltech-256 has as well.
SHARED = ("back_pack", "bike", "calculator", "headphones", "keyboard", "laptop_computer", "monitor", "mouse", "mug")
SHARED = (*SHARED, "projector")
SAGE_ROUNDS = 10
TIMED_TASK = ("webcam", "amazon")
TIMED_REPEATS = 5


class Data(NamedTuple):
    """Rows, labels and domains of a task, source 1 and target -2."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    sample_domain: NDArray[np.int64]

    @property
    def is_target(self) -> NDArray[np.bool_]:
        return self.sample_domain < 0


def load_task(path: Path, source: str, target: str, *, partial: bool = False) -> Data:
    with np.load(path, allow_pickle=False) as archive:
        X = [10 * normalize(archive[f"X_{domain}"].astype(np.float32)) for domain in (source, target)]
        y = np.concatenate([archive[f"y_{domain}"].astype(np.int64) for domain in (source, target)])
        shared = np.flatnonzero(np.isin(archive["class_names"], SHARED)) if partial else []
    data = Data(np.concatenate(X), y, np.repeat([1, -2], [len(rows) for rows in X]))
    if not partial:
        return data
    rows = subsample_partial_target(data.y, data.sample_domain, shared)
    return Data(*(values[rows] for values in data))


def is_task(protocol: str, source: str, target: str) -> bool:
    """Tell whether a protocol has this pair of domains."""
    if protocol == "timing":
        return (source, target) == TIMED_TASK
    return protocol != "inductive" or "amazon" in (source, target)


def make_model(protocol: str, method: str, target: str, batch_statistics: str | None) -> Any:
    """Return what a run fits: a recipe, a classifier, or the query strategy that is timed."""
    if protocol == "active":
        return ACTIVE[method]()
    if protocol == "active10":
        return ACTIVE[method]().set_params(budget=0.1)
    if protocol == "inductive":
        budget = SAGE_ROUNDS * (16 if target == "amazon" else 8)
        epochs = recipes.sage().round_epochs
        return INDUCTIVE[method]().set_params(budget=budget, n_rounds=SAGE_ROUNDS, round_epochs=epochs)
    if protocol == "timing":
        return QUERIES[method]
    rows = PARTIAL if protocol == "partial" else UNLABELED
    return rows[method](batch_statistics=batch_statistics)


def run_protocol(protocol: str, model: Any, path: Path, source: str, target: str, seed: int) -> dict[str, Any]:
    """Return the figures of a run, accuracies as shares."""
    data = load_task(path, source, target, partial=protocol == "partial")
    if protocol == "timing":
        return query_time(model, data, seed)
    if protocol == "inductive":
        return inductive(model, data, seed)
    model = clone(model).set_params(random_state=seed)
    return without_labels(model, data) if protocol in ("unlabeled", "partial") else transductive(model, data)


def transductive(loop: Any, data: Data) -> dict[str, Any]:
    """Accuracy on all target rows before any label and after the last, and on those whose label was not bought."""
    loop.fit(data.X, data.y, sample_domain=data.sample_domain)
    n_queries, curve = loop.learning_curve("transductive")
    unqueried = loop.learning_curve("unqueried")[1][-1]
    shares = (n_queries / data.is_target.sum()).round(4).tolist()
    return {"before": curve[0], "after": curve[-1], "unqueried": unqueried, "shares": shares, "curve": curve.tolist()}


def without_labels(model: AdaptationClassifier, data: Data) -> dict[str, Any]:
    model.fit(data.X, mask_target(data.y, data.sample_domain), data.sample_domain)
    return {"accuracy": float(model.score(data.X[data.is_target], data.y[data.is_target]))}


def inductive(loop: Any, data: Data, seed: int) -> dict[str, Any]:
    """Accuracy on a half of the target that takes no part: before, after, and on average along the budget."""
    n_queries, (curve,) = learning_curves(loop, data.X, data.y, sample_domain=data.sample_domain, seeds=[seed])
    area = float(area_under_curve(n_queries, curve))
    return {"before": curve[0], "after": curve[-1], "area": area, "curve": curve.tolist()}


def query_time(strategy: Any, data: Data, seed: int) -> dict[str, Any]:
    """Milliseconds of a choice of 1 % of the target, median of some; the pool is read before the clock starts."""
    known = mask_target(data.y, data.sample_domain)
    known[np.flatnonzero(data.is_target)[::100]] = data.y[data.is_target][::100]
    # One thing for all: discriminators of the domain and of the classes, and a committee of heads.
    model = AdaptationClassifier(DANN(max_reversal=0.1) + TSF(max_reversal=0.1), n_heads=5, max_epochs=3)
    model.set_params(random_state=seed).fit(data.X, known, data.sample_domain)
    strategy = clone(strategy).set_params(estimator=FrozenEstimator(model), random_state=seed)
    strategy.fit(data.X, known, data.sample_domain)
    seconds = []
    for _ in range(TIMED_REPEATS):
        start = time.perf_counter()
        strategy.query(int(data.is_target.sum() // 100))
        seconds.append(time.perf_counter() - start)
    return {"milliseconds": 1000 * float(np.median(seconds))}
