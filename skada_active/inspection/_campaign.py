"""Campaign of labelling, as the sections of a report read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.inspection._fitted import loops_in
from skada_active.loop import ActiveAdaptationLoop
from skada_active.metrics.estimate import AccuracyEstimate
from skada_active.metrics.scoring import BUILT_IN
from skada_active.session import AdaptationSession
from skada_active.session.state import Round, SessionState

__all__ = ["GROUPS", "Campaign", "as_share", "as_value"]

#: Rows that accuracies are measured on, those first that say most of rows to come.
GROUPS = {
    "audit": "pool, by audited rows",
    "holdout": "held-out rows",
    "unqueried": "target rows never bought",
    "transductive": "all target rows",
}


@dataclass(frozen=True, eq=False)
class Campaign:
    """What a report is about.

    Parameters
    ----------
    loop : ActiveAdaptationLoop
        The fitted loop.
    session : AdaptationSession
        Its session.
    controls : list of ActiveAdaptationLoop
        Loops that it is compared with; empty: none.
    """

    loop: ActiveAdaptationLoop
    session: AdaptationSession
    controls: list[ActiveAdaptationLoop]

    @classmethod
    def of(cls, loop: ActiveAdaptationLoop, session: AdaptationSession, control: Any) -> Campaign:
        """Return the campaign of a loop; a ValueError if its control was run on other rows."""
        controls = [] if control is None else loops_in(control, "control")
        domain = session.state.initial_roles.domain
        for other in controls:
            others = other.session_.state.initial_roles.domain
            if not np.array_equal(others, domain):
                raise ValueError(
                    f"control was fitted on other rows: {len(others)}, of the target {(others < 0).sum()}, and not "
                    f"{len(domain)} and {(domain < 0).sum()}; fit the same loop with RandomSampling() on the same data."
                )
        return cls(loop, session, controls)

    @property
    def state(self) -> SessionState:
        """State of the session."""
        return self.session.state

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """Entries of the history, that of the source model first."""
        return [self.session.initial_, *self.session.history_]

    @property
    def metrics(self) -> list[str]:
        """Names of what is measured."""
        scoring = self.session.trainer.scoring
        return [*BUILT_IN, *(scoring.names if scoring else ())]

    @property
    def rounds(self) -> list[Round]:
        """Rounds that ended, and the one that goes on."""
        return [*self.state.closed, *([] if self.state.round is None else [self.state.round])]

    @cached_property
    def source_labels(self) -> NDArray[Any]:
        """Labels of the source rows."""
        return self.state.y[self.state.initial_roles.source]

    def measured(self, entry: dict[str, Any], group: str, metric: str = "accuracy") -> Any:
        """Return what an entry says of a group of rows: a number, an `AccuracyEstimate`, or None."""
        value = entry.get(metric, {}).get(group)
        return None if isinstance(value, AccuracyEstimate) and not value.n_audit else value

    @property
    def known_groups(self) -> list[str]:
        """Groups of rows on which the accuracy of the last model is known."""
        return [group for group in GROUPS if self.measured(self.entries[-1], group) is not None]


def as_share(value: Any) -> str:
    """Return a share, or an estimate of one with its interval, in percent."""
    if value is None or value != value:
        return "–"
    return str(value) if isinstance(value, AccuracyEstimate) else f"{100 * value:.1f} %"


def as_value(value: Any, metric: str) -> str:
    """Return what a metric measured: in percent where it is a share, or an estimate with its interval."""
    if metric in BUILT_IN or isinstance(value, AccuracyEstimate):
        return as_share(value)
    return "–" if value is None or value != value else f"{value:.4g}"
