"""Checks of what a loop is given, before anything is trained."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles, check_inputs
from skada_active.labels import label_kinds
from skada_active.utils.scores import known_positions, warn_of_strangers
from skada_active.utils.warn import warn_user

__all__ = [
    "check_audit",
    "check_eval_set",
    "check_oracle",
    "check_reply",
    "require_target",
    "warn_of_frozen",
    "warn_of_no_question",
]


def check_oracle(oracle: Any) -> None:
    """Raise a TypeError unless `oracle` can be called."""
    if not callable(oracle):
        raise TypeError(
            f"oracle must be a callable oracle(ids, X_rows) -> labels, got {type(oracle).__name__}; wrap an array of "
            "labels in ArrayOracle(y)."
        )


def check_audit(audit: Any, rounds: list[int]) -> int | float:
    """Return the labels of each round that measure the model, a count or a share; a ValueError if they are no such."""
    if isinstance(audit, Integral) and not isinstance(audit, bool) and int(audit) >= 0:
        if rounds and 0 < min(rounds) <= int(audit):
            raise ValueError(
                f"audit={audit} row(s) per round leave no label to learn from in a round of {min(rounds)}; lower it, "
                "buy more per round, or give a share of all labels, such as audit=0.2."
            )
        return int(audit)
    if isinstance(audit, Real) and not isinstance(audit, (bool, Integral)) and 0 <= float(audit) < 1:
        return float(audit)
    raise ValueError(
        f"audit must be a number of labels per round (int >= 0) or a share of all labels (float in [0, 1)), got "
        f"{audit!r}."
    )


def check_eval_set(eval_set: Any, known: NDArray[Any] | None = None) -> tuple[Any, NDArray[Any]]:
    """Return the held-out rows and labels as the package holds rows and labels.

    A ValueError without any label, or, where labels (n_known,) of the data are given, with none that could be theirs.
    """
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise ValueError(f"eval_set must be a tuple (X, y) of held-out rows and their labels, got {eval_set!r:.80}.")
    try:
        X, y, _ = check_inputs(*eval_set, allow_missing=True)
    except ValueError as error:
        raise ValueError(f"eval_set=(X, y): {error}") from error
    known = np.empty(0) if known is None else known
    labels = y[known_positions(y, known)]
    if not len(labels):
        raise ValueError(
            f"eval_set=(X, y) has no label in its y of {len(y)} row(s), so that nothing can be measured on it; give "
            "held-out rows whose labels are known, or leave it out."
        )
    types, known_types = _types_of(labels), _types_of(known)
    # True and False are what 1 and 0 are, but not what 2 is.
    are_two = {types, known_types} == {"numbers", "booleans"} and {*labels.tolist(), *known.tolist()} <= {0, 1}
    if len(known) and types != known_types and not are_two:
        raise ValueError(
            f"eval_set=(X, y) has labels such as {labels[:1].tolist()[0]!r}, and the data such as "
            f"{known[:1].tolist()[0]!r}: {types} and {known_types}. Convert the labels of one."
        )
    if len(known):
        warn_of_strangers(labels, np.unique(known), "eval_set=(X, y)")
    return X, y


def check_reply(labels: Any) -> Any:
    """Return the answer of an oracle; None is an error, not an abstention."""
    if labels is None:
        raise ValueError("oracle returned None; it must return one label per row, a missing one (-1, None) to abstain.")
    return labels


def require_target(roles: Roles, what: str) -> None:
    """Raise a ValueError if there is no target row for `what` needs one."""
    if not len(roles.target):
        raise ValueError(
            f"{what} needs target rows, but sample_domain {_describe_sources(roles)}, so that every row counts as "
            "source and is labelled by its y. Pass sample_domain with one number per row, below 0 for the target."
        )


def warn_of_no_question(roles: Roles, y_true: NDArray[Any] | None) -> None:
    """Warn that no label can be bought, and why; `y_true` are the answers where there is no oracle."""
    n_target = len(roles.target)
    if not n_target:
        why = f"sample_domain {_describe_sources(roles)}: all rows count as source"
        if y_true is not None and y_true.dtype.kind == "i" and (y_true == -1).any():
            why += ", and -1 as a class"
        remedy = "pass sample_domain, with a number below 0 for each target row"
    elif y_true is None and not len(roles.candidates):
        why = f"y holds a label for each of the {n_target} target row(s), and a label that is present is known"
        remedy = "hide them by mask_target(y, sample_domain)"
    elif not len(roles.candidates):
        why = f"labeled_target names each of the {n_target} target row(s) with a label"
        remedy = "name fewer rows in it"
    else:
        why = f"y holds no label of the {len(roles.candidates)} target row(s) to buy, and there is no oracle"
        remedy = "pass oracle=..., who answers, or use loop.session(...), in which a person does"
    warn_user(f"There is a budget, but no label is bought: {why}. To buy labels, {remedy}; otherwise set budget=0.")


def warn_of_frozen(estimator: Any) -> None:
    """Warn that labels are bought for an estimator that is never trained, and what goes on from it."""
    warn_user(
        f"estimator={estimator!r:.100} is frozen: the labels that are bought train nothing. To learn from them, go on "
        "from the model, by HypothesisTransfer(FrozenEstimator(model)) of skada_active.source_free, or from a network, "
        "by AdaptationClassifier(init=FrozenEstimator(network)); to measure the model alone, set audit."
    )


def _describe_sources(roles: Roles) -> str:
    if not roles.has_domains:
        return "is None (or 0 for every row)"
    numbers = np.unique(roles.domain).tolist()
    return f"holds no number below 0, but {str(numbers[:5])[1:-1]}{', ...' if len(numbers) > 5 else ''}"


def _types_of(labels: NDArray[Any]) -> str:
    kinds = {
        {"U": "text", "T": "text", "S": "bytes", "b": "booleans"}.get(kind, "numbers") for kind in label_kinds(labels)
    }
    return " and ".join(sorted(kinds))
