"""Time what a journal costs: opening a session, asking, telling one answer, ending a round, and going on after a kill.

Run ``python benchmarks/session_speed.py``. One thread. A session over 60,000 rows of 256 features and 65 classes, once
in memory and once with a journal on the disk of `--folder`; the network is AdaptationClassifier. Medians over
`--repeats` sessions; of the single answers, over all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import number, show

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.query import MarginSampling

ROWS, SOURCE_ROWS, FEATURES, CLASSES = 60_000, 5_000, 256, 65
OPERATIONS = ("open", "ask 200 rows", "tell one answer", "end a round", "correct an answer", "open again")


def make_data() -> tuple[Any, Any, Any]:
    """Return X, y and sample_domain."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, ROWS)
    X = rng.standard_normal((ROWS, FEATURES), dtype=np.float32)
    X[np.arange(ROWS), y] += 4
    return X, y, np.where(np.arange(ROWS) < SOURCE_ROWS, 1, -1)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and its seconds."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def run(folder: Path | None) -> tuple[dict[str, float], list[float]]:
    """Return the seconds of every operation of one session, and those of every single answer."""
    X, y, sample_domain = make_data()
    known = np.where(sample_domain < 0, -1, y)
    loop = ActiveAdaptationLoop(
        AdaptationClassifier(max_epochs=1), MarginSampling(), budget=2000, n_rounds=10, round_epochs=1, random_state=0
    )

    def start() -> Any:
        return loop.session(X, known, sample_domain=sample_domain, journal=folder)

    session, opening = timed(start)
    ids, asking = timed(session.ask)
    answers = [timed(lambda row=row: session.tell(row, y[row]))[1] for row in ids[:-1]]
    _, ending = timed(lambda: session.tell(ids[-1], y[ids[-1]]))
    _, correcting = timed(lambda: session.correct(ids[0], (y[ids[0]] + 1) % CLASSES))
    session.close()
    again = timed(start)[1] if folder is not None else float("nan")
    return dict(zip(OPERATIONS, (opening, asking, float("nan"), ending, correcting, again), strict=True)), answers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where the journals are written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns: list[dict[str, float]] = []
    for with_journal in (False, True):
        runs = []
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                runs.append(run(Path(folder) if with_journal else None))
        medians = {name: statistics.median(seconds[name] for seconds, _ in runs) for name in OPERATIONS}
        medians["tell one answer"] = statistics.median(second for _, answers in runs for second in answers)
        columns.append(medians)
    rows = [["operation", "in memory, ms", "with a journal, ms"]]
    for name in OPERATIONS:
        cells = [column[name] for column in columns]
        rows.append([name, *("" if np.isnan(cell) else number(1e3 * cell) for cell in cells)])
    show(rows)


if __name__ == "__main__":
    main()
