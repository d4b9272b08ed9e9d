"""Checks of the contracts of this package, for strategies of its own and of others."""

from __future__ import annotations

from skada_active.testing._strategy import check_strategy

__all__ = ["check_strategy"]
