"""Run query strategies on drifting gas sensors and print accuracies before and after 5 % of labels.

``python benchmarks/gas_drift.py`` uses the data that the package ships: batches 1 and 2 as source, batch 8, then batch
6 as target; 5 % of the target labels in 5 rounds. Each row of the tables is a mean over the seeds with its 95 %
interval (Student's t), for the labelled rows alone (S+T) and with minimum class confusion (MCC).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _report import interval
from joblib import Parallel, delayed

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_gas_drift
from skada_active.deep import MCC, AdaptationClassifier
from skada_active.query import BADGE, SDM, MarginSampling, RandomSampling

STRATEGIES = {"random": RandomSampling(), "margin": MarginSampling(), "BADGE": BADGE(), "SDM": SDM()}
OBJECTIVES = {"S+T": None, "MCC": MCC()}
COLUMNS = ("before", "after", "never queried")


def run(target: int, training: str, strategy: str, seed: int) -> tuple[float, float, float]:
    torch.set_num_threads(1)
    X, y, sample_domain = load_gas_drift(source=[1, 2], target=[target])
    classifier = AdaptationClassifier(OBJECTIVES[training], device="cpu")
    loop = ActiveAdaptationLoop(classifier, STRATEGIES[strategy], budget=0.05, n_rounds=5, random_state=seed)
    loop.fit(X, y, sample_domain=sample_domain)
    transductive = loop.learning_curve("transductive")[1]
    return transductive[0], transductive[-1], loop.learning_curve("unqueried")[1][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, nargs="*", default=[8, 6], help="batches to adapt to")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    methods = [(training, strategy) for training in OBJECTIVES for strategy in STRATEGIES]
    tasks = [
        (target, *method, seed) for target in arguments.targets for method in methods for seed in range(arguments.seeds)
    ]
    accuracies = np.array(Parallel(arguments.jobs)(delayed(run)(*task) for task in tasks))
    by_target = accuracies.reshape(len(arguments.targets), len(methods), arguments.seeds, len(COLUMNS))
    for target, by_method in zip(arguments.targets, by_target, strict=True):
        print(f"\nbatches 1+2 -> {target}, accuracy in %, {arguments.seeds} seeds")
        print(f"{'method':<12} | " + " | ".join(f"{column:<13}" for column in COLUMNS))
        for (training, strategy), values in zip(methods, by_method, strict=True):
            print(f"{training} {strategy:<8} | " + " | ".join(f"{interval(column):<13}" for column in values.T))


if __name__ == "__main__":
    main()
