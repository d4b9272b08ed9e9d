"""Steps to try an objective on: every role, known and unknown labels, and what the objective makes of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skada_active.deep._module import AdaptationCriterion, AdaptationModule
from skada_active.deep._seeding import run_seeded
from skada_active.deep.batches import Batch
from skada_active.deep.objectives import terms_of
from skada_active.deep.step import Step

__all__ = ["Outcome", "are_equal", "are_finite", "built", "is_nonzero", "outcome_of"]

_N_CLASSES, _N_FEATURES, _N_DOMAINS = 6, 4, 3
#: Source rows, labelled target rows and target rows of an ordinary step.
_SIZES = (12, 4, 12)


class Outcome(NamedTuple):
    """Outcome of a step for an objective: its loss, the gradient of every input and weight, and the logged terms."""

    loss: Tensor
    gradients: list[Tensor]
    by_inputs: Tensor
    terms: dict[str, Tensor]

    def values(self) -> list[Tensor]:
        """Return the loss and every gradient."""
        return [self.loss, self.by_inputs, *self.gradients]


def built(objective: Any) -> nn.Module:
    """Return the module of an objective for the networks of the steps, the same each time."""
    return run_seeded(lambda: _build(objective), 0)


def outcome_of(
    objective: Any,
    sizes: tuple[int, int, int] = _SIZES,
    *,
    unknown: int = -1,
    shift: float = 0.0,
    second: bool = False,
) -> Outcome:
    """Return what an objective makes of a step, the same each time.

    Parameters
    ----------
    objective : Objective or ObjectiveSum
        The objective.
    sizes : tuple of int, default=(12, 4, 12)
        Numbers of source rows, labelled target rows and target rows.
    unknown : int, default=-1
        Label of the rows that have none.
    shift : float, default=0.0
        What is added to the target rows.
    second : bool, default=False
        Whether it is the second step, after another head, or the first.
    """
    return run_seeded(lambda: _outcome(objective, sizes, unknown, shift, second), 0)


def is_nonzero(values: Tensor) -> bool:
    """Tell whether any of the values is not zero."""
    return bool(values.any())


def are_finite(outcome: Outcome) -> bool:
    """Tell whether loss, gradients and terms are finite."""
    return all(bool(value.isfinite().all()) for value in (*outcome.values(), *outcome.terms.values()))


def are_equal(first: Outcome, second: Outcome) -> bool:
    """Tell whether losses and gradients are equal, bit for bit."""
    pairs = zip(first.values(), second.values(), strict=False)
    return len(first.gradients) == len(second.gradients) and all(one.equal(other) for one, other in pairs)


def _build(objective: Any) -> nn.Module:
    module: nn.Module = objective.build(_N_FEATURES, _N_CLASSES, _N_DOMAINS)
    return module


def _outcome(objective: Any, sizes: tuple[int, int, int], unknown: int, shift: float, second: bool) -> Outcome:
    network = _network()
    step = _step(network, sizes, unknown, shift)
    module = _build(objective)
    for term in terms_of(module):
        term.attach(network)
    criterion = AdaptationCriterion(module)
    if second:  # a moving average acts from the second step on
        criterion.prepare(step)
        module(step)
        with torch.no_grad():
            network.head.weight.mul_(1.5)
        step = _step(network, sizes, unknown, shift)
    criterion.prepare(step)
    loss = module(step)
    if isinstance(loss, Tensor) and step.labeled_weight is not None:
        weighted, step.labeled_weight = criterion.labeled_loss(step), None
        loss = loss + weighted - criterion.labeled_loss(step)  # what the weights change
    weights = [*network.parameters(), *(weight for weight in module.parameters() if weight.requires_grad)]
    if not isinstance(loss, Tensor) or loss.shape != () or not loss.requires_grad:
        zeros = [torch.zeros_like(weight) for weight in (*weights, step.inputs)]
        return Outcome(torch.as_tensor(loss), zeros[:-1], zeros[-1], step.batch.terms)
    *gradients, by_inputs = torch.autograd.grad(loss, [*weights, step.inputs], materialize_grads=True)
    for phase in criterion.phases(network, step):
        of_phase = phase.loss(_step(network, sizes, unknown, shift))
        of_parameters = torch.autograd.grad(of_phase, list(phase.parameters), materialize_grads=True)
        gradients += [phase.n_steps * gradient for gradient in of_parameters]
    return Outcome(loss.detach(), gradients, by_inputs, step.batch.terms)


def _network() -> AdaptationModule:
    backbone, head = nn.Linear(5, _N_FEATURES), nn.Linear(_N_FEATURES, _N_CLASSES)
    with torch.no_grad():
        head.weight *= 16  # rows that the classifier is sure of, and others
    return AdaptationModule(backbone, head)


def _step(network: AdaptationModule, sizes: tuple[int, int, int], unknown: int, shift: float) -> Step:
    n_source, n_labeled = sizes[0], sizes[0] + sizes[1]
    n_rows = sum(sizes)
    inputs = torch.randn(n_rows, 5)
    inputs[n_labeled:] += shift
    inputs.requires_grad_()
    labels = torch.randint(_N_CLASSES, (n_rows,))  # not all classes as often
    labels[n_labeled + sizes[2] // 3 :] = unknown
    domain = torch.where(torch.arange(n_rows) < n_source, torch.arange(n_rows) % (_N_DOMAINS - 1), _N_DOMAINS - 1)
    logits, features = network(inputs)
    return Step(
        inputs=inputs,
        features=features,
        logits=logits,
        batch=Batch(labels, domain, n_source, n_labeled, torch.arange(n_rows)),
        progress=0.6,  # a method of two stages is in its second one
        iteration=1500,
        head=network.classify,
        forward=network,
        augmentation=lambda rows: rows + 0.3 * torch.randn_like(rows),
    )
