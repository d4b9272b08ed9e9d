"""Checks of the generators' arguments; scikit-learn is imported only when a generator runs."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import RandomState

__all__ = ["check_class_sizes", "check_number", "check_sizes", "seeded"]


def check_sizes(min_val: int = 1, /, **sizes: int) -> None:
    """Require integers of at least ``min_val``, passed by the name under which an error speaks of them."""
    from sklearn.utils import check_scalar

    for name, size in sizes.items():
        check_scalar(size, name, Integral, min_val=min_val)


def check_class_sizes(n_classes: int, **sizes: int) -> None:
    """Require at least two classes, and domains with at least as many rows as classes."""
    check_sizes(2, n_classes=n_classes)
    check_sizes(n_classes, **sizes)


def check_number(value: float, name: str, *, above: float | None = None, at_least: float | None = None) -> None:
    """Require a finite real number, above or at least at a bound."""
    from sklearn.utils import check_scalar

    bound, sides = (above, "neither") if above is not None else (at_least, "both")
    check_scalar(value, name, Real, min_val=bound, include_boundaries=sides)
    if not np.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")


def seeded(random_state: int | RandomState | None) -> RandomState:
    """Return the random generator that ``random_state`` stands for."""
    from sklearn.utils import check_random_state

    return check_random_state(random_state)
