"""
SAGE: labels that would change how the domains are aligned
==========================================================

Domain-adversarial training makes source and target look the same to a discriminator. SAGE (Bouvier et al., 2021) has a
discriminator for every class: a target row is aligned with each class by its predicted probability, and so with several
as long as the prediction is in doubt. A label ends that. SAGE asks for the rows whose label would turn the gradient of
this alignment most, and, as many of them are alike, for rows that would turn it in different ways.
"""

# %%
# Hold out, train, look at the gradients
# --------------------------------------
# Gas sensors of months 1 and 2 (445 rows) meet months 17 to 20 (600 rows), of which half is set aside, as in the paper:
# neither trained on nor asked about. ``TSF`` is the alignment class by class. (The network has no batch normalisation,
# which would mix the domains in a way of its own.) For each class that a row might be of, the discriminator gives a
# gradient with respect to the embedding; weighted by the square roots of the probabilities, they are what SAGE
# compares.

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import LogNorm
from scipy.stats import sem
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler, normalize

from skada_active import ActiveAdaptationLoop, holdout_target, recipes
from skada_active.datasets import load_gas_drift
from skada_active.deep import TSF, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.networks import MLP
from skada_active.query import BADGE, SAGE, RandomSampling


def network(shape):
    return MLP(shape[0], hidden=(128, 64), batch_norm=False)


torch.set_num_threads(1)  # these networks are too small for several threads
X, y, sample_domain = load_gas_drift(source=1, target=6)
data = StandardScaler().fit_transform(X), y, sample_domain
(X, y, sample_domain), _ = holdout_target(*data, random_state=0)
is_target, known = sample_domain < 0, mask_target(y, sample_domain)
model = AdaptationClassifier(
    TSF(max_reversal=0.1), module=network, device="cpu", random_state=0
)
model.fit(X, known, sample_domain)
pool = SAGE(estimator=FrozenEstimator(model)).fit(X, known, sample_domain).pool_
is_wrong = model.predict(X[is_target]) != y[is_target]

# %%
# What the projection leaves
# --------------------------
# The gradient to expect, the mean over classes, is known without a label. The positive orthogonal projection (POP)
# takes it out where a class would confirm it, and doubles it where a class would contradict it. What is left is the
# news in the label: next to nothing where the prediction is certain, however long the gradients.

norms = {
    "gradients": SAGE(projection=None).utilities(pool),
    "after POP": SAGE().utilities(pool),
}
figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
axis.axline((1, 1), slope=1, color="black", linewidth=0.8, linestyle=":", label="no change")
for chosen, color, label in [
    (~is_wrong, "#56B4E9", "prediction right"),
    (is_wrong, "#CC3311", "prediction wrong"),
]:
    axis.scatter(
        norms["gradients"][chosen], norms["after POP"][chosen], s=10, color=color, label=label
    )
axis.set(xscale="log", yscale="log", xlabel="norm of the gradients", ylabel="norm after POP")
axis.legend()

# %%
# The maps show the first two principal components of the embedding at length 1, the norms, and fifteen rows asked about
# at once, each the farthest from those before.

embedding = normalize(model.transform(X))
pca = PCA(2).fit(embedding[is_target])
Z, Z_source = pca.transform(embedding[is_target]), pca.transform(embedding[~is_target])
shades = LogNorm(1e-3, 2, clip=True)
cross = {"s": 70, "marker": "X", "color": "#D55E00", "edgecolor": "black", "linewidth": 0.7}
figure, axes = plt.subplots(
    1, 2, figsize=(8, 4.4), sharex=True, sharey=True, layout="constrained"
)
for axis, (name, norm), projection in zip(axes, norms.items(), [None, "pop"], strict=True):
    asked = SAGE(projection=projection).select(pool, 15)
    print(
        f"{name:<9} {len(set(y[pool.index[asked]]))} of 6 gases, {is_wrong[asked].sum():>2} of 15 misclassified"
    )
    axis.scatter(*Z_source.T, s=5, color="#DDDDDD", label="source")
    points = axis.scatter(*Z.T, s=12, c=norm, norm=shades, label="target")
    axis.scatter(*Z[asked].T, label="asked about", **cross)
    axis.set(title=name, xlabel="first principal component")
axes[0].set_ylabel("second principal component")
figure.colorbar(points, label="norm", extend="min")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %%
# What it gains
# -------------
# ``recipes.sage`` is the whole method; a loop with its estimator lets another strategy ask in SAGE's place. Accuracy on
# the half of the target that is set aside, mean and standard error of eight seeds, each with its own halves. On this
# pair the alignment helps before there are labels, and the first three labels, which count as much as the whole source,
# undo some of it. SAGE is ahead in the first two rounds, more so with the projection than without; in the end BADGE and
# random rows pass it.


rounds = {"budget": 15, "n_rounds": 5, "round_epochs": 5}
small = {"module": network, "device": "cpu"}


def sage(random_state, query=None, **knobs):
    recipe = recipes.sage(
        max_reversal=0.1, random_state=random_state, **knobs, **small, **rounds
    )
    if query is None:
        return recipe
    return ActiveAdaptationLoop(recipe.estimator, query, **rounds, random_state=random_state)


plain = partial(recipes.baseline, RandomSampling(), **rounds, **small)
methods = {
    "no alignment, random": plain,
    "TSF, random": partial(sage, query=RandomSampling()),
    "TSF, BADGE": partial(sage, query=BADGE()),
    "SAGE without POP": partial(sage, projection=None),
    "SAGE": sage,
}
print("labels bought       " + "".join(f"{count:12}" for count in range(0, 16, 3)))
for name, recipe in methods.items():
    accuracy = []
    for seed in range(8):
        (X, y, sample_domain), eval_set = holdout_target(*data, random_state=seed)
        loop = recipe(random_state=seed).fit(
            X, y, sample_domain=sample_domain, eval_set=eval_set
        )
        accuracy.append(100 * loop.learning_curve("holdout")[1])
    cells = zip(np.mean(accuracy, axis=0), sem(accuracy), strict=True)
    print(f"{name:<21}" + "".join(f"{mean:6.1f} ±{error:4.1f}" for mean, error in cells))
