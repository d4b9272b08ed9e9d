"""Base of all objectives, the module of their losses, and their sum."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skada_active.deep.batches import Batch
from skada_active.deep.step import Step
from skada_active.utils._sklearn import BaseComposition, Interval, name_estimators

__all__ = ["Objective", "ObjectiveSum", "ObjectiveTerm", "Phase", "terms_of"]


class Objective(BaseEstimator):
    """Domain adaptation loss with its hyperparameters: base class of all objectives.

    A loss without parameters of its own is a subclass with one method, ``loss(step)``. One that trains discriminators
    overrides `build`, whose module owns them. The labelled cross-entropy belongs to the classifier and is never
    repeated. Objectives add up: ``MCC() + MME(trade_off=0.1)``, searchable as ``objective__mme__trade_off``.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss; 0 switches it off.

    Notes
    -----
    Three class attributes say what the loss reads and gives:

    * ``reads_target``: whether it reads a batch of target rows (default). ``loss`` then only sees steps that have some;
      it is zero for others.
    * ``reads_source``: the same for source rows (default: False).
    * ``supplies``: names of the `PoolView` fields that the trained module can fill, by methods of these names:
      ``source_logit(features)`` returns the logit of P(source) of embedded rows (n, D), shape (n,); if it
      has a second parameter ``logits``, it gets the classifier's logits (n, C) of these rows, too. The field
      ``domain_grad`` is made of its gradient.
      ``class_discriminator()`` returns ndarrays (W1, b1, W2, b2), ``class_domain_grad()`` a function of embedded rows
      (m, D) that returns their gradients (m, C, D).

    A fourth, ``loss_name``, is the name that the loss is logged under: by default that of the class, ``mcc_loss`` of
    `MCC`. With None the loss is not logged, and ``loss`` logs what it likes by ``step.log``.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, Objective
    >>> class FeatureNorm(Objective):
    ...     def loss(self, step):
    ...         return step.features[step.target].square().mean()
    >>> AdaptationClassifier(FeatureNorm(trade_off=0.1)).objective
    FeatureNorm(trade_off=0.1)
    """

    reads_target: ClassVar[bool] = True
    reads_source: ClassVar[bool] = False
    loss_name: ClassVar[str | None] = ""

    # What scikit-learn's `_validate_params` checks before `build`; a subclass adds its own parameters.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"trade_off": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, trade_off: float = 1.0) -> None:
        self.trade_off = trade_off

    @property
    def compares_domains(self) -> bool:
        """Whether the loss does nothing where the data have no source row: by default that of one that reads some."""
        return self.reads_source

    @property
    def needs_source(self) -> bool:
        """Whether the loss is made for the number of source domains, so that there must be source rows."""
        return False

    @property
    def supplies(self) -> frozenset[str]:
        """Names of the `PoolView` fields that the trained module can fill."""
        return frozenset()

    def loss(self, step: Step) -> Tensor:
        """Return the loss of a step, a scalar, without `trade_off`.

        Parameters
        ----------
        step : Step
            A mixed batch after its forward pass, with the rows that the loss reads.
        """
        raise TypeError(f"{type(self).__name__} must implement loss(step), or build where it owns discriminators.")

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
            ``forward(step)`` returns the weighted loss as a scalar; its parameters are trained with the network. By
            default an `ObjectiveTerm` of `loss`.
        """
        return ObjectiveTerm(self)

    def __add__(self, other: Any) -> ObjectiveSum:
        return _sum(self, other)


class ObjectiveTerm(nn.Module):
    """Module of an objective's loss: weighted, logged, and zero for steps that lack the rows that it reads.

    Base class of the modules that own discriminators; these override `loss`, and where they need more than one loss
    per step, `attach`, `prepare` or `phases`.

    Parameters
    ----------
    config : Objective
        The objective.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self, step: Step) -> Tensor:
        """Return the weighted loss of a step."""
        config = self.config
        if not self.applies(step):
            return step.logits.new_zeros(())
        loss = self.loss(step)
        if config.loss_name is not None:
            step.log(config.loss_name or _name_of_loss(type(config)), loss)
        return config.trade_off * loss

    def applies(self, batch: Step | Batch) -> bool:
        """Return whether a step has the rows that the loss reads."""
        return not (
            (self.config.reads_target and not batch.n_target) or (self.config.reads_source and not batch.n_source)
        )

    def loss(self, step: Step) -> Tensor:
        """Return the loss of a step that has the rows it reads, without `trade_off`."""
        return self.config.loss(step)

    # Hooks that do nothing by default.

    def attach(self, network: nn.Module) -> None:
        """Take what is needed of the network, once, when it is made: a frozen copy to compare with, for example.

        Parameters
        ----------
        network : nn.Module
            An `AdaptationModule`: its ``backbone``, ``head`` and number of features. It must not become a part of this
            module, whose parameters are trained with it anyway.
        """

    def prepare(self, step: Step) -> None:
        """Weigh the source rows of a step by `Step.weigh_source`, before any of its losses is computed."""

    def phases(self, network: nn.Module) -> list[Phase]:
        """Return what follows the step on the total loss: further steps of the optimiser on the same batch.

        Methods of several steps (MCD, ADDA) override it; everything else has one step for all.

        Parameters
        ----------
        network : nn.Module
            The `AdaptationModule` that is trained.
        """
        return []


@dataclass(frozen=True)
class Phase:
    """Further step of the optimiser on the batch of a training step, after a forward pass of its own.

    Parameters
    ----------
    loss : callable
        Maps a `Step` to its loss.
    parameters : iterable of nn.Parameter
        What is trained; everything else stands still.
    n_steps : int, default=1
        How often the step is made.
    """

    loss: Callable[[Step], Tensor]
    parameters: Iterable[nn.Parameter]
    n_steps: int = 1

    def __post_init__(self) -> None:
        # They are read at every step, which `module.parameters()` allows only once.
        object.__setattr__(self, "parameters", tuple(self.parameters))


def _name_of_loss(objective: type[Objective]) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", objective.__name__).lower()
    return words if words.endswith("loss") else f"{words}_loss"


class ObjectiveSum(BaseComposition):
    """Sum of objectives, made by ``+``.

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
        parts = {name: part.build(n_features, n_classes, n_domains) for name, part in self.objectives}
        return _Sum(parts, {field: name for name, part in reversed(self.objectives) for field in part.supplies})

    def __add__(self, other: Any) -> ObjectiveSum:
        return _sum(self, other)


class _Sum(nn.Module):
    def __init__(self, parts: dict[str, nn.Module], suppliers: dict[str, str]) -> None:
        super().__init__()
        self.parts, self.suppliers = nn.ModuleDict(parts), suppliers

    def forward(self, step: Step) -> Tensor:
        return reduce(torch.add, [part(step) for part in self.parts.values()])

    def __getattr__(self, name: str) -> Any:
        # A field of a pool view, such as source_logit, comes from the first part that supplies it.
        supplier = vars(self).get("suppliers", {}).get(name)
        return super().__getattr__(name) if supplier is None else getattr(self.parts[supplier], name)


def terms_of(module: nn.Module | None) -> list[ObjectiveTerm]:
    """Return the terms in what ``build`` returned, those of a sum one by one."""
    if isinstance(module, _Sum):
        return [term for part in module.parts.values() for term in terms_of(part)]
    return [module] if isinstance(module, ObjectiveTerm) else []


def _sum(*summands: Any) -> ObjectiveSum:
    """Return the sum, flat, each part named by its class in lower case (``mme-1``, ``mme-2`` if it comes twice)."""
    parts: list[Objective] = []
    for summand in summands:
        if isinstance(summand, ObjectiveSum):
            parts += [part for _, part in summand.objectives]
        elif isinstance(summand, Objective):
            parts.append(summand)
        else:
            return NotImplemented
    return ObjectiveSum(name_estimators(parts))
