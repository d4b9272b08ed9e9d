"""
See what happened: curves, questions, and a report
==================================================

Fifty labels are spent; what were they spent on, and what are they worth? This example draws what a loop asked and
learned, and writes a page that can be sent to whoever pays for the labels. Sensors of sixteen gases were calibrated in
months 1 to 10 and are used two years later.
"""

# %%
# Runs to look at
# ---------------
# The loop takes a fifth of its labels to measure the model: an audit. Beside it, over the same seeds, random rows are
# labelled: what any query has to be compared with.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop, inspection
from skada_active.datasets import load_gas_drift
from skada_active.inspection import LearningCurveDisplay, QueryDisplay
from skada_active.query import BADGE, RandomSampling

X, y, sample_domain = load_gas_drift(source=[1, 2], target=[8])
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-3))


def run(strategy, seed, audit=0.0):
    loop = ActiveAdaptationLoop(
        model, strategy, budget=50, n_rounds=5, audit=audit, random_state=seed
    )
    return loop.fit(X, y, sample_domain=sample_domain)


loops = [run(BADGE(), seed, audit=0.2) for seed in range(3)]
controls = [run(RandomSampling(), seed) for seed in range(3)]
print("by the audit:", loops[0].accuracy_)
print(f"in truth:     {100 * loops[0].history_[-1]['accuracy']['unqueried']:.0f} %")

# %%
# Learning curves
# ---------------
# Lines are means over the seeds, narrow bands their 95 % intervals. The wide, light one is the interval of the audit,
# which is what somebody who does not know the other labels sees: ten audited labels leave much room.

display = LearningCurveDisplay.from_loops({"BADGE": loops}, control=controls)
display.ax_.set_title("Gas sensors: months 1 to 10 adapted to months 22 and 23")

# %%
# What was asked
# --------------
# Both domains in the first two principal components of what the model reads. Audited rows have a ring: they were drawn
# at random, so they lie where the rows lie, and not where the query looks.

figure, axes = plt.subplots(1, 2, figsize=(8, 4.4), layout="constrained")
display = QueryDisplay.from_loop(loops[0], ax=axes[0])
display.plot(ax=axes[1], by="class")

# %%
# The report
# ----------
# One file, without scripts and without a network: curve, estimates, questions, classes, settings, versions.

path = inspection.report(loops[0], Path(tempfile.mkdtemp()) / "report.html", control=controls)
print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
