"""Roles of the rows (source, labelled target, unlabelled target): the border where label conventions are converted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skada_active.labels import as_labels, check_label_types, is_missing, looks_missing, mask_labels
from skada_active.stacking import stack_domains
from skada_active.utils.rows import as_rows, is_dataset, is_reordered, n_rows
from skada_active.utils.warn import warn_user

__all__ = [
    "Roles",
    "check_domain_coding",
    "check_inputs",
    "hide_target",
    "mask_target",
    "resolve_roles",
    "stack_domains",
    "usual_coding",
]

#: Domain number of every row when no ``sample_domain`` is given.
_DEFAULT_SOURCE = 0


@dataclass(frozen=True, eq=False)
class Roles:
    """Tell the role of every row: source, labelled target or unlabelled target.

    Parameters
    ----------
    domain : ndarray of shape (n,), int64
        Domain number per row, ``>= 0`` source, ``< 0`` target.
    is_labeled : ndarray of shape (n,), bool
        Whether the label of the row is known.
    is_excluded : ndarray of shape (n,), bool, default=None
        Rows that are not to be asked about, such as those somebody abstained on; ``None``: no row.

    Attributes
    ----------
    source, labeled_target, unlabeled_target : ndarray of int64
        Row numbers of the three roles, ascending. They are disjoint and cover all rows.

    Examples
    --------
    >>> from skada_active.domains import resolve_roles
    >>> roles = resolve_roles([0, 1, 1, -1], sample_domain=[1, 1, -2, -2])
    >>> roles.source, roles.labeled_target, roles.unlabeled_target
    (array([0, 1]), array([2]), array([3]))
    """

    domain: NDArray[np.int64]
    is_labeled: NDArray[np.bool_]
    is_excluded: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.domain)

    @cached_property
    def is_target(self) -> NDArray[np.bool_]:
        """Whether a row belongs to a target domain, shape (n,)."""
        return self.domain < 0

    @cached_property
    def source(self) -> NDArray[np.int64]:
        """Row numbers of the source rows; each of them is labelled."""
        return np.flatnonzero(~self.is_target)

    @cached_property
    def target(self) -> NDArray[np.int64]:
        """Row numbers of all target rows, labelled or not."""
        return np.flatnonzero(self.is_target)

    @cached_property
    def labeled_target(self) -> NDArray[np.int64]:
        """Row numbers of the target rows whose label is known."""
        return np.flatnonzero(self.is_target & self.is_labeled)

    @cached_property
    def unlabeled_target(self) -> NDArray[np.int64]:
        """Row numbers of the pool: target rows without a known label."""
        return np.flatnonzero(self.is_target & ~self.is_labeled)

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """Row numbers that may be asked about: the pool without the excluded rows."""
        pool = self.is_target & ~self.is_labeled
        return np.flatnonzero(pool if self.is_excluded is None else pool & ~self.is_excluded)

    @cached_property
    def labeled(self) -> NDArray[np.int64]:
        """Row numbers of all rows whose label is known, source and target."""
        return np.flatnonzero(self.is_labeled)

    @property
    def has_domains(self) -> bool:
        """Whether any row is of another domain than the default one, which stands for 'no domains given'."""
        return bool((self.domain != _DEFAULT_SOURCE).any())

    def reveal(self, ids: ArrayLike) -> Roles:
        """Return the roles after the labels of the rows ``ids`` became known."""
        is_labeled = self.is_labeled.copy()
        is_labeled[np.asarray(ids, dtype=np.int64)] = True
        return replace(self, is_labeled=is_labeled)

    def exclude(self, ids: ArrayLike) -> Roles:
        """Return the roles in which the rows `ids` are not to be asked about."""
        excluded = np.zeros(len(self), dtype=bool) if self.is_excluded is None else self.is_excluded.copy()
        excluded[np.asarray(ids, dtype=np.int64)] = True
        return replace(self, is_excluded=excluded)

    def readmit(self, ids: ArrayLike) -> Roles:
        """Return the roles in which the rows `ids`, excluded before, may be asked about again."""
        excluded = np.zeros(len(self), dtype=bool) if self.is_excluded is None else self.is_excluded.copy()
        excluded[np.asarray(ids, dtype=np.int64)] = False
        return replace(self, is_excluded=excluded)

    def hide(self, mask: ArrayLike) -> Roles:
        """Return the roles in which the labels of the rows in the boolean ``mask`` (n,) are unknown."""
        return replace(self, is_labeled=self.is_labeled & ~np.asarray(mask, dtype=bool))


def resolve_roles(y: ArrayLike, sample_domain: ArrayLike | None = None) -> Roles:
    """Convert labels and domain numbers into the role of every row.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels: integers, floats, booleans, strings or objects. With ``sample_domain``, a missing label is ``-1`` in
        integer `y`, ``NaN`` in float `y`, and ``None`` (also ``NaN`` and ``pandas.NA``) in object `y`. It is read only.
        Masked arrays are refused.
    sample_domain : array-like of shape (n,) of int, default=None
        Domain number per row: ``>= 0`` source, ``< 0`` target. ``None``: all rows are source, domain 0, and every
        value of `y` is a label (``-1`` too).

    Returns
    -------
    Roles
        Domain per row, whether its label is known, and the index arrays of the three roles. Without any source row, or
        without any unlabelled target row, the index array of that role is empty; neither is an error.

    Raises
    ------
    ValueError
        If the lengths differ, `y` is a masked array or mixes types, `sample_domain` holds something else than integers,
        or a source row has no label.

    Examples
    --------
    >>> from skada_active.domains import resolve_roles
    >>> resolve_roles(["cat", "dog", None], sample_domain=[0, 0, -1]).unlabeled_target
    array([2])
    """
    y = as_labels(y)
    if sample_domain is None:
        return Roles(np.full(len(y), _DEFAULT_SOURCE, dtype=np.int64), np.ones(len(y), dtype=bool))
    domain = _check_sample_domain(sample_domain, y)
    roles = Roles(domain, ~is_missing(y))
    unlabeled_source = np.flatnonzero((domain >= 0) & ~roles.is_labeled)
    if unlabeled_source.size:
        raise ValueError(
            f"y has no label for {unlabeled_source.size} source row(s), the first is row {unlabeled_source[0]} "
            f"(sample_domain={domain[unlabeled_source[0]]}, y={y[unlabeled_source[0]]!r}). With sample_domain, -1 "
            "(integer y), NaN (float y) and None (object y) mean 'missing'; give every source row a label, drop it, "
            "or number its domain below 0 if it belongs to the target."
        )
    if y.dtype.kind == "O":
        check_label_types(y[roles.is_labeled])
    return roles


def check_inputs(
    X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None, *, allow_missing: bool = False
) -> tuple[Any, NDArray[Any], Roles]:
    """Check rows, labels and domains against each other: the one border where their conventions are converted.

    Parameters
    ----------
    X : array-like of shape (n, ...), sparse matrix, DataFrame or dataset
        Rows of all domains; what is in them is not looked at.
    y : array-like of shape (n,)
        Labels, see `resolve_roles`.
    sample_domain : array-like of shape (n,) of int, default=None
        Domain number per row, see `resolve_roles`.
    allow_missing : bool, default=False
        Whether `y` may hold NaN or None without a `sample_domain`, as in rows that are held out.

    Returns
    -------
    X : ndarray, CSR matrix, DataFrame or dataset
        The rows, which can be taken by their numbers.
    y : ndarray of shape (n,)
        The labels, missing ones still missing.
    roles : Roles
        Role of every row.

    Raises
    ------
    ValueError
        If the lengths differ, labels and domains are not valid, or tables hold the same index in another order.

    Warns
    -----
    UserWarning
        If target rows carry a label that only stands for a missing one: text such as ``"nan"``, a number such as 255
        in place of -1, or one label for all of them that no source row has.

    Examples
    --------
    >>> from skada_active.domains import check_inputs
    >>> X, y, roles = check_inputs([[0.0], [1.0]], ["cat", None], sample_domain=[1, -1])
    >>> X.shape, roles.unlabeled_target
    ((2, 1), array([1]))
    """
    indexed = {"X": X, "y": y, "sample_domain": sample_domain}
    indexes = {name: table.index for name, table in indexed.items() if hasattr(table, "iloc") and not is_dataset(table)}
    if len(indexes) > 1:
        _check_row_order(indexes)
    X, y = as_rows(X), as_labels(y)
    if y.dtype.kind == "O":  # NaN and pandas.NA miss as None does, which is the one that all others know
        y = mask_labels(y, is_missing(y))
    if sample_domain is None and not allow_missing and y.dtype.kind in "fO":  # the integer -1 is an ordinary class then
        _refuse_missing(y)
    roles = resolve_roles(y, sample_domain)
    check_consistent_length(range(n_rows(X)), y)
    new = set(y[roles.labeled_target].tolist()).difference(y[roles.domain >= 0].tolist())
    if new:
        _warn_of_disguised(y, roles, new)
    return X, y, roles


def check_domain_coding(roles: Roles) -> None:
    """Raise a ValueError if the domains are numbered 0 and 1 without a target: the usual coding of other packages."""
    if message := usual_coding(roles):
        raise ValueError(message)


def usual_coding(roles: Roles) -> str | None:
    """Return what to say of domains that are numbered 0 and 1 without a target, None of any others."""
    if len(roles.target) or not np.array_equal(np.unique(roles.domain), [0, 1]):
        return None
    return (
        "sample_domain holds 0 and 1 only, so that every row counts as source: a target is numbered below 0. If 1 "
        "stands for the target, pass np.where(sample_domain == 1, -1, 1); if both are sources, number them 1 and 2."
    )


def hide_target(y: NDArray[Any], roles: Roles, labeled_target: ArrayLike | None) -> Roles:
    """Return the roles in which only those target labels are known that the mask `labeled_target` names."""
    known = np.zeros(len(y), dtype=bool) if labeled_target is None else np.asarray(labeled_target)
    if labeled_target is not None:
        if known.shape != (len(y),) or known.dtype != bool:
            raise ValueError(
                f"labeled_target must be a boolean mask of shape ({len(y)},), got {known.dtype} of {known.shape}; "
                "make one with numpy.isin(numpy.arange(n), ids)."
            )
        unknown = np.flatnonzero(known & roles.is_target & is_missing(y))
        if len(unknown):
            raise ValueError(
                f"labeled_target names row {unknown[0]}, but y has no label for it; take the row out of the mask."
            )
    return replace(roles, is_labeled=roles.is_labeled & (known | ~roles.is_target))


def mask_target(y: ArrayLike, sample_domain: ArrayLike) -> NDArray[Any]:
    """Return a copy of the labels in which those of the target rows are missing.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of all rows; never written to.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target.

    Returns
    -------
    ndarray of shape (n,)
        Signed integers keep their type and miss as ``-1`` (unsigned ones become int64), floats miss as ``NaN``;
        strings, booleans and objects become an object array that misses as ``None``.

    Raises
    ------
    ValueError
        If lengths or domain numbers are not valid (``0`` and ``1`` only: nothing is below 0), or a source row has no
        label.

    Examples
    --------
    >>> from skada_active.domains import mask_target
    >>> mask_target([0, 1, 1], sample_domain=[1, 1, -1])
    array([ 0,  1, -1])
    >>> mask_target(["a", "b"], sample_domain=[1, -1])
    array(['a', None], dtype=object)
    """
    if sample_domain is None:
        raise ValueError(
            "sample_domain is None, so it names no target row; pass one number per row, < 0 for the target."
        )
    roles = resolve_roles(y, sample_domain)
    check_domain_coding(roles)
    return mask_labels(as_labels(y), roles.is_target)


def _check_row_order(indexes: dict[str, Any]) -> None:
    """Raise a ValueError if tables of pandas have the same index in another order: rows go by position here."""
    (first, index), *others = indexes.items()
    for name, other in others:
        if index.is_unique and is_reordered(index, other):
            raise ValueError(
                f"{name} has the index of {first} in another order, and rows are matched by position: pass "
                f"{name}.loc[{first}.index], or {name}.to_numpy() if its order is right already."
            )


def _refuse_missing(y: NDArray[Any]) -> None:
    missing = np.flatnonzero(is_missing(y))
    if len(missing):
        raise ValueError(
            f"y has no label for {len(missing)} row(s), the first is row {missing[0]} (y={y[missing[0]]!r}), but "
            "sample_domain is None, so that all rows count as source. Pass sample_domain, < 0 for the target rows, or "
            "drop the rows without a label."
        )


def _warn_of_disguised(y: NDArray[Any], roles: Roles, new: set[Any]) -> None:
    """Warn if labels, `new` ones that no source row has, only stand for missing ones."""
    known = set(y[roles.labeled].tolist())
    disguised = [label for label in new if looks_missing(label, among=known - {label})]
    is_only_one = len(set(y[roles.labeled_target].tolist())) == 1 < len(roles.labeled_target) == len(roles.target)
    if not disguised and is_only_one and len(roles.source):
        disguised = list(new)
    if disguised:
        n_disguised = int((y[roles.labeled_target] == disguised[0]).sum())
        warn_user(
            f"y holds {disguised[0]!r} for {n_disguised} of {len(roles.target)} target row(s) and for no source row, "
            f"which counts as a class of its own ({y.dtype}). If it stands for a missing label, write -1 (integers), "
            "NaN (floats) or None (anything else), as mask_target(y, sample_domain) does."
        )


def _check_sample_domain(sample_domain: ArrayLike, y: NDArray[Any]) -> NDArray[np.int64]:
    shape = np.shape(sample_domain)
    if len(shape) != 1 and shape[1:] != (1,):
        raise ValueError(
            "sample_domain must hold one integer per row (>= 0 source, < 0 target), got "
            f"{f'an array of shape {shape}' if shape else repr(sample_domain)}; for a single domain pass "
            "np.full(len(y), number)."
        )
    if isinstance(sample_domain, np.ma.MaskedArray):
        raise ValueError("sample_domain is a masked array, whose mask says nothing here; fill it: .filled(number).")
    domain = column_or_1d(sample_domain)
    if len(domain) != len(y):
        raise ValueError(
            f"y and sample_domain have inconsistent numbers of samples: {len(y)} label(s) and {len(domain)} domain "
            "number(s); give one of each per row."
        )
    if domain.dtype.kind == "b":
        raise ValueError(
            "sample_domain must hold one integer per row (>= 0 source, < 0 target), got booleans. Number the domains, "
            "for example by np.where(is_target, -1, 1)."
        )
    whole = None if domain.dtype.kind in "iu" else _are_whole(domain)
    if whole is not None and not whole.all():
        row = int(np.argmin(whole))
        raise ValueError(
            f"sample_domain must hold one integer per row (>= 0 source, < 0 target), got dtype {domain.dtype} with the "
            f"value {domain[row : row + 1].tolist()[0]!r} in row {row}. Number the domains, for example 1, 2 for "
            "sources and -1 for the target."
        )
    return domain.astype(np.int64)


def _are_whole(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    if numbers.dtype.kind == "f":
        return np.isfinite(numbers) & (numbers == np.trunc(numbers))
    return np.fromiter((_is_whole(number) for number in numbers.tolist()), dtype=bool, count=len(numbers))


def _is_whole(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, Real):
        return False
    return isinstance(number, Integral) or float(number).is_integer()
