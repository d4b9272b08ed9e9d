"""What a session shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.session.status import SessionStatus
from skada_active.utils.threads import in_turn

if TYPE_CHECKING:
    from skada_active.loop.active_loop import ActiveAdaptationLoop

__all__ = ["SessionView"]


class SessionView:
    """Show ledger and model of a session: the reading side of `AdaptationSession`."""

    @property
    def estimator_(self) -> Any:
        """The model, fitted on all answers of the rounds that ended; trained first where that was interrupted."""
        self._follow()
        return self._model.estimator_

    @property
    def initial_(self) -> dict[str, Any]:
        """The entry of the history for the model before any purchase."""
        return self._model.initial_

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One entry per round that ended, see `ActiveAdaptationLoop`."""
        return self._model.history_

    @property
    def loop_(self) -> ActiveAdaptationLoop:
        """A fitted loop that goes on with this session: `ActiveAdaptationLoop.resume`, ``predict``, ``save``."""
        with self._turn:
            self._follow()
            return clone(self._loop)._adopt(self)

    @property
    def y(self) -> NDArray[Any]:
        """Labels that are known now, the others missing."""
        return self._ledger.y

    @property
    def roles(self) -> Roles:
        """Role of every row now."""
        return self._ledger.roles

    @property
    def n_initial(self) -> int:
        """Rows that could be asked about at the start."""
        return self._ledger.n_initial

    @property
    def queried_ids_(self) -> NDArray[np.int64]:
        """Row numbers of the labels bought, in order of purchase, shape (n_labels,)."""
        return np.array(self._ledger.bought, dtype=np.int64)

    @property
    def query_round_(self) -> NDArray[np.int64]:
        """Round in which a row's label was bought, shape (n,).

        0: known from the start, as all source rows are; -1: not known.
        """
        return self._ledger.query_round.copy()

    @property
    def budget(self) -> int:
        """Labels that may be bought in all; with costs, what they may cost together."""
        return self._ledger.budget

    @property
    def pool_cost(self) -> int:
        """Rows that could be asked about at the start; with costs, what all their labels cost, in whole units."""
        return self._ledger.pool_cost

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has happened since the start: questions, answers, corrections, more budget."""
        return [dict(event) for event in self.record.events]

    @property
    def spent(self) -> Any:
        """Labels bought so far; with costs, what they cost."""
        return self._ledger.spent

    @property
    def remaining(self) -> Any:
        """Labels that may still be bought; with costs, what may still be spent."""
        return self._ledger.remaining

    @property
    def open_ids(self) -> NDArray[np.int64]:
        """Row numbers asked about and not settled yet, in order of choice."""
        return np.array(self._ledger.open_ids, dtype=np.int64)

    @property
    def abstained_ids(self) -> NDArray[np.int64]:
        """Row numbers that nobody could label and that are not asked about again, ascending."""
        return self._ledger.abstained

    @property
    def termination_condition_(self) -> str | None:
        """Why there is nothing more to ask: ``"budget"``, ``"pool"`` or ``"no_target"``; None while there is."""
        if self._ledger.open_ids:
            return None
        if not len(self.roles.target):
            return "no_target"
        if not len(self.roles.candidates):
            return "pool"
        return None if len(self._ledger.affordable(self.remaining)) else "budget"

    def status(self) -> SessionStatus:
        """Return what was asked, answered and spent; it prints as text and shows as a table in a notebook."""
        with self._folding:
            return SessionStatus.of(self)

    @in_turn
    def close(self) -> None:
        """Close the journal, so that another process may open it; without a journal there is nothing to close."""
        self.record.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}\n{self.status()}"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()
