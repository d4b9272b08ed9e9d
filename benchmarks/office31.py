"""Run query strategies and objectives on the six Office-31 tasks and print final accuracies.

``python benchmarks/office31.py --data office31_efficientnet_lite0.npz`` reads an archive with ``X_<domain>`` and
``y_<domain>`` for amazon, dslr and webcam (rows are scaled to Euclidean length 10), and follows the usual protocol: 10
epochs on the source, 5 rounds of 1 % with 2 epochs between them, 10 epochs after the last one; accuracy over all target
rows (transductive). Each run is a line in ``--results``, so that an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.preprocessing import normalize

from skada_active import ActiveAdaptationLoop
from skada_active.deep import MCC, AdaptationClassifier, MarginLoss
from skada_active.query import BADGE, CLUE, SDM, CoreSet, EntropySampling, MarginSampling, RandomSampling

DOMAINS = ("amazon", "dslr", "webcam")
METHODS = {
    "random": (None, RandomSampling()),
    "entropy": (None, EntropySampling()),
    "margin": (None, MarginSampling()),
    "CoreSet": (None, CoreSet()),
    "BADGE": (None, BADGE()),
    "CLUE": (None, CLUE()),
    "SDM-G": (None, SDM()),
    "SDM-AG": (MarginLoss(dynamic=True), SDM()),
    "MCC + random": (MCC(), RandomSampling()),
    "MCC + margin": (MCC(), MarginSampling()),
    "MCC + BADGE": (MCC(), BADGE()),
    "MCC + SDM-G": (MCC(), SDM()),
}


def make_loop(method: str, seed: int, lr: float) -> ActiveAdaptationLoop:
    objective, strategy = METHODS[method]
    estimator = AdaptationClassifier(objective, batch_size=32, max_epochs=10, lr=lr)
    return ActiveAdaptationLoop(
        estimator, strategy, budget=0.05, n_rounds=5, round_epochs=[2, 2, 2, 2, 10], random_state=seed
    )


def load_task(path: Path, source: str, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        X = [10 * normalize(archive[f"X_{domain}"].astype(np.float32)) for domain in (source, target)]
        y = [archive[f"y_{domain}"].astype(np.int64) for domain in (source, target)]
    return np.concatenate(X), np.concatenate(y), np.repeat([1, -2], [len(rows) for rows in X])


def run(path: Path, method: str, source: str, target: str, seed: int, lr: float) -> dict[str, object]:
    torch.set_num_threads(1)
    X, y, sample_domain = load_task(path, source, target)
    loop = make_loop(method, seed, lr).fit(X, y, sample_domain=sample_domain)
    curve = loop.learning_curve("transductive")[1]
    return {
        "method": method,
        "task": f"{source} -> {target}",
        "seed": seed,
        "lr": lr,
        "before": curve[0],
        "after": curve[-1],
        "unqueried": loop.learning_curve("unqueried")[1][-1],
    }


def key_of(row: dict[str, object]) -> tuple[object, ...]:
    return row["method"], row["task"], row["seed"], row["lr"]


def interval(values: list[float]) -> str:
    mean = 100 * np.mean(values)
    half = 100 * 1.96 * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{mean:5.1f} ± {half:.1f}"


def print_table(rows: list[dict[str, object]]) -> None:
    print(f"{'method':<14} | seeds | before       | after        | never queried")
    for method in dict.fromkeys(row["method"] for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        seeds = sorted({row["seed"] for row in chosen})
        # One value per seed: its mean over the six tasks.
        means = {
            name: [np.mean([row[name] for row in chosen if row["seed"] == seed]) for seed in seeds]
            for name in ("before", "after", "unqueried")
        }
        print(f"{method:<14} | {len(seeds):>5} | " + " | ".join(interval(means[name]) for name in means))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/office31.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = (
        [json.loads(line) for line in arguments.results.read_text().splitlines()] if arguments.results.exists() else []
    )
    known = {key_of(row) for row in done}
    tasks = [
        (arguments.data, method, source, target, seed, arguments.lr)
        for seed, method, (source, target) in itertools.product(
            range(arguments.seeds), arguments.methods, itertools.permutations(DOMAINS, 2)
        )
        if (method, f"{source} -> {target}", seed, arguments.lr) not in known
    ]
    with arguments.results.open("a") as file:
        for row in Parallel(arguments.jobs, return_as="generator")(delayed(run)(*task) for task in tasks):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    wanted = [row for row in done if row["method"] in arguments.methods and row["lr"] == arguments.lr]
    print_table(wanted)


if __name__ == "__main__":
    main()
