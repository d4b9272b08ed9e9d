"""Generated shifts with one known cause, of synthetic and of real rows, for `shift_diagnosis.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, make_classification, make_moons

from skada_active.datasets import load_gas_drift, load_heart_disease, load_wine_quality

__all__ = ["CAUSES", "DEVELOPMENT", "REPORTED", "make_task"]

CAUSES = ("covariate", "label", "concept", "none")
Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
Pool = Callable[[np.random.Generator, int], Rows]


def clouds(n_classes: int, n_features: int, distance: float) -> Pool:
    """Gaussian classes of several shapes that overlap."""

    def draw(rng: np.random.Generator, n: int) -> Rows:
        centers = rng.normal(size=(n_classes, n_features))
        centers *= distance / np.linalg.norm(centers, axis=1, keepdims=True)
        mixing = rng.normal(size=(n_classes, n_features, n_features)) / np.sqrt(n_features) * 0.5 + np.eye(n_features)
        y = rng.integers(n_classes, size=n)
        return centers[y] + np.einsum("nij,nj->ni", mixing[y], rng.normal(size=(n, n_features))), y

    return draw


def random_network(n_classes: int, n_features: int, sharpness: float) -> Pool:
    """Rows of a normal distribution whose class is drawn from the softmax of a random network."""

    def draw(rng: np.random.Generator, n: int) -> Rows:
        X = rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
        hidden = np.tanh(X @ rng.normal(size=(n_features, 16)) / np.sqrt(n_features) * 2)
        logits = sharpness * hidden @ rng.normal(size=(16, n_classes)) / 4
        return X, np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)

    return draw


def moons(noise: float) -> Pool:
    return lambda rng, n: make_moons(n, noise=noise, random_state=int(rng.integers(2**31)))


def hypercube(n_classes: int, n_features: int) -> Pool:
    """Clusters at corners of a cube, several to a class."""
    return lambda rng, n: make_classification(
        n,
        n_features,
        n_informative=max(4, n_features // 2),
        n_classes=n_classes,
        n_clusters_per_class=2,
        class_sep=1.0,
        random_state=int(rng.integers(2**31)),
    )


def real(load: Callable[[], tuple]) -> Pool:
    """Rows of one real domain, in random order."""

    def draw(rng: np.random.Generator, n: int) -> Rows:
        X, labels = load()[:2]
        rows = rng.permutation(len(labels))[:n]
        return np.asarray(X, dtype=np.float64)[rows], np.unique(labels, return_inverse=True)[1][rows]

    return draw


def _of_source(data: tuple) -> tuple:
    X, y, sample_domain = data
    return X[sample_domain > 0], y[sample_domain > 0]


#: Thresholds were chosen on these ...
DEVELOPMENT: dict[str, Pool] = {
    "hypercube 2c 8d": hypercube(2, 8),
    "hypercube 4c 20d": hypercube(4, 20),
    "moons": moons(0.3),
    "clouds 3c 5d": clouds(3, 5, 2.5),
    "breast cancer": real(lambda: load_breast_cancer(return_X_y=True)),
    "digits": real(lambda: load_digits(return_X_y=True)),
}
#: ... and figures are of these.
REPORTED: dict[str, Pool] = {
    "clouds 2c 2d": clouds(2, 2, 1.5),
    "clouds 5c 30d": clouds(5, 30, 4.0),
    "network 2c 5d": random_network(2, 5, 4.0),
    "network 3c 10d": random_network(3, 10, 6.0),
    "network 6c 20d": random_network(6, 20, 8.0),
    "gas sensors": real(lambda: _of_source(load_gas_drift(source=[1, 2, 3, 6], target=[8]))),
    "heart disease": real(lambda: _of_source(load_heart_disease(["cleveland", "hungarian", "va"], "switzerland"))),
    "wine quality": real(lambda: _of_source(load_wine_quality("white", "red"))),
}


def make_task(cause: str, pool: Pool, n: int, strength: float, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return X, y, sample_domain of at most `n` rows a domain: random halves of a pool, of which one is shifted.

    `strength` from 0 to 1 says how much. *covariate*: target rows are drawn by a function of x; *label*: by their
    class; *concept*: labels of the target change, and nothing else does; *none*: nothing does.
    """
    rng = np.random.default_rng(seed)
    X, y = pool(rng, 4 * n)
    half = len(y) // 2
    source, target = np.arange(half)[:n], np.arange(half, len(y))
    size = min(n, len(target) // 2)
    if cause == "covariate":
        tilt = np.exp((0.7 + 0.8 * strength) * _function(X, rng)[target])
        target = rng.choice(target, size, replace=False, p=tilt / tilt.sum())
    elif cause == "label":
        share = _tilted(np.bincount(y), strength, rng)
        weight = (share / np.bincount(y))[y[target]]
        target = rng.choice(target, size, replace=False, p=weight / weight.sum())
    else:
        target = target[:size]
    if cause == "concept":
        y = y.copy()
        y[target] = _relabelled(X[target], y[target], strength, rng)
    rows = np.concatenate([source, target])
    return X[rows], y[rows], np.repeat([1, -2], [len(source), len(target)])


def _function(X: NDArray, rng: np.random.Generator) -> NDArray:
    """Return a random smooth function of the rows, of mean 0 and deviation 1."""
    scaled = np.nan_to_num((X - np.nanmean(X, axis=0)) / np.maximum(np.nanstd(X, axis=0), 1e-12))
    # Few columns, so that the tilt is not the same mean over many of them for all directions.
    columns = rng.choice(X.shape[1], min(X.shape[1], 4), replace=False)
    values = np.clip(scaled[:, columns], -3, 3) @ rng.normal(size=len(columns))
    if rng.random() < 0.3:
        values = np.abs(values - values.mean())
    return (values - values.mean()) / values.std()


def _tilted(counts: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Return class shares of which some are larger and some smaller."""
    logs = rng.permutation(np.linspace(-1, 1, len(counts))) * (0.4 + 0.8 * strength)
    share = counts / counts.sum() * np.exp(logs)
    return share / share.sum()


def _relabelled(X: NDArray, y: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Return labels that follow another rule: in a region, at random, or class by class."""
    n_classes, kind = int(y.max()) + 1, rng.integers(3)
    if kind == 0:  # classes change places where a function of x is large
        values = _function(X, rng)
        moved = values > np.quantile(values, 0.8 - 0.3 * strength)
    elif kind == 1:  # or anywhere, by chance
        moved = rng.random(len(y)) < 0.2 + 0.2 * strength
    else:  # or one class is called another
        moved = (y == rng.integers(n_classes)) & (rng.random(len(y)) < 0.5 + 0.4 * strength)
    return np.where(moved, (y + 1) % n_classes, y)
