"""Fields of a pool view: the one table of all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FIELDS", "Field", "names_from"]

Source = Literal["output", "previous", "head", "discriminator", "labeled", "source", "moments", "roles", "extra"]

_LINEAR = (
    "a linear model such as LogisticRegression, a Pipeline that ends in one, or an "
    "AdaptationClassifier (skada_active.deep)"
)
_TRAINED = "an AdaptationClassifier whose objective trains a {}"
_HEADS = "an AdaptationClassifier with n_heads=5, or a strategy that fills it by itself, such as QueryByCommittee"
_INPUTS = "a strategy that fills it by itself, such as ADMA"
_PROBA = "a classifier with predict_proba (wrap others in sklearn.calibration.CalibratedClassifierCV)"


@dataclass(frozen=True)
class Field:
    """Field of a pool view: how it is laid out, where it comes from, and which model supplies it.

    Parameters
    ----------
    name : str
        Name of the attribute of `PoolView`.
    axes : str or tuple of str
        One letter per axis; equal letters agree in length within a view: n candidates, C classes, D features, E columns
        of X, H hidden units, M members, S source domains, l and s rows of the labelled groups. A tuple describes a
        tuple of arrays, ``""`` an integer.
    source : str
        Where a snapshot finds it: ``"output"`` (a row of the model's outputs per candidate), ``"previous"`` (one of the
        outputs of the model of the round before), ``"head"`` or ``"discriminator"`` (parts of the model), ``"labeled"``
        or ``"source"`` (the revealed target rows and the source rows), ``"moments"`` (``source_features``, or a summary
        of the source rows where there are none), ``"roles"`` (the roles of the candidates),
        ``"extra"`` (given by whoever asks for the snapshot).
    integer : bool, default=False
        Whether it holds integers.
    on_device : bool, default=False
        Whether it may hold torch tensors, which stay where they are; other fields are small and come to the host.
    remedy : str, default=None
        What supplies it, for the error message where a model does not; ``None``: any model will do.
    objective : str, default=None
        Objective of `skada_active.deep` that trains what it is read from.
    alternative : str, default=None
        Field that is read in its place where there is one: it tells the same, and more cheaply.
    is_probability : bool, default=False
        Whether its last axis holds probabilities, which sum to one.
    """

    name: str
    axes: str | tuple[str, ...]
    source: Source
    integer: bool = False
    on_device: bool = False
    remedy: str | None = None
    objective: str | None = None
    alternative: str | None = None
    is_probability: bool = False


_TABLE = [
    Field("index", "n", "roles", integer=True),
    Field("target_domain", "n", "roles", integer=True),
    Field("proba", "nC", "output", remedy=_PROBA, is_probability=True),
    Field("previous_proba", "nC", "previous", remedy=_PROBA, is_probability=True),
    Field("logits", "nC", "output", remedy=_LINEAR),
    Field("features", "nD", "output", on_device=True),
    Field("inputs", "nE", "output", remedy=_INPUTS),
    Field("head_weight", "CD", "head", remedy=_LINEAR),
    Field("head_bias", "C", "head", remedy=_LINEAR),
    Field(
        "source_logit", "n", "output", remedy=_TRAINED.format("domain discriminator, such as DANN"), objective="DANN"
    ),
    Field(
        "domain_grad",
        "nD",
        "output",
        remedy=_TRAINED.format("domain discriminator, such as DANN"),
        objective="DANN",
    ),
    Field(
        "class_domain_grad",
        "nCD",
        "discriminator",
        on_device=True,
        remedy=_TRAINED.format("class-wise domain discriminator, such as TSF"),
        objective="TSF",
        alternative="class_discriminator",
    ),
    Field(
        "class_discriminator",
        ("HD", "H", "CH", "C"),
        "discriminator",
        on_device=True,
        remedy=_TRAINED.format("class-wise domain discriminator of one hidden layer, such as TSF"),
        objective="TSF",
    ),
    Field("labeled_features", "lD", "labeled", on_device=True),
    Field("labeled_proba", "lC", "labeled", remedy=_PROBA, is_probability=True),
    Field("labeled_y", "l", "labeled", integer=True),
    Field("source_features", "sD", "source", on_device=True),
    Field("source_inputs", "sE", "source", remedy=_INPUTS),
    Field("source_y", "s", "source", integer=True),
    Field("source_domain", "s", "source", integer=True),
    Field("source_mean", "SD", "moments"),
    Field("source_std", "SD", "moments"),
    Field("source_count", "S", "moments", integer=True),
    Field("committee_proba", "MnC", "output", remedy=_HEADS, is_probability=True),
    Field("committee_logits", "MnC", "output", remedy=_HEADS),
    Field(
        "virtual_divergence",
        "n",
        "output",
        remedy="an AdaptationClassifier, whose input can be perturbed by gradients",
        objective="VAT",
    ),
    Field("n_initial", "", "roles", integer=True),
]
#: The fields of a pool view by name.
FIELDS = {field.name: field for field in _TABLE}


def names_from(*sources: Source) -> frozenset[str]:
    """Return the names of the fields that come from one of the sources."""
    return frozenset(field.name for field in _TABLE if field.source in sources)
