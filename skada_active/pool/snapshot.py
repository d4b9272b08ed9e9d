"""Snapshot of a fitted model's outputs: one forward pass per round, a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import gen_even_slices

from skada_active.domains import Roles
from skada_active.pool.fields import FIELDS, names_from
from skada_active.pool.readers import ModelReader
from skada_active.pool.view import PoolView
from skada_active.utils.arrays import Array, empty_like
from skada_active.utils.rows import is_dataset, take_rows

__all__ = ["snapshot"]

#: A block holds so many bytes of X, but so many rows at least: few rows at a time would be slow to read.
_BLOCK_BYTES, _MIN_ROWS = 2**27, 2**10
#: Rows of a block of a dataset, whose rows have no size before they are read; a network reads them batch by batch.
_DATASET_ROWS = 2**14
#: What a value of a table of several types takes.
_ITEM_BYTES = 8
#: Fields by where they come from: from the model, and from labels and domains.
_OUTPUTS, _HEAD, _DISCRIMINATOR = (names_from(source) for source in ("output", "head", "discriminator"))
_PREVIOUS = names_from("previous")
_CLASSES = frozenset(name for name in FIELDS if name.endswith("_y"))
_LABELS = _CLASSES | {name for name in FIELDS if name.endswith("_domain")}
#: Outputs for the revealed target rows and for the source rows: the group's name, and that of the output.
_LABELED, _SOURCE = names_from("labeled") - _LABELS, names_from("source") - _LABELS


def snapshot(
    estimator: Any,
    X: Any,
    roles: Roles,
    needs: Iterable[str],
    *,
    y: NDArray[Any] | None = None,
    n_initial: int | None = None,
    on_device: Iterable[str] = (),
    previous: Any = None,
    **extra: ArrayLike,
) -> PoolView:
    """Read from a fitted model what a strategy needs, in one forward pass.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier: `AdaptationClassifier`, any scikit-learn classifier, a `Pipeline` that ends in one, or one of
        them inside `FrozenEstimator`. Features are the input of the last step; head and logits come from linear
        models, a binary one becoming two rows ``-w/2`` and ``+w/2``.
    X : array-like of shape (n_rows, ...) or dataset
        All rows.
    roles : Roles
        Role of every row.
    needs : iterable of str
        Names of the `PoolView` fields to fill. In place of ``"class_domain_grad"`` with ``"features"``, the parameters
        ``class_discriminator`` are filled where the model supplies them: the gradients derive from both.
    y : ndarray of shape (n_rows,), default=None
        Labels of all rows; read at labelled rows only, and only for ``"labeled_y"`` and ``"source_y"``.
    n_initial : int, default=None
        Size of the pool before the first round; ``None``: the size it has now.
    on_device : iterable of str, default=()
        ``"features"``: those of every group of rows stay on the network's device, as torch tensors. Other models supply
        arrays, whatever is named.
    previous : estimator, default=None
        Fitted classifier of the round before, for ``"previous_proba"``: its classes have columns as those of
        `estimator`, and a class that it did not know has probability 0. ``None``, or one that knows classes which
        `estimator` lacks: the field is not filled, and then is `proba`.
    **extra : array-like
        Fields that come from somewhere else than the model, such as ``committee_proba``.

    Returns
    -------
    PoolView
        View of the candidates, unlabelled target rows; where there are none, only `index` is filled.

    Raises
    ------
    TypeError
        If `needs` is a string, or names what is no field.
    ValueError
        If the model cannot supply a field, a label is not among its classes, or `y` is needed and ``None``.

    Notes
    -----
    Costs one forward pass over the pool and, where outputs for the labelled target rows or the source rows are needed,
    over those rows, all together; for ``"previous_proba"`` one more over the pool. Rows are read in blocks of 128 MB of
    `X` (at least 1024 rows; 16,384 rows of a dataset) into arrays that are made once. Memory: the fields that are
    filled, and one block with its outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active.domains import resolve_roles
    >>> from skada_active.pool import snapshot
    >>> X, y = np.array([[0.0], [1.0], [0.4]]), np.array([0, 1, -1])
    >>> view = snapshot(LogisticRegression().fit(X[:2], y[:2]), X, resolve_roles(y, [1, 1, -1]), {"proba", "features"})
    >>> view.index, view.features
    (array([2]), array([[0.4]]))
    """
    if isinstance(needs, str):
        raise TypeError(f"needs must be a collection of field names, got the string {needs!r}; pass {{{needs!r}}}.")
    reader = ModelReader.from_estimator(estimator)
    names = reader.readable(frozenset(needs) - extra.keys())
    candidates = roles.candidates
    if not len(candidates):
        return PoolView(index=candidates, n_initial=n_initial)
    groups, of_group = {"pool": candidates}, {"pool": names & _OUTPUTS}
    if "class_domain_grad" in names:
        of_group["pool"] |= {reader.embedding}
    for group, role, fields in (("labeled", "labeled_target", _LABELED), ("source", "source", _SOURCE)):
        if names & fields:
            groups[group] = getattr(roles, role)
            of_group[group] = frozenset(name.removeprefix(f"{group}_") for name in names & fields)
    outputs = _read_outputs(reader, X, groups, of_group, frozenset(on_device))
    of_pool = outputs.pop("pool")
    filled: dict[str, Any] = {"index": candidates, "n_initial": n_initial, **extra}
    filled |= {name: values for name, values in of_pool.items() if name in names}
    for group, values in outputs.items():
        filled |= {f"{group}_{name}": value for name, value in values.items()}
    if "source_features" in names and not len(roles.source):
        filled |= reader.moments()
    if names & _HEAD:
        filled["head_weight"], filled["head_bias"] = reader.head()
    if names & _LABELS:
        if y is None and names & _CLASSES:
            raise ValueError(f"needs names {min(names & _CLASSES)!r}, but y is None; pass the labels of all rows as y.")
        filled |= reader.label_fields(roles, names, y)
    filled |= {name: reader.read(name, of_pool.get(reader.embedding)) for name in names & _DISCRIMINATOR}
    if previous is not None and names & _PREVIOUS:
        filled["previous_proba"] = _aligned_proba(ModelReader.from_estimator(previous), reader, X, candidates)
    return PoolView(**filled)


def _aligned_proba(
    previous: ModelReader, reader: ModelReader, X: Any, candidates: NDArray[np.int64]
) -> NDArray[Any] | None:
    """Return the probabilities (n, C) of another model, its classes in the columns of the reader's; None if it cannot.

    A model can forget a class: where the only answer of it was corrected, or its rows are too few to train on.
    """
    if not np.isin(previous.model.classes_, reader.model.classes_).all():
        return None
    proba = _read_outputs(previous, X, {"pool": candidates}, {"pool": frozenset({"proba"})})["pool"]["proba"]
    aligned = np.zeros((len(proba), len(reader.model.classes_)), dtype=proba.dtype)
    aligned[:, reader.positions(previous.model.classes_)] = proba
    return aligned


def _read_outputs(
    reader: ModelReader,
    X: Any,
    groups: dict[str, NDArray[np.int64]],
    names: dict[str, frozenset[str]],
    on_device: frozenset[str] = frozenset(),
) -> dict[str, dict[str, Array]]:
    """Return the outputs of the model for groups of rows, all read in one pass.

    Parameters
    ----------
    reader : ModelReader
        Reader of the fitted model.
    X : array-like of shape (n_rows, ...) or dataset
        All rows.
    groups : dict of str to ndarray of int64
        Row numbers of each group.
    names : dict of str to frozenset of str
        Names of the outputs of each group.
    on_device : frozenset of str
        Names of outputs that stay on the model's device where it has one.

    Returns
    -------
    dict of str to dict of str to ndarray or Tensor
        Outputs by group and name.

    Notes
    -----
    Besides what is returned, one block of rows and its outputs are held; a single block is returned without a copy.
    """
    outputs: dict[str, dict[str, Array]] = {group: {} for group in groups}
    rows = np.concatenate(list(groups.values()))
    for block in gen_even_slices(len(rows), math.ceil(len(rows) / _block_rows(X))):
        spans = _spans(groups, block)
        wanted = frozenset().union(*(names[group] for group in spans))
        if wanted:
            # Handed on without a name of its own: nothing holds a block while the next one is read.
            _store(reader.outputs(take_rows(X, rows[block]), wanted, on_device), block.start, spans, names, outputs)
    return outputs


def _block_rows(X: Any) -> int:
    """Return how many rows of `X` are read at a time."""
    if is_dataset(X) or not hasattr(X, "shape"):
        return _DATASET_ROWS
    item_bytes = getattr(getattr(X, "dtype", None), "itemsize", _ITEM_BYTES)
    # Sparse rows count as dense ones, which their features become.
    return max(_MIN_ROWS, _BLOCK_BYTES // max(1, item_bytes * math.prod(X.shape[1:])))


def _spans(groups: dict[str, NDArray[np.int64]], block: slice) -> dict[str, tuple[int, int, int, int]]:
    """Return, for each group that a block touches, its start and end among all rows, and those of the overlap."""
    spans, first = {}, 0
    for group, rows in groups.items():
        last = first + len(rows)
        start, stop = max(first, block.start), min(last, block.stop)
        if start <= stop:  # a group without rows has outputs too, without rows
            spans[group] = first, last, start, stop
        first = last
    return spans


def _store(
    values: dict[str, Array],
    block_start: int,
    spans: dict[str, tuple[int, int, int, int]],
    names: dict[str, frozenset[str]],
    outputs: dict[str, dict[str, Array]],
) -> None:
    """Write the outputs of a block to their places; a block that is a whole group is kept as it is."""
    for group, (first, last, start, stop) in spans.items():
        for name in names[group]:
            axis = FIELDS[name].axes.index("n") if name in FIELDS else 0  # not the first one where there are members
            before = (slice(None),) * axis
            part = values[name][(*before, slice(start - block_start, stop - block_start))]
            if part.shape[axis] == last - first:
                outputs[group][name] = part
                continue
            if name not in outputs[group]:
                shape = (*part.shape[:axis], last - first, *part.shape[axis + 1 :])
                outputs[group][name] = empty_like(shape, part)
            outputs[group][name][(*before, slice(start - first, stop - first))] = part
