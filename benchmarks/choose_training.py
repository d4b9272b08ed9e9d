"""Choose the recipes' training defaults on tasks that no table reports: optimiser, learning rate and epochs.

``python benchmarks/choose_training.py --data FOLDER`` reads ``office10_googlenet1024.npz``,
``office_caltech10_surf.npz``, ``digits.npz`` and ``digits_efficientnet_lite0.npz`` (``embed_digits.py`` makes it) from
a folder (``X_<domain>``, ``y_<domain>``) and runs every recipe with the same small grid on tasks between their domains:
5 % of the target labels in five rounds or, for the losses that need none, without labels. It prints the accuracy over
all target rows at the end, mean over tasks and seeds, and the mean rank of a setting among those of its recipe;
``--against NAME`` prints differences to one recipe, run by run. Each run is a line in ``--results``, so that an
interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _report import read_results
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.preprocessing import normalize

from skada_active import recipes
from skada_active.deep import CDAN, DANN, GSDA, MADA, MCC, MME, TSF, AdaptationClassifier, MarginLoss
from skada_active.domains import mask_target
from skada_active.metrics import mean_interval
from skada_active.query import MarginSampling

EMBEDDED = "digits_efficientnet_lite0"
TASKS = [
    ("office10_googlenet1024", "amazon", "webcam"),
    ("office10_googlenet1024", "webcam", "amazon"),
    ("office_caltech10_surf", "caltech", "amazon"),
    ("office_caltech10_surf", "amazon", "caltech"),
    ("office_caltech10_surf", "webcam", "caltech"),
    ("digits", "mnist", "usps"),
    ("digits", "usps", "mnist"),
    ("digits", "mnist", "optdigits"),
    (EMBEDDED, "synth", "mnist"),
    (EMBEDDED, "mnistm", "mnist"),
    (EMBEDDED, "usps", "mnist"),
    (EMBEDDED, "mnist", "usps"),
    (EMBEDDED, "mnist", "mnistm"),
]
ROWS = 1500  # of a domain, at most
SOURCE_ROWS = {(EMBEDDED, "usps"): 400, (EMBEDDED, "mnist"): 400}  # small sources, too: few steps an epoch
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
    "aada, features": lambda **params: recipes.aada(discriminator_input="features", **ROUNDS, **params),
    "aada, features, gentle": lambda **params: recipes.aada(
        discriminator_input="features", max_reversal=0.1, **ROUNDS, **params
    ),
    "aada, logits": lambda **params: recipes.aada(discriminator_input="logits", **ROUNDS, **params),
    "tqs": lambda **params: recipes.tqs(**ROUNDS, **params),
    "tqs, no domainness": lambda **params: recipes.tqs(domainness=None, **ROUNDS, **params),
    "clue": lambda **params: recipes.clue(**ROUNDS, **params),
    "eada": lambda **params: recipes.eada(**ROUNDS, **params),
    "lamda": lambda **params: recipes.lamda(**ROUNDS, **params),
}
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "source, target rows in the batch": lambda: MCC(trade_off=0.0),
    "MCC": MCC,
    "DANN": DANN,
    "DANN, gentle": lambda: DANN(max_reversal=0.1),
    "DANN on probabilities": lambda: DANN(discriminator_input="proba"),
    "CDAN+E": lambda: CDAN(entropy_weighted=True),
    "MADA": MADA,
    "TSF": TSF,
    "GSDA": GSDA,
    "GSDA, beta 0": lambda: GSDA(beta=0.0),
}
#: Forms of SDM's loss, all under margin sampling.
MARGIN_LOSSES = {
    "static": MarginLoss(),
    "static, max-logit": MarginLoss(max_logit=True),
    "dynamic": MarginLoss(dynamic=True, max_logit=False),
    "dynamic, max-logit": MarginLoss(dynamic=True),
    "max-logit alone": MarginLoss(margin=1e-6, max_logit=True),
    "static x .5": MarginLoss(trade_off=0.5),
    "static x .25": MarginLoss(trade_off=0.25),
    "dynamic x .5": MarginLoss(dynamic=True, max_logit=False, trade_off=0.5),
    "dynamic x .25": MarginLoss(dynamic=True, max_logit=False, trade_off=0.25),
    "dynamic, max-logit x .25": MarginLoss(dynamic=True, trade_off=0.25),
}


def unlabeled(objective: Callable[[], Any], **params: Any) -> AdaptationClassifier:
    """Return a classifier that trains without target labels, as long as all rounds of a recipe take."""
    rounds = params.pop("round_epochs")
    params["max_epochs"] += sum(rounds) if isinstance(rounds, tuple) else 5 * rounds
    return AdaptationClassifier(objective(), **params)


def with_margin_loss(loss: MarginLoss, **params: Any) -> recipes.Baseline:
    return recipes.baseline(MarginSampling(), objective=loss, **ROUNDS, **params)


RECIPES |= {f"without labels: {name}": partial(unlabeled, objective) for name, objective in OBJECTIVES.items()}
RECIPES |= {f"margin loss: {name}": partial(with_margin_loss, loss) for name, loss in MARGIN_LOSSES.items()}


class Setting(NamedTuple):
    """What is chosen for a recipe."""

    recipe: str
    optimizer: str
    epochs: str
    statistics: str


def load_task(folder: Path, archive: str, source: str, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, y = [], []
    with np.load(folder / f"{archive}.npz", allow_pickle=False) as data:
        for domain in (source, target):
            n_rows = SOURCE_ROWS.get((archive, domain), ROWS) if domain == source else ROWS
            rows = rng.permutation(len(data[f"y_{domain}"]))[:n_rows]
            X.append(as_features(archive, data[f"X_{domain}"][rows].astype(np.float32)))
            y.append(data[f"y_{domain}"][rows].astype(np.int64))
    return np.concatenate(X), np.concatenate(y), np.repeat([1, -2], [len(labels) for labels in y])


def as_features(archive: str, rows: np.ndarray) -> np.ndarray:
    if archive == "digits":
        return rows.reshape(len(rows), -1) / 255
    return 10 * normalize(np.sqrt(rows) if archive.endswith("surf") else rows)


def run(folder: Path, setting: Setting, task: tuple[str, str, str], seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    X, y, sample_domain = load_task(folder, *task)
    params = {**OPTIMIZERS[setting.optimizer], **EPOCHS[setting.epochs], "batch_statistics": setting.statistics}
    model = RECIPES[setting.recipe](**params, random_state=seed)
    is_target = sample_domain < 0
    if isinstance(model, AdaptationClassifier):
        model.fit(X, mask_target(y, sample_domain), sample_domain)
    else:
        model.fit(X, y, sample_domain=sample_domain)
    after = float(np.mean(model.predict(X[is_target]) == y[is_target]))
    return {**setting._asdict(), "task": " ".join(task), "seed": seed, "after": after}


def key_of(row: dict[str, Any]) -> tuple[Setting, tuple[str, int]]:
    return Setting(*(row[name] for name in Setting._fields)), (row["task"], row["seed"])


def paired(rows: list[dict[str, Any]]) -> tuple[list[Setting], np.ndarray]:
    """Return the settings, and the accuracies in % of those runs (task and seed) that all of them have."""
    found = {key_of(row): 100 * row["after"] for row in rows}
    settings, runs = (sorted({key[part] for key in found}) for part in (0, 1))
    table = np.array([[found.get((setting, run), np.nan) for setting in settings] for run in runs])
    return settings, table[~np.isnan(table).any(axis=1)]


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'recipe':<40} | {'optimizer':<12} | {'epochs':<9} | {'statistics':<10} | after | rank")
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        settings, table = paired([row for row in rows if row["recipe"] == recipe])
        ranks = rankdata(-table, axis=1).mean(axis=0)
        for position in np.argsort(-table.mean(axis=0)):
            setting, mean = settings[position], table[:, position].mean()
            widths = zip(setting, (40, 12, 9, 10), strict=True)
            print(*(f"{text:<{width}}" for text, width in widths), f"{mean:5.1f}", f"{ranks[position]:4.1f}", sep=" | ")
        print(f"{len(table)} runs of each")


def print_differences(rows: list[dict[str, Any]], against: str) -> None:
    """Print what each setting gains on the same setting of one recipe, with the 95 % interval over the runs."""
    print(f"{'recipe':<40} | {'statistics':<10} | above {against} | runs")
    for setting in sorted({key_of(row)[0] for row in rows}):
        both = (setting, setting._replace(recipe=against))
        settings, table = paired([row for row in rows if key_of(row)[0] in both])
        if len(settings) == 2 and len(table) > 1:
            gains = table[:, settings.index(setting)] - table[:, settings.index(both[1])]
            mean, half = mean_interval(gains)
            print(f"{setting.recipe:<40} | {setting.statistics:<10} | {mean:+5.2f} ± {half:.2f} | {len(gains)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/choose_training.jsonl"))
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    parser.add_argument("--epochs", nargs="*", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--statistics", nargs="*", default=["mixed"], choices=["mixed", "per_domain"])
    parser.add_argument("--against", choices=list(RECIPES), metavar="RECIPE", help="print differences to this recipe")
    parser.add_argument("--seeds", type=int, nargs="*", default=[100, 101])
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    done = read_results(arguments.results)
    known = {key_of(row) for row in done}
    grid = (arguments.recipes, arguments.optimizers, arguments.epochs, arguments.statistics)
    settings = list(itertools.starmap(Setting, itertools.product(*grid)))
    wanted = [
        (setting, task, seed)
        for seed, task, setting in itertools.product(arguments.seeds, TASKS, settings)
        if (setting, (" ".join(task), seed)) not in known
    ]
    with arguments.results.open("a") as file:
        runs = (delayed(run)(arguments.data, *which) for which in wanted)
        for row in Parallel(arguments.jobs, return_as="generator_unordered")(runs):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    rows = [row for row in done if row["recipe"] in arguments.recipes]
    print_table(rows) if arguments.against is None else print_differences(rows, arguments.against)


if __name__ == "__main__":
    main()
