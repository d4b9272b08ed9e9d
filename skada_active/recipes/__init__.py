"""The five papers' methods, each in one call, and a baseline to compare them with."""

from skada_active.recipes._baseline import baseline
from skada_active.recipes._gala import gala
from skada_active.recipes._gsda import gsda
from skada_active.recipes._lada import lada
from skada_active.recipes._sage import sage
from skada_active.recipes._sdm import sdm

__all__ = ["baseline", "gala", "gsda", "lada", "sage", "sdm"]
