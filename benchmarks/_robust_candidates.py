"""Models and query strategies that `robust_default.py` compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _robust_tasks import Task
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import query
from skada_active.deep import AdaptationClassifier

__all__ = ["MODELS", "STRATEGIES"]

#: Tables on which boosted trees would take minutes a fit; they get principal components of them.
WIDE = {"office10_googlenet1024", "office_caltech10_surf", "office31_efficientnet_lite0", "sentences_minilm"}
WITH_GAPS = {"heart_disease", "beijing_air"}


def _logistic(task: Task) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _filled(model, task)


def _trees(task: Task) -> Any:
    trees = HistGradientBoostingClassifier()
    return make_pipeline(PCA(32, random_state=0), trees) if task.archive in WIDE else trees


def _network(task: Task) -> Any:
    return _filled(AdaptationClassifier(device="cpu"), task)


def _filled(model: Any, task: Task) -> Any:
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, model) if task.archive in WITH_GAPS else model


MODELS: dict[str, Callable[[Task], Any]] = {"logistic": _logistic, "trees": _trees, "network": _network}


Maker = Callable[[], query.QueryStrategy]


def _mixed(*parts: tuple[Maker, float]) -> Maker:
    return lambda: query.Mixed([(make(), share) for make, share in parts])


def _halves(first: Maker, second: Maker) -> Maker:
    return _mixed((first, 0.5), (second, 0.5))


def _then(first: Maker, later: Maker) -> Maker:
    return lambda: query.Staged([(first(), 1), (later(), None)])


_clue_badge = _halves(query.CLUE, query.BADGE)
STRATEGIES: dict[str, Callable[[], query.QueryStrategy | None]] = {
    "default": lambda: None,
    "random": query.RandomSampling,
    "margin": query.MarginSampling,
    "entropy": query.EntropySampling,
    "BADGE": query.BADGE,
    "CoreSet": query.CoreSet,
    "CLUE": query.CLUE,
    "KMeans": query.KMeansSampling,
    "LAS": query.LAS,
    "TypiClust": query.TypiClust,
    "ProbCover": query.ProbCover,
    "Power": query.PowerSampling,
    "CoreSet + margin": _halves(query.CoreSet, query.MarginSampling),
    "CoreSet + BADGE": _halves(query.CoreSet, query.BADGE),
    "CoreSet + CLUE": _halves(query.CoreSet, query.CLUE),
    "KMeans + margin": _halves(query.KMeansSampling, query.MarginSampling),
    "KMeans + BADGE": _halves(query.KMeansSampling, query.BADGE),
    "TypiClust + BADGE": _halves(query.TypiClust, query.BADGE),
    "BADGE + margin": _halves(query.BADGE, query.MarginSampling),
    "CLUE + BADGE": _clue_badge,
    "random + margin": _halves(query.RandomSampling, query.MarginSampling),
    "random + BADGE": _halves(query.RandomSampling, query.BADGE),
    "random, 2 margin": _mixed((query.RandomSampling, 1), (query.MarginSampling, 2)),
    "KMeans + CLUE + BADGE": _mixed((query.KMeansSampling, 1), (query.CLUE, 1), (query.BADGE, 1)),
    "CLUE + BADGE + margin": _mixed((query.CLUE, 1), (query.BADGE, 1), (query.MarginSampling, 1)),
    "CoreSet then margin": _then(query.CoreSet, query.MarginSampling),
    "CoreSet then BADGE": _then(query.CoreSet, query.BADGE),
    "random then BADGE": _then(query.RandomSampling, query.BADGE),
    "KMeans then BADGE": _then(query.KMeansSampling, query.BADGE),
    "KMeans then CLUE + BADGE": _then(query.KMeansSampling, _clue_badge),
    "KMeans + CLUE then CLUE + BADGE": _then(_halves(query.KMeansSampling, query.CLUE), _clue_badge),
    "KMeans then CLUE": _then(query.KMeansSampling, query.CLUE),
    "random then CLUE": _then(query.RandomSampling, query.CLUE),
    "KMeans + CLUE then CLUE": _then(_halves(query.KMeansSampling, query.CLUE), query.CLUE),
    "TypiClust then BADGE": _then(query.TypiClust, query.BADGE),
    "TypiClust then CLUE + BADGE": _then(query.TypiClust, _clue_badge),
}
