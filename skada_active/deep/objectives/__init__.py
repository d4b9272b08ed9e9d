"""Objectives: one domain adaptation method a file, each a loss that the one training step adds up."""

from skada_active.deep.objectives._base import Objective, ObjectiveSum, ObjectiveTerm, Phase, terms_of
from skada_active.deep.objectives.adda import ADDA
from skada_active.deep.objectives.cdan import CDAN
from skada_active.deep.objectives.coral import CORAL
from skada_active.deep.objectives.dann import DANN
from skada_active.deep.objectives.feature_norm import AFN, BSP
from skada_active.deep.objectives.gsda import GSDA
from skada_active.deep.objectives.information_maximization import InformationMaximization
from skada_active.deep.objectives.m3sda import M3SDA
from skada_active.deep.objectives.margin import MarginLoss
from skada_active.deep.objectives.mcc import MCC
from skada_active.deep.objectives.mcd import MCD
from skada_active.deep.objectives.mdd import MDD
from skada_active.deep.objectives.mmd import DAN, JAN
from skada_active.deep.objectives.mme import MME
from skada_active.deep.objectives.rtn import RTN
from skada_active.deep.objectives.symnets import SymNets
from skada_active.deep.objectives.tsf import TSF

__all__ = [
    "ADDA",
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
    "MCD",
    "MDD",
    "MME",
    "RTN",
    "TSF",
    "InformationMaximization",
    "MarginLoss",
    "Objective",
    "ObjectiveSum",
    "ObjectiveTerm",
    "Phase",
    "SymNets",
    "terms_of",
]
