"""
Images: from one set of handwritten digits to another
=====================================================

MNIST digits are the labelled source, the optdigits of scikit-learn the target: other writers, other pens, another
scanner. The default network for images is a small convolutional one; minimum class confusion (MCC) adapts it to the
target, and margin sampling asks for the labels of 45 of the 1797 target images.
"""

# %%
# Train, ask, train on
# --------------------
# Only the loop's ``round_epochs`` of training follow each round; the network is not trained from scratch. For
# photographs and images on disk, see :ref:`sphx_glr_auto_examples_plot_image_folders.py`.

import matplotlib.pyplot as plt

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import load_digits_pair
from skada_active.deep import MCC, AdaptationClassifier
from skada_active.query import MarginSampling

X, y, sample_domain = load_digits_pair(source="mnist", target="optdigits")
classifier = AdaptationClassifier(MCC(), max_epochs=3)
loop = ActiveAdaptationLoop(
    classifier, MarginSampling(), budget=45, n_rounds=3, round_epochs=1, random_state=0
)
loop.fit(X, y, sample_domain=sample_domain)

for count, transductive, unqueried in zip(
    *loop.learning_curve("transductive"), loop.learning_curve("unqueried")[1], strict=True
):
    print(
        f"{count:>2} labels: all target images {transductive:.3f}, never queried {unqueried:.3f}"
    )

# %%
# What it asked about
# -------------------
# The images of each round in order of choice, with the answers: doubtful ones come first.

figure, axes = plt.subplots(3, 15, figsize=(8, 2.6), layout="constrained")
for entry, row in zip(loop.history_, axes, strict=True):
    row[0].set_ylabel(f"round {entry['round']}")
    for row_id, axis in zip(entry["ids"], row, strict=True):
        axis.imshow(X[row_id, 0], cmap="gray_r")
        axis.set(title=str(y[row_id]), xticks=[], yticks=[])
figure.suptitle("Target images that were asked about, with their labels")

# %%
# What it gained
# --------------

labels_bought, accuracy = loop.learning_curve("unqueried")
figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
axis.plot(labels_bought, 100 * accuracy, marker="o", color="#0072B2", linewidth=2)
axis.set(
    xlabel="target labels bought",
    ylabel="accuracy on target images\nnever queried (%)",
    xticks=labels_bought,
)
axis.grid(alpha=0.3)
