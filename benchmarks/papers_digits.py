"""Run GALA, its ablations and other query strategies on digits from four sources, and print accuracies.

``python benchmarks/papers_digits.py --data digits.npz`` reads an archive with ``X_<domain>`` (bytes, (n, 28, 28) or
(n, 28, 28, 3)) and ``y_<domain>`` for mnist, usps, mnistm, optdigits and synth, and adapts the four others to mnistm,
then to synth: on the labelled rows alone (S+T), with DANN and with M3SDA underneath. 1 % of the target labels is bought
in one round, with ``--rounds`` in several, and after the first purchase the model trains for `--epochs` either way.

It is made for one core. A fixed part of the rows is used, with pixels averaged two by two, and all strategies of a base
and a seed go on from copies of one first model, so that their differences are paired. AADA and D3GU read a domain
discriminator; on bases that have none, they go on from a model with one that sends nothing back. Each run is a line in
``--results``, so that an interrupted benchmark goes on where it stopped; results of other parameters stay out of the
tables, and `VERSION` is to be changed when the package computes something else with the same ones. ``--tune`` prints
instead how accurate the bases are before any label, in several settings, on rows that the comparison leaves out.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import clock, digest_of, interval, read_results
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skada_active.deep import DANN, M3SDA, AdaptationClassifier, Objective
from skada_active.domains import mask_target
from skada_active.loop import BudgetSchedule
from skada_active.query import (
    AADA,
    BADGE,
    CLUE,
    D3GU,
    GALA,
    EntropySampling,
    MarginSampling,
    QueryStrategy,
    RandomSampling,
)

VERSION = 1
DOMAINS = ("mnist", "usps", "mnistm", "optdigits", "synth")
TARGET = -5
FIRST_EPOCHS = 10
BASES = {"S+T": None, "DANN": DANN(discriminator="per_source", max_reversal=0.03), "M3SDA": M3SDA(trade_off=0.01)}
#: What tells the domains apart for the strategies that read a discriminator, on bases that have none.
WATCHING = DANN(discriminator="per_source", max_reversal=0.0)
METHODS = {
    "random": RandomSampling(),
    "entropy": EntropySampling(),
    "margin": MarginSampling(),
    "BADGE": BADGE(),
    "AADA": AADA(),
    "CLUE": CLUE(temperature=1.0),
    "D3GU": D3GU(),
    "GALA": GALA(),
    "GALA global": GALA(mode="global"),
    "GALA local": GALA(mode="local"),
}
ALPHAS = {f"GALA {alpha}": GALA(alpha=alpha) for alpha in (0.2, 0.4, 0.8)}
SETTINGS = {
    "S+T": None,
    **{f"DANN {value}": DANN(discriminator="per_source", max_reversal=value) for value in (0.01, 0.03, 0.1, 0.3, 1.0)},
    **{f"M3SDA {value}": M3SDA(trade_off=value) for value in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)},
}
MEASURES = ("before", "after", "unqueried")
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def load_task(arguments: argparse.Namespace, target: str) -> Data:
    """Return images (n, 3, size, size) as bytes, labels and domains; for ``--tune`` other rows than otherwise."""
    rng = np.random.RandomState(0)
    X, y, sample_domain = [], [], []
    with np.load(arguments.data, allow_pickle=False) as archive:
        for number, domain in enumerate([*(name for name in DOMAINS if name != target), target], start=1):
            is_target = domain == target
            labels = archive[f"y_{domain}"].astype(np.int64)
            n = arguments.target_rows if is_target else arguments.rows
            rows = rng.permutation(len(labels))
            rows = rows[:n] if not arguments.tune else rows[n:] if is_target else rows[n : 2 * n]
            X.append(as_colour(archive[f"X_{domain}"][rows], arguments.size))
            y.append(labels[rows])
            sample_domain.append(np.full(len(rows), TARGET if is_target else number))
    return np.concatenate(X), np.concatenate(y), np.concatenate(sample_domain)


def as_colour(images: np.ndarray, size: int) -> np.ndarray:
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=-1)
    width = 28 // size
    blocks = colour.transpose(0, 3, 1, 2).reshape(len(images), 3, size, width, size, width)
    return blocks.mean(axis=(3, 5)).round().astype(np.uint8)


def is_watched(base: str, method: str) -> bool:
    """Tell whether a strategy reads a discriminator that its base does not train."""
    return base != "DANN" and not {"source_logit", "domain_grad"}.isdisjoint((METHODS | ALPHAS)[method].needs)


def base_objective(base: str, watched: bool) -> Any:
    parts = [part for part in (BASES[base], WATCHING if watched else None) if part is not None]
    return sum(parts[1:], start=parts[0]) if parts else None


def untrained(objective: Objective | None) -> AdaptationClassifier:
    return AdaptationClassifier(objective, max_epochs=FIRST_EPOCHS)


def settings_of(base: str, method: str) -> str:
    """Return what changes with any parameter of a base and a strategy."""
    model = untrained(base_objective(base, is_watched(base, method)))
    return f"{VERSION}-{digest_of(model)}-{digest_of((METHODS | ALPHAS)[method])}"


def first_model(objective: Objective | None, data: Data, seed: int) -> AdaptationClassifier:
    X, y, sample_domain = data
    model = untrained(objective).set_params(random_state=seed)
    return model.fit(X, mask_target(y, sample_domain), sample_domain)


def adapt(
    model: AdaptationClassifier, strategy: QueryStrategy, data: Data, rounds: list[int], epochs: int, seed: int
) -> np.ndarray:
    """Buy labels and train `model` on, as `ActiveAdaptationLoop` would; return the labels known in the end."""
    X, y, sample_domain = data
    known = mask_target(y, sample_domain)
    for number, size in enumerate(rounds):
        strategy = clone(strategy).set_params(estimator=FrozenEstimator(model), random_state=100 * seed + number)
        ids = strategy.fit(X, known, sample_domain).query(size)
        known[ids] = y[ids]
        model.partial_fit(X, known, sample_domain, epochs=epochs)
    return known


def run(arguments: argparse.Namespace, target: str, base: str, seed: int, methods: list[str]) -> list[dict[str, Any]]:
    """Return a row of results for each method; all go on from one first model, or from that with a discriminator."""
    torch.set_num_threads(1)
    data = load_task(arguments, target)
    X, y, sample_domain = data
    is_target = sample_domain < 0
    rounds = BudgetSchedule(arguments.budget, arguments.rounds).rounds(int(is_target.sum()))
    watched = sorted({is_watched(base, method) for method in methods})
    firsts = {kind: first_model(base_objective(base, kind), data, seed) for kind in watched}
    rows = []
    for method in methods:
        first = firsts[is_watched(base, method)]
        before = first.score(X[is_target], y[is_target])
        model = copy.deepcopy(first)
        known = adapt(model, (METHODS | ALPHAS)[method], data, rounds, arguments.epochs // len(rounds), seed)
        is_right = model.predict(X[is_target]) == y[is_target]
        row = {"before": before, "after": is_right.mean(), "unqueried": is_right[known[is_target] < 0].mean()}
        key = {"target": target, "base": base, "method": method, "seed": seed, "settings": settings_of(base, method)}
        rows.append({**protocol(arguments), **key, **row})
    return rows


def protocol(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("rows", "target_rows", "size", "budget", "rounds", "epochs")
    return {name: getattr(arguments, name) for name in names}


def missing_tasks(arguments: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for seed, base, target in itertools.product(range(arguments.seeds), arguments.bases, arguments.targets):
        known = {row["method"] for row in done if (row["seed"], row["base"], row["target"]) == (seed, base, target)}
        methods = [method for method in arguments.methods if method not in known]
        if methods:
            yield arguments, target, base, seed, methods


def print_table(rows: list[dict[str, Any]], target: str) -> None:
    """Print means over the seeds with their 95 % interval (Student's t), and gains over random of the same seeds."""
    print(f"\n-> {target}, accuracy in %")
    print("base  | method      | seeds | before       | after        | never queried | above random")
    for base, method in dict.fromkeys((row["base"], row["method"]) for row in rows):
        of_base = {(row["method"], row["seed"]): row for row in rows if row["base"] == base}
        seeds = sorted(seed for name, seed in of_base if name == method)
        means = [interval(np.array([of_base[method, seed][name] for seed in seeds])) for name in MEASURES]
        pairs = [(of_base[method, seed], of_base["random", seed]) for seed in seeds if ("random", seed) in of_base]
        gains = np.array([ours["unqueried"] - random["unqueried"] for ours, random in pairs])
        gain = interval(gains) if len(gains) and method != "random" else ""
        print(f"{base:<5} | {method:<11} | {len(seeds):>5} | {means[0]} | {means[1]} | {means[2]:<13} | {gain}")


def print_gains(rows: list[dict[str, Any]]) -> None:
    """Print how far each method is above random, mean over bases and targets, where a seed has all of them."""
    accuracy = {tuple(row[name] for name in ("method", "seed", "base", "target")): row["unqueried"] for row in rows}
    cells = sorted({key[2:] for key in accuracy})
    print("\nnever queried, above random, mean over all bases and targets")
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] != "random"):
        seeds = sorted({row["seed"] for row in rows})
        whole = [s for s in seeds if all((name, s, *cell) in accuracy for name in (method, "random") for cell in cells)]
        gains = [[accuracy[(method, s, *cell)] - accuracy[("random", s, *cell)] for cell in cells] for s in whole]
        if gains:
            print(f"{method:<11} | {len(whole):>5} | {interval(np.mean(gains, axis=1))}")


def compare(arguments: argparse.Namespace) -> None:
    rows = [row for row in read_results(arguments.results) if protocol(arguments).items() <= row.items()]
    rows = [row for row in rows if row.get("settings") == settings_of(row["base"], row["method"])]
    tasks = list(missing_tasks(arguments, rows))
    if arguments.dry_run:
        print(f"{sum(len(task[-1]) for task in tasks)} runs to go, of {len(tasks)} first models")
        return
    start = time.perf_counter()
    with arguments.results.open("a") as file:
        finished = Parallel(arguments.jobs, return_as="generator")(delayed(run)(*task) for task in tasks)
        for number, new in enumerate(finished, start=1):
            file.writelines(json.dumps(row) + "\n" for row in new)
            file.flush()
            rows += new
            left = (time.perf_counter() - start) * (len(tasks) / number - 1)
            print(f"{len(tasks) - number} of {len(tasks)} groups of runs to go, about {clock(left)}", flush=True)
    chosen = [row for row in rows if row["method"] in arguments.methods and row["base"] in arguments.bases]
    chosen = [row for row in chosen if row["target"] in arguments.targets and row["seed"] < arguments.seeds]
    for target in arguments.targets:
        print_table([row for row in chosen if row["target"] == target], target)
    print_gains(chosen)


def tune(arguments: argparse.Namespace) -> None:
    def accuracy(target: str, name: str, seed: int) -> float:
        torch.set_num_threads(1)
        X, y, sample_domain = data = load_task(arguments, target)
        is_target = sample_domain < 0
        return first_model(SETTINGS[name], data, seed).score(X[is_target], y[is_target])

    for target, name in itertools.product(arguments.targets, SETTINGS):
        seeds = range(arguments.seeds)
        accuracies = Parallel(arguments.jobs)(delayed(accuracy)(target, name, seed) for seed in seeds)
        print(f"-> {target} | {name:<11} | {interval(np.array(accuracies))}", flush=True)


def as_budget(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/papers_digits.jsonl"))
    parser.add_argument("--targets", nargs="*", default=["mnistm", "synth"], choices=DOMAINS)
    parser.add_argument("--bases", nargs="*", default=list(BASES), choices=list(BASES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=[*METHODS, *ALPHAS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000, help="rows of each source")
    parser.add_argument("--target-rows", type=int, default=4000)
    parser.add_argument("--size", type=int, default=14, choices=[14, 28], help="height and width of the images")
    parser.add_argument("--budget", type=as_budget, default=0.01, help="share of the target rows, or number of labels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5, help="of training after the first purchase, over all rounds")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="print the number of runs, run none")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    (tune if arguments.tune else compare)(arguments)


if __name__ == "__main__":
    main()
