"""Run the papers' methods, their ablations and their baselines on the six Office-31 tasks.

``python benchmarks/papers_office31.py --data office31_efficientnet_lite0.npz`` reads an archive with ``X_<domain>`` and
``y_<domain>`` for amazon, dslr and webcam (rows are scaled to Euclidean length 10), and follows the usual protocol: 10
epochs on the source, 5 rounds of 1 % with 2 epochs between them, 10 epochs after the last one; accuracy over all
target rows (transductive). Methods without labels train for the 28 epochs at once. Each run is a line in ``--results``,
so that an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import interval, read_results
from joblib import Parallel, delayed
from sklearn.preprocessing import normalize

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.deep import DANN, MCC, MME, TSF, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.networks import MLP
from skada_active.query import (
    BADGE,
    CLUE,
    LAS,
    SDM,
    CoreSet,
    EntropySampling,
    MarginSampling,
    QueryStrategy,
    RandomSampling,
)

DOMAINS = ("amazon", "dslr", "webcam")
TRAINING = {"batch_size": 32, "max_epochs": 10, "optimizer": "sgd", "lr": 0.003}
ROUNDS = {"budget": 0.05, "n_rounds": 5, "round_epochs": [2, 2, 2, 2, 10]}
EPOCHS_WITHOUT_LABELS = 28


def supervised(query: QueryStrategy, **params: Any) -> Any:
    return recipes.baseline(query, **params, **TRAINING, **ROUNDS)


def lada(**knobs: Any) -> Any:
    return recipes.lada(n_neighbors=5, **knobs, **TRAINING, **ROUNDS)


def las(**knobs: Any) -> Any:
    return lada(neighbors=None, augmentation=None, **knobs)


def plain_bottleneck(shape: tuple[int, ...]) -> MLP:
    return MLP(shape[0], batch_norm=False)


# Adversarial training with Adam: it enlarges what the reversal sends back once the source is fitted, hence the factors.
ADVERSARIAL = {"batch_size": 32, "max_epochs": 10, "module": plain_bottleneck}


def sage(**knobs: Any) -> Any:
    return recipes.sage(max_reversal=0.1, **knobs, **ADVERSARIAL, **ROUNDS)


def on_tsf(query: QueryStrategy) -> Any:
    return ActiveAdaptationLoop(sage().estimator, query, **ROUNDS)


def unlabeled(objective: Any = None, **params: Any) -> AdaptationClassifier:
    return AdaptationClassifier(objective, batch_size=32, max_epochs=EPOCHS_WITHOUT_LABELS, **params)


def dann_on_probabilities() -> DANN:
    return DANN(discriminator_input="proba", hidden=(256, 256), max_reversal=0.1)


def gsda(**knobs: Any) -> AdaptationClassifier:
    params = {"n_groups": 6, "confidence_threshold": 0.5, "batch_size": 32, "max_epochs": EPOCHS_WITHOUT_LABELS}
    return recipes.gsda(**params, **knobs)


METHODS = {
    # The papers' baselines, trained on the labelled rows alone (S+T).
    "random": lambda: supervised(RandomSampling()),
    "entropy": lambda: supervised(EntropySampling()),
    "margin": lambda: supervised(MarginSampling()),
    "CoreSet": lambda: supervised(CoreSet()),
    "BADGE": lambda: supervised(BADGE()),
    "CLUE": lambda: supervised(CLUE()),
    "SDM-G": lambda: supervised(SDM()),
    "LAS": las,
    # The papers' methods.
    "SDM-AG": lambda: recipes.sdm(**TRAINING, **ROUNDS),
    "LAS + MME": lambda: las(objective=MME(trade_off=0.1)),
    "LAS + RAA": lambda: lada(neighbors="random"),
    "LAS + LAA": lambda: lada(neighbors="local"),
    "SAGE on TSF": sage,
    # With a stronger loss underneath.
    "MCC + margin": lambda: supervised(MarginSampling(), objective=MCC()),
    "MCC + LAS": lambda: las(objective=MCC()),
    "MCC + BADGE": lambda: supervised(BADGE(), objective=MCC()),
    "MCC + SDM-G": lambda: supervised(SDM(), objective=MCC()),
    "MCC + RAA": lambda: lada(objective=MCC(), neighbors="random"),
    "MCC + DANN + RAA": lambda: lada(objective=MCC() + dann_on_probabilities(), neighbors="random"),
    # Ablations of LADA (its Table 6), SAGE and SDM.
    "LADA: top scores": lambda: las(oversampling=0),
    "LADA: + anchors": lambda: lada(augmentation=None, class_balanced=False),
    "LADA: + augmentation": lambda: lada(class_balanced=False),
    "LADA: + balancing": lambda: lada(augmentation=None),
    "SAGE: no POP": lambda: sage(projection=None),
    "SAGE: no diversity": lambda: sage(diversity=None),
    "SAGE: k-means++": lambda: sage(diversity="kmeans++"),
    "SAGE: S∪T": lambda: sage(regularizer="joint"),
    "SAGE: MME": lambda: sage(regularizer="mme"),
    "TSF + random": lambda: on_tsf(RandomSampling()),
    "TSF + margin": lambda: on_tsf(MarginSampling()),
    "TSF + LAS": lambda: on_tsf(LAS(n_neighbors=5)),
    "SDM-A": lambda: recipes.sdm(gradient_weight=0.0, **TRAINING, **ROUNDS),
    "margin, S∪T": lambda: supervised(MarginSampling(), labeled_loss="joint"),
    "SDM-AG, S∪T": lambda: recipes.sdm(labeled_loss="joint", **TRAINING, **ROUNDS),
    "SDM-G, weight 1": lambda: supervised(SDM(gradient_weight=1.0)),
    "SDM-G, weight -1": lambda: supervised(SDM(gradient_weight=-1.0)),
    # Without any label.
    "source only": unlabeled,
    "source only, no BN": lambda: unlabeled(module=plain_bottleneck),
    "source only, mixed": lambda: unlabeled(MCC(trade_off=0.0)),  # target rows in the batches of BN, and nothing else
    "DANN": lambda: unlabeled(DANN(max_reversal=0.01), module=plain_bottleneck),
    "DANN on probabilities": lambda: unlabeled(dann_on_probabilities(), module=plain_bottleneck),
    "TSF": lambda: unlabeled(TSF(max_reversal=0.1), module=plain_bottleneck),
    "MCC": lambda: unlabeled(MCC()),
    "GSDA": gsda,
    # Ablations of GSDA (its Table 1).
    "GSDA: Glb": lambda: gsda(levels=("domain",), beta=0.0),
    "GSDA: + Cls": lambda: gsda(levels=("domain", "class"), beta=0.0),
    "GSDA: + Grp": lambda: gsda(beta=0.0),
}


def load_task(path: Path, source: str, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        X = [10 * normalize(archive[f"X_{domain}"].astype(np.float32)) for domain in (source, target)]
        y = [archive[f"y_{domain}"].astype(np.int64) for domain in (source, target)]
    return np.concatenate(X), np.concatenate(y), np.repeat([1, -2], [len(rows) for rows in X])


def run(path: Path, method: str, source: str, target: str, seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    X, y, sample_domain = load_task(path, source, target)
    model = METHODS[method]().set_params(random_state=seed)
    row = {"method": method, "task": f"{source} -> {target}", "seed": seed}
    if isinstance(model, AdaptationClassifier):
        is_target = sample_domain < 0
        model.fit(X, mask_target(y, sample_domain), sample_domain)
        accuracy = float(np.mean(model.predict(X[is_target]) == y[is_target]))
        return {**row, "before": accuracy, "after": accuracy, "unqueried": accuracy}
    model.fit(X, y, sample_domain=sample_domain)
    curve = model.learning_curve("transductive")[1]
    unqueried = model.learning_curve("unqueried")[1][-1]
    return {**row, "before": curve[0], "after": curve[-1], "unqueried": unqueried}


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["method"], row["task"], row["seed"]


def print_table(rows: list[dict[str, Any]]) -> None:
    tasks = [f"{source} -> {target}" for source, target in itertools.permutations(DOMAINS, 2)]
    print(f"{'method':<20} | seeds | before       | after        | never queried | " + ", ".join(tasks))
    for method in dict.fromkeys(row["method"] for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        # One value per seed that ran on all tasks: its mean over them.
        seeds = [s for s in sorted({row["seed"] for row in chosen}) if sum(row["seed"] == s for row in chosen) == 6]
        if not seeds:
            continue
        means = {
            name: [np.mean([row[name] for row in chosen if row["seed"] == seed]) for seed in seeds]
            for name in ("before", "after", "unqueried")
        }
        by_task = [100 * np.mean([row["after"] for row in chosen if row["task"] == task]) for task in tasks]
        print(
            f"{method:<20} | {len(seeds):>5} | "
            + " | ".join(interval(means[name]) for name in means)
            + "  | "
            + " ".join(f"{accuracy:5.1f}" for accuracy in by_task)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/papers_office31.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=2, help="0 and 1 are those that the settings were chosen on")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    done = read_results(arguments.results)
    known = {key_of(row) for row in done}
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    wanted = [
        (method, source, target, seed)
        for seed, method, (source, target) in itertools.product(
            seeds, arguments.methods, itertools.permutations(DOMAINS, 2)
        )
        if (method, f"{source} -> {target}", seed) not in known
    ]
    with arguments.results.open("a") as file:
        tasks = (delayed(run)(arguments.data, *task) for task in wanted)
        for row in Parallel(arguments.jobs, return_as="generator_unordered")(tasks):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    order = {method: position for position, method in enumerate(arguments.methods)}
    rows = [row for row in done if row["method"] in order and row["seed"] in seeds]
    print_table(sorted(rows, key=lambda row: order[row["method"]]))


if __name__ == "__main__":
    main()
