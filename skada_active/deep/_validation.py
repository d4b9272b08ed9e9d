"""Checks of arrays, labels and roles, and their form for the net."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from skada_active.deep._inputs import check_rows
from skada_active.deep.batches import DomainDataset
from skada_active.domains import Roles, check_inputs
from skada_active.labels import encode_labels, native_labels
from skada_active.utils.rows import is_dataset
from skada_active.utils.warn import warn_user

__all__ = ["check_class_weight", "check_fit_data", "class_weights", "training_data", "warn_if_no_label_counts"]


def check_fit_data(
    estimator: Any, X: Any, y: Any, sample_domain: Any, *, reset: bool
) -> tuple[Any, NDArray[Any], Roles]:
    """Return checked rows, labels and roles; with `reset` the estimator remembers the columns of `X`."""
    intake = None if reset else estimator._intake
    X, y, roles = check_inputs(check_rows(estimator, X, reset=reset, intake=intake), y, sample_domain)
    if not len(roles.labeled):
        raise ValueError(
            "y has no label at all, so there is nothing to train on: give source rows (sample_domain >= 0) or "
            "target rows with a label."
        )
    check_classification_targets(native_labels(y[roles.labeled]))
    return X, y, roles


def check_class_weight(class_weight: Any) -> None:
    """Raise a ValueError if a dict of class weights holds one that is no finite number >= 0."""
    for label, weight in class_weight.items() if isinstance(class_weight, dict) else ():
        if not (isinstance(weight, Real) and 0 <= float(weight) < np.inf):
            raise ValueError(f"class_weight must hold finite numbers >= 0, got {weight!r} for the class {label!r}.")


def class_weights(class_weight: Any, classes: NDArray[Any], labels: NDArray[Any]) -> torch.Tensor | None:
    """Return the weight of each class, shape (C,); with ``"balanced"`` a class that has no label counts 1."""
    if class_weight is None:
        return None
    present = np.isin(classes, labels) if class_weight == "balanced" else np.ones(len(classes), dtype=bool)
    weight = np.ones(len(classes))
    weight[present] = compute_class_weight(class_weight, classes=classes[present], y=labels)
    return torch.as_tensor(weight, dtype=torch.float32)


def warn_if_no_label_counts(data: DomainDataset, source_weight: float, class_weight: torch.Tensor | None) -> None:
    """Warn if each label has the weight 0, by its domain or by its class, so that nothing is learned from any."""
    if source_weight and class_weight is None:
        return
    labels = data.labels[data.role("labeled" if source_weight else "labeled_target")].cpu()
    if not (len(labels) if class_weight is None else class_weight[labels].any()):
        warn_user(
            "No label counts, so that the network learns nothing from any: class_weight is 0 for each class that has "
            "one, or source_weight is 0 and no target row has a label. Raise one of the two."
        )


def training_data(
    X: Any, y: NDArray[Any], roles: Roles, *, classes: NDArray[Any], domains: NDArray[np.int64], device: torch.device
) -> DomainDataset:
    """Return rows, column positions and domain positions on `device`; an unknown label or domain is an error."""
    labels = np.full(len(y), -1, dtype=np.int64)
    labels[roles.labeled] = encode_labels(y[roles.labeled], classes)
    rows = X if is_dataset(X) else torch.as_tensor(X, device=device)
    domain = _positions(roles, domains)
    n_sources = int((domains >= 0).sum())
    return DomainDataset(
        rows, torch.as_tensor(labels, device=device), torch.as_tensor(domain, device=device), n_sources
    )


def _positions(roles: Roles, domains: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers, inverse = np.unique(roles.domain, return_inverse=True)
    positions = {number: position for position, number in enumerate(domains.tolist())}
    unknown = [number for number in numbers.tolist() if number not in positions]
    if unknown:
        raise ValueError(
            f"sample_domain holds domain {unknown[0]}, but the network was made for {domains.tolist()}; "
            "call fit to train a new one."
        )
    return np.array([positions[number] for number in numbers.tolist()], dtype=np.int64)[inverse]
