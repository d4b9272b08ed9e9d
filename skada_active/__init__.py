"""Active domain adaptation with the scikit-learn API.

A model was trained on labelled *source* domains, it must work on a *target* domain, and somebody can label a small
budget of target samples: which ones, and how is the model retrained with them?
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skada_active._version import __version__ as __version__

__all__ = [
    "ActiveAdaptationLoop",
    "AdaptationClassifier",
    "AdaptationSession",
    "BudgetSchedule",
    "PoolView",
    "QueryStrategy",
    "TargetShuffleSplit",
    "datasets",
    "deep",
    "domains",
    "embedding",
    "exceptions",
    "experiments",
    "holdout_target",
    "inspection",
    "io",
    "loop",
    "mask_target",
    "metrics",
    "model_selection",
    "networks",
    "pool",
    "query",
    "recipes",
    "resolve_roles",
    "selection",
    "session",
    "source_free",
    "stack_domains",
    "target_accuracy",
    "testing",
]

# Names are imported when they are first used: importing the package loads neither torch nor torchvision.
_HOMES = {
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
    "stack_domains": "domains",
    "target_accuracy": "metrics",
}

if TYPE_CHECKING:
    # Type checkers read these instead, so that a wrong name or argument is an error in a user's script.
    from skada_active import (
        datasets,
        deep,
        domains,
        embedding,
        exceptions,
        experiments,
        inspection,
        io,
        loop,
        metrics,
        model_selection,
        networks,
        pool,
        query,
        recipes,
        selection,
        session,
        source_free,
        testing,
    )
    from skada_active.deep import AdaptationClassifier
    from skada_active.domains import mask_target, resolve_roles, stack_domains
    from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
    from skada_active.metrics import target_accuracy
    from skada_active.model_selection import TargetShuffleSplit, holdout_target
    from skada_active.pool import PoolView
    from skada_active.query import QueryStrategy
    from skada_active.session import AdaptationSession
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        if name in __all__:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
