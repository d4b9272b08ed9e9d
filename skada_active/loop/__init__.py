"""The loop: the estimator that asks, answers and retrains, who answers, and how much may be asked."""

from skada_active.loop.active_loop import ActiveAdaptationLoop
from skada_active.loop.budget import BudgetSchedule
from skada_active.loop.oracle import AbstainingOracle, ArrayOracle, NoisyOracle
from skada_active.session import AdaptationSession, SessionStatus

__all__ = [
    "AbstainingOracle",
    "ActiveAdaptationLoop",
    "AdaptationSession",
    "ArrayOracle",
    "BudgetSchedule",
    "NoisyOracle",
    "SessionStatus",
]
