"""Deep adaptation: a classifier around one skorch net, and the objectives that it trains with."""

from skada_active.deep.anchors import AnchorSet
from skada_active.deep.augmentation import FeatureNoise, ImageAugmentation
from skada_active.deep.classifier import AdaptationClassifier
from skada_active.deep.objectives import (
    AFN,
    BSP,
    CDAN,
    CORAL,
    DAN,
    DANN,
    GSDA,
    JAN,
    M3SDA,
    MCC,
    MME,
    TSF,
    VAT,
    InformationMaximization,
    MarginLoss,
    Objective,
    ObjectiveSum,
    ObjectiveTerm,
    Phase,
)

__all__ = [
    "AFN",
    "BSP",
    "CDAN",
    "CORAL",
    "DAN",
    "DANN",
    "GSDA",
    "JAN",
    "M3SDA",
    "MCC",
    "MME",
    "TSF",
    "VAT",
    "AdaptationClassifier",
    "AnchorSet",
    "FeatureNoise",
    "ImageAugmentation",
    "InformationMaximization",
    "MarginLoss",
    "Objective",
    "ObjectiveSum",
    "ObjectiveTerm",
    "Phase",
]
