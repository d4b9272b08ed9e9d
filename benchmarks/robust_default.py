"""Compare query strategies on many real shifts with three models: what the loop's default is, and how it was chosen.

``python benchmarks/robust_default.py --data FOLDER`` reads archives with ``X_<domain>`` and ``y_<domain>`` from a
folder (`_robust_tasks.py` names them, and how many rows are taken) and buys 50 labels in 5 rounds with a pipeline of
logistic regression, with `HistGradientBoostingClassifier` and with `AdaptationClassifier`. The tasks come in two halves
that were named before the first run: ``choose``, by which the default was chosen, and ``report``, which measures it.

Printed for each half and model: the mean accuracy of a strategy over the tasks, its difference from random rows (pairs
of the same task and seed), its worst task against random rows with the interval over the seeds (95 %, Student's t), and
on how many tasks it is more than a point below random rows even at the upper end of that interval. Then the bought rows
at the weight of all source rows together (``target_weight="balanced"``), pooled with them, and alone.

Each run is a line in ``--results``, known by task, model, strategy, weight, rounds, seed and settings, which change
with any parameter: a benchmark that was interrupted goes on where it stopped. What a model cannot supply to a strategy
(columns with gaps, for distances) is recorded as such and counted. Change `VERSION` when the package computes something
else with the same parameters.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import numpy as np
import torch
from _report import digest_of, read_results, show
from _robust_candidates import MODELS, STRATEGIES
from _robust_tasks import HALVES, Task, load_task
from joblib import Parallel, delayed
from sklearn.base import clone

from skada_active import ActiveAdaptationLoop
from skada_active.metrics import area_under_curve, mean_interval
from skada_active.query import default_strategy

Row = dict[str, Any]
VERSION = 1
BUDGET = 50
WEIGHTS = {"balanced": "balanced", "pooled": None}
KEY = ("task", "model", "strategy", "weight", "rounds", "seed", "settings")
FIGURES = {"unqueried": "never queried", "transductive": "all target rows", "area": "area under the curve"}
TASKS = {str(task): task for tasks in HALVES.values() for task in tasks}


def key_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def make_loop(task: Task, key: Row) -> ActiveAdaptationLoop:
    return ActiveAdaptationLoop(
        MODELS[key["model"]](task),
        STRATEGIES[key["strategy"]](),
        budget=BUDGET,
        n_rounds=key["rounds"],
        target_weight=WEIGHTS[key["weight"]],
        random_state=key["seed"],
    )


def wanted_runs(arguments: argparse.Namespace) -> list[Row]:
    """Return the keys of the runs, seed after seed, so that the first seeds make a table by themselves."""
    runs = []
    tasks = [task for half in arguments.halves for task in HALVES[half]]
    for seed, model, strategy, weight, task in itertools.product(
        range(arguments.first_seed, arguments.first_seed + arguments.seeds),
        arguments.models,
        arguments.strategies,
        arguments.weights,
        tasks,
    ):
        if model == "network" and weight != arguments.weights[0]:
            continue  # domain-aware: its batches balance the roles whatever the weight
        key = {"task": str(task), "model": model, "strategy": strategy, "weight": weight}
        key |= {"rounds": arguments.rounds, "seed": seed}
        loop = make_loop(task, key)
        if loop.strategy is None:  # runs of another default are no runs of this one
            loop.strategy = default_strategy(loop.estimator)
        runs.append({**key, "settings": f"{VERSION}-{digest_of(loop)}"})
    return runs


def bought_alone(loop: ActiveAdaptationLoop, X: Any, y: np.ndarray, unqueried: np.ndarray, model: Any) -> float:
    """Return the accuracy on rows never queried of the model fitted on the bought rows alone."""
    bought = loop.queried_ids_
    if len(np.unique(y[bought])) == 1:
        return float(np.mean(y[unqueried] == y[bought[0]]))
    alone = clone(model).fit(X[bought], y[bought])
    return float(np.mean(alone.predict(X[unqueried]) == y[unqueried]))


def run(folder: Path, key: Row) -> Row:
    """Return the row of results of a run, or of the reason why there is none."""
    torch.set_num_threads(1)
    task, start = TASKS[key["task"]], time.perf_counter()
    X, y, sample_domain = load_task(folder, task)
    loop = make_loop(task, key)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.fit(X, y, sample_domain=sample_domain)
            figures = {name: loop.learning_curve(name)[1].tolist() for name in ("transductive", "unqueried")}
            labels, curve = loop.learning_curve("transductive")
            if key["model"] != "network" and key["strategy"] == "random":
                unqueried = np.setdiff1d(np.flatnonzero(sample_domain < 0), loop.queried_ids_)
                figures["alone"] = bought_alone(loop, X, y, unqueried, MODELS[key["model"]](task))
    except ValueError as error:
        return {**key, "unavailable": f"{error}"[:200]}
    row = {**key, **{name: round(np.ravel(values)[-1], 5) for name, values in figures.items()}}
    row |= {"before": round(curve[0], 5), "area": round(area_under_curve(labels, curve), 5)}
    return {**row, "strategy_": repr(loop.strategy_), "seconds": round(time.perf_counter() - start, 2)}


def run_missing(wanted: list[Row], arguments: argparse.Namespace, done: list[Row]) -> None:
    with arguments.results.open("a") as file:
        runs = Parallel(arguments.jobs, return_as="generator_unordered")(
            delayed(run)(arguments.data, key) for key in wanted
        )
        for number, row in enumerate(runs, 1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
            if number % 50 == 0 or number == len(wanted):
                print(f"{number} of {len(wanted)} runs", flush=True)


def paired(rows: list[Row], figure: str) -> dict[tuple[str, str], dict[int, float]]:
    """Return, per strategy and task, the figure in % by seed."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if "unavailable" not in row:
            found.setdefault((row["strategy"], row["task"]), {})[row["seed"]] = 100 * row[figure]
    return found


def gains_by_task(found: dict[tuple[str, str], dict[int, float]], strategy: str) -> dict[str, np.ndarray]:
    """Return, per task, the differences from random rows of the seeds that both have."""
    gains = {}
    for (name, task), values in found.items():
        other = found.get(("random", task), {})
        if name == strategy and (seeds := sorted(values.keys() & other.keys())):
            gains[task] = np.array([values[seed] - other[seed] for seed in seeds])
    return gains


def summary(found: dict[tuple[str, str], dict[int, float]], strategy: str, tasks: list[str]) -> list[str]:
    """Return a strategy's line: mean, difference from random rows, the worst task, tasks that are too low, missing."""
    means = [np.mean(list(found[strategy, task].values())) for task in tasks if (strategy, task) in found]
    gains = gains_by_task(found, strategy)
    if not gains:
        return [strategy, "", "", "", "", str(len(tasks))]
    of_tasks = {task: mean_interval(values) if len(values) > 1 else (values[0], 0.0) for task, values in gains.items()}
    overall = [mean for mean, _ in of_tasks.values()]
    mean, half = mean_interval(overall) if len(overall) > 1 else (overall[0], 0.0)
    worst = min(of_tasks, key=lambda task: of_tasks[task][0])
    too_low = sum(mean + half < -1 for mean, half in of_tasks.values())
    low = f"{of_tasks[worst][0]:+.1f} ± {of_tasks[worst][1]:.1f} ({worst})" if strategy != "random" else ""
    change = f"{mean:+.2f} ± {half:.2f}" if strategy != "random" else ""
    return [strategy, f"{np.mean(means):.2f}", change, low, str(too_low), str(len(tasks) - len(gains))]


def print_half(rows: list[Row], half: str, arguments: argparse.Namespace) -> None:
    tasks = [str(task) for task in HALVES[half]]
    for model, weight, figure in itertools.product(arguments.models, arguments.weights, arguments.figures):
        own = [row for row in rows if row["task"] in tasks and (row["model"], row["weight"]) == (model, weight)]
        found = paired(own, figure)
        names = [name for name in arguments.strategies if any(row["strategy"] == name for row in own)]
        if names:
            lines = [summary(found, name, tasks) for name in names]
            lines.sort(key=lambda line: -float(line[1] or 0))
            print(f"\n{half}, {model}, {weight}: {FIGURES[figure]}, in %, {len(tasks)} tasks")
            show([["query", "mean", "above random", "worst task against random", "too low", "n/a"], *lines])


def weight_line(rows: list[Row], model: str, strategy: str) -> list[str]:
    """Return the line of a model and strategy, by the runs that have both weights; an empty one without any."""
    own = [row for row in rows if (row["model"], row["strategy"]) == (model, strategy) and "unavailable" not in row]
    found: dict[str, dict[tuple[str, int], Row]] = {weight: {} for weight in WEIGHTS}
    for row in own:
        found[row["weight"]][row["task"], row["seed"]] = row
    runs = sorted(found["balanced"].keys() & found["pooled"].keys())
    if not runs:
        return []
    balanced, pooled = ({run: 100 * found[weight][run]["unqueried"] for run in runs} for weight in WEIGHTS)
    alone = [100 * found["pooled"][run]["alone"] for run in runs if "alone" in found["pooled"][run]]
    gains: dict[str, list[float]] = {}
    for task, seed in runs:
        gains.setdefault(task, []).append(balanced[task, seed] - pooled[task, seed])
    by_task = [float(np.mean(values)) for values in gains.values()]
    mean, half = mean_interval(by_task) if len(by_task) > 1 else (by_task[0], 0.0)
    cells = [f"{np.mean(list(values.values())):.2f}" for values in (balanced, pooled)]
    return [
        model,
        strategy,
        *cells,
        f"{np.mean(alone):.2f}" if alone else "",
        f"{mean:+.2f} ± {half:.2f}",
        f"{min(by_task):+.1f}",
    ]


def print_weights(rows: list[Row], half: str, arguments: argparse.Namespace) -> None:
    """Print how the bought rows count: at equal total weight, pooled, alone."""
    tasks = {str(task) for task in HALVES[half]}
    own = [row for row in rows if row["task"] in tasks]
    pairs = itertools.product(arguments.models, arguments.strategies)
    if lines := [line for pair in pairs if (line := weight_line(own, *pair))]:
        print(f"\n{half}: how the bought rows count, accuracy on rows never queried, in %")
        show([["model", "query", "balanced", "pooled", "alone", "balanced - pooled", "worst task"], *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/robust_default.jsonl"))
    parser.add_argument("--half", default="choose", choices=[*HALVES, "both"])
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES), choices=list(STRATEGIES), metavar="NAME")
    parser.add_argument("--weights", nargs="*", default=["balanced"], choices=list(WEIGHTS))
    parser.add_argument("--figures", nargs="*", default=["unqueried"], choices=list(FIGURES))
    parser.add_argument("--rounds", type=int, default=5, help="in how many rounds the labels are bought")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="print the number of runs, run none")
    arguments = parser.parse_args()
    arguments.halves = list(HALVES) if arguments.half == "both" else [arguments.half]
    done = read_results(arguments.results)
    known = {key_of(row) for row in done}
    wanted = wanted_runs(arguments)
    missing = [key for key in wanted if key_of(key) not in known]
    print(f"{len(wanted)} runs, {len(missing)} to go", flush=True)
    if arguments.dry_run:
        return
    run_missing(missing, arguments, done)
    asked = {key_of(key) for key in wanted}
    rows = [row for row in done if key_of(row) in asked]
    for half in arguments.halves:
        print_half(rows, half, arguments)
        print_weights(rows, half, arguments)


if __name__ == "__main__":
    main()
