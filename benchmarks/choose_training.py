"""Choose the recipes' training defaults on tasks that no table reports: optimiser, learning rate and epochs.

``python benchmarks/choose_training.py --data FOLDER`` reads ``office10_googlenet1024.npz``,
``office_caltech10_surf.npz`` and ``digits.npz`` from a folder (``X_<domain>``, ``y_<domain>``) and runs every recipe
with the same small grid on eight tasks between their domains: 5 % of the target labels in five rounds or, for the
losses that need none, without labels, seeds 100 and 101. It prints the accuracy over all target rows at the end, mean
over tasks and seeds, and the mean rank of a setting among those of its recipe. Each run is a line in ``--results``, so
that an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import read_results
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.preprocessing import normalize

from skada_active import recipes
from skada_active.deep import CDAN, DANN, GSDA, MADA, MCC, MME, TSF, AdaptationClassifier, MarginLoss
from skada_active.domains import mask_target
from skada_active.query import MarginSampling

TASKS = [
    ("office10_googlenet1024", "amazon", "webcam"),
    ("office10_googlenet1024", "webcam", "amazon"),
    ("office_caltech10_surf", "caltech", "amazon"),
    ("office_caltech10_surf", "amazon", "caltech"),
    ("office_caltech10_surf", "webcam", "caltech"),
    ("digits", "mnist", "usps"),
    ("digits", "usps", "mnist"),
    ("digits", "mnist", "optdigits"),
]
ROWS = 1500  # of a domain, at most
OPTIMIZERS = {
    "adam 1e-3": {"optimizer": "adam", "lr": 1e-3},
    "adam 3e-4": {"optimizer": "adam", "lr": 3e-4},
    "sgd 3e-3": {"optimizer": "sgd", "lr": 3e-3},
    "sgd 1e-2": {"optimizer": "sgd", "lr": 1e-2},
    "sgd 3e-2": {"optimizer": "sgd", "lr": 3e-2},
    "adadelta 0.1": {"optimizer": "adadelta", "lr": 0.1},
}
EPOCHS = {
    "10, 2, 10": {"max_epochs": 10, "round_epochs": (2, 2, 2, 2, 10)},
    "20, 2, 2": {"max_epochs": 20, "round_epochs": 2},
}
ROUNDS = {"budget": 0.05, "n_rounds": 5}
RECIPES = {
    "margin": lambda **params: recipes.baseline(MarginSampling(), **ROUNDS, **params),
    "margin + MarginLoss": lambda **params: recipes.baseline(
        MarginSampling(), objective=MarginLoss(), **ROUNDS, **params
    ),
    "sdm": lambda **params: recipes.sdm(**ROUNDS, **params),
    "LAS": lambda **params: recipes.lada(neighbors=None, augmentation=None, **ROUNDS, **params),
    "lada": lambda **params: recipes.lada(**ROUNDS, **params),
    "LAS + MCC": lambda **params: recipes.lada(neighbors=None, augmentation=None, objective=MCC(), **ROUNDS, **params),
    "LAS + MME": lambda **params: recipes.lada(neighbors=None, augmentation=None, objective=MME(), **ROUNDS, **params),
    "sage": lambda **params: recipes.sage(**ROUNDS, **params),
    "gala": lambda **params: recipes.gala(**ROUNDS, **params),
    "aada": lambda **params: recipes.aada(**ROUNDS, **params),
    "clue": lambda **params: recipes.clue(**ROUNDS, **params),
    "eada": lambda **params: recipes.eada(**ROUNDS, **params),
    "lamda": lambda **params: recipes.lamda(**ROUNDS, **params),
}
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "source, target rows in the batch": lambda: MCC(trade_off=0.0),
    "MCC": MCC,
    "DANN": DANN,
    "DANN on probabilities": lambda: DANN(discriminator_input="proba"),
    "CDAN+E": lambda: CDAN(entropy_weighted=True),
    "MADA": MADA,
    "TSF": TSF,
    "GSDA": GSDA,
}


def unlabeled(objective: Callable[[], Any], statistics: str, **params: Any) -> AdaptationClassifier:
    """Return a classifier that trains without target labels, as long as all rounds of a recipe take."""
    rounds = params.pop("round_epochs")
    params["max_epochs"] += sum(rounds) if isinstance(rounds, tuple) else 5 * rounds
    return AdaptationClassifier(objective(), batch_statistics=statistics, **params)


#: Without labels: every objective, its batch statistics of all rows together and of each domain by itself.
RECIPES |= {
    f"{name}, {statistics}": partial(unlabeled, objective, statistics)
    for name, objective in OBJECTIVES.items()
    for statistics in ("mixed", "per_domain")
}


def load_task(folder: Path, archive: str, source: str, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, y = [], []
    with np.load(folder / f"{archive}.npz", allow_pickle=False) as data:
        for domain in (source, target):
            rows = rng.permutation(len(data[f"y_{domain}"]))[:ROWS]
            X.append(as_features(archive, data[f"X_{domain}"][rows].astype(np.float32)))
            y.append(data[f"y_{domain}"][rows].astype(np.int64))
    return np.concatenate(X), np.concatenate(y), np.repeat([1, -2], [len(labels) for labels in y])


def as_features(archive: str, rows: np.ndarray) -> np.ndarray:
    if archive == "digits":
        return rows.reshape(len(rows), -1) / 255
    return 10 * normalize(np.sqrt(rows) if archive.endswith("surf") else rows)


def run(
    folder: Path, recipe: str, optimizer: str, epochs: str, task: tuple[str, str, str], seed: int
) -> dict[str, Any]:
    torch.set_num_threads(1)
    X, y, sample_domain = load_task(folder, *task)
    model = RECIPES[recipe](**OPTIMIZERS[optimizer], **EPOCHS[epochs], random_state=seed)
    is_target = sample_domain < 0
    if isinstance(model, AdaptationClassifier):
        model.fit(X, mask_target(y, sample_domain), sample_domain)
    else:
        model.fit(X, y, sample_domain=sample_domain)
    after = float(np.mean(model.predict(X[is_target]) == y[is_target]))
    setting = {"recipe": recipe, "optimizer": optimizer, "epochs": epochs}
    return {**setting, "task": " ".join(task), "seed": seed, "after": after}


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["recipe"], row["optimizer"], row["epochs"], row["task"], row["seed"]


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'recipe':<40} | {'optimizer':<12} | {'epochs':<9} | after | rank")
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        chosen = [row for row in rows if row["recipe"] == recipe]
        settings = sorted({(row["optimizer"], row["epochs"]) for row in chosen})
        runs = sorted({(row["task"], row["seed"]) for row in chosen})
        found = {key_of(row)[1:]: row["after"] for row in chosen}
        table = np.array([[found.get((*setting, *which), np.nan) for setting in settings] for which in runs])
        table = table[~np.isnan(table).any(axis=1)]
        ranks = rankdata(-table, axis=1).mean(axis=0)
        for position in np.argsort(-table.mean(axis=0)):
            optimizer, epochs = settings[position]
            mean, rank = 100 * table[:, position].mean(), ranks[position]
            print(f"{recipe:<40} | {optimizer:<12} | {epochs:<9} | {mean:5.1f} | {rank:4.1f}  ({len(table)} runs)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/choose_training.jsonl"))
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    parser.add_argument("--epochs", nargs="*", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[100, 101])
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    done = read_results(arguments.results)
    known = {key_of(row) for row in done}
    grid = itertools.product(arguments.seeds, TASKS, arguments.recipes, arguments.optimizers, arguments.epochs)
    wanted = [
        (recipe, optimizer, epochs, task, seed)
        for seed, task, recipe, optimizer, epochs in grid
        if (recipe, optimizer, epochs, " ".join(task), seed) not in known
    ]
    with arguments.results.open("a") as file:
        runs = (delayed(run)(arguments.data, *which) for which in wanted)
        for row in Parallel(arguments.jobs, return_as="generator_unordered")(runs):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    print_table([row for row in done if row["recipe"] in arguments.recipes])


if __name__ == "__main__":
    main()
