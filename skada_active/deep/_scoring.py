"""Labelled rows of steps and of data, as skorch's scoring callbacks read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import skorch.dataset
from skorch.callbacks import Callback, PassthroughScoring
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor, as_tensor
from torch.utils.data import Subset

from skada_active.deep.batches import DomainDataset

__all__ = ["LabeledRows", "forget_best", "part_of", "scoring_kwargs"]


class LabeledRows(skorch.dataset.Dataset):
    """Labelled rows `X` of training or validation data, and the column positions `y` of their labels.

    Parameters
    ----------
    part : DomainDataset or Subset of one
        The data.
    """

    def __init__(self, part: Any) -> None:
        self.data, among = part_of(part)
        self.index = self.data.role("labeled", among)
        self.y = self.data.labels[self.index]

    @property
    def X(self) -> Any:  # noqa: N802, the name that skorch reads
        """The rows, a tensor or a dataset."""
        rows = self.data.rows
        return rows[self.index] if isinstance(rows, Tensor) else Subset(rows, self.index.tolist())

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, number: int) -> tuple[Any, Tensor]:
        return self.data[int(self.index[number])]


def part_of(dataset: Any) -> tuple[Any, Tensor | None]:
    """Return the data of which a dataset is a part, and the row numbers of the part; None: it is the whole."""
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, DomainDataset):
        return dataset.dataset, as_tensor(dataset.indices, device=dataset.dataset.device)
    return dataset, None


def scoring_kwargs(callback: Callback, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what a callback is told of a step or an epoch: where it scores, of the labelled rows alone."""
    if not isinstance(callback, ScoringBase):
        return kwargs
    kwargs = dict(kwargs)
    if "y_pred" in kwargs:
        inputs, roles = kwargs["batch"]
        labeled = slice(roles.n_labeled)
        kwargs["batch"] = inputs[labeled], roles.labels[labeled]
        kwargs["y_pred"] = tuple(output[labeled].detach() for output in kwargs["y_pred"])
    for name in ("dataset_train", "dataset_valid"):
        if kwargs.get(name) is not None:
            kwargs[name] = LabeledRows(kwargs[name])
    return kwargs


def forget_best(callback: Callback) -> None:
    """Let a scoring callback begin anew: the losses and rows of an earlier call of training were others."""
    if isinstance(callback, ScoringBase | PassthroughScoring):
        callback.best_score_ = np.inf if callback.lower_is_better else -np.inf
