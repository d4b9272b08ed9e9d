"""The loop: the estimator that asks and retrains, the oracles that answer, and the budget schedule."""

from skada_active.loop.active_loop import ActiveAdaptationLoop
from skada_active.loop.oracle import AbstainingOracle, ArrayOracle, NoisyOracle
from skada_active.loop.stopping import SmallGain, StablePredictions, StoppingRule, TargetAccuracy

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
    "SmallGain",
    "StablePredictions",
    "StoppingRule",
    "TargetAccuracy",
]
