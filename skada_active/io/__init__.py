"""Files: estimators, strategies and loops as skops files, the journal of a session, the fingerprint of its data."""

from skada_active.io.estimators import load, save

__all__ = ["load", "save"]
