"""Checks of arrays, labels and roles, and their form for the net."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from skada_active.deep import objectives
from skada_active.deep._initial import check_columns
from skada_active.deep._inputs import check_rows
from skada_active.deep.batches import DomainDataset
from skada_active.deep.objectives import Objective, ObjectiveSum
from skada_active.domains import Roles, check_inputs
from skada_active.labels import encode_labels, native_labels
from skada_active.utils.rows import is_dataset
from skada_active.utils.warn import warn_user

__all__ = [
    "check_class_weight",
    "check_fit_data",
    "check_source_rows",
    "class_weights",
    "training_data",
    "warn_if_no_label_counts",
    "with_new_targets",
]


def check_fit_data(
    estimator: Any, X: Any, y: Any, sample_domain: Any, *, reset: bool, initial: Any = None
) -> tuple[Any, NDArray[Any], Roles]:
    """Return checked rows, labels and roles; with `reset` the estimator remembers the columns of `X`.

    With `initial`, the trained model that it starts from, they are rows like those of that one.
    """
    trained = estimator if not reset else initial
    if initial is not None:
        check_columns(initial, X)
    rows = check_rows(estimator, X, reset=reset, intake=None if trained is None else trained._intake)
    X, y, roles = check_inputs(rows, y, sample_domain)
    if len(roles.labeled):
        check_classification_targets(native_labels(y[roles.labeled]))
    elif trained is None or (not reset and estimator._config.objective is None):
        raise ValueError(
            "y has no label at all, so there is nothing to train on: give source rows (sample_domain >= 0), "
            "target rows with a label, or a trained network as init."
        )
    return X, y, roles


def check_source_rows(objective: Any, roles: Roles) -> None:
    """Warn that what compares source and target does nothing without source rows; what cannot do without is an error.

    The error is a ValueError.
    """
    parts = [part for _, part in objective.objectives] if isinstance(objective, ObjectiveSum) else [objective]
    comparing = [part for part in parts if part is not None and part.trade_off and part.compares_domains]
    if not comparing or len(roles.source):
        return
    kinds = [kind for kind in vars(objectives).values() if isinstance(kind, type) and issubclass(kind, Objective)]
    without = ", ".join(kind.__name__ for kind in kinds if kind is not Objective and not kind().compares_domains)
    remedy = f"give some (sample_domain >= 0), or choose an objective that does without: {without}, or None."
    if needing := [part for part in comparing if part.needs_source]:
        raise ValueError(
            f"objective={needing[0]!r} is made for the number of source domains, but there is no source row; {remedy}"
        )
    warn_user(
        f"objective={comparing[0]!r} compares source and target rows, but there is no source row, so it does nothing; "
        f"{remedy}"
    )


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


def with_new_targets(domains: NDArray[np.int64], roles: Roles) -> NDArray[np.int64]:
    """Return the numbers of the domains with those of target domains that the network did not know, at the end."""
    return np.concatenate([domains, np.setdiff1d(roles.domain[roles.target], domains)])


def _positions(roles: Roles, domains: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers, inverse = np.unique(roles.domain, return_inverse=True)
    positions = {number: position for position, number in enumerate(domains.tolist())}
    unknown = [number for number in numbers.tolist() if number not in positions]
    if unknown:
        raise ValueError(
            f"sample_domain holds domain {unknown[0]}, but the network was made for {domains.tolist()}; "
            "call fit to train a new one (target domains, below 0, may be new)."
        )
    return np.array([positions[number] for number in numbers.tolist()], dtype=np.int64)[inverse]
