"""Check of the whole contract of an objective."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import nn

from skada_active.deep import MCC, AdaptationClassifier, Objective, ObjectiveSum
from skada_active.deep._seeding import run_seeded
from skada_active.deep.objectives import ObjectiveTerm, terms_of
from skada_active.domains import resolve_roles
from skada_active.exceptions import TrainingError
from skada_active.pool import PoolView, snapshot
from skada_active.testing._steps import Outcome, are_equal, are_finite, built, is_nonzero, outcome_of
from skada_active.utils._sklearn import StrOptions

__all__ = ["check_objective"]

_FIELDS = ("source_logit", "class_domain_grad", "class_discriminator")


def check_objective(
    objective: Objective, *, changes: Mapping[str, Any] | None = None, unused: Collection[str] = ()
) -> None:
    """Check that an objective keeps the whole contract of objectives.

    Parameters
    ----------
    objective : Objective
        An instance; never changed. Its class stands in a module, for it has to be pickled.
    changes : dict of str to value, default=None
        Another value for each parameter that has none by itself: those that are neither numbers, booleans, tuples of
        numbers, nor strings whose options ``_parameter_constraints`` names.
    unused : collection of str, default=()
        Parameters that change nothing in this configuration.

    Raises
    ------
    AssertionError
        If a rule is broken; the message names the rule.

    Notes
    -----
    The rules: parameters are stored as given, so that `sklearn.base.clone` works; ``trade_off`` is one, and the loss is
    proportional to it (where it is all that the objective does: neither weighs it rows nor has it phases); every other
    parameter changes the loss or its gradient, or those of a phase, in a second step, by itself or with a boolean one
    turned. ``build`` returns a module whose loss is a finite, differentiable float32 scalar, also of a single row per
    role or without source rows, and zero without target rows if it reads these. ``reads_target`` and ``supplies`` are
    true. Labels that are not known are never read. Global random generators are left alone. Objectives add up, and
    parts are reached by name. Training is reproducible bit for bit, goes on, and does so alike for copies and pickles.

    It takes about a second.

    Examples
    --------
    >>> from skada_active.deep import DANN, MCC
    >>> from skada_active.testing import check_objective
    >>> check_objective(MCC(temperature=2.0))
    """
    _require(isinstance(objective, Objective), objective, "is an instance of a subclass of Objective")
    with _rule(objective, "stores every parameter of __init__ under its name, unchanged, so that it can be cloned"):
        _check_parameters(objective)
    with _rule(objective, "builds a module whose loss is a finite, differentiable float32 scalar"):
        _check_build(objective)
        _check_loss(objective)
    with _rule(objective, "is weighted by trade_off, and changed by every parameter"):
        _check_trade_off(objective)
        _check_every_parameter(objective, changes or {}, unused)
    with _rule(objective, "takes steps that lack rows of a role, or have a single one"):
        _check_rows(objective)
    with _rule(objective, "reads target rows if reads_target says so, and never a label that is not known"):
        _check_reads_target(objective)
        _check_unknown_labels(objective)
    with _rule(objective, "adds up with other objectives"):
        _check_sum(objective)
    with _rule(objective, "trains a network, reproducibly, and goes on"):
        model, data = _check_training(objective)
    with _rule(objective, "supplies the fields of a pool view that it names"):
        _check_supplies(objective, model, data)
    with _rule(objective, "can be copied and pickled in a trained model, and then goes on alike"):
        _check_copies(objective, model, data)


@contextmanager
def _rule(objective: Objective, rule: str) -> Iterator[None]:
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        message = f"{objective!r} breaks a rule of objectives: it {rule}; {type(error).__name__}: {error}"
        raise AssertionError(message) from error


def _require(condition: bool, objective: Any, rule: str) -> None:
    if not condition:
        raise AssertionError(f"{objective!r} breaks a rule of objectives: it {rule}.")


def _check_parameters(objective: Objective) -> None:
    _require(repr(clone(objective)) == repr(objective), objective, "is equal to its clone")
    _require("trade_off" in objective.get_params(), objective, "has the parameter trade_off")
    for name in ("reads_target", "reads_source"):
        _require(isinstance(getattr(objective, name), bool), objective, f"has a bool as {name}")
    supplied = objective.supplies
    _require(isinstance(supplied, frozenset), objective, "has a frozenset as supplies")
    unknown = supplied - set(_FIELDS)
    _require(not unknown, objective, f"supplies fields among {_FIELDS}, not {sorted(unknown)}")


def _check_build(objective: Objective) -> None:
    _require(isinstance(built(objective), nn.Module), objective, "builds an nn.Module")


def _check_loss(objective: Objective) -> None:
    outcome = outcome_of(objective)
    _require(outcome.loss.shape == (), objective, f"has a scalar loss, not one of shape {tuple(outcome.loss.shape)}")
    _require(outcome.loss.dtype == torch.float32, objective, f"keeps float32, and does not make {outcome.loss.dtype}")
    _require(are_finite(outcome), objective, "has a finite loss, finite gradients and finite terms")
    _require(any(map(is_nonzero, outcome.values()[1:])), objective, "has a differentiable loss")


def _check_trade_off(objective: Objective) -> None:
    once, twice, never = (outcome_of(clone(objective).set_params(trade_off=weight)) for weight in (1.0, 2.0, 0.0))
    if not _has_hooks(objective):
        proportional = all(map(torch.allclose, [2 * value for value in once.values()], twice.values()))
        _require(proportional, objective, "has a loss proportional to trade_off")
    _require(not any(map(is_nonzero, never.values())), objective, "has no loss with trade_off=0")


def _check_every_parameter(objective: Objective, changes: Mapping[str, Any], unused: Collection[str]) -> None:
    before = outcome_of(objective, second=True)
    for name, value in objective.get_params(deep=False).items():
        if name in unused or name == "trade_off":
            continue
        others = [changes[name]] if name in changes else _other_values(value, _options(objective, name))
        _require(bool(others), objective, f"has another value for {name!r}: pass changes={{{name!r}: ...}}")
        # What refines an option does nothing while that is off.
        changed = _acts(objective, before, name, others) or any(
            _acts(variant, outcome_of(variant, second=True), name, others) for variant in _switched(objective, name)
        )
        _require(changed, objective, f"is changed by every parameter: with {name!r} in {others} nothing changes")


def _acts(objective: Objective, before: Outcome, name: str, others: list[Any]) -> bool:
    variants = [clone(objective).set_params(**{name: other}) for other in others]
    return any(not are_equal(before, outcome_of(variant, second=True)) for variant in variants)


def _switched(objective: Objective, name: str) -> Iterator[Objective]:
    """Yield the objective with another boolean parameter than `name` turned, one after the other."""
    for switch, value in objective.get_params(deep=False).items():
        if isinstance(value, (bool, np.bool_)) and switch != name:
            yield clone(objective).set_params(**{switch: not value})


def _options(objective: Objective, name: str) -> list[Any]:
    return objective._parameter_constraints.get(name, [])


def _other_values(value: Any, options: Iterable[Any]) -> list[Any]:
    if isinstance(value, (bool, np.bool_)):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value / 2 if value else 0.5, value + 0.25]  # the second for a threshold that the first does not cross
    if isinstance(value, tuple) and value and all(isinstance(item, int) for item in value):
        return [(value[0] + 1, *value[1:])]
    others: list[Any] = []
    for option in options:
        if isinstance(option, StrOptions):
            others += sorted(option.options - {value})
        elif isinstance(option, str) and option == "boolean":
            others += [True, False]
        elif isinstance(option, str) and option == "random_state":
            others += [0, 1]
    return others


def _check_rows(objective: Objective) -> None:
    for sizes, which in [
        ((0, 4, 12), "without source rows"),
        ((12, 0, 12), "without labelled target rows"),
        ((12, 4, 0), "without target rows"),
        ((1, 0, 1), "of one source and one target row"),
        ((1, 1, 1), "of one row of each role"),
        ((0, 1, 1), "of one labelled and one other target row"),
    ]:
        outcome = outcome_of(objective, sizes)
        _require(are_finite(outcome), objective, f"has a finite loss and gradient for a step {which}")
        if sizes[2] == 0 and objective.reads_target:
            _require(not any(map(is_nonzero, outcome.values())), objective, f"has no loss for a step {which}")


def _check_reads_target(objective: Objective) -> None:
    # Not by the gradient: weights of source rows that come from target rows have none.
    reads = not are_equal(outcome_of(objective), outcome_of(objective, shift=1.0))
    if objective.reads_target:
        _require(reads, objective, "reads target rows, or has reads_target = False")
    else:
        _require(not reads, objective, "reads no target rows, or has reads_target = True")


def _check_unknown_labels(objective: Objective) -> None:
    same = are_equal(outcome_of(objective), outcome_of(objective, unknown=-2))
    _require(same, objective, "never reads the label of a row that has none: those of `step.labels >= 0` are known")


def _check_sum(objective: Objective) -> None:
    other = MCC()
    total = clone(objective) + other
    _require(isinstance(total, ObjectiveSum), objective, "adds up with other objectives")
    loss, *parts = (outcome_of(part).loss for part in (total, objective, other))
    _require(torch.allclose(loss, torch.stack(parts).sum()), objective, "adds its loss to that of other objectives")
    name, _ = total.objectives[0]
    total.set_params(**{f"{name}__trade_off": 0.25})
    _require(total.objectives[0][1].trade_off == 0.25, objective, "is reached by name in a sum")


def _check_training(objective: Objective) -> tuple[AdaptationClassifier, tuple[Any, ...]]:
    data = _data()
    X = data[0]
    module = run_seeded(lambda: nn.Linear(5, 8), 0)
    before = _generators()
    params: dict[str, Any] = {"module": module, "max_epochs": 1, "batch_size": 8, "random_state": 0, "device": "cpu"}
    params["augmentation"] = "auto"  # some need further views
    models = [AdaptationClassifier(clone(objective), **params) for _ in range(2)]
    try:
        first, second = (model.fit(*data).predict_proba(X) for model in models)
    except TrainingError as error:
        _require(False, objective, f"trains a network to finite probabilities ({error})")
    _require(_generators() == before, objective, "leaves the global generators of numpy, torch and Python alone")
    _require(np.array_equal(first, second), objective, "trains reproducibly, bit for bit")
    models[1].partial_fit(*data)
    _require(not np.array_equal(models[1].predict_proba(X), first), objective, "goes on training by partial_fit")
    return models[0], data


def _check_supplies(objective: Objective, model: AdaptationClassifier, data: tuple[Any, ...]) -> None:
    X, y, domain = data
    roles = resolve_roles(y, domain)
    for name in sorted(objective.supplies):
        # The view checks shapes against those of probabilities (n, C) and features (n, D).
        view: PoolView = snapshot(model, X, roles, {name, "proba", "features"})
        values = getattr(view, name)
        if callable(values):
            values = values(np.arange(len(view)))
            shape = (*view.proba.shape, view.features.shape[1])
            _require(values.shape == shape, objective, f"supplies {name!r} of shape {shape}, not {values.shape}")
        parts = values if isinstance(values, tuple) else (values,)
        finite = all(np.isfinite(np.asarray(part)).all() for part in parts)
        _require(finite, objective, f"supplies finite values of {name!r}")


def _check_copies(objective: Objective, model: AdaptationClassifier, data: tuple[Any, ...]) -> None:
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    expected = model.partial_fit(*data).predict_proba(data[0])
    for twin in twins:
        same = np.array_equal(twin.partial_fit(*data).predict_proba(data[0]), expected)
        _require(same, objective, "goes on alike in a copy or pickle: what it learns lies in parameters and buffers")


def _has_hooks(objective: Objective) -> bool:
    terms = terms_of(built(objective))
    own = {name for term in terms for kind in type(term).mro()[:-1] for name in vars(kind) if kind is not ObjectiveTerm}
    return bool(own & {"prepare", "phases"})


def _data() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return 16 rows of each of two sources and 24 of a target, 6 of them labelled, of three classes."""
    rng = np.random.default_rng(0)
    domain = np.repeat([1, 2, -1], [16, 16, 24])
    y = np.arange(len(domain)) % 3
    X = (rng.normal(size=(len(y), 5)) + 3 * np.eye(5)[y] + 0.3 * domain[:, None]).astype(np.float32)
    y[38:] = -1
    return X, y, domain


def _generators() -> tuple[bytes, bytes, int]:
    of_numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 (it is the global generator that is looked at)
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(of_numpy), hash(random.getstate())
