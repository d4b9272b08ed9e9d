"""Rows that a diagnosis looks at: some of both domains, and what it needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skada_active.domains import Roles, check_domain_coding, check_inputs
from skada_active.inspection._table import Column, embedded, read_columns
from skada_active.labels import native_labels
from skada_active.metrics.held_out import held_out_proba, spread_folds
from skada_active.pool.readers import ModelReader
from skada_active.utils.fitting import fit_estimator, is_frozen, seed_estimator
from skada_active.utils.rows import take_rows

__all__ = ["Sample", "Seen", "draw_sample", "look_at"]

#: So many labelled target rows are looked at, also where the draw of the target would leave some of them out.
MAX_LABELS = 1000
#: A domain needs so many rows.
_MIN_ROWS = 10


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows drawn from both domains.

    Parameters
    ----------
    X : array-like of shape (n, ...) or dataset
        The rows.
    y : ndarray of shape (n,) or None
        Their labels; None where nobody gave any.
    roles : Roles
        Their roles.
    is_drawn : ndarray of shape (n,), bool
        Which rows are a random sample of their domain; the others are further labelled target rows.
    ids : ndarray of shape (n,), int64
        Their numbers among all rows.
    """

    X: Any
    y: NDArray[Any] | None
    roles: Roles
    is_drawn: NDArray[np.bool_]
    ids: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Sample:
        """Return some of the rows."""
        roles = Roles(self.roles.domain[rows], self.roles.is_labeled[rows])
        y = None if self.y is None else self.y[rows]
        return Sample(take_rows(self.X, rows), y, roles, self.is_drawn[rows], self.ids[rows])


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of the drawn rows.

    Parameters
    ----------
    sample : Sample
        The rows.
    rows : ndarray of shape (n, D)
        The rows as numbers, by ranks.
    places : ndarray of shape (n, E)
        The rows as numbers among which distances count.
    columns : list of Column or None
        Their columns; None where they are no table.
    proba : ndarray of shape (n, C) or None
        Held-out class probabilities; None without labels.
    classes : ndarray of shape (C,) or None
        Classes of the source.
    codes : ndarray of shape (n,), int64
        Positions of the known labels among the classes; -1 where none is known, -2 where no source row has it.
    """

    sample: Sample
    rows: NDArray[np.float64]
    places: NDArray[np.float64]
    columns: list[Column] | None
    proba: NDArray[np.float64] | None
    classes: NDArray[Any] | None
    codes: NDArray[np.int64]


def draw_sample(
    X: Any, y: ArrayLike | None, sample_domain: ArrayLike, max_rows: int, rng: np.random.RandomState
) -> tuple[Sample, Roles]:
    """Return at most half of `max_rows` rows of each domain and further labelled ones, and the roles of all rows."""
    if sample_domain is None:
        raise ValueError("sample_domain is None, so there is one domain; number source rows >= 0 and target rows < 0.")
    nothing = np.zeros(len(np.asarray(sample_domain)), dtype=np.int64)
    X, labels, roles = check_inputs(X, nothing if y is None else y, sample_domain)
    check_domain_coding(roles)
    for name, rows in (("source", roles.source), ("target", roles.target)):
        if len(rows) < _MIN_ROWS:
            raise ValueError(
                f"sample_domain names {len(rows)} {name} row(s), too few to compare; a domain needs {_MIN_ROWS} rows "
                "(source domains are numbered >= 0, target domains < 0)."
            )
    drawn = np.zeros(len(roles), dtype=bool)
    for rows in (roles.source, roles.target):
        drawn[rng.permutation(rows)[: max_rows // 2]] = True
    kept = drawn.copy()
    if y is not None:
        missed = roles.labeled_target[~drawn[roles.labeled_target]]
        n_more = MAX_LABELS - int(drawn[roles.labeled_target].sum())
        kept[rng.permutation(missed)[: max(0, n_more)]] = True
    ids = np.flatnonzero(kept)
    seen_roles = Roles(roles.domain[ids], roles.is_labeled[ids])
    return Sample(take_rows(X, ids), None if y is None else labels[ids], seen_roles, drawn[ids], ids), roles


def look_at(sample: Sample, estimator: Any, n_folds: int, rng: np.random.RandomState) -> Seen:
    """Return what is known of the rows: their columns, the rows as numbers, and held-out class probabilities."""
    columns = read_columns(sample.X)
    features = columns
    if features is None:
        sample, estimator, features = _features(sample, estimator, rng)
    if not features:
        raise ValueError("X has no columns; give at least one.")
    rows, places = embedded(features), embedded(features, ~sample.roles.is_target)
    if sample.y is None:
        return Seen(sample, rows, places, columns, None, None, np.full(len(rows), -1))
    inputs = sample.X if estimator is not None else rows
    model = LogisticRegression(max_iter=1000) if estimator is None else estimator
    proba, classes = held_out_proba(model, inputs, sample.y, sample.roles, n_folds, rng)
    return Seen(sample, rows, places, columns, proba, classes, _codes(sample, classes))


def _features(sample: Sample, estimator: Any, rng: np.random.RandomState) -> tuple[Sample, Any, list[Column]]:
    """Return rows that are no table by the features of the estimator, which learns from half of the source if need be.

    Rows that it learned from are no longer looked at: their features fit too well.
    """
    if estimator is None:
        raise ValueError(
            "X is no table of columns, so its rows cannot be compared as they are; give an estimator that has features "
            "of them, such as AdaptationClassifier(...) or a fitted one in sklearn.frozen.FrozenEstimator, or the "
            "embedding as X."
        )
    if not is_frozen(estimator):
        if sample.y is None:
            raise ValueError(
                f"estimator={estimator!r} is not fitted, and there is no y to fit it on; give y, or a fitted one in "
                "sklearn.frozen.FrozenEstimator."
            )
        source = sample.roles.source
        strata = np.unique(native_labels(sample.y[source]), return_inverse=True)[1]
        train = source[spread_folds(strata, 2, rng) == 0]
        seeded = seed_estimator(clone(estimator), int(rng.randint(np.iinfo(np.int32).max)))
        rows = np.sort(np.concatenate([train, sample.roles.target]))
        part = sample.take(rows)
        hidden = part.roles.hide(part.roles.is_target)
        estimator = FrozenEstimator(fit_estimator(seeded, part.X, sample.y[rows], hidden))
        sample = sample.take(np.setdiff1d(np.arange(len(sample.ids)), train))
    features = ModelReader.from_estimator(estimator).outputs(sample.X, {"features"})["features"]
    flat = np.asarray(features, dtype=np.float64).reshape(len(sample.ids), -1)
    return sample, estimator, read_columns(flat) or []


def _codes(sample: Sample, classes: NDArray[Any]) -> NDArray[np.int64]:
    position = {label: code for code, label in enumerate(classes.tolist())}
    assert sample.y is not None
    codes = [position.get(label, -2) for label in sample.y.tolist()]
    return np.where(sample.roles.is_labeled, codes, -1)
