"""The five papers' methods and those that they compare themselves with, as estimators of one call each."""

from skada_active.recipes._aada import AADALoop, aada
from skada_active.recipes._baseline import Baseline, baseline
from skada_active.recipes._clue import CLUELoop, clue
from skada_active.recipes._duc import DUCLoop, duc
from skada_active.recipes._eada import EADALoop, eada
from skada_active.recipes._gala import GALALoop, gala
from skada_active.recipes._gsda import GSDAClassifier, gsda
from skada_active.recipes._lada import LADA, lada
from skada_active.recipes._lamda import LAMDALoop, lamda
from skada_active.recipes._mhpl import MHPLLoop, mhpl
from skada_active.recipes._s3vaada import VAADALoop, s3vaada
from skada_active.recipes._sage import SAGELoop, sage
from skada_active.recipes._sdm import SDMLoop, sdm
from skada_active.recipes._tqs import TQSLoop, tqs

__all__ = [
    "LADA",
    "AADALoop",
    "Baseline",
    "CLUELoop",
    "DUCLoop",
    "EADALoop",
    "GALALoop",
    "GSDAClassifier",
    "LAMDALoop",
    "MHPLLoop",
    "SAGELoop",
    "SDMLoop",
    "TQSLoop",
    "VAADALoop",
    "aada",
    "baseline",
    "clue",
    "duc",
    "eada",
    "gala",
    "gsda",
    "lada",
    "lamda",
    "mhpl",
    "s3vaada",
    "sage",
    "sdm",
    "tqs",
]
