"""The loop: who answers, how much may be asked, the session that asks and tells, and the estimator that drives it."""

from skada_active.loop._status import SessionStatus
from skada_active.loop.active_loop import ActiveAdaptationLoop
from skada_active.loop.budget import BudgetSchedule
from skada_active.loop.journal import Journal, JournalError
from skada_active.loop.oracle import AbstainingOracle, ArrayOracle, NoisyOracle
from skada_active.loop.session import AdaptationSession

__all__ = [
    "AbstainingOracle",
    "ActiveAdaptationLoop",
    "AdaptationSession",
    "ArrayOracle",
    "BudgetSchedule",
    "Journal",
    "JournalError",
    "NoisyOracle",
    "SessionStatus",
]
