"""What the benchmarks share: resumable results and intervals."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skada_active.metrics import mean_interval


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the finished runs of a file of JSON lines; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(values: ArrayLike) -> str:
    """Return the mean of shares in %, with its 95 % interval (Student's t) where there are two or more."""
    percent = 100 * np.asarray(values)
    return f"{percent.mean():5.1f}" if len(percent) == 1 else "{:5.1f} ± {:4.1f}".format(*mean_interval(percent))


def number(value: float | None) -> str:
    """Return a number with about three digits, an empty text for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(rows: list[list[str]]) -> None:
    """Print a table, the first row of which is its head, as reStructuredText."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = "  ".join("=" * width for width in widths)
    head, *lines = [
        "  ".join((cell or "\\").ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    print("\n".join(["", border, head.rstrip(), border, *map(str.rstrip, lines), border]), flush=True)


def digest_of(model: Any) -> str:
    """Return a short text that changes with any parameter of an estimator, of what it builds and of its parts.

    Parameters of all levels count, the defaults too; functions count by their names, and `random_state` does not.
    """
    parts = {"": model, **{name: getattr(model, name) for name in ("estimator", "strategy") if hasattr(model, name)}}
    params = {
        f"{part}.{name}": _described(value)
        for part, estimator in parts.items()
        if hasattr(estimator, "get_params")
        for name, value in estimator.get_params(deep=True).items()
        if not name.endswith("random_state")
    }
    return hashlib.sha256(json.dumps([type(model).__name__, params], sort_keys=True).encode()).hexdigest()[:10]


def _described(value: Any) -> str:
    if hasattr(value, "get_params"):
        return type(value).__name__  # its parameters are listed by themselves
    return value.__qualname__ if callable(value) and hasattr(value, "__qualname__") else repr(value)


def seconds_left(wanted: list[dict[str, Any]], done: list[dict[str, Any]], n_jobs: int) -> float:
    """Return about how many seconds the wanted runs take, by the means of those that were like them; NaN without any.

    A run is like another in method and task, or else in protocol and task, protocol, or not at all.
    """
    names = [("protocol", "method", "task"), ("protocol", "task"), ("protocol",), ()]
    seen: dict[Any, list[float]] = {}
    for row, level in itertools.product(done, names):
        seen.setdefault(tuple((name, row[name]) for name in level), []).append(row["seconds"])
    means = {key: float(np.mean(seconds)) for key, seconds in seen.items()}
    keys = ((tuple((name, row[name]) for name in level) for level in names) for row in wanted)
    return sum(next((means[key] for key in row if key in means), np.nan) for row in keys) / n_jobs


def clock(seconds: float) -> str:
    """Return a duration as hours and minutes."""
    return "unknown" if np.isnan(seconds) else f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
