"""Query strategies: which target rows are worth a label.

Every strategy is a thin class over pure functions of arrays, and reads a `skada_active.pool.PoolView` only.
"""

from __future__ import annotations

from skada_active.query._base import QueryStrategy
from skada_active.query.aada import AADA, aada_scores
from skada_active.query.adma import ADMA, distinctiveness
from skada_active.query.badge import BADGE, badge_embedding
from skada_active.query.cdal import CDAL, contextual_diversity
from skada_active.query.clue import CLUE, clue_weights
from skada_active.query.committee import QueryByCommittee, mean_kl_to_consensus, vote_entropy
from skada_active.query.core_set import CoreSet
from skada_active.query.d3gu import D3GU, gradient_utility
from skada_active.query.default import default_strategy
from skada_active.query.duc import DUC, dirichlet_uncertainty
from skada_active.query.eada import EADA, energy_margin, free_energy
from skada_active.query.gala import GALA, gala_local
from skada_active.query.gala_gap import domain_gap
from skada_active.query.k_means import KMeansSampling
from skada_active.query.lamda import LAMDA, lamda_picks
from skada_active.query.las import LAS, local_inconsistency
from skada_active.query.lftl import LFTL, lftl_scores
from skada_active.query.mhpl import MHPL, neighbor_ambient_uncertainty
from skada_active.query.mixed import Mixed
from skada_active.query.power_sampling import PowerSampling
from skada_active.query.prefilter import Prefilter
from skada_active.query.prob_cover import ProbCover
from skada_active.query.random_sampling import RandomSampling
from skada_active.query.s3vaada import S3VAADA, s3vaada_picks
from skada_active.query.sage import SAGE
from skada_active.query.sage_vectors import positive_orthogonal_projection, sage_embedding
from skada_active.query.sdm import SDM, sdm_scores
from skada_active.query.sdm_gradients import sdm_loss_gradient, sdm_margin_gradient
from skada_active.query.staged import Staged
from skada_active.query.tqs import TQS, tqs_scores
from skada_active.query.typiclust import TypiClust, typicality
from skada_active.query.uncertainty import (
    EntropySampling,
    LeastConfidenceSampling,
    MarginSampling,
    least_confidence,
    margin_uncertainty,
    prediction_entropy,
)
from skada_active.query.vaal import VAAL, labeled_probability

__all__ = [
    "AADA",
    "ADMA",
    "BADGE",
    "CDAL",
    "CLUE",
    "D3GU",
    "DUC",
    "EADA",
    "GALA",
    "LAMDA",
    "LAS",
    "LFTL",
    "MHPL",
    "S3VAADA",
    "SAGE",
    "SDM",
    "TQS",
    "VAAL",
    "CoreSet",
    "EntropySampling",
    "KMeansSampling",
    "LeastConfidenceSampling",
    "MarginSampling",
    "Mixed",
    "PowerSampling",
    "Prefilter",
    "ProbCover",
    "QueryByCommittee",
    "QueryStrategy",
    "RandomSampling",
    "Staged",
    "TypiClust",
    "aada_scores",
    "badge_embedding",
    "clue_weights",
    "contextual_diversity",
    "default_strategy",
    "dirichlet_uncertainty",
    "distinctiveness",
    "domain_gap",
    "energy_margin",
    "free_energy",
    "gala_local",
    "gradient_utility",
    "labeled_probability",
    "lamda_picks",
    "least_confidence",
    "lftl_scores",
    "local_inconsistency",
    "margin_uncertainty",
    "mean_kl_to_consensus",
    "neighbor_ambient_uncertainty",
    "positive_orthogonal_projection",
    "prediction_entropy",
    "s3vaada_picks",
    "sage_embedding",
    "sdm_loss_gradient",
    "sdm_margin_gradient",
    "sdm_scores",
    "tqs_scores",
    "typicality",
    "vote_entropy",
]
