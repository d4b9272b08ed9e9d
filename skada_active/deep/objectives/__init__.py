"""Objectives: one domain adaptation method a file, each a loss that the one training step adds up."""

from skada_active.deep.objectives._base import Objective, ObjectiveSum, ObjectiveTerm, Phase, terms_of
from skada_active.deep.objectives.adda import ADDA
from skada_active.deep.objectives.atdoc import ATDOC
from skada_active.deep.objectives.cdac import CDAC
from skada_active.deep.objectives.cdan import CDAN
from skada_active.deep.objectives.coral import CORAL
from skada_active.deep.objectives.dann import DANN
from skada_active.deep.objectives.evidential import EvidentialLoss
from skada_active.deep.objectives.feature_norm import AFN, BSP
from skada_active.deep.objectives.free_energy import FreeEnergyAlignment
from skada_active.deep.objectives.gsda import GSDA
from skada_active.deep.objectives.information_maximization import InformationMaximization
from skada_active.deep.objectives.m3sda import M3SDA
from skada_active.deep.objectives.mada import MADA
from skada_active.deep.objectives.margin import MarginLoss
from skada_active.deep.objectives.mcc import MCC
from skada_active.deep.objectives.mcd import MCD
from skada_active.deep.objectives.mdd import MDD
from skada_active.deep.objectives.mmd import DAN, JAN
from skada_active.deep.objectives.mme import MME
from skada_active.deep.objectives.rtn import RTN
from skada_active.deep.objectives.self_ensembling import SelfEnsembling
from skada_active.deep.objectives.source_weights import LabelMatching, PartialWeights
from skada_active.deep.objectives.symnets import SymNets
from skada_active.deep.objectives.tpn import TPN
from skada_active.deep.objectives.tsf import TSF
from skada_active.deep.objectives.vat import VAT

__all__ = [
    "ADDA",
    "AFN",
    "ATDOC",
    "BSP",
    "CDAC",
    "CDAN",
    "CORAL",
    "DAN",
    "DANN",
    "GSDA",
    "JAN",
    "M3SDA",
    "MADA",
    "MCC",
    "MCD",
    "MDD",
    "MME",
    "RTN",
    "TPN",
    "TSF",
    "VAT",
    "EvidentialLoss",
    "FreeEnergyAlignment",
    "InformationMaximization",
    "LabelMatching",
    "MarginLoss",
    "Objective",
    "ObjectiveSum",
    "ObjectiveTerm",
    "PartialWeights",
    "Phase",
    "SelfEnsembling",
    "SymNets",
    "terms_of",
]
