"""
Two folders of images
=====================

Images lie on disk: one folder for each domain, one sub-folder for each class. A network is trained on the labelled
folder and handed over; then the other folder has to be labelled, forty images at most. Which ones, and how much of the
network should be trained on so few?
"""

# %%
# The folders
# -----------
# For this example they are written first: handwritten digits of MNIST, and those of the optdigits data, other writers
# on another scanner. Photographs of two shops lie on disk in the same way.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.frozen import FrozenEstimator

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import image_folders, load_digits_pair
from skada_active.deep import AdaptationClassifier
from skada_active.query import RandomSampling

digits, labels, site = load_digits_pair(source="mnist", target="optdigits")
root = Path(tempfile.mkdtemp())
for number in np.random.default_rng(0).permutation(len(labels))[:600]:
    image, label, is_mnist = digits[number], labels[number], site[number] >= 0
    folder = root / ("mnist" if is_mnist else "optdigits") / f"digit {label}"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (255 * image[0] / max(image.max(), 1e-9)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")

X, y, sample_domain = image_folders(
    {"mnist": root / "mnist", "optdigits": root / "optdigits"},
    source="mnist",
    target="optdigits",
    image_size=16,
)
is_source = sample_domain >= 0
print(len(X), "files, first", Path(X.paths[0]).relative_to(root), "with rows of", X[0].shape)

# %%
# The network that is handed over
# -------------------------------
# It sees the source folder alone. Files are decoded when a row is read, so that no more of them is in memory than a
# batch. For photographs it begins from pretrained weights instead, which want the scale that they were trained with:
#
# .. code-block:: python
#
#    import torch
#    from torchvision.transforms import v2
#
#    from skada_active.networks import Standardize, torchvision_backbone
#
#    folders = {"shop": "photos/shop", "studio": "photos/studio"}
#    X, y, sample_domain = image_folders(folders, source="studio", target="shop", resize=256)
#
#    mean, scale = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]) * 255
#    backbone = torchvision_backbone("resnet50", weights="DEFAULT")
#    views = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()])
#
#
#    def train_transform(images):
#        return torch.stack([views(image) for image in images])
#
#
#    network = AdaptationClassifier(
#        module=torch.nn.Sequential(Standardize(mean, scale), backbone),
#        frozen=["1.0.conv1", "1.0.bn1", "1.0.layer[123]"],  # the last stage is trained
#        batch_statistics="frozen",
#        backbone_lr=0.1,
#        channels_last=True,
#        train_transform=train_transform,
#    )
#
# Without ``train_transform`` the frozen stages are run once for every image in each call of training; with it they are
# run in every epoch, on another view of the image.

network = AdaptationClassifier(max_epochs=8, random_state=0)
network.fit(X[is_source], y[is_source])
print(f"on the other folder: {network.score(X[~is_source], y[~is_source]):.3f}")

# %%
# Forty labels
# ------------
# From here on there is no source image. The network is trained on as a whole, or its head alone, with the images that
# the default strategy asks for, or with random ones. The bands reach from the worse to the better of two seeds.

start = FrozenEstimator(network)
ways = {
    "whole network, asked for": ({}, None),
    "head alone, asked for": ({"frozen": ["backbone"], "batch_statistics": "frozen"}, None),
    "whole network, random": ({}, RandomSampling()),
}
curves, fitted = {}, {}
for name, (params, strategy) in ways.items():
    runs = []
    for seed in range(2):
        model = AdaptationClassifier(init=start, max_epochs=3, **params)
        loop = ActiveAdaptationLoop(
            model, strategy, budget=40, n_rounds=4, round_epochs=3, random_state=seed
        )
        loop.fit(X[~is_source], y[~is_source], sample_domain=sample_domain[~is_source])
        n_labels, accuracy = loop.learning_curve("unqueried")
        runs.append(100 * accuracy)
    curves[name], fitted[name] = np.array(runs), loop
    print(f"{name}: {curves[name].mean(axis=0).round(1)} % with {n_labels} labels")

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
colors = ("#0072B2", "#009E73", "#999999")
for (name, runs), color in zip(curves.items(), colors, strict=True):
    axis.plot(n_labels, runs.mean(axis=0), marker="o", color=color, label=name)
    axis.fill_between(n_labels, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.15)
axis.set(
    xlabel="labels of the other folder",
    ylabel="accuracy on images\nnever asked for (%)",
    xticks=n_labels,
)
axis.legend(frameon=False)
axis.grid(alpha=0.3)

# %%
# The first ten answers are worth most, and the bands are widest there: much depends on which digits they name. Images
# that are asked for name more of them than random ones. The head alone has most of the gain.

files, answers = X[~is_source], y[~is_source]
for name, loop in fitted.items():
    first = answers[loop.history_[0]["ids"]]
    print(f"{name}: the first {len(first)} answers name {len(set(first))} digits")

# %%
# What was asked for
# ------------------
# The files of each round, with the answers. A person would get them as a table with their paths, by
# ``session.questions()``.

loop = fitted["whole network, asked for"]
figure, axes = plt.subplots(4, 10, figsize=(7.5, 3.4), layout="constrained")
for entry, row in zip(loop.history_, axes, strict=True):
    row[0].set_ylabel(f"round {entry['round']}")
    for file, axis in zip(entry["ids"], row, strict=True):
        axis.imshow(files[int(file)].transpose(1, 2, 0))
        axis.set(title=answers[file].removeprefix("digit "), xticks=[], yticks=[])
figure.suptitle("Images that were asked for, with their labels")
