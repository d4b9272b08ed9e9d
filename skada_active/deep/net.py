"""Skorch net of the package and its training step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep._callbacks import (
    STEP_EVENTS,
    initialize_held,
    listens_to_steps,
    part_of,
    reset_best_scores,
    tell,
)
from skada_active.deep._divergence import check_finite, check_single_rows, warn_if_worse_than_guessing
from skada_active.deep._feature_maps import MappedDataset, MappedStep, mapped_data
from skada_active.deep._interrupts import raised_by_callback
from skada_active.deep._precision import in_full_precision
from skada_active.deep._split import split_labeled
from skada_active.deep.anchors import Anchors, AnchorSet
from skada_active.deep.augmentation import check_view, mix_views
from skada_active.deep.batches import Batch, DomainDataset, RoleBatches, RowBatches, as_input, read_rows
from skada_active.deep.objectives import Phase
from skada_active.deep.step import Step
from skada_active.utils.fitting import keeps_grad_mode
from skada_active.utils.progress import say_epoch

__all__ = ["AdaptationNet"]

#: Rows and input values per forward pass in prediction from arrays: enough to keep a core busy, few enough for images.
_PREDICTION_ROWS, _PREDICTION_VALUES = 1024, 2**22
#: Prediction pads tables to a multiple of this: for few rows, matrix products sum up in another order.
_ROW_MULTIPLE = 16


@dataclass
class _Clock:
    """Numbers of training steps, since the net was made and in the current call, and of epochs before this call."""

    iteration: int = 0
    done: int = 0
    total: int = 1
    earlier_epochs: int = 0


class AdaptationNet(ClassifierMixin, NeuralNet):
    """Skorch net that trains a module on role-balanced batches by skorch's own training step.

    It differs from `skorch.NeuralNetClassifier` in these places: batches come from `RoleBatches`, the loss sees a whole
    `Step`, an epoch writes one history entry for all its steps (where no callback listens to steps), ``train_split``
    splits the labelled rows only, and a loss that is not finite is a `TrainingError`. What counts as the best epoch,
    in entries such as ``valid_loss_best``, starts afresh with every call of training, whose loss and rows are others.

    All callbacks, checkpoints, ``compile`` and the accelerate mixin work as in skorch. Scoring callbacks score labelled
    rows: those of the validation part, or with ``on_train=True`` those of the steps. `InputShapeSetter` has nothing to
    set, for the network is made for the rows. In mixed precision, heads, discriminators and losses stay in float32.

    Parameters
    ----------
    module : nn.Module
        An `AdaptationModule`.
    criterion : nn.Module
        An `AdaptationCriterion`.
    joint, source_weight, class_weight, target_role, target_batch_size
        How the labelled loss averages, and which rows the unsupervised losses see; `AdaptationClassifier` sets them.
    train_transform, augmentation, mix_alpha, anchors
        What rows go through in training, second views of the labelled target rows, and what joins these rows; see
        `AdaptationClassifier`.
    batch_statistics : {"mixed", "per_domain"}, default="mixed"
        Which rows batch normalisation takes together; see `AdaptationClassifier`.
    **kwargs
        Parameters of `skorch.NeuralNet`.
    """

    module: nn.Module
    criterion: nn.Module

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        *,
        joint: bool = False,
        source_weight: float = 1.0,
        class_weight: Tensor | None = None,
        target_role: str | None = None,
        target_batch_size: int | None = None,
        train_transform: Callable[[Tensor], Tensor] | None = None,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        mix_alpha: float = 0.2,
        anchors: AnchorSet | None = None,
        batch_statistics: str = "mixed",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, criterion, **kwargs)
        self.joint = joint
        self.source_weight = source_weight
        self.class_weight = class_weight
        self.target_role = target_role
        self.target_batch_size = target_batch_size
        self.train_transform = train_transform
        self.augmentation = augmentation
        self.mix_alpha = mix_alpha
        self.anchors = anchors
        self.batch_statistics = batch_statistics

    def __getstate__(self) -> dict[str, Any]:
        # module and criterion are the same objects as module_ and criterion_, which skorch stores on its own.
        state = super().__getstate__()
        return {**state, "module": None, "criterion": None, "_mapped": None} if self.initialized_ else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.module is None:
            self.module, self.criterion = self.module_, self.criterion_

    def __deepcopy__(self, memo: dict[int, Any]) -> AdaptationNet:
        # Without the way through a pickle, which takes twice as long and refuses more modules.
        memo[id(self)] = twin = type(self).__new__(type(self))
        twin.__dict__.update(copy.deepcopy(vars(self), memo))
        return twin

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Column positions of the classes, what `predict` returns."""
        return np.arange(self.module_.head.weight.shape[0])

    def initialize_callbacks(self) -> AdaptationNet:
        """Initialize the callbacks, and those that they hold."""
        super().initialize_callbacks()
        initialize_held(self._own_callbacks)
        return self

    @property
    def _own_callbacks(self) -> list[Callback]:
        return [callback for _, callback in self.callbacks_]

    def initialize_history(self) -> None:
        """Begin a history and the count of steps."""
        super().initialize_history()
        self.clock_ = _Clock()
        self.anchor_counts_: list[Tensor] = []
        self.anchor_set_: dict[str, Tensor] = {}
        self._unused_events: frozenset[str] = frozenset()
        self._phase: Phase | None = None
        self._mapped: MappedDataset | None = None

    @keeps_grad_mode
    def train_epochs(self, data: DomainDataset, epochs: int) -> AdaptationNet:
        """Train for `epochs` more epochs; the optimiser's state is kept.

        Raises
        ------
        TrainingError
            If a loss or a weight is not finite after an epoch.
        """
        torch.set_grad_enabled(True)  # whatever the caller is about
        self.clock_.done, self.clock_.total, self._epochs = 0, 1, epochs
        self._unused_events = frozenset() if listens_to_steps(self) else STEP_EVENTS
        rows = {"X": data.rows, "y": data.labels}
        self.notify("on_train_begin", **rows)
        self.clock_.earlier_epochs = len(self.history)
        reset_best_scores(self._own_callbacks)
        self._mapped = mapped_data(self, data, epochs)
        try:
            self.fit_loop(self._mapped or data, epochs=epochs)
        except KeyboardInterrupt as interrupt:
            # skorch's EarlyStopping ends training by this exception; a person's Ctrl-C has to reach the caller.
            if not raised_by_callback(interrupt):
                raise
        finally:
            self._mapped = None
        if epochs:
            self.notify("on_train_end", **rows)
            warn_if_worse_than_guessing(self)
        else:
            self.on_train_end(self, **rows)  # callbacks look back at epochs
        torch.clear_autocast_cache()  # callbacks may have restored other weights
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Notify the callbacks; events of a single step only if any of them listens."""
        if method_name in self._unused_events:
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for callback in self._own_callbacks:
            tell(callback, method_name, self, cb_kwargs)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return role-balanced batches of training data, ordered batches of rows to predict."""
        prefix = "iterator_train" if training else "iterator_valid"
        params = dict(self.get_params_for(prefix))
        size = params.pop("batch_size", None)
        data, among = part_of(dataset)
        if not isinstance(data, DomainDataset):
            return RowBatches(data, size or self._prediction_batch(data), params)
        role = self.target_role if training else None
        size = size or self.batch_size
        batches = RoleBatches(
            data,
            size,
            joint=self.joint,
            target_role=role,
            target_size=self.target_batch_size,
            among=among,
            anchors=self._anchors(self.anchors, data, among) if training and self.anchors else None,
            loader_params=params,
        )
        if training:
            self.clock_.total = max(1, self._epochs * len(batches))
            if sum(batches.sizes) == 1 < max(map(len, batches.streams)) and not self.anchors:
                check_single_rows(self.module_)
        return batches

    def _prediction_batch(self, rows: Any) -> int:
        if not isinstance(rows, Tensor):
            return self.batch_size
        return max(self.batch_size, min(_PREDICTION_ROWS, _PREDICTION_VALUES // max(1, rows[0].numel())))

    def _set_training(self, training: bool = True) -> None:
        # skorch calls this at every step; walking all modules to set what is set costs 5 % of a small network's epoch.
        if self.module_.training is not training or self.criterion_.training is not training:
            super()._set_training(training)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Make one optimisation step; unlike skorch's, without a closure, which no first-order optimiser needs."""
        batch = self._transformed(batch)
        self._phase = None
        step = self._optimizer_step(batch, fit_params)
        for phase in self.criterion_.phases(self.module_, batch[1]):
            self._phase = phase
            for _ in range(phase.n_steps):
                self._optimizer_step(batch, fit_params)
        return step

    def _optimizer_step(self, batch: tuple[Tensor, Batch], fit_params: dict[str, Any]) -> dict[str, Any]:
        """Make one step of the optimiser, on the total loss or on that of a phase."""
        self._zero_grad_optimizer()
        step = self.train_step_single(batch, n_apart=self._n_apart(batch[1]), **fit_params)
        if self._phase is not None:
            trained = set(map(id, self._phase.parameters))
            for _, parameter in self.get_all_learnable_params():
                parameter.grad = parameter.grad if id(parameter) in trained else None
        if "on_grad_computed" not in self._unused_events:
            parameters = list(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=parameters, batch=batch, training=True)
        self._step_optimizer(_do_nothing)
        torch.clear_autocast_cache()  # a caller's autocast around the whole training would go on with the old weights
        return step

    def _step_optimizer(self, step_fn: Any) -> None:
        # That of the accelerate mixin, which comes before it, calls `step_fn` instead of handing it on.
        super()._step_optimizer(None)

    def _n_apart(self, batch: Batch) -> int:
        """Return how many first rows pass by themselves: those of the source, where both domains have statistics."""
        n_target = len(batch) - batch.n_source
        return batch.n_source if self.batch_statistics == "per_domain" and min(batch.n_source, n_target) > 1 else 0

    def _transformed(self, batch: tuple[Tensor, Batch]) -> tuple[Tensor, Batch]:
        """Return a batch as it is trained on, its labelled target rows mixed with their second view."""
        inputs, roles = batch
        if self.train_transform is not None:
            transformed = self.train_transform(inputs.clone())
            check_view(inputs, transformed, "train_transform")
            inputs = as_input(transformed)
            batch = inputs, roles
        if self.augmentation is None or roles.n_labeled == roles.n_source:
            return batch
        source, rows, target = inputs.tensor_split((roles.n_source, roles.n_labeled))
        view = self.augmentation(rows.clone())
        check_view(rows, view)
        return torch.cat([source, mix_views(rows, view, self.mix_alpha), target]), roles

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return logits and features of inputs, which may be feature maps while the network is trained on them."""
        if self._mapped is not None:
            fit_params["stages"] = self._mapped.stages
        return super().infer(x, **fit_params)

    def _anchors(self, config: AnchorSet, data: DomainDataset, among: Tensor | None) -> Anchors:
        def read(index: Tensor) -> tuple[Tensor, Tensor]:
            batches = read_rows(data.rows, index.split(self._prediction_batch(data.rows)))
            self.module_.eval()
            with torch.no_grad():
                outputs = [self.infer(as_input(rows.to(data.device))) for rows in batches]
            self.module_.train()
            logits, features = map(torch.cat, zip(*outputs, strict=True))
            return logits.softmax(dim=1), features

        roles = (data.role(name, among) for name in ("labeled_target", "target"))
        return Anchors(config, data.labels, *roles, n_classes=self.module_.head.weight.shape[0], read=read)

    def evaluation_step(self, batch: Any, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return logits and features of a batch; the output of a row of a table does not depend on its neighbours."""
        rows = batch[0]
        n_missing = -len(rows) % _ROW_MULTIPLE
        if training or rows.ndim != 2 or not n_missing:
            return super().evaluation_step(batch, training=training)
        padded = F.pad(rows, (0, 0, 0, n_missing))
        logits, features = super().evaluation_step((padded, None), training=training)
        return logits[: len(rows)], features[: len(rows)]

    @keeps_grad_mode
    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return class probabilities of rows, shape (n, C)."""
        return super().predict_proba(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the column position of the most probable class of rows, shape (n,)."""
        return self.predict_proba(X).argmax(axis=1)

    def _get_predict_nonlinearity(self) -> Callable[[Tensor], Tensor]:
        return nn.Softmax(dim=1) if self.predict_nonlinearity == "auto" else super()._get_predict_nonlinearity()

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Return `X` itself, an array as a tensor: rows and labels are already tensors or datasets."""
        return torch.as_tensor(X) if isinstance(X, np.ndarray) else X

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Return training and validation data: ``train_split`` divides the labelled rows, the others are trained on."""
        return split_labeled(self.train_split, X) if self.train_split else (X, None)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss of a step: the whole criterion in training, the labelled loss in validation."""
        logits, features = y_pred
        # Feature maps are no input of the network.
        mapped = self._mapped
        inputs: Any = X if mapped is None else lambda: mapped.inputs(y_true)
        kind = Step if mapped is None else MappedStep
        step = kind(
            inputs=inputs,
            features=features,
            logits=logits,
            batch=y_true,
            progress=min(1.0, self.clock_.done / self.clock_.total),
            iteration=self.clock_.iteration,
            head=self.module_.classify,
            forward=self.module_,
            n_apart=self._n_apart(y_true),
            class_weight=None if self.class_weight is None else self.class_weight.to(logits.device),
            source_weight=self.source_weight,
            joint=self.joint,
            augmentation=self.augmentation,
        )
        if training and self._phase is not None:
            return in_full_precision(self._phase.loss, step, device=logits.device)
        return self.criterion_(step) if training else self.criterion_.labeled_loss(step)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Callable[..., dict[str, Any]], **fit_params: Any
    ) -> None:
        """Run one epoch and record the means of the loss and of its terms once, at its end."""
        if iterator is None:
            return
        sums: dict[str, Tensor] = {}
        n_rows = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            _accumulate(sums, {f"{prefix}_loss": step["loss"].detach(), **batch[1].terms})
            n_rows += len(batch[1])
            if not self._unused_events:
                self._record_step(prefix, step["loss"].item(), len(batch[1]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
            if training and iterator.anchors is not None:
                iterator.anchors.grow(step["y_pred"][1].detach()[batch[1].n_source : batch[1].n_labeled])
            if training:
                self.clock_.iteration += 1
                self.clock_.done += 1
            del batch, step  # before the next batch is read, see there
        losses = {name: float(total) / len(iterator) for name, total in sums.items()}
        if self._unused_events:
            self.history.new_batch()  # one stands for all: skorch's Checkpoint reads the last step of every epoch
            self._record_step(prefix, losses[f"{prefix}_loss"], n_rows)
        self.history.record(f"{prefix}_batch_count", len(iterator))
        for name, loss in losses.items():
            self._record(name, loss)
        check_finite(self, losses)
        if training and iterator.anchors is not None:
            self.anchor_counts_, self.anchor_set_ = iterator.anchors.counts, iterator.anchors.members()
            self._record("n_anchors", float(len(iterator.anchors)))
        if training:
            say_epoch(round(self._epochs * self.clock_.done / self.clock_.total), self._epochs)

    def _record_step(self, prefix: str, loss: float, n_rows: int) -> None:
        # Callbacks that listen to steps, such as a schedule by the step or a progress bar, read these entries.
        self.history.record_batch(f"{prefix}_loss", loss)
        self.history.record_batch(f"{prefix}_batch_size", n_rows)

    def _record(self, name: str, value: float) -> None:
        if name in ("train_loss", "valid_loss"):
            # What skorch's checkpoints and log look for.
            before = [row[name] for row in self.history[self.clock_.earlier_epochs : -1] if name in row]
            self.history.record(f"{name}_best", all(value < earlier for earlier in before))
        self.history.record(name, value)


def _accumulate(sums: dict[str, Tensor], terms: dict[str, Tensor]) -> None:
    for name, value in terms.items():
        sums[name] = sums[name] + value if name in sums else value


def _do_nothing() -> None:
    """Stand for a closure that the accelerate mixin calls."""
