"""Checks of one's own parts against the contracts of this package."""

from skada_active.testing._objective import check_objective

__all__ = ["check_objective"]
