"""Split of the labelled rows into a training and a validation part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Subset

from skada_active.deep.batches import DomainDataset

__all__ = ["split_labeled"]


def split_labeled(train_split: Callable[..., Any], data: DomainDataset) -> tuple[Any, Any]:
    """Return training and validation data; rows without a label all stay in training.

    Parameters
    ----------
    train_split : callable
        Splits a dataset in two, as `skorch.dataset.ValidSplit` does; it gets the labelled rows and, as `y`, their
        labels.
    data : DomainDataset
        All rows.

    Returns
    -------
    train : Subset of `data`
        Labelled rows of the first part, and all rows without a label.
    valid : Subset of `data`, DomainDataset or None
        The second part, or what `train_split` brought along.

    Raises
    ------
    ValueError
        If a part has no labelled row.
    TypeError
        If a part is not made of the rows that `train_split` got.
    """
    labeled = _subset(data, data.role("labeled").cpu().numpy())
    train, valid = train_split(labeled, data.labels.cpu().numpy()[labeled.indices])
    train = _rows_of(train, labeled)
    _check_labeled(len(train), "training")
    unlabeled = (data.labels < 0).nonzero()[:, 0].cpu().numpy()
    train = _subset(data, np.sort(np.concatenate([train, unlabeled])))
    if valid is None:
        return train, None
    if isinstance(valid, DomainDataset):
        _check_labeled(len(valid.role("labeled")), "validation")
        return train, valid
    valid = _rows_of(valid, labeled)
    _check_labeled(len(valid), "validation")
    return train, _subset(data, valid)


def _subset(data: DomainDataset, rows: NDArray[np.int64]) -> Subset:
    return Subset(data, cast(Sequence[int], rows))  # an array does, and takes a quarter of a list's memory


def _rows_of(part: Any, labeled: Subset) -> NDArray[np.int64]:
    if part is labeled:
        return np.asarray(labeled.indices)
    if isinstance(part, Subset):
        rows = _rows_of(part.dataset, labeled)
        # Row numbers need not be an array, and an empty list would not become one of integers.
        return rows[np.asarray(part.indices, dtype=np.int64)]
    raise TypeError(
        "train_split must return torch.utils.data.Subset objects of the dataset that it is called with, got "
        f"{type(part).__name__}; skorch.dataset.ValidSplit does."
    )


def _check_labeled(n_labeled: int, name: str) -> None:
    if not n_labeled:
        raise ValueError(
            f"train_split leaves no labelled row for {name}; use a split that leaves some on both sides, such as "
            "ValidSplit(0.2, stratified=True), or train_split=None."
        )
