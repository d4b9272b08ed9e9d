"""The pool: a frozen view of it per round, and the one forward pass that fills the view."""

from skada_active.pool.snapshot import snapshot
from skada_active.pool.view import PoolView

__all__ = ["PoolView", "snapshot"]
