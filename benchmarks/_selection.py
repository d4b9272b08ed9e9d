"""What `selection_speed.py` times: arrays of several sizes, and the list of the rules' contenders.

A contender is a function of `Arrays` that returns the positions it chooses. It starts from ready arrays, as a strategy
does after the forward pass, and does all of its own validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Contender = Callable[["Arrays"], NDArray[np.int64]]

#: Candidates, classes, features and queries.
SIZES = {
    "a": (2500, 31, 256, 25),
    "b": (4400, 65, 256, 44),
    "b2": (4400, 65, 2048, 44),
    "c": (55000, 12, 256, 550),
    "d": (50000, 345, 512, 500),
}
OURS = "skada_active"
RULES: dict[str, dict[str, Contender]] = {}
#: At which sizes a contender runs, where it does not at all.
AT: dict[tuple[str, str], tuple[str, ...]] = {}
_HIDDEN, _MEMBERS, _SOURCE = 256, 5, 10_000


@dataclass(frozen=True)
class Arrays:
    """What a model says of a pool: float32 arrays of clustered ReLU features and a linear head's predictions."""

    n_queries: int
    proba: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    head: NDArray[np.float32]
    discriminator: tuple[NDArray[np.float32], ...]
    source: NDArray[np.float32]
    committee: NDArray[np.float32]
    source_logit: NDArray[np.float32]
    divergence: NDArray[np.float32]
    domain_grad: NDArray[np.float32]

    @classmethod
    def of(cls, n: int, n_classes: int, n_features: int, n_queries: int) -> Arrays:
        """Return the arrays of one size, the same in every process."""
        rng = np.random.default_rng(0)
        centers = rng.standard_normal((n_classes, n_features), dtype=np.float32)
        features = _cloud(rng, centers, n)
        head = centers * np.float32(1.5 / np.sqrt(n_features))
        logits = features @ head.T
        hidden = min(_HIDDEN, n_features)
        shapes = ((hidden, n_features), (hidden,), (n_classes, hidden), (n_classes,))
        layers = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
        layers[0] /= np.float32(np.sqrt(n_features))
        layers[2] /= np.float32(np.sqrt(hidden))
        noise = (
            rng.standard_normal((_MEMBERS, *logits.shape), dtype=np.float32) if n * n_classes < 10**6 else logits[None]
        )
        return cls(
            n_queries,
            softmax(logits, axis=1),
            logits,
            features,
            head,
            tuple(layers),
            _cloud(rng, centers, min(n, _SOURCE)) + np.float32(0.2),
            softmax(logits + noise, axis=2),
            rng.standard_normal(n, dtype=np.float32),
            rng.random(n, dtype=np.float32),
            rng.standard_normal(features.shape, dtype=np.float32),
        )


def _cloud(rng: np.random.Generator, centers: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    rows = rng.standard_normal((n, centers.shape[1]), dtype=np.float32)
    rows += centers[rng.integers(len(centers), size=n)]
    return np.maximum(rows, 0, out=rows)


def contender(rule: str, name: str, at: str = "") -> Callable[[Contender], Contender]:
    """Enter a function under a rule; `at` names the sizes it can do, by default all."""

    def enter(function: Contender) -> Contender:
        RULES.setdefault(rule, {})[name] = function
        if at:
            AT[rule, name] = tuple(at.split())
        return function

    return enter
