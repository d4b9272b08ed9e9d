"""Class shares of the target with intervals: by BBSE and by EM, from held-out predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skada_active.metrics.label_shift import bbse_from_codes, calibrate_proba, em_from_ratios

__all__ = ["ClassShares", "estimate_shares", "with_labels"]


@dataclass(frozen=True, eq=False)
class ClassShares:
    """Class shares of source and target, from the predictions for the target's rows alone.

    Parameters
    ----------
    source : ndarray of shape (C,)
        Shares of the source rows.
    em, bbse : ndarray of shape (C,)
        Estimated shares of the target rows.
    em_draws, bbse_draws : ndarray of shape (B, C)
        The same from bootstrap samples of both domains.
    """

    source: NDArray[np.float64]
    em: NDArray[np.float64]
    bbse: NDArray[np.float64]
    em_draws: NDArray[np.float64]
    bbse_draws: NDArray[np.float64]


def estimate_shares(
    source: NDArray[np.float64],
    codes: NDArray[np.int64],
    target: NDArray[np.float64],
    n_draws: int,
    rng: np.random.RandomState,
) -> ClassShares:
    """Return the class shares from held-out class probabilities of both domains and the classes of the source rows.

    Bootstrap samples of both are calibrated and solved anew. Where the source does not say that the classes are told
    apart, any shares are possible, and the replicates are any.
    """
    n_classes = source.shape[1]
    em, calibrated = _em(source, codes, target)
    em_draws, bbse_draws = np.empty((n_draws, n_classes)), np.empty((n_draws, n_classes))
    for draw in range(n_draws):
        rows, picked = _resampled(codes, rng), rng.randint(len(target), size=len(target))
        em_draws[draw], _ = _em(source[rows], codes[rows], target[picked])
        bbse_draws[draw] = bbse_from_codes(source[rows], codes[rows], target[picked])
    anything = rng.dirichlet(np.ones(n_classes), size=n_draws)
    em_draws = em_draws if _tells_apart(calibrated, codes) else anything
    bbse_draws = bbse_draws if _tells_apart(np.eye(n_classes)[source.argmax(axis=1)], codes) else anything
    prior = np.bincount(codes, minlength=n_classes) / len(codes)
    return ClassShares(prior, em, bbse_from_codes(source, codes, target), em_draws, bbse_draws)


def _em(
    source: NDArray[np.float64], codes: NDArray[np.int64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares by EM, and the calibrated probabilities of the source."""
    n_classes = source.shape[1]
    calibrated, of_target = calibrate_proba(source, codes, target, classes=np.arange(n_classes))
    prior = np.bincount(codes, minlength=n_classes) / len(codes)
    return em_from_ratios(of_target / prior, prior, tol=1e-5, max_iter=300), calibrated


def _tells_apart(outputs: NDArray[np.float64], codes: NDArray[np.int64]) -> bool:
    """Tell whether the mean outputs (C,) of the classes are independent, by more than chance."""
    in_class = np.eye(outputs.shape[1])[codes] / np.bincount(codes, minlength=outputs.shape[1])
    means = in_class.T @ outputs
    errors = np.square(in_class).T @ np.square(outputs - means[codes]).sum(axis=1)
    return bool(np.linalg.svd(means, compute_uv=False)[-1] > 2 * np.sqrt(errors.max()))


def with_labels(
    shares: ClassShares, counts: NDArray[np.int64] | None, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """Return the shares of the target by EM and by its labelled rows together, and replicates, shape (1 + B, C).

    Where both have an estimate, each counts by the inverse of its variance. `counts` (C,) are the labelled rows.
    """
    found = np.vstack([shares.em, shares.em_draws])
    if counts is None:
        return found
    total, of_rows = counts.sum(), found[1:].var(axis=0) + 1e-9
    # Half a row keeps classes without a label from being certain.
    smoothed = (counts + 0.5) / (total + 0.5 * len(counts))
    of_labels = smoothed * (1 - smoothed) / total
    drawn = rng.multinomial(total, smoothed, size=len(found) - 1) / total
    labeled = np.vstack([counts / total, drawn])
    mixed = (found * of_labels + labeled * of_rows) / (of_labels + of_rows)
    return mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12)


def _resampled(codes: NDArray[np.int64], rng: np.random.RandomState) -> NDArray[np.int64]:
    """Return as many rows of each class, drawn with replacement."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return order[first + (rng.random_sample(len(codes)) * np.repeat(counts, counts)).astype(np.int64)]
