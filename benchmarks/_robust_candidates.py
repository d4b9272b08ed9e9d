"""Models and query strategies that `robust_default.py` compares."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from _robust_tasks import Task
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop, query
from skada_active.deep import AdaptationClassifier

__all__ = ["MODELS", "STRATEGIES", "has_weights", "make_model", "make_strategy"]

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


def make_model(name: str, task: Task) -> Any:
    return MODELS[name](task)


def _mixed(*parts: tuple[Callable[[], Any], float]) -> Any:
    return query.Mixed([(make(), share) for make, share in parts])


def _staged(*stages: tuple[Callable[[], Any], int | None]) -> Any:
    return query.Staged([(make(), rounds) for make, rounds in stages])


def _named(name: str, **params: Any) -> Callable[[], Any]:
    return lambda: getattr(query, name)(**params)


_random, _margin, _entropy = _named("RandomSampling"), _named("MarginSampling"), _named("EntropySampling")
_badge, _core_set, _clue, _las = _named("BADGE"), _named("CoreSet"), _named("CLUE"), _named("LAS")
_k_means, _typiclust, _probcover = _named("KMeansSampling"), _named("TypiClust"), _named("ProbCover")
#: Strategies are made when they are needed, so that a package without some of them runs the others.
STRATEGIES: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "random": _random,
    "margin": _margin,
    "entropy": _entropy,
    "BADGE": _badge,
    "CoreSet": _core_set,
    "CLUE": _clue,
    "KMeans": _k_means,
    "LAS": _las,
    "TypiClust": _typiclust,
    "ProbCover": _probcover,
    "Power": _named("PowerSampling"),
    "CoreSet + margin": lambda: _mixed((_core_set, 0.5), (_margin, 0.5)),
    "CoreSet + BADGE": lambda: _mixed((_core_set, 0.5), (_badge, 0.5)),
    "CoreSet + LAS": lambda: _mixed((_core_set, 0.5), (_las, 0.5)),
    "CoreSet + CLUE": lambda: _mixed((_core_set, 0.5), (_clue, 0.5)),
    "KMeans + BADGE": lambda: _mixed((_k_means, 0.5), (_badge, 0.5)),
    "CLUE + BADGE": lambda: _mixed((_clue, 0.5), (_badge, 0.5)),
    "KMeans + margin": lambda: _mixed((_k_means, 0.5), (_margin, 0.5)),
    "BADGE + margin": lambda: _mixed((_badge, 0.5), (_margin, 0.5)),
    "CLUE + margin": lambda: _mixed((_clue, 0.5), (_margin, 0.5)),
    "random + margin": lambda: _mixed((_random, 0.5), (_margin, 0.5)),
    "random + BADGE": lambda: _mixed((_random, 0.5), (_badge, 0.5)),
    "CoreSet, margin": lambda: _staged((_core_set, 1), (_margin, None)),
    "CoreSet, BADGE": lambda: _staged((_core_set, 1), (_badge, None)),
    "KMeans, margin": lambda: _staged((_k_means, 1), (_margin, None)),
    "KMeans, BADGE": lambda: _staged((_k_means, 1), (_badge, None)),
    "random, BADGE": lambda: _staged((_random, 1), (_badge, None)),
    "random, margin": lambda: _staged((_random, 1), (_margin, None)),
    "TypiClust, margin": lambda: _staged((_typiclust, 1), (_margin, None)),
    "TypiClust, BADGE": lambda: _staged((_typiclust, 1), (_badge, None)),
    "TypiClust + margin": lambda: _mixed((_typiclust, 0.5), (_margin, 0.5)),
}


def make_strategy(name: str) -> Any:
    """Return a candidate, None for the loop's own default or where the package lacks a class of it."""
    try:
        return STRATEGIES[name]()
    except AttributeError:
        return None


def has_weights() -> bool:
    """Tell whether the loop weighs bought rows."""
    return "target_weight" in signature(ActiveAdaptationLoop).parameters
