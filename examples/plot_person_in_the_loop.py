"""
A person in the loop
====================

A model of heart disease was trained in one hospital (Cleveland) and is to be used in another (Long Beach), where a
cardiologist can look at some patients. Nobody is at hand when the program runs through, so the program must wait: a
session asks, and takes answers whenever they come. The person here is simulated; she answers a few questions a day and
abstains where she cannot tell. Overnight nothing runs: a journal, one SQLite file, keeps what was asked and answered.
"""

# %%
# A session
# ---------
# Any scikit-learn classifier will do, here a pipeline that fills in missing measurements. In a session, every label
# that is present in ``y`` is known, so the target labels are taken out. Half of the patients of Long Beach are held
# out, to see what the answers are worth.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_heart_disease
from skada_active.domains import mask_target
from skada_active.loop import AbstainingOracle, ArrayOracle
from skada_active.query import MarginSampling

X, y, sample_domain = load_heart_disease(source="cleveland", target="va")
is_held_out = np.zeros(len(y), dtype=bool)
is_held_out[
    np.random.default_rng(0).choice(np.flatnonzero(sample_domain < 0), 100, replace=False)
] = True
eval_set = X[is_held_out], y[is_held_out]
X, y, sample_domain = X[~is_held_out], y[~is_held_out], sample_domain[~is_held_out]

model = make_pipeline(
    SimpleImputer(), StandardScaler(), LogisticRegression(class_weight="balanced")
)
loop = ActiveAdaptationLoop(model, MarginSampling(), budget=30, n_rounds=6, random_state=0)
known = mask_target(y, sample_domain)

# %%
# The person
# ----------
# She abstains on about every fourth patient, by a missing label (-1). A real one would be asked through a screen, a
# table or a web page: a session does not care where the labels come from.

person = AbstainingOracle(ArrayOracle(y), rate=0.25, random_state=0)

# %%
# Ask and tell
# ------------
# ``ask`` returns the open questions. ``tell`` takes answers to all or some of them. An abstention costs nothing:
# another patient takes the place. When a round is complete, the model is retrained. Every day opens the session again,
# as a new process would: with the same data and the same file it goes on where it stopped.

journal = Path(tempfile.mkdtemp()) / "labels.db"
n_days = 0
done = False
while not done:
    with loop.session(
        X, known, sample_domain=sample_domain, eval_set=eval_set, journal=journal
    ) as session:
        today = session.ask()[:3]  # three patients a day
        session.tell(today, person(today, X[today]))
        n_days += 1
        done = session.termination_condition_ is not None

print(f"{n_days} days")
print(session.status())
for entry in session.history_:
    print(
        f"round {entry['round']}: bought {entry['ids']}, abstained on {entry['abstained_ids']}"
    )

# %%
# Every answer is an entry of a table, with the round that asked for it; ``pandas.DataFrame`` shows it with its columns.

print(session.answers()[["id", "label", "round"]][:5])

# %%
# What came of it
# ---------------
# The budget was spent exactly, and every abstention was one question more. The history keeps the rounds. One
# percent is one patient, so single steps of the curve are mostly chance. Most patients in Long Beach are ill: the
# balanced accuracy, in the status above, says how much better the model is than the answer "ill" for everybody.

rounds = [session.initial_, *session.history_]
accuracy = [100 * entry["accuracy"]["holdout"] for entry in rounds]
bought = np.array([len(entry["ids"]) for entry in rounds])
abstained = np.array([len(entry["abstained_ids"]) for entry in rounds])
numbers = np.arange(len(rounds))

figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5.5), sharex=True, layout="constrained")
upper.plot(numbers, accuracy, marker="o", color="#0072B2", linewidth=2)
upper.set(
    title="Heart disease: Cleveland adapted to Long Beach",
    ylabel="accuracy on held-out\npatients (%)",
)
lower.bar(numbers, bought, color="#009E73", label="answered")
lower.bar(numbers, abstained, bottom=bought, color="#BBBBBB", hatch="//", label="abstained")
lower.set(xlabel="round", ylabel="questions asked", xticks=numbers)
lower.yaxis.set_major_locator(MaxNLocator(integer=True))
lower.legend(loc="upper left")
for axis in (upper, lower):
    axis.grid(axis="y", alpha=0.3)
