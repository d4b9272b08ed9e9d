"""What an objective is, and how objectives add up."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skada_active.deep.step import Step
from skada_active.utils._sklearn import BaseComposition

__all__ = ["Objective", "ObjectiveSum", "TargetTerm"]


class Objective(BaseEstimator):
    """Hold the hyperparameters of a domain adaptation loss: base class of all objectives.

    A subclass implements `build`, which returns an ``nn.Module`` that owns its discriminators and whose
    ``forward(step)`` returns the loss. The labelled cross-entropy belongs to the classifier and is never repeated.
    Objectives add up: ``MCC() + MME(trade_off=0.1)``, searchable as ``objective__mme__trade_off``.
    """

    #: Whether the loss reads a batch of target rows, whose labels it does not need.
    reads_target: ClassVar[bool] = True
    #: Fields of a `PoolView` that the trained module can fill.
    supplies: ClassVar[frozenset[str]] = frozenset()

    # What scikit-learn's `_validate_params` checks before `build`; a subclass names its own parameters.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss.

        Parameters
        ----------
        n_features : int
            Width D of the embedding.
        n_classes : int
            Number of classes C.
        n_domains : int
            Number of domains, sources and targets.

        Returns
        -------
        nn.Module
            ``forward(step)`` returns the loss as a scalar.
        """
        raise TypeError(f"{type(self).__name__} must implement build(n_features, n_classes, n_domains).")

    def __add__(self, other: Any) -> ObjectiveSum:
        if not isinstance(other, (Objective, ObjectiveSum)):
            return NotImplemented
        return ObjectiveSum.of(self, other)


class TargetTerm(nn.Module):
    """Compute a loss that reads target rows: zero for a batch that has none."""

    def forward(self, step: Step) -> Tensor:
        """Return the loss of a step."""
        return step.logits.new_zeros(()) if step.target.start == step.target.stop else self.loss(step)

    def loss(self, step: Step) -> Tensor:
        """Return the loss of a step that has target rows."""
        raise TypeError(f"{type(self).__name__} must implement loss(step).")


class ObjectiveSum(BaseComposition):
    """Add up objectives; made by ``+``.

    Parameters
    ----------
    objectives : list of (str, Objective)
        The objectives with their names, which reach their parameters: ``objective__mme__trade_off``.

    Examples
    --------
    >>> from skada_active.deep import MCC, MarginLoss
    >>> [name for name, _ in (MarginLoss() + MCC()).objectives]
    ['marginloss', 'mcc']
    """

    def __init__(self, objectives: list[tuple[str, Objective]]) -> None:
        self.objectives = objectives

    @classmethod
    def of(cls, *objectives: Objective | ObjectiveSum) -> ObjectiveSum:
        """Return the sum, flat, each part named by its class in lower case (``mme-1``, ``mme-2`` if it comes twice)."""
        flat = [part for objective in objectives for part in _parts(objective)]
        names = [type(part).__name__.lower() for part in flat]
        total, seen = Counter(names), Counter()
        named = []
        for name, part in zip(names, flat, strict=True):
            seen[name] += 1
            named.append((f"{name}-{seen[name]}" if total[name] > 1 else name, part))
        return cls(named)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the parts by their names."""
        return self._get_params("objectives", deep=deep)

    def set_params(self, **params: Any) -> ObjectiveSum:
        """Set parameters of the parts (``mme__trade_off=0.1``) or whole parts (``mme=MME()``)."""
        return self._set_params("objectives", **params)

    def _validate_params(self) -> None:
        for name, part in self.objectives:
            if not isinstance(part, (Objective, ObjectiveSum)):
                raise TypeError(f"objectives must hold objectives such as MCC(), got {part!r} for {name!r}.")
            part._validate_params()

    @property
    def reads_target(self) -> bool:
        """Whether any part reads target rows."""
        return any(part.reads_target for _, part in self.objectives)

    @property
    def supplies(self) -> frozenset[str]:
        """Fields of a `PoolView` that any part can fill."""
        return frozenset().union(*(part.supplies for _, part in self.objectives))

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the sum."""
        return _Sum({name: part.build(n_features, n_classes, n_domains) for name, part in self.objectives})

    __add__ = Objective.__add__


class _Sum(nn.Module):
    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, step: Step) -> Tensor:
        return sum(part(step) for part in self.parts.values())

    def __getattr__(self, name: str) -> Any:
        # A field of a pool view, such as source_logit, comes from the first part that has it.
        try:
            return super().__getattr__(name)
        except AttributeError:
            for part in self._modules["parts"].values():
                if hasattr(part, name):
                    return getattr(part, name)
            raise


def _parts(objective: Objective | ObjectiveSum) -> list[Objective]:
    return [part for _, part in objective.objectives] if isinstance(objective, ObjectiveSum) else [objective]
