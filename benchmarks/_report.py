"""What the benchmarks share: resumable results and intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the finished runs of a file of JSON lines; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(values: ArrayLike) -> str:
    """Return the mean of shares in %, with its 95 % interval (Student's t)."""
    values = np.asarray(values)
    n = len(values)
    half = student_t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return f"{100 * values.mean():5.1f} ± {100 * half:4.1f}"


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
