"""Rows of the papers' tables with bought labels: recipes as shipped, by the name that the tables give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.deep import ATDOC, CDAC, CDAN, DANN, MCC, MME, LabelMatching, MarginLoss, Objective
from skada_active.networks import MLP
from skada_active.query import (
    AADA,
    ADMA,
    BADGE,
    CDAL,
    CLUE,
    EADA,
    LAMDA,
    LAS,
    MHPL,
    S3VAADA,
    SAGE,
    SDM,
    TQS,
    VAAL,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
)

__all__ = ["ACTIVE", "INDUCTIVE", "QUERIES", "Rows", "dann_on_probabilities", "never_negative"]

Rows = dict[str, Callable[[], Any]]
#: LADA's number of neighbours for Office-31.
N_NEIGHBORS = 5


def las() -> LAS:
    return LAS(n_neighbors=N_NEIGHBORS)


def lada(**knobs: Any) -> Any:
    return recipes.lada(n_neighbors=N_NEIGHBORS, **knobs)


def plain(query: QueryStrategy, **knobs: Any) -> Any:
    return recipes.baseline(query, **knobs)


def watching() -> DANN:
    """Return a discriminator that learns and sends nothing back: what AADA reads where the domains stay apart."""
    return DANN(max_reversal=0.0)


def with_mme(query: QueryStrategy, *further: Objective) -> Any:
    return plain(query, objective=sum(further, start=MME()), head="cosine")


def never_negative(shape: tuple[int, ...]) -> nn.Module:
    """Return a bottleneck that ends in a ReLU, for CDAC compares the strongest features."""
    return nn.Sequential(MLP(shape[0]), nn.ReLU())


def with_cdac(query: QueryStrategy, *further: Objective) -> Any:
    return plain(query, objective=sum(further, start=CDAC()), module=never_negative, augmentation="auto")


def matched(query: QueryStrategy, **knobs: Any) -> Any:
    """Return DANN with importance weights of the source classes, which LADA's Table 2 marks by a dagger."""
    return plain(query, objective=LabelMatching() + DANN(), head="cosine", head_temperature=0.1, **knobs)


def dann_on_probabilities() -> DANN:
    # LADA's discriminator reads logits, with a weight of .1; one of ready-made embeddings always tells them apart.
    return DANN(discriminator_input="proba", hidden=(256, 256), max_reversal=0.1)


ACTIVE: Rows = {
    # Queries with training on the labelled rows alone.
    "random": lambda: plain(RandomSampling()),
    "entropy": lambda: plain(EntropySampling()),
    "least confidence": lambda: plain(LeastConfidenceSampling()),
    "margin": lambda: plain(MarginSampling()),
    "CoreSet": lambda: plain(CoreSet()),
    "BADGE": lambda: plain(BADGE()),
    "AADA": lambda: plain(AADA(), objective=watching()),
    "CLUE": lambda: plain(CLUE()),
    "TQS": lambda: recipes.tqs(),
    # As its published code, and without what a discriminator of a ready-made embedding says.
    "TQS, no domainness": lambda: recipes.tqs(domainness=None),
    "MHPL": lambda: plain(MHPL(n_neighbors=N_NEIGHBORS)),
    "QBC": lambda: plain(QueryByCommittee()),
    "clusters": lambda: plain(KMeansSampling()),
    "ADMA": lambda: plain(ADMA()),
    "LAS": lambda: lada(neighbors=None),
    # LADA's Tables 2 and 3: with minimax entropy, adversarial clustering, and its own anchors.
    "random + MME": lambda: with_mme(RandomSampling()),
    "AADA + MME": lambda: with_mme(AADA(), watching()),
    "CLUE + MME": lambda: recipes.clue(),
    "MHPL + MME": lambda: with_mme(MHPL(n_neighbors=N_NEIGHBORS)),
    "LAS + MME": lambda: with_mme(las()),
    "random + CDAC": lambda: with_cdac(RandomSampling()),
    "BADGE + CDAC": lambda: with_cdac(BADGE()),
    "AADA + CDAC": lambda: with_cdac(AADA(), watching()),
    "CLUE + CDAC": lambda: with_cdac(CLUE()),
    "MHPL + CDAC": lambda: with_cdac(MHPL(n_neighbors=N_NEIGHBORS)),
    "LAS + CDAC": lambda: with_cdac(las()),
    "TQS + DANN†": lambda: matched(TQS(), n_heads=5),
    "S3VAADA + DANN†": lambda: matched(S3VAADA()),
    "LAS + DANN": lambda: plain(las(), objective=dann_on_probabilities()),
    "LAS + MCC": lambda: plain(las(), objective=MCC()),
    "LAS + RAA": lambda: lada(neighbors="random"),
    "LAS + LAA": lambda: lada(),
    # LADA's Table 6 and Figure 4.
    "top scores": lambda: lada(neighbors=None, oversampling=0),
    "LAS + anchors": lambda: lada(augmentation=None, class_balanced=False),
    "LAS + anchors + augmentation": lambda: lada(class_balanced=False),
    "LAS + anchors + balancing": lambda: lada(augmentation=None),
    "margin in LAS": lambda: plain(LAS(n_neighbors=N_NEIGHBORS, by=MarginSampling())),
    "entropy in LAS": lambda: plain(LAS(n_neighbors=N_NEIGHBORS, by=EntropySampling())),
    "confidence in LAS": lambda: plain(LAS(n_neighbors=N_NEIGHBORS, by=LeastConfidenceSampling())),
    "NAU in LAS": lambda: plain(LAS(n_neighbors=N_NEIGHBORS, by=MHPL(n_neighbors=N_NEIGHBORS))),
    # SDM's Tables 2 to 4.
    "SDM-AG": lambda: recipes.sdm(),
    "SDM": lambda: recipes.sdm(dynamic=False, max_logit=False, gradient_weight=0.0),
    "SDM-A": lambda: recipes.sdm(gradient_weight=0.0),
    "SDM-G": lambda: recipes.sdm(dynamic=False, max_logit=False),
    "SDM-AG, Eq. 7": lambda: recipes.sdm(max_logit=True),
    "SDM-AG as published code": lambda: recipes.sdm(dynamic=False, max_logit=True, jacobian="official"),
    "entropy, margin loss": lambda: plain(EntropySampling(), objective=MarginLoss()),
    "least confidence, margin loss": lambda: plain(LeastConfidenceSampling(), objective=MarginLoss()),
    "margin, margin loss": lambda: plain(MarginSampling(), objective=MarginLoss()),
    # Whole methods as shipped.
    "AADA + DANN": lambda: recipes.aada(),
    "EADA": lambda: recipes.eada(),
    "S3VAADA + VAADA": lambda: recipes.s3vaada(),
    "LAMDA": lambda: recipes.lamda(),
    "MHPL, whole": lambda: recipes.mhpl(),
    "SAGE": lambda: recipes.sage(budget=0.05, n_rounds=5),
    "CDAL": lambda: plain(CDAL()),
    "VAAL": lambda: plain(VAAL()),
    # Combinations that no paper has.
    "MCC + margin": lambda: plain(MarginSampling(), objective=MCC()),
    "MCC + BADGE": lambda: plain(BADGE(), objective=MCC()),
    "MCC + RAA": lambda: lada(objective=MCC(), neighbors="random"),
    "MCC + LAA": lambda: lada(objective=MCC()),
    "MarginLoss + LAS": lambda: plain(las(), objective=MarginLoss()),
    "MCC + MarginLoss + LAS": lambda: plain(las(), objective=MCC() + MarginLoss()),
    "MCC + MarginLoss + RAA": lambda: lada(objective=MCC() + MarginLoss(), neighbors="random"),
    "MCC + DANN + LAS": lambda: plain(las(), objective=MCC() + dann_on_probabilities()),
    "CDAN + MCC + LAS": lambda: plain(las(), objective=CDAN() + MCC()),
    "CDAN + MCC + MarginLoss + LAS": lambda: plain(las(), objective=CDAN() + MCC() + MarginLoss()),
    "ATDOC + LAS": lambda: plain(las(), objective=ATDOC()),
    "ATDOC + MarginLoss + LAS": lambda: plain(las(), objective=ATDOC() + MarginLoss()),
    "MCC + ATDOC + LAS": lambda: plain(las(), objective=MCC() + ATDOC()),
}


def on_tsf(query: QueryStrategy) -> ActiveAdaptationLoop:
    return ActiveAdaptationLoop(recipes.sage().estimator, query)


INDUCTIVE: Rows = {
    "SAGE": lambda: recipes.sage(),
    "SAGE, MME": lambda: recipes.sage(regularizer="mme"),
    "SAGE, S∪T": lambda: recipes.sage(regularizer="joint"),
    "SAGE, no POP": lambda: recipes.sage(projection=None),
    "SAGE, no diversity": lambda: recipes.sage(diversity=None),
    "SAGE, k-means++": lambda: recipes.sage(diversity="kmeans++"),
    "TSF + random": lambda: on_tsf(RandomSampling()),
    "TSF + entropy": lambda: on_tsf(EntropySampling()),
    "TSF + confidence": lambda: on_tsf(LeastConfidenceSampling()),
    "TSF + clusters": lambda: on_tsf(KMeansSampling()),
    "TSF + margin": lambda: on_tsf(MarginSampling()),
    "TSF + BADGE": lambda: on_tsf(BADGE()),
    "TSF + LAS": lambda: on_tsf(las()),
    "BADGE, S∪T": lambda: plain(BADGE(), labeled_loss="joint"),
    "AADA + DANN": lambda: recipes.aada(),
    "MME + entropy": lambda: with_mme(EntropySampling()),
    "MME + random": lambda: with_mme(RandomSampling()),
}

#: Queries whose choice is timed, of one pool with all that they read.
QUERIES: dict[str, QueryStrategy] = {
    "random": RandomSampling(),
    "entropy": EntropySampling(),
    "margin": MarginSampling(),
    "SDM-AG": SDM(),
    "AADA": AADA(),
    "EADA": EADA(),
    "TQS": TQS(),
    "CDAL": CDAL(),
    "CoreSet": CoreSet(),
    "clusters": KMeansSampling(),
    "CLUE": CLUE(),
    "BADGE": BADGE(),
    "LAS": las(),
    "MHPL": MHPL(n_neighbors=N_NEIGHBORS),
    "SAGE": SAGE(),
    "LAMDA": LAMDA(),
    "ADMA": ADMA(),
    "VAAL": VAAL(),
    "S3VAADA": S3VAADA(),
}
