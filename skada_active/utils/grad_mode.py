"""Grad mode of torch, kept whatever ends a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["keeps_grad_mode"]

P = ParamSpec("P")
T = TypeVar("T")


def keeps_grad_mode(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function such that torch's gradients are on or off after a call as they were before it.

    An interrupt may come at any step of Python code, and so between those by which `torch.no_grad`, which even copies
    of tensors use, puts back what it changed: gradients would stay off for good. One call of C restores them here.
    """

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        torch = sys.modules.get("torch")  # imported by those who need it
        mode = True if torch is None else torch.is_grad_enabled()
        try:
            return function(*args, **kwargs)
        finally:
            torch = torch or sys.modules.get("torch")
            if torch is not None:
                torch._C._set_grad_enabled(mode)

    return kept
