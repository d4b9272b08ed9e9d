"""
LADA: ask where neighbours disagree, and let the answers spread
===============================================================

The idea of LADA (Sun et al., ICCV 2023) is to look at a row together with its neighbours. Its query, LAS, asks where
the model predicts neighbours differently: there it has not understood a region, even if it is sure of every single row.
Its training starts from the few bought labels, the anchors, and lets rows near them join if the model is confident of
them, class by class, so that a few answers become a balanced set.
"""

# %%
# Local inconsistency
# -------------------
# Gas sensors that were calibrated in months 17 to 20 (600 rows) meet 1244 measurements of months 3 to 10, before any
# label is bought. A target row scores high if its class probabilities have little in common with those of its ten
# nearest neighbours, and if the neighbours score high as well. Rows of high score lie together, so the highest ones
# alone ask the same question again and again. LAS takes the highest 11 % as candidates, clusters them, and asks for the
# middle of every cluster.

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import sem
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import normalize

from skada_active import recipes
from skada_active.datasets import load_gas_drift
from skada_active.deep import AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.query import LAS, MarginSampling

torch.set_num_threads(1)  # these networks are too small for several threads
X, y, sample_domain = load_gas_drift(source=6, target=2)
is_target, known = sample_domain < 0, mask_target(y, sample_domain)
model = AdaptationClassifier(device="cpu", random_state=0).fit(X, known, sample_domain)
las = LAS(estimator=FrozenEstimator(model), random_state=0).fit(X, known, sample_domain)
pool = las.pool_
score = las.utilities(pool)
asked = {
    "smallest margin": MarginSampling().select(pool, 12),
    "highest inconsistency": LAS(oversampling=0).select(pool, 12),
    "LAS": las.select(pool, 12),
}

embedding = normalize(model.transform(X))
pca = PCA(2).fit(embedding[is_target])
Z, Z_source = pca.transform(embedding[is_target]), pca.transform(embedding[~is_target])
candidates = np.argsort(-score)[: 12 * 12]  # twelve for each query: about 11 % of the pool
is_wrong = model.predict(X[is_target]) != y[is_target]

figure, axes = plt.subplots(
    1, 3, figsize=(8, 4), sharex=True, sharey=True, layout="constrained"
)
cross = {"s": 70, "marker": "X", "color": "#D55E00", "edgecolor": "black", "linewidth": 0.7}
for axis, (name, picks) in zip(axes, asked.items(), strict=True):
    print(
        f"{name:<22} {len(set(y[pool.index[picks]]))} of 6 gases, {is_wrong[picks].sum():>2} of 12 misclassified"
    )
    axis.scatter(*Z_source.T, s=5, color="#DDDDDD", label="source")
    points = axis.scatter(*Z.T, s=12, c=score, cmap="viridis", label="target")
    if name == "LAS":
        axis.scatter(
            *Z[candidates].T,
            s=35,
            facecolor="none",
            edgecolor="#D55E00",
            linewidth=0.7,
            label="candidate",
        )
    axis.scatter(*Z[picks].T, label="asked about", **cross)
    axis.set(title=name, xlabel="first principal component")
axes[0].set_ylabel("second principal component")
figure.colorbar(points, label="local inconsistency")
figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4)

# %%
# What the query gains
# --------------------
# ``recipes.lada`` is the whole method; its arguments take it apart, as the ablations of the paper do. First the query
# alone: accuracy on target rows never queried, mean and standard error over seeds. Here LAS and the margin are level
# within their errors, and without the clusters LAS is no good.


def compare(methods, data, n_seeds):
    X, y, sample_domain = data
    models = {}
    for name, recipe in methods.items():
        loops = [recipe(random_state=seed, device="cpu") for seed in range(n_seeds)]
        curves = [
            loop.fit(X, y, sample_domain=sample_domain).learning_curve("unqueried")
            for loop in loops
        ]
        if not models:
            print("labels bought      " + "".join(f"{count:12}" for count in curves[0][0]))
        accuracy = 100 * np.array([values for _, values in curves])
        cells = zip(accuracy.mean(axis=0), sem(accuracy), strict=True)
        print(f"{name:<19}" + "".join(f"{mean:7.1f} ±{error:4.1f}" for mean, error in cells))
        models[name] = loops[0].estimator_
    return models


query_alone = partial(recipes.lada, neighbors=None, augmentation=None)
queries = {
    "margin sampling": partial(recipes.baseline, MarginSampling()),
    "highest LAS scores": partial(query_alone, oversampling=0),
    "LAS": query_alone,
}
compare(queries, (X, y, sample_domain), n_seeds=8)

# %%
# How the anchors grow
# --------------------
# Now the training, where classes are unbalanced: in months 22 and 23 every other row is acetone. The anchor set starts
# each epoch with the bought labels, and at every pass over it confident neighbours join; this is the last epoch, with
# 15 labels. Without balancing acetone floods the set; with it a confident row of a frequent class is mostly turned
# away.

trainings = {
    "LAS, no anchors": query_alone,
    "LADA, not balanced": partial(recipes.lada, class_balanced=False),
    "LADA": recipes.lada,
}
models = compare(trainings, load_gas_drift(source=[1, 2], target=[8]), n_seeds=5)

figure, axes = plt.subplots(
    1, 2, figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained"
)
for axis, name in zip(axes, ["LADA, not balanced", "LADA"], strict=True):
    counts = models[name].anchor_counts_
    for gas, marker, of_gas in zip(models[name].classes_, "osD^vP", counts.T, strict=True):
        axis.plot(range(1, len(counts) + 1), of_gas, marker=marker, markersize=4, label=gas)
    axis.set(title=name, xlabel="pass over the anchor set")
    axis.grid(alpha=0.3)
axes[0].set_ylabel("anchors in the set")
axes[0].xaxis.get_major_locator().set_params(integer=True)
axes[1].legend(title="gas", loc="upper left", ncols=2)

# %%
# Which of the three trainings is best changes from round to round: these seeds show what the anchors do, but not that
# they are worth anything on this pair of batches, beyond what the query gains.
