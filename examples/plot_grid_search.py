"""
Grid search over strategies and losses
======================================

A loop is one scikit-learn estimator, so that its query strategy, its training and its budget are parameters like
others. A grid search compares them, provided that the score is computed where it counts: on target rows that took no
part in training or querying.
"""

# %%
# Folds of target rows
# --------------------
# ``TargetShuffleSplit`` puts half of the target rows into the test fold; source rows are always trained on. It takes
# the domains as ``groups``. The search needs target labels for its test folds, so this is a way of comparing methods on
# a problem whose labels are known, before they are used on one where labels cost money.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV

from skada_active import ActiveAdaptationLoop, TargetShuffleSplit, target_accuracy
from skada_active.datasets import load_gas_drift
from skada_active.deep import AdaptationClassifier, MarginLoss
from skada_active.query import BADGE, MarginSampling, RandomSampling

torch.set_num_threads(1)  # these networks are too small for several threads
X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
classifier = AdaptationClassifier(MarginLoss(), max_epochs=10, device="cpu")
loop = ActiveAdaptationLoop(classifier, budget=15, n_rounds=3, random_state=0)
grid = {
    "strategy": [RandomSampling(), MarginSampling(), BADGE()],
    "estimator__objective__margin": [0.25, 0.5, 1.0],
}
search = GridSearchCV(
    loop, grid, cv=TargetShuffleSplit(3, random_state=0), scoring=target_accuracy, refit=False
)
search.fit(X, y, sample_domain=sample_domain, groups=sample_domain)
print(f"best: {search.best_params_}, {search.best_score_:.3f}")

# %%
# The scores
# ----------
# Three folds make for large standard errors (in brackets): neighbours in the table are often no different.

scores = search.cv_results_
mean = 100 * scores["mean_test_score"].reshape(3, 3)  # margins down, strategies across
error = 100 * scores["std_test_score"].reshape(3, 3) / np.sqrt(search.n_splits_)

figure, axis = plt.subplots(figsize=(6.2, 4.4), layout="constrained")
image = axis.imshow(mean, cmap="cividis", aspect="auto")
for row, column in np.ndindex(mean.shape):
    shade = "black" if image.norm(mean[row, column]) > 0.5 else "white"
    text = f"{mean[row, column]:.1f}\n(± {error[row, column]:.1f})"
    axis.text(column, row, text, ha="center", va="center", color=shade)
axis.set_xticks(range(3), [type(strategy).__name__ for strategy in grid["strategy"]])
axis.set_yticks(range(3), grid["estimator__objective__margin"])
axis.set(
    xlabel="query strategy",
    ylabel="margin of the loss",
    title="15 labels of a drifted sensor array",
)
figure.colorbar(image, label="accuracy on held-out target rows (%)")
