"""The loop: the estimator that asks, answers and retrains, who answers, and how much may be asked."""

from skada_active.loop.active_loop import ActiveAdaptationLoop
from skada_active.loop.oracle import AbstainingOracle, ArrayOracle, NoisyOracle

# The session that a loop runs can be imported from here, too.
from skada_active.session import AdaptationSession as AdaptationSession
from skada_active.session import SessionStatus as SessionStatus
from skada_active.session.spending import BudgetSchedule

__all__ = [
    "AbstainingOracle",
    "ActiveAdaptationLoop",
    "ArrayOracle",
    "BudgetSchedule",
    "NoisyOracle",
]
