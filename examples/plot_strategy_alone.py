"""
A strategy alone, on a scikit-learn model
=========================================

A query strategy needs no network and no loop: it reads a fitted classifier and answers with row numbers. Here a
logistic regression was trained on the first months of a gas sensor array, and three strategies say which 15 of the 294
later measurements they would have labelled.
"""

# %%
# A fitted model
# --------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active.datasets import load_gas_drift
from skada_active.domains import mask_target
from skada_active.query import BADGE, CoreSet, MarginSampling

X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
is_source = sample_domain > 0
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(
    X[is_source], y[is_source]
)
print(f"accuracy on the source rows {model.score(X[is_source], y[is_source]):.3f}")
print(f"accuracy on the target rows {model.score(X[~is_source], y[~is_source]):.3f}")

# %%
# Three questions to it
# ---------------------
# ``mask_target`` takes the target labels out of ``y``, so no strategy can see them. ``FrozenEstimator`` says that the
# model is used as it is; without it, a strategy clones the model and fits it on the labelled rows. The embedding that
# CoreSet and BADGE read is the input of the pipeline's last step. Margin sampling looks for doubt alone, and often asks
# about the same kind of row; CoreSet looks for rows unlike those chosen before; BADGE for both.

known = mask_target(y, sample_domain)
frozen = FrozenEstimator(model)
strategies = {
    "margin": MarginSampling(estimator=frozen),
    "CoreSet": CoreSet(estimator=frozen),
    "BADGE": BADGE(estimator=frozen, random_state=0),
}
asked = {
    name: strategy.fit(X, known, sample_domain).query(15)
    for name, strategy in strategies.items()
}

is_wrong = model.predict(X) != y
for name, ids in asked.items():
    print(
        f"{name:<8} {len(set(y[ids]))} of {len(set(y))} gases, {is_wrong[ids].sum():>2} of 15 rows misclassified"
    )

# %%
# Where the rows lie
# ------------------
# The first two principal components of the standardised target rows, and the source rows near them. The few target rows
# outside of the picture are drawn on its border.

is_target = ~is_source
embedding = model[:-1].transform(X)
Z = PCA(2).fit(embedding[is_target]).transform(embedding)
low, high = np.percentile(Z[is_target], [1, 99], axis=0) + np.array([[-0.5], [0.5]])
inside = Z.clip(low, high)
is_near = is_target | (inside == Z).all(axis=1)

figure, axes = plt.subplots(
    1, 3, figsize=(8, 4), sharex=True, sharey=True, layout="constrained"
)
cross = {"s": 60, "marker": "X", "color": "#D55E00", "edgecolor": "black", "linewidth": 0.6}
for axis, (name, ids) in zip(axes, asked.items(), strict=True):
    axis.scatter(
        *inside[is_source & is_near].T, s=9, color="#BBBBBB", label="source (months 1 to 10)"
    )
    axis.scatter(*inside[is_target].T, s=12, color="#56B4E9", label="target (months 22 and 23)")
    axis.scatter(*inside[ids].T, label="asked about", **cross)
    axis.set(title=name, xlabel="first principal component")
axes[0].set_ylabel("second principal component")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
