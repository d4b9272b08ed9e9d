"""Turns of threads: methods of an object that run one at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["synchronized"]

Params = ParamSpec("Params")
Owner = TypeVar("Owner")
Result = TypeVar("Result")


def synchronized(
    method: Callable[Concatenate[Owner, Params], Result],
) -> Callable[Concatenate[Owner, Params], Result]:
    """Let calls of an object's methods take turns between threads, by the lock that is its ``_call_lock``."""

    @wraps(method)
    def in_turn(self: Any, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        with self._call_lock:
            return method(self, *args, **kwargs)

    return in_turn
