"""Simulate campaigns with audits: how often `TargetAccuracy` stops too early, and what stopping rules save.

``python benchmarks/stopping.py --data FOLDER`` buys 100 labels in 10 rounds, half of them audited, on the tasks of the
half ``report`` of `_robust_tasks.py` (at most 1000 rows of either domain, drawn by the seed), with a pipeline of
logistic regression and the loop's default strategy. The rules read the history of every campaign as they would in a
loop; the truth is the accuracy on target rows that were never bought.

* A *false stop*: `TargetAccuracy` stops where no model of the campaign is as good as it asks for. It asks for half a
  point more than the best of them has, which is the hardest case; and for 15 points less than the last one has, to
  see how often it stops at all.
* What rules save: labels bought until a rule stops, and accuracy lost against the whole budget. Beside the package's
  rules stand two criteria as published and as small-text has them by default: the mean of Cohen's kappa of successive
  predictions over three rounds is at least .99 (Bloodgood and Vijay-Shanker 2009), and no prediction changed (Zhu et
  al. 2008). Its third one, Delta-F, is for two classes.
* The price of audits: 50 labels in 5 rounds with and without ``audit=0.2``, accuracy on rows never bought.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import numpy as np
from _report import show
from _robust_candidates import MODELS
from _robust_tasks import HALVES, Task, load_task
from joblib import Parallel, delayed
from scipy.stats import binomtest

from skada_active import ActiveAdaptationLoop
from skada_active.loop.stopping import SmallGain, StablePredictions, StoppingRule, TargetAccuracy
from skada_active.metrics import mean_interval

History = list[dict[str, Any]]
MOST_ROWS, ABOVE, BELOW = 1000, 0.005, 0.15


class Never(StoppingRule):
    """Rule that never stops: a loop with it records what other rules read."""

    def _check(self, history: History) -> str | None:
        return None


def kappa_average(history: History) -> bool:
    """Return whether the mean kappa of the last three pairs of models is at least .99, as in small-text."""
    kappas = [entry["stability"]["kappa"] for entry in history[1:]]
    return len(kappas) >= 3 and float(np.mean(kappas[-3:])) >= 0.99


def classification_change(history: History) -> bool:
    """Return whether the last model predicts every row as the one before, as in small-text."""
    return len(history) > 1 and history[-1]["stability"]["changed"] == 0


CRITERIA: dict[str, Callable[[History], Any]] = {
    "SmallGain(points=1)": SmallGain(1).check,
    "SmallGain(points=3)": SmallGain(3).check,
    "StablePredictions()": StablePredictions().check,
    "StablePredictions(kappa=0.95)": StablePredictions(kappa=0.95).check,
    "kappa average": kappa_average,
    "classification change": classification_change,
}


def drawn(data: Path, task: Task, seed: int) -> tuple[Any, Any, Any]:
    X, y, sample_domain = load_task(data, task)
    rng = np.random.RandomState(seed)
    kept = [rng.permutation(np.flatnonzero(side))[:MOST_ROWS] for side in (sample_domain >= 0, sample_domain < 0)]
    rows = np.sort(np.concatenate(kept))
    return X[rows], y[rows], sample_domain[rows]


def stop_of(check: Callable[[History], Any], history: History) -> int | None:
    """Return the number of the round after which a rule stops."""
    return next((n for n in range(1, len(history)) if check(history[: n + 1])), None)


def campaign(data: Path, task: Task, seed: int) -> dict[str, Any]:
    X, y, sample_domain = drawn(data, task, seed)
    loop = ActiveAdaptationLoop(
        MODELS["logistic"](task), budget=100, n_rounds=10, audit=0.5, stopping=Never(), random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.fit(X, y, sample_domain=sample_domain)
    history = [loop.initial_, *loop.history_]
    truth = np.array([entry["accuracy"]["unqueried"] for entry in history])
    labels = [entry["n_queries"] for entry in history]
    found: dict[str, Any] = {
        "task": str(task),
        "false": stop_of(TargetAccuracy(min(1.0, truth.max() + ABOVE)).check, history) is not None,
        "above": truth.max() + ABOVE <= 1,
        "power": stop_of(TargetAccuracy(max(0.01, truth[-1] - BELOW)).check, history) is not None,
    }
    for name, check in CRITERIA.items():
        stop = stop_of(check, history)
        number = len(history) - 1 if stop is None else stop
        found[name] = (stop is not None, labels[number], 100 * (truth[-1] - truth[number]))
    return found


def price(data: Path, task: Task, seed: int, audit: float) -> float:
    X, y, sample_domain = drawn(data, task, seed)
    loop = ActiveAdaptationLoop(MODELS["logistic"](task), budget=50, n_rounds=5, audit=audit, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.fit(X, y, sample_domain=sample_domain)
    return 100 * loop.history_[-1]["accuracy"]["unqueried"]


def print_stops(rows: list[dict[str, Any]]) -> None:
    possible = [row for row in rows if row["above"]]
    by_task = [[row["false"] for row in possible if row["task"] == task] for task in {row["task"] for row in possible}]
    n_false = sum(row["false"] for row in possible)
    interval = binomtest(n_false, len(possible)).proportion_ci(method="wilson")
    print(
        f"\nTargetAccuracy, half a point above the best model: {n_false} false stops in {len(possible)} campaigns, "
        f"{n_false / len(possible):.1%} ({interval.low:.1%} to {interval.high:.1%}), "
        f"{max(map(np.mean, by_task)):.1%} on the worst task"
    )
    print(f"15 points below the last model: it stops in {np.mean([row['power'] for row in rows]):.0%}")
    lines = []
    for name in CRITERIA:
        stopped, labels, lost = (np.array([row[name][part] for row in rows], dtype=float) for part in range(3))
        of_task = [np.mean([row[name][2] for row in rows if row["task"] == task]) for task in {r["task"] for r in rows}]
        lines.append(
            [name, f"{stopped.mean():.0%}", f"{labels.mean():.0f}", f"{lost.mean():+.2f}", f"{max(of_task):+.1f}"]
        )
    show([["rule", "stops in", "labels bought", "points lost", "worst task"], *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=60, help="campaigns per task; 17 tasks")
    parser.add_argument("--price-seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    tasks = HALVES["report"]
    cells = [(task, seed) for seed in range(arguments.price_seeds) for task in tasks]
    for_price = Parallel(arguments.jobs)(
        delayed(price)(arguments.data, *cell, audit) for cell in cells for audit in (0.2, 0.0)
    )
    change = np.array(for_price).reshape(-1, len(tasks), 2) @ [1, -1]
    of_tasks = zip(tasks, map(mean_interval, change.T), strict=True)
    lines = [[str(task), f"{mean:+.1f} ± {half:.1f}"] for task, (mean, half) in of_tasks]
    show([["task", "audit=0.2 against none"], *lines])
    print("mean {:+.2f} ± {:.2f} over the tasks".format(*mean_interval(change.mean(axis=0))), flush=True)
    grid = [(task, seed) for seed in range(arguments.seeds) for task in tasks]
    print_stops(Parallel(arguments.jobs)(delayed(campaign)(arguments.data, *cell) for cell in grid))


if __name__ == "__main__":
    main()
