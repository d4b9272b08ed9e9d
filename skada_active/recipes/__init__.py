"""The five papers' methods as estimators of one call each, and a baseline to compare them with."""

from skada_active.recipes._baseline import Baseline, baseline
from skada_active.recipes._gala import GALALoop, gala
from skada_active.recipes._gsda import GSDAClassifier, gsda
from skada_active.recipes._lada import LADA, lada
from skada_active.recipes._sage import SAGELoop, sage
from skada_active.recipes._sdm import SDMLoop, sdm

__all__ = [
    "LADA",
    "Baseline",
    "GALALoop",
    "GSDAClassifier",
    "SAGELoop",
    "SDMLoop",
    "baseline",
    "gala",
    "gsda",
    "lada",
    "sage",
    "sdm",
]
