"""Reader of probabilities, features and heads of any fitted classifier, through one interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.pipeline import Pipeline

from skada_active.domains import Roles
from skada_active.labels import encode_labels
from skada_active.pool.fields import FIELDS
from skada_active.pool.values import RowFunction, named
from skada_active.utils._sklearn import LinearClassifierMixin
from skada_active.utils.arrays import Array
from skada_active.utils.fitting import split_pipeline
from skada_active.utils.methods import gets_at_fit

__all__ = ["ModelReader"]

# What comes from the roles of the rows, the labels and the input of the last step: any model will do.
_ALWAYS = frozenset(name for name, field in FIELDS.items() if field.remedy is None)


@dataclass(frozen=True)
class ModelReader:
    """Reader of the fields of a pool view from a classifier.

    A model that offers ``pool_supplies`` (names of fields), ``pool_outputs(X, names)``, ``pool_head()`` and, where it
    supplies more, ``pool_field(name)``, is read through them; any other one by scikit-learn's conventions.
    ``pool_moments()`` returns those of source rows that it was trained on elsewhere, or None. What
    ``pool_field("class_domain_grad")`` returns is a function of embedded rows (m, D): of the output ``embedding`` of a
    model that names it among what it supplies, of ``features`` otherwise.
    """

    transformer: Pipeline | None
    model: Any

    @classmethod
    def from_estimator(cls, estimator: Any) -> ModelReader:
        """Return the reader of `estimator`, fitted or not."""
        return cls(*split_pipeline(estimator))

    @property
    def supplies(self) -> frozenset[str]:
        """Names of the fields that the model can fill."""
        names = set(_ALWAYS)
        if hasattr(self.model, "pool_supplies"):
            names |= set(self.model.pool_supplies)
        else:
            if hasattr(self.model, "predict_proba") or gets_at_fit(self.model, "predict_proba"):
                names.add("proba")
            if isinstance(self.model, LinearClassifierMixin):
                names |= {"logits", "head_weight", "head_bias"}
        return frozenset(names | {"labeled_proba", "previous_proba"} if "proba" in names else names)

    def readable(self, needs: Iterable[str]) -> frozenset[str]:
        """Return the names of the fields to read; a ValueError with a remedy if the model cannot fill one of them.

        A field with an alternative is replaced by it where the model supplies that. It derives from its alternative and
        the features, so these have to be needed too.
        """
        needed, supplies, names = named(needs), self.supplies, set(needs)
        for field in needed:
            if field.alternative in supplies - names and "features" in names:
                names = names - {field.name} | {field.alternative}
            elif field.name not in supplies:
                raise ValueError(
                    f"estimator={self.model!r} cannot supply {field.name!r}, which the query strategy reads. "
                    f"Use {field.remedy}."
                )
        return frozenset(names)

    @property
    def embedding(self) -> str:
        """Name of what discriminators read: the output ``embedding`` where the head normalises it, or ``features``."""
        return "embedding" if "embedding" in getattr(self.model, "pool_supplies", ()) else "features"

    @property
    def on_accelerator(self) -> bool:
        """Whether the fitted model computes on an accelerator."""
        return getattr(getattr(self.model, "device_", None), "type", "cpu") != "cpu"

    def outputs(self, X: Any, names: Iterable[str], on_device: Iterable[str] = ()) -> dict[str, Any]:
        """Return the named outputs (``proba``, ``logits``, ``features``, ...) for the rows of `X`, in one pass.

        Those that `on_device` names, too, are tensors where the model has a device.
        """
        names = frozenset(names)
        if not names:
            return {}
        if self.transformer is not None:
            X = self.transformer.transform(X)
        if hasattr(self.model, "pool_outputs"):
            kept = names & frozenset(on_device) if hasattr(self.model, "device_") else frozenset()
            return self.model.pool_outputs(X, names, on_device=kept) if kept else self.model.pool_outputs(X, names)
        proba = getattr(self.model, "predict_proba", None)
        readers: dict[str, Any] = {"proba": proba, "logits": self._linear_logits, "features": _dense}
        return {name: readers[name](X) for name in names}

    def head(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return weight (C, D) and bias (C,) of the final linear classifier."""
        if hasattr(self.model, "pool_head"):
            return self.model.pool_head()
        weight = self.model.coef_.toarray() if sparse.issparse(self.model.coef_) else np.atleast_2d(self.model.coef_)
        bias = np.broadcast_to(self.model.intercept_, weight.shape[0])
        return (_two_rows(weight), _two_rows(bias)) if len(weight) == 1 else (weight, bias)

    def read(self, name: str, features: Array | None) -> Any:
        """Return a field that is a part of the model; a function of embedded rows becomes one of row numbers."""
        field = self.model.pool_field(name)
        return RowFunction(field, features) if callable(field) else field

    def moments(self) -> dict[str, NDArray[Any]]:
        """Return the moments of source domains that the model was trained on elsewhere; none where it knows none."""
        return getattr(self.model, "pool_moments", dict)() or {}

    def positions(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return the column positions of `labels` among the classes of the model."""
        return encode_labels(labels, self.model.classes_)

    def label_fields(self, roles: Roles, needs: frozenset[str], y: Any) -> dict[str, NDArray[np.int64]]:
        """Return the fields that come from the roles of the rows and the labels of the labelled ones."""
        rows = {"labeled": roles.labeled_target, "source": roles.source, "roles": roles.candidates}
        filled = {}
        for field in named(needs):
            if field.name.endswith("_y"):
                filled[field.name] = self.positions(y[rows[field.source]])
            elif field.name.endswith("_domain"):
                filled[field.name] = roles.domain[rows[field.source]]
        return filled

    def _linear_logits(self, X: Any) -> NDArray[Any]:
        decision = self.model.decision_function(X)
        return np.stack([-decision / 2, decision / 2], axis=1) if decision.ndim == 1 else decision


def _two_rows(row: NDArray[Any]) -> NDArray[Any]:
    # The binary model's single row w gives P(1) = sigmoid(z): the softmax of -z/2 and +z/2.
    return np.concatenate([-row / 2, row / 2])


def _dense(X: Any) -> NDArray[Any]:
    X = X.toarray() if sparse.issparse(X) else np.asarray(X)
    if X.dtype not in (np.float32, np.float64):
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X holds non-numeric columns ({error}), but the query strategy reads features: the input of the "
                "estimator's last step, which must be numeric. Use a Pipeline with an encoder before that step, such "
                "as make_pipeline(make_column_transformer((OneHotEncoder(), columns), remainder='passthrough'), model)."
            ) from error
    return X.reshape(len(X), -1)
