"""Turn-taking of threads that call the methods of one object."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["in_turn"]

P = ParamSpec("P")
R = TypeVar("R")


def in_turn(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let calls of an object's methods take turns between threads, by the lock that is its attribute ``_turn``."""

    @wraps(method)
    def taking_turns(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._turn:
            return method(self, *args, **kwargs)

    return taking_turns
