"""Read the trained net: predictions for users, and the fields of a pool view for query strategies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skada_active.deep._validation import ARRAY_RULES, torch_ready
from skada_active.utils.arrays import empty_like, to_host
from skada_active.utils.rows import is_dataset

__all__ = ["NetPrediction"]

_OUTPUTS = frozenset({"proba", "logits", "features", "source_logit"})


class NetPrediction(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Predict by `net_`: the reading side of `AdaptationClassifier`."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of every row, shape (n,)."""
        logits = self._outputs(X, {"logits"})["logits"]
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return class probabilities, shape (n, C)."""
        return self._outputs(X, {"proba"})["proba"]

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return logits, shape (n, C); for two classes their difference, shape (n,)."""
        logits = self._outputs(X, {"logits"})["logits"]
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the embedding, the input of the final classifier, shape (n, D)."""
        return self._outputs(X, {"features"})["features"]

    def domain_logit(self, X: Any) -> NDArray[np.float32]:
        """Return the logit of P(source) of a trained domain discriminator, shape (n,).

        Raises
        ------
        ValueError
            If the objective has no domain discriminator.
        """
        if "source_logit" not in self.pool_supplies:
            raise ValueError(
                f"objective={self.objective!r} trains no domain discriminator; use one that does, such as DANN()."
            )
        return self._outputs(X, {"source_logit"})["source_logit"]

    @property
    def loss_terms_(self) -> dict[str, float]:
        """Losses of the last epoch by name: ``train_loss``, ``labeled_loss``, and the objective's own terms."""
        last = self.net_.history[-1] if self.net_.history else {}
        return {name: value for name, value in last.items() if isinstance(value, float) and name != "dur"}

    @property
    def anchor_counts_(self) -> NDArray[np.int64]:
        """Anchors of each class at each pass over the anchor set in the last epoch, shape (n_passes, C)."""
        if self.anchors is None:
            raise AttributeError("anchor_counts_ exists only with anchors=AnchorSet(...).")
        counts = [of_pass.cpu().numpy() for of_pass in self.net_.anchor_counts_]
        return np.array(counts, dtype=np.int64).reshape(-1, len(self.classes_))

    # What `pool.snapshot` reads.

    @property
    def pool_supplies(self) -> frozenset[str]:
        """Names of the `PoolView` fields that the model can fill, fitted or not."""
        of_objective = frozenset() if self.objective is None else self.objective.supplies
        return frozenset({"proba", "logits", "features", "head_weight", "head_bias"}) | of_objective

    def pool_outputs(self, X: Any, names: Iterable[str], *, on_device: Iterable[str] = ()) -> dict[str, Any]:
        """Return the named outputs for the rows of `X`, all from one forward pass.

        Those that `on_device` names are tensors on the device of the network, the others ndarrays.
        """
        return self._outputs(X, frozenset(names), frozenset(on_device))

    def pool_head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight (C, D) and bias (C,) of the final linear classifier."""
        check_is_fitted(self, "net_")
        head = self.net_.module_.head
        # Copies: what a pool view holds must not change with further training.
        return tuple(values.detach().cpu().numpy().copy() for values in (head.weight, head.bias))

    def pool_field(self, name: str) -> Any:
        """Return a field that the objective supplies for any rows: ``class_discriminator`` or ``class_domain_grad``."""
        check_is_fitted(self, "net_")
        return getattr(self.net_.criterion_.objective, name)()

    @property
    def device_(self) -> torch.device:
        """Device that the network is on."""
        return next(self.net_.module_.parameters()).device

    def _outputs(self, X: Any, names: Iterable[str], on_device: frozenset[str] = frozenset()) -> dict[str, Any]:
        check_is_fitted(self, "net_")
        if not is_dataset(X):
            X = torch.as_tensor(torch_ready(validate_data(self, X, **ARRAY_RULES, reset=False)), device=self.device_)
        wanted = [name for name in sorted(names) if name in _OUTPUTS]
        outputs: dict[str, Any] = {}
        start = 0
        for logits, features in self._forward(X):
            stop = start + len(logits)
            for name in wanted:
                values = self._output(name, logits, features)
                values = values if name in on_device else to_host(values)
                if name not in outputs:
                    # Filled batch by batch: a list of all batches would take the memory twice.
                    outputs[name] = empty_like((len(X), *values.shape[1:]), values)
                outputs[name][start:stop] = values
            start = stop
        return outputs

    def _forward(self, rows: Any) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        return self.net_.forward_iter(rows, device=self.device_)

    def _output(self, name: str, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            if name == "proba":
                return logits.softmax(dim=1)
            if name == "source_logit":
                return self.net_.criterion_.objective.source_logit(features, logits)
            return logits if name == "logits" else features
