"""
Quickstart: a drifting sensor array and 15 labels
=================================================

Sixteen gas sensors were calibrated in their first ten months (batches 1 and 2, 1689 labelled measurements). More than
a year later (batch 8, 294 measurements) the sensors have aged, and the classifier of six gases is wrong about every
other time. Somebody can measure the true gas for 5 % of the later batch, 15 labels in five rounds of three. Which ones
should it be, and what is left of the drift afterwards?

The table compares four query strategies, each on two ways of training: the labelled rows alone (S+T, source and
target cross-entropy), and the same with minimum class confusion (MCC), a domain adaptation loss on all target rows.
*Transductive* accuracy counts all target rows, also those whose label was bought and trained on; *never queried* counts
only the rows that nobody labelled. Everything is the mean of five seeds: with so few labels, single runs differ a lot.
"""

# %%
# One run
# -------
# A loop takes a classifier, a query strategy and a budget. The labels of the target rows (``sample_domain < 0``) are
# hidden: the loop reads one only when it has bought it.

import matplotlib.pyplot as plt
import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_gas_drift
from skada_active.deep import MCC, AdaptationClassifier
from skada_active.query import BADGE, SDM, MarginSampling, RandomSampling

X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
print(
    f"{(sample_domain > 0).sum()} source rows, {(sample_domain < 0).sum()} target rows, {len(set(y))} gases"
)


def run(objective, strategy, seed):
    torch.set_num_threads(1)  # several runs at once share the cores
    classifier = AdaptationClassifier(objective, device="cpu")
    loop = ActiveAdaptationLoop(
        classifier, strategy, budget=0.05, n_rounds=5, random_state=seed
    )
    return loop.fit(X, y, sample_domain=sample_domain)


loop = run(MCC(), BADGE(), seed=0)
labels_bought, accuracy = loop.learning_curve("transductive")
print("labels bought:", labels_bought)
print("accuracy:     ", accuracy.round(3))
print(
    "rows asked about first:",
    loop.history_[0]["ids"],
    "answers:",
    loop.history_[0]["class_counts"],
)

# %%
# All of them
# -----------
# Four strategies, two trainings and five seeds are 40 runs, in parallel.

STRATEGIES = {
    "random": RandomSampling(),
    "margin": MarginSampling(),
    "BADGE": BADGE(),
    "SDM": SDM(),
}
OBJECTIVES = {"S+T": None, "MCC": MCC()}
ACCURACIES = {
    "transductive": "all target rows (transductive)",
    "unqueried": "target rows never queried",
}
N_SEEDS = 5


def curves(objective, strategy, seed):
    loop = run(objective, strategy, seed)
    return [loop.learning_curve(accuracy)[1] for accuracy in ACCURACIES]


methods = [(training, strategy) for training in OBJECTIVES for strategy in STRATEGIES]
results = Parallel(n_jobs=min(4, cpu_count()))(
    delayed(curves)(OBJECTIVES[training], STRATEGIES[strategy], seed)
    for training, strategy in methods
    for seed in range(N_SEEDS)
)
# Axes: method, seed, kind of accuracy, round.
accuracies = 100 * np.reshape(
    results, (len(methods), N_SEEDS, len(ACCURACIES), len(labels_bought))
)

# %%
for kind, title in enumerate(ACCURACIES.values()):
    print(f"\nAccuracy in % on {title}, mean of {N_SEEDS} seeds")
    print("labels bought    " + "".join(f"{count:>7}" for count in labels_bought))
    for (training, strategy), values in zip(methods, accuracies[:, :, kind], strict=True):
        print(
            f"{training:<5} {strategy:<11}"
            + "".join(f"{value:7.1f}" for value in values.mean(axis=0))
        )

# %%
# The picture
# -----------
# The bars are one standard error of the mean on either side; the points are moved apart a little so that they can be
# told from each other. On this pair, SDM's gradient term (weight 0.01) changes few of the choices of margin sampling.

COLORS = {"random": "#7F7F7F", "margin": "#0072B2", "BADGE": "#D55E00", "SDM": "#009E73"}
MARKERS = {"random": "o", "margin": "s", "BADGE": "^", "SDM": "D"}
LINES = {"random": ":", "margin": "-", "BADGE": "-", "SDM": "--"}

figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for (training, strategy), values in zip(methods, accuracies[:, :, 1], strict=True):
    axes[list(OBJECTIVES).index(training)].errorbar(
        labels_bought + 0.3 * (list(STRATEGIES).index(strategy) - 1.5),
        values.mean(axis=0),
        yerr=values.std(axis=0, ddof=1) / np.sqrt(N_SEEDS),
        label=strategy,
        color=COLORS[strategy],
        marker=MARKERS[strategy],
        linestyle=LINES[strategy],
        elinewidth=1,
        linewidth=2,
    )
for axis, title in zip(
    axes, ["labelled rows only (S+T)", "labelled rows and MCC"], strict=True
):
    axis.set(title=title, xlabel="target labels bought", xticks=labels_bought)
    axis.grid(axis="y", alpha=0.3)
axes[0].set_ylabel("accuracy on target rows\nnever queried (%)")
axes[1].legend(title="query strategy", loc="lower right")
figure.suptitle("Gas sensors: months 1 to 10 adapted to months 22 and 23")
figure.savefig("learning_curve.png", dpi=150)
