"""Rows of GSDA's tables, without any target label: objectives in the training that `recipes.gsda` ships with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _papers_rows import dann_on_probabilities, never_negative
from torch import nn

from skada_active import recipes
from skada_active.deep import (
    ADDA,
    AFN,
    ATDOC,
    BSP,
    CDAC,
    CDAN,
    CORAL,
    DAN,
    DANN,
    JAN,
    MADA,
    MCC,
    MCD,
    MDD,
    RTN,
    TPN,
    TSF,
    AdaptationClassifier,
    FreeEnergyAlignment,
    InformationMaximization,
    PartialWeights,
    SelfEnsembling,
    SymNets,
)
from skada_active.networks import MLP

__all__ = ["PARTIAL", "UNLABELED"]

Rows = dict[str, Callable[..., AdaptationClassifier]]
N_GROUPS = 6


def adapted(objective: Any, **params: Any) -> AdaptationClassifier:
    shipped = recipes.gsda()
    names = ("max_epochs", "batch_size", "optimizer", "lr", "weight_decay")
    return AdaptationClassifier(objective, **{name: getattr(shipped, name) for name in names}, **params)


def gsda(**knobs: Any) -> AdaptationClassifier:
    return recipes.gsda(n_groups=N_GROUPS, **knobs)


def plain_bottleneck(shape: tuple[int, ...]) -> nn.Module:
    return MLP(shape[0], batch_norm=False)


def source(**params: Any) -> AdaptationClassifier:
    """Return the control: target rows in the batches, as all others have them, and no loss on them."""
    return adapted(MCC(trade_off=0.0), **params)


UNLABELED: Rows = {
    "source": source,
    "DAN": lambda **params: adapted(DAN(), **params),
    "RTN": lambda **params: adapted(RTN(), **params),
    "JAN": lambda **params: adapted(JAN(), **params),
    "DANN": lambda **params: adapted(DANN(), **params),
    "ADDA": lambda **params: adapted(ADDA(discriminator_input="proba"), **params),
    "MCD": lambda **params: adapted(MCD(), **params),
    "MADA": lambda **params: adapted(MADA(), **params),
    "CDAN": lambda **params: adapted(CDAN(), **params),
    "CDAN+E": lambda **params: adapted(CDAN(entropy_weighted=True), **params),
    "SymNets": lambda **params: adapted(SymNets(), **params),
    "AFN": lambda **params: adapted(AFN(), **params),
    "BSP + DANN": lambda **params: adapted(BSP() + DANN(), **params),
    "BSP + CDAN": lambda **params: adapted(BSP() + CDAN(), **params),
    "GSDA": gsda,
    # A batch normalisation lets the offset between the domains into the embedding, which the discriminator then reads.
    "source, no batch normalisation": lambda **params: source(module=plain_bottleneck, **params),
    "DANN, no batch normalisation": lambda **params: adapted(DANN(), module=plain_bottleneck, **params),
    "DANN, gentle": lambda **params: adapted(DANN(max_reversal=0.1), **params),
    "DANN on probabilities": lambda **params: adapted(dann_on_probabilities(), **params),
    "TSF": lambda **params: adapted(TSF(), **params),
    "MDD": lambda **params: adapted(MDD(), **params),
    "MCC": lambda **params: adapted(MCC(), **params),
    # Three times as long: a source of 498 or 795 rows (dslr, webcam) has few steps an epoch.
    "MCC, 84 epochs": lambda **params: adapted(MCC(), **params).set_params(max_epochs=84),
    "GSDA, 84 epochs": lambda **params: gsda(max_epochs=84, **params),
    "CDAN + MCC": lambda **params: adapted(CDAN() + MCC(), **params),
    "FreeEnergyAlignment": lambda **params: adapted(FreeEnergyAlignment(), **params),
    "CDAC": lambda **params: adapted(CDAC(), module=never_negative, augmentation="auto", **params),
    "ATDOC": lambda **params: adapted(ATDOC(), **params),
    "SelfEnsembling": lambda **params: adapted(SelfEnsembling(), augmentation="auto", **params),
    "TPN": lambda **params: adapted(TPN(), **params),
    "InformationMaximization": lambda **params: adapted(InformationMaximization(), **params),
    "CORAL": lambda **params: adapted(CORAL(), **params),
    # GSDA's Table 1.
    "GSDA: Glb": lambda **params: gsda(levels=("domain",), beta=0.0, **params),
    "GSDA: + Cls": lambda **params: gsda(levels=("domain", "class"), beta=0.0, **params),
    "GSDA: + Grp": lambda **params: gsda(beta=0.0, **params),
}

PARTIAL: Rows = {
    "source": source,
    "DANN": UNLABELED["DANN"],
    "PartialWeights + DANN": lambda **params: adapted(PartialWeights() + DANN(), **params),
    "CDAN": UNLABELED["CDAN"],
    "PartialWeights + CDAN": lambda **params: adapted(PartialWeights() + CDAN(), **params),
    "MCC": UNLABELED["MCC"],
    "GSDA": lambda **params: gsda(alpha=0.2, beta=10.0, **params),
    "PartialWeights + DANN on probabilities": lambda **params: adapted(
        PartialWeights() + dann_on_probabilities(), **params
    ),
}
