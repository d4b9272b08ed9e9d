"""Loops and sessions alike: what the displays and the report read."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skada_active.loop import ActiveAdaptationLoop
from skada_active.session import AdaptationSession

__all__ = ["as_loop", "as_session", "loops_in", "strategy_name"]


def as_loop(fitted: Any, name: str) -> ActiveAdaptationLoop:
    """Return a fitted loop, that of a session where one is given; anything else is an error about argument `name`."""
    if isinstance(fitted, AdaptationSession):
        loop = getattr(fitted, "loop_", None)
        return ActiveAdaptationLoop.from_session(fitted) if loop is None else loop
    if not isinstance(fitted, ActiveAdaptationLoop):
        raise TypeError(
            f"{name} must be a fitted ActiveAdaptationLoop or recipe, or an AdaptationSession; got "
            f"{type(fitted).__name__}."
        )
    check_is_fitted(fitted)
    return fitted


def as_session(fitted: Any, name: str) -> AdaptationSession:
    """Return the session of a fitted loop, or a session itself, its model trained."""
    session = fitted if isinstance(fitted, AdaptationSession) else as_loop(fitted, name).session_
    _ = session.estimator_  # trained first where that was interrupted
    return session


def loops_in(fitted: Any, name: str) -> list[ActiveAdaptationLoop]:
    """Return one or several loops or sessions as a list of loops, at least one."""
    several = list(fitted) if isinstance(fitted, list | tuple) else [fitted]
    if not several:
        raise ValueError(f"{name} holds no loop; give a fitted loop or session, or a list of them.")
    return [as_loop(one, name) for one in several]


def strategy_name(loop: ActiveAdaptationLoop) -> str:
    """Return the name of the class of a fitted loop's strategy."""
    return type(loop.strategy_).__name__
