"""Deep adaptation: a classifier around one skorch net, and the objectives that it trains with."""

from skada_active.deep.anchors import AnchorSet
from skada_active.deep.augmentation import FeatureNoise, ImageAugmentation
from skada_active.deep.classifier import AdaptationClassifier
from skada_active.deep.objectives import (
    DANN,
    GSDA,
    M3SDA,
    MCC,
    MME,
    TSF,
    MarginLoss,
    Objective,
    ObjectiveSum,
    ObjectiveTerm,
)

__all__ = [
    "DANN",
    "GSDA",
    "M3SDA",
    "MCC",
    "MME",
    "TSF",
    "AdaptationClassifier",
    "AnchorSet",
    "FeatureNoise",
    "ImageAugmentation",
    "MarginLoss",
    "Objective",
    "ObjectiveSum",
    "ObjectiveTerm",
]
