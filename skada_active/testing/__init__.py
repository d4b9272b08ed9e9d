"""Checks of the contracts of query strategies and objectives, for those who write their own."""

from skada_active.testing._objective import check_objective
from skada_active.testing._strategy import check_strategy

__all__ = ["check_objective", "check_strategy"]
