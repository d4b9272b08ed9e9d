"""Active domain adaptation with the scikit-learn API.

A model was trained on labelled *source* domains, it must work on a *target* domain, and somebody can label a small
budget of target samples: which ones, and how is the model retrained with them?
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Names are imported when they are first used: importing the package loads neither torch nor torchvision.
_MODULES = (
    "datasets",
    "deep",
    "domains",
    "loop",
    "metrics",
    "model_selection",
    "networks",
    "pool",
    "query",
    "recipes",
    "selection",
    "session",
)
_NAMES = {
    "ActiveAdaptationLoop": "loop",
    "AdaptationClassifier": "deep",
    "AdaptationSession": "session",
    "BudgetSchedule": "loop",
    "PoolView": "pool",
    "QueryStrategy": "query",
    "TargetShuffleSplit": "model_selection",
    "holdout_target": "model_selection",
    "mask_target": "domains",
    "resolve_roles": "domains",
    "target_accuracy": "model_selection",
}

__all__ = [*sorted(_NAMES), *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
