"""Events as callbacks of skorch get them: those that score see labelled rows alone, afresh in every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import skorch.dataset
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, InputShapeSetter, PassthroughScoring
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor, as_tensor
from torch.utils.data import Subset

from skada_active.deep.batches import DomainDataset
from skada_active.utils.warn import warn_user

__all__ = [
    "STEP_EVENTS",
    "LabeledRows",
    "initialize_held",
    "is_of_skorch",
    "listens_to_steps",
    "part_of",
    "reset_best_scores",
    "tell",
]

#: What skorch tells every callback at every step, which costs a tenth of a small network's epoch.
STEP_EVENTS = frozenset({"on_batch_begin", "on_batch_end", "on_grad_computed"})


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


def listens_to_steps(net: Any) -> bool:
    """Tell whether a net or any of its callbacks listens to single steps."""
    pairs = [(net, NeuralNet), *((callback, Callback) for _, callback in net.callbacks_)]
    return any(getattr(type(it), event) is not getattr(base, event) for it, base in pairs for event in STEP_EVENTS)


def is_of_skorch(callback: Any) -> bool:
    """Return whether a callback's class comes from skorch or from this package."""
    return isinstance(callback, Callback) and type(callback).__module__.partition(".")[0] in ("skorch", "skada_active")


def initialize_held(callbacks: list[Callback]) -> None:
    """Initialize those callbacks that others hold: a clone of `LoadInitState` has a checkpoint of its own."""
    held = [value for callback in callbacks for value in vars(callback).values() if isinstance(value, Callback)]
    for callback in held:
        if callback not in callbacks:
            callback.initialize()


def reset_best_scores(callbacks: list[Callback]) -> None:
    """Let scoring callbacks forget what was best: losses and rows of an earlier call of training were others."""
    for callback in callbacks:
        if isinstance(callback, ScoringBase | PassthroughScoring):
            callback.best_score_ = np.inf if callback.lower_is_better else -np.inf


def tell(callback: Callback, event: str, net: Any, kwargs: dict[str, Any]) -> None:
    """Tell a callback of an event; one that scores is told of the labelled rows of a step or of the data."""
    if isinstance(callback, InputShapeSetter) and callback.module_name == "module":
        return  # the network is made for the rows
    if event == "on_train_end" and isinstance(callback, Checkpoint) and _has_only_earlier(callback, net):
        warn_user(
            f"{type(callback).__name__}(monitor={callback.monitor!r}, load_best=True) saved no epoch of this call of "
            "training: what it holds comes from an earlier one, without the labels bought since, and is not loaded. "
            "Let the monitor compare the epochs of one call, as 'valid_loss_best' does."
        )
        return
    if isinstance(callback, ScoringBase):
        kwargs = _of_labeled(**kwargs)
    getattr(callback, event)(net, **kwargs)


def _has_only_earlier(callback: Checkpoint, net: Any) -> bool:
    if not (callback.load_best and callback.monitor and callback.event_name):
        return False
    return not any(row.get(callback.event_name) for row in net.history[net.clock_.earlier_epochs :])


def _of_labeled(**kwargs: Any) -> dict[str, Any]:
    if "y_pred" in kwargs:
        inputs, roles = kwargs["batch"]
        labeled = slice(roles.n_labeled)
        kwargs["batch"] = inputs[labeled], roles.labels[labeled]
        kwargs["y_pred"] = tuple(output[labeled].detach() for output in kwargs["y_pred"])
    for name in ("dataset_train", "dataset_valid"):
        if kwargs.get(name) is not None:
            kwargs[name] = LabeledRows(kwargs[name])
    return kwargs
