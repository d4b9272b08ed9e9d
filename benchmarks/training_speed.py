"""Time a training epoch of AdaptationClassifier against a bare torch loop that does the same steps.

Run ``python benchmarks/training_speed.py``. Both train the same network on the same kind of batches (64 source rows,
labelled cross-entropy, fused Adam) with one thread; epochs alternate, and the table gives medians and their paired
ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skada_active.deep import AdaptationClassifier
from skada_active.deep._data import training_data
from skada_active.domains import resolve_roles


def bare_epoch(X: torch.Tensor, y: torch.Tensor, n_classes: int, batch_size: int) -> Callable[[], None]:
    backbone = nn.Sequential(nn.Linear(X.shape[1], 256), nn.BatchNorm1d(256))
    head = nn.Linear(256, n_classes)
    mean, scale = X.mean(0), X.std(0)
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=1e-3, weight_decay=1e-5, fused=True)

    def epoch() -> None:
        backbone.train()
        n_steps = -(-len(X) // batch_size)
        order = torch.cat([torch.randperm(len(X)), torch.randperm(len(X))])[: n_steps * batch_size]
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            features = backbone((X[rows] - mean) / scale)
            F.cross_entropy(head(features), y[rows]).backward()
            optimizer.step()

    return epoch


def classifier_epoch(X: torch.Tensor, y: torch.Tensor, batch_size: int) -> Callable[[], None]:
    model = AdaptationClassifier(batch_size=batch_size, max_epochs=1, device="cpu", random_state=0)
    model.fit(X.numpy(), y.numpy())
    labels = y.numpy()
    data = training_data(
        X.numpy(), labels, resolve_roles(labels), classes=model.classes_, domains=model.domains_, device=model.device_
    )
    return lambda: model.net_.train_epochs(data, 1)


def compare(n_features: int, n_rows: int, n_classes: int, batch_size: int, repeats: int) -> None:
    rng = np.random.RandomState(0)
    X = torch.as_tensor(rng.randn(n_rows, n_features).astype(np.float32))
    y = torch.as_tensor(np.r_[np.arange(n_classes), rng.randint(n_classes, size=n_rows - n_classes)])
    epochs = {"bare": bare_epoch(X, y, n_classes, batch_size), "classifier": classifier_epoch(X, y, batch_size)}
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for repeat in range(repeats + 2):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            epoch()
            if repeat >= 2:  # the first epochs warm up allocators and caches
                seconds[name].append(time.perf_counter() - start)
    ratios = [ours / bare for ours, bare in zip(seconds["classifier"], seconds["bare"], strict=True)]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"{n_features:>8} | {medians['bare']:.4f} | {medians['classifier']:.4f} | {statistics.median(ratios):.3f} "
        f"[{min(ratios):.3f}, {max(ratios):.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--rows", type=int, default=6800)
    parser.add_argument("--classes", type=int, default=65)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("features | bare s/epoch | classifier s/epoch | ratio [min, max]")
    for n_features in (256, 2048):
        compare(n_features, arguments.rows, arguments.classes, arguments.batch_size, arguments.repeats)


if __name__ == "__main__":
    main()
