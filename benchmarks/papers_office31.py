"""Run the tables of LADA, SDM, GSDA and SAGE on the six Office-31 tasks, the papers' figures beside ours.

``python benchmarks/papers_office31.py --data office31_efficientnet_lite0.npz`` reads an archive with ``X_<domain>`` and
``y_<domain>`` for amazon, dslr and webcam (rows are scaled to Euclidean length 10), and ``class_names``. Rows are
recipes as shipped: 5 % of the target labels in five rounds, accuracy over all target rows (transductive). ``--tables``
takes some of the tables, ``--dry-run`` prints how many runs they need.

A row of several tables runs once. Each run is a line in ``--results``, known by protocol, method, task, seed and
settings, which change with any parameter of the method: a benchmark that was interrupted goes on where it stopped, and
results of other defaults stay out of its tables. Change `VERSION` when the package computes something else with the
same parameters. A run that fails is reported, and tried again the next time.
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
from _papers_protocols import is_task, make_model, run_protocol
from _papers_tables import TABLES, Table
from _report import clock, digest_of, interval, read_results, seconds_left
from joblib import Parallel, delayed

Row = dict[str, Any]
VERSION = 1
DOMAINS = ("amazon", "dslr", "webcam")
TASKS = [f"{source} -> {target}" for source, target in itertools.permutations(DOMAINS, 2)]
KEY = ("protocol", "method", "task", "seed", "batch_statistics", "settings")
WITHOUT_LABELS = ("unlabeled", "partial")
#: Figures of a run that a protocol's table shows, with their headings; the last column is shown by task, too.
COLUMNS = {
    "active": {"before": "before", "unqueried": "never queried", "after": "after"},
    "inductive": {"before": "before", "after": "after", "area": "area"},
    "timing": {"milliseconds": "ms"},
    **{protocol: {"accuracy": "accuracy"} for protocol in WITHOUT_LABELS},
}
COLUMNS["active10"] = COLUMNS["active"]


def protocol_of(table: Table) -> str:
    return "active" if table.protocol == "curve" else table.protocol


def statistics_of(protocol: str, arguments: argparse.Namespace) -> list[str | None]:
    """Return the ways of batch normalisation that a protocol compares; None: as the recipe ships it."""
    if protocol not in WITHOUT_LABELS:
        return [None]
    return ["mixed", "per_domain"] if arguments.batch_statistics == "both" else [arguments.batch_statistics]


def runs_of(table: Table, arguments: argparse.Namespace) -> list[Row]:
    """Return the keys of the runs of a table, seed after seed, so that the first seeds make a table by themselves."""
    protocol = protocol_of(table)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    methods = [method for method in table.rows if not arguments.methods or method in arguments.methods]
    runs = []
    for seed, method, task, statistics in itertools.product(
        seeds, methods, arguments.tasks, statistics_of(protocol, arguments)
    ):
        source, target = task.split(" -> ")
        if is_task(protocol, source, target):
            settings = f"{VERSION}-{digest_of(make_model(protocol, method, target, statistics))}"
            runs.append(dict(zip(KEY, (protocol, method, task, seed, statistics, settings), strict=True)))
    return runs


def key_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def run(path: Path, key: Row) -> Row:
    """Return the row of results of a run, or of its error."""
    torch.set_num_threads(1)
    source, target = key["task"].split(" -> ")
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make_model(key["protocol"], key["method"], target, key["batch_statistics"])
            figures = run_protocol(key["protocol"], model, path, source, target, key["seed"])
    except Exception as error:  # one row must not end the night
        return {**key, "error": f"{type(error).__name__}: {error}"}
    return {**key, **figures, "seconds": round(time.perf_counter() - start, 2)}


def run_missing(wanted: list[Row], done: list[Row], arguments: argparse.Namespace) -> None:
    """Run what is wanted and append it to the results and to `done`; the clock runs for one process alone."""
    timed = [key for key in wanted if key["protocol"] == "timing"]
    others = [key for key in wanted if key["protocol"] != "timing"]
    waiting = {key_of(key): key for key in wanted}
    with arguments.results.open("a") as file:
        for keys, n_jobs in ((others, arguments.jobs), (timed, 1)):
            tasks = (delayed(run)(arguments.data, key) for key in keys)
            for row in Parallel(n_jobs, return_as="generator_unordered")(tasks):
                del waiting[key_of(row)]
                name = f"{row['protocol']}, {row['method']}, {row['task']}, seed {row['seed']}"
                if "error" in row:
                    print(f"FAILED {name}: {row['error']}", flush=True)
                    continue
                file.write(json.dumps(row) + "\n")
                file.flush()
                done.append(row)
                left = clock(seconds_left(list(waiting.values()), done, arguments.jobs))
                print(f"{len(waiting)} runs to go, about {left}: {name}, {row['seconds']:.0f} s", flush=True)


def by_seed(rows: list[Row], name: str, n_tasks: int) -> list[float]:
    """Return the mean over the tasks of each seed that ran on all of them."""
    seeds = sorted({row["seed"] for row in rows})
    values = [[row[name] for row in rows if row["seed"] == seed] for seed in seeds]
    return [float(np.mean(of_seed)) for of_seed in values if len(of_seed) == n_tasks]


def print_table(table: Table, runs: list[Row], results: dict[Any, Row], tasks: list[str]) -> None:
    protocol = protocol_of(table)
    columns = COLUMNS[protocol]
    tasks = [task for task in tasks if is_task(protocol, *task.split(" -> "))]
    ways = list(dict.fromkeys(key["batch_statistics"] for key in runs))
    heads = [f"{head}{f', {way}' if way else ''}" for way in ways for head in columns.values()]
    print(f"\n{table.title}\n\n| {' | '.join(['Method', 'seeds', *heads, 'paper', *tasks])} |")
    print("|---" * (3 + len(heads) + len(tasks)) + "|")
    for method in dict.fromkeys(key["method"] for key in runs):
        cells = []
        for way in ways:
            keys = [key for key in runs if (key["method"], key["batch_statistics"]) == (method, way)]
            rows = [results[key_of(key)] for key in keys if key_of(key) in results]
            means = {name: by_seed(rows, name, len(tasks)) for name in columns}
            scale = 0.01 if protocol == "timing" else 1  # `interval` shows per cent
            cells += [interval(np.multiply(scale, values)) if values else "" for values in means.values()]
        paper = table.rows[method]
        last = [[row[name] for row in rows if row["task"] == task] for name in [[*columns][-1]] for task in tasks]
        by_task = [f"{100 * scale * np.mean(values):.1f}" if values else "" for values in last]
        n_seeds = len(means[[*columns][-1]])
        print(f"| {' | '.join([method, str(n_seeds), *cells, '' if paper is None else str(paper), *by_task])} |")
    print(f"\n{table.note}" if table.note else "", flush=True)


def print_curves(table: Table, runs: list[Row], results: dict[Any, Row], tasks: list[str]) -> None:
    """Print the accuracy after each purchase, mean over tasks and seeds; the epochs are those trained by then."""
    print(f"\n{table.title}\n")
    for number, method in enumerate(dict.fromkeys(key["method"] for key in runs)):
        loop = make_model(protocol_of(table), method, "", None)
        epochs = np.cumsum([loop.max_epochs, *np.broadcast_to(loop.round_epochs, loop.n_rounds)])
        if not number:
            print(f"| Method | {' | '.join(f'{epoch} epochs' for epoch in epochs)} |\n{'|---' * (len(epochs) + 1)}|")
        keys = [key for key in runs if key["method"] == method and key_of(key) in results]
        rows = [{**results[key_of(key)], "points": dict(enumerate(results[key_of(key)]["curve"]))} for key in keys]
        points = [[{**row, "point": row["points"][k]} for row in rows] for k in range(len(epochs))]
        cells = [interval(values) if (values := by_seed(of, "point", len(tasks))) else "" for of in points]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/papers_office31.jsonl"))
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--methods", nargs="*", default=[], help="rows of the tables; none named: all")
    parser.add_argument("--tasks", nargs="*", default=TASKS, choices=TASKS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=2, help="0 and 1 are those that settings were chosen on")
    parser.add_argument("--batch-statistics", default="both", choices=["per_domain", "mixed", "both"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="print the number of runs of each table, run none")
    arguments = parser.parse_args()
    done = read_results(arguments.results)
    runs = {name: runs_of(TABLES[name], arguments) for name in arguments.tables}
    known = {key_of(row) for row in done}
    wanted = list({key_of(key): key for keys in runs.values() for key in keys if key_of(key) not in known}.values())
    wanted.sort(key=lambda key: key["seed"])
    if arguments.dry_run:
        for name, keys in runs.items():
            print(f"{name:<9} | {len(keys):>5} runs, {sum(key_of(key) not in known for key in keys):>5} to go")
        left = clock(seconds_left(wanted, done, arguments.jobs))
        print(f"{len(wanted)} to go in all, each once; about {left} in {arguments.jobs} processes")
        return
    run_missing(wanted, done, arguments)
    results = {key_of(row): row for row in done}
    for name, keys in runs.items():
        show = print_curves if TABLES[name].protocol == "curve" else print_table
        show(TABLES[name], keys, results, arguments.tasks)


if __name__ == "__main__":
    main()
