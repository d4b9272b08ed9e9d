"""
The model arrives alone
=======================

A hospital hands over a model, and no patient. Another hospital has patients whose diagnoses
have to be asked for. What is the model worth there, and how far do a few diagnoses take it?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_heart_disease
from skada_active.source_free import SourceModel

# %%
# Site A fits a model and writes one file: the model, and counts and moments of its patients by
# class, but no patient. Groups of fewer than five are left out.

X, y, sample_domain = load_heart_disease(source="va", target="cleveland")
at_a, at_b = sample_domain >= 0, sample_domain < 0
imputer = SimpleImputer(keep_empty_features=True)
model = make_pipeline(imputer, StandardScaler(), LogisticRegression())
source = SourceModel.from_fit(model, X[at_a], y[at_a], random_state=0)
path = Path(tempfile.mkdtemp()) / "hospital_a.skops"
source.save(path)
print(source.summary)

# %%
# Site B has the file and its own patients. A session would ask a person; here the known
# diagnoses answer. Without any label, what `adaptable` returns predicts exactly what the model
# of site A does, and every answer moves it away from there as far as the answers say.

X_b, y_b = X[at_b], y[at_b]
source = SourceModel.load(path)
curves = []
for seed in range(5):
    loop = ActiveAdaptationLoop(source.adaptable(), budget=60, n_rounds=6, random_state=seed)
    loop.fit(X_b, y_b, sample_domain=np.full(len(y_b), -1))
    labels, accuracy = loop.learning_curve("unqueried")
    curves.append(100 * accuracy)
mean = np.mean(curves, axis=0)

print(f"asked by {loop.strategy_}")
print(f"model of site A: {mean[0]:.1f} % of the {len(y_b)} patients of site B")
print(f"with {labels[-1]} diagnoses: {mean[-1]:.1f} % of those who were not asked about")

# %%
# Five seeds, each a thin line. Ten answers can mislead: with some seeds the model is worse for
# them at first. Forty make up for it with every seed.

figure, axes = plt.subplots(layout="constrained")
for curve in curves:
    axes.plot(labels, curve, color="C0", alpha=0.3, linewidth=1)
axes.plot(labels, mean, color="C0", marker="o", label="going on from the model")
axes.axhline(mean[0], linestyle="--", color="gray", label="the model of site A")
axes.set(xlabel="Diagnoses", ylabel="Accuracy, never queried (%)")
axes.set_title("Cleveland, with the model of another hospital alone")
axes.legend()
plt.show()
