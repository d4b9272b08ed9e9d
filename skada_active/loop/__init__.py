"""The loop: who answers, how much may be asked, the session that asks and tells, and the estimator that drives it."""

from skada_active.io.journal import Journal, JournalError
from skada_active.loop.active_loop import ActiveAdaptationLoop
from skada_active.loop.budget import BudgetSchedule
from skada_active.loop.oracle import AbstainingOracle, ArrayOracle, NoisyOracle
from skada_active.session.session import AdaptationSession
from skada_active.session.status import SessionStatus

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
