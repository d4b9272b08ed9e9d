"""Time what a journal costs: opening a session, asking, telling one answer, ending a round, and going on after a kill.

Run ``python benchmarks/session_speed.py``. One thread. The first table is of a session over 60,000 rows of 256 features
and 65 classes, once in memory and once with a journal on the disk of `--folder`; the network is AdaptationClassifier.
Medians over `--repeats` sessions in turns; of the single answers, over all of them. The second table is of sessions
with `--answers` answers that were told one by one in one round, and of 10,000 in ten rounds, of a naive Bayes model:
seconds per answer, and to open the session again. The third is of the fingerprint of a gigabyte, and of writing a
checkpoint of 10 MB fifty times.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import number, show
from sklearn.naive_bayes import GaussianNB

from skada_active import ActiveAdaptationLoop
from skada_active.deep import AdaptationClassifier
from skada_active.io.fingerprint import fingerprint
from skada_active.io.journal import Journal
from skada_active.query import MarginSampling, RandomSampling

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


def run(journal: Path | None) -> tuple[dict[str, float], list[float]]:
    """Return the seconds of every operation of one session, and those of every single answer."""
    X, y, sample_domain = make_data()
    known = np.where(sample_domain < 0, -1, y)
    loop = ActiveAdaptationLoop(
        AdaptationClassifier(max_epochs=1), MarginSampling(), budget=2000, n_rounds=10, round_epochs=1, random_state=0
    )

    def start() -> Any:
        return loop.session(X, known, sample_domain=sample_domain, journal=journal)

    session, opening = timed(start)
    ids, asking = timed(session.ask)
    answers = [timed(lambda row=row: session.tell(row, y[row]))[1] for row in ids[:-1]]
    _, ending = timed(lambda: session.tell(ids[-1], y[ids[-1]]))
    _, correcting = timed(lambda: session.correct(ids[0], (y[ids[0]] + 1) % CLASSES))
    session.close()
    again = timed(start)[1] if journal is not None else float("nan")
    return dict(zip(OPERATIONS, (opening, asking, float("nan"), ending, correcting, again), strict=True)), answers


def compare(folder: Path | None, repeats: int) -> None:
    """Print the table of a session in memory and one with a journal."""
    runs: dict[bool, list[tuple[dict[str, float], list[float]]]] = {False: [], True: []}
    for _, with_journal in itertools.product(range(repeats), runs):
        with tempfile.TemporaryDirectory(dir=folder) as parent:
            runs[with_journal].append(run(Path(parent) / "labels.db" if with_journal else None))
    columns = []
    for measured in runs.values():
        medians = {name: statistics.median(seconds[name] for seconds, _ in measured) for name in OPERATIONS}
        medians["tell one answer"] = statistics.median(second for _, answers in measured for second in answers)
        columns.append(medians)
    rows = [["operation", "in memory, ms", "with a journal, ms"]]
    for name in OPERATIONS:
        cells = [column[name] for column in columns]
        rows.append([name, *("" if np.isnan(cell) else number(1e3 * cell) for cell in cells)])
    show(rows)


def tell_one_by_one(path: Path, n_answers: int, n_rounds: int) -> tuple[float, float]:
    """Return the median seconds of an answer in a session of so many, and those of opening it again."""
    n = n_answers + 200
    X, y = np.random.default_rng(0).standard_normal((n, 8)), np.arange(n) % 3
    sample_domain = np.where(np.arange(n) < 200, 1, -1)
    loop = ActiveAdaptationLoop(GaussianNB(), RandomSampling(), budget=n_answers, n_rounds=n_rounds, random_state=0)

    def start() -> Any:
        return loop.session(X, np.where(sample_domain < 0, -1, y), sample_domain=sample_domain, journal=path)

    session, seconds = start(), []
    while len(ids := session.ask()):
        seconds += [timed(lambda row=row: session.tell(row, y[row]))[1] for row in ids]
    session.close()
    again, opening = timed(start)
    if again.queried_ids_.tolist() != session.queried_ids_.tolist():
        raise RuntimeError("the session did not come back.")
    again.close()
    return statistics.median(seconds), opening


def grow(folder: Path | None, answers: list[int]) -> None:
    """Print the table of sessions with many answers."""
    rows = [["answers", "rounds", "tell one, ms", "open again, s"]]
    for n_answers, n_rounds in [*((n, 1) for n in answers), (10_000, 10)]:
        with tempfile.TemporaryDirectory(dir=folder) as parent:
            telling, opening = tell_one_by_one(Path(parent) / "labels.db", n_answers, n_rounds)
        rows.append([str(n_answers), str(n_rounds), number(1e3 * telling), number(opening)])
    show(rows)


def write(folder: Path | None) -> None:
    """Print the table of the fingerprint and of checkpoints."""
    X = np.random.default_rng(0).standard_normal((500_000, 250))
    _, hashing = timed(lambda: fingerprint(X, np.zeros(len(X), dtype=int), np.zeros(len(X), dtype=int)))
    with tempfile.TemporaryDirectory(dir=folder) as parent, Journal(Path(parent) / "labels.db") as journal:
        journal.begin("start")
        models = [np.random.default_rng(number).bytes(10_000_000) for number in range(2)]
        writing = [timed(lambda k=k: journal.write_checkpoint(str(k), models[k % 2]))[1] for k in range(50)]
        size = journal.path.stat().st_size / 1e6
    rows = [["", "measured"], ["fingerprint of an array, s per GB", number(hashing * 1e9 / X.nbytes)]]
    rows += [["checkpoint of 10 MB, ms", number(1e3 * statistics.median(writing))]]
    show([*rows, ["file after 50 of them, MB", number(size)]])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--answers", type=int, nargs="*", default=[8_000, 16_000, 32_000])
    parser.add_argument("--folder", type=Path, default=None, help="where the journals are written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    compare(options.folder, options.repeats)
    grow(options.folder, options.answers)
    write(options.folder)


if __name__ == "__main__":
    main()
