"""State of a session: what was asked, answered and spent. A fold of its events, without any model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import Roles
from skada_active.labels import label_kinds, labels_from_list, labels_to_list, mask_labels
from skada_active.session.events import Asked, Corrected, Event, Extended, Readmitted, Told
from skada_active.session.spending import Spending
from skada_active.session.votes import UNDECIDED, majority_vote

__all__ = ["Audit", "Round", "SessionState"]

_NEVER = np.iinfo(np.int64).max


@dataclass
class Round:
    """Round of a session: what was asked, what was answered, and how long it took.

    Parameters
    ----------
    number : int
        1 for the first round; 0 stands for the model before any purchase.
    size : int, default=None
        Labels that the round may buy; ``None``: as many as `amount` pays for.
    amount : float, default=0
        What the labels of the round may cost together.
    """

    number: int
    size: int | None = None
    amount: float = 0
    open_ids: dict[int, None] = field(default_factory=dict)  # an ordered set
    bought_ids: list[int] = field(default_factory=list)
    abstained_ids: list[int] = field(default_factory=list)
    audit_ids: dict[int, None] = field(default_factory=dict)  # asked to measure the model
    promoted_ids: list[int] = field(default_factory=list)  # audited before, and chosen now
    utilities: dict[int, float] = field(default_factory=dict)
    query_seconds: float = 0.0
    oracle_seconds: float = 0.0
    asked_at: float = 0.0

    @property
    def teaches(self) -> bool:
        """Whether there is a label among its answers that the model is trained on."""
        return bool(self.promoted_ids) or any(row not in self.audit_ids for row in self.bought_ids)


class Audit(NamedTuple):
    """Audit of a model: rows that measure it, and the rows that they stand for.

    Parameters
    ----------
    rows : ndarray of shape (n_audit,), int64
        Rows whose labels measure the model, ascending.
    labels : ndarray of shape (n_audit,)
        Their labels.
    pool : ndarray of shape (n_pool,), int64
        All rows that the model is not trained on, the audited ones among them, ascending.
    """

    rows: NDArray[np.int64]
    labels: NDArray[Any]
    pool: NDArray[np.int64]


class SessionState:
    """State of a session: the labels, roles, rounds and spending that its events add up to.

    `AdaptationSession.state` is one that follows the session. It is read only: `apply` is the session's.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels; read only where `roles` says that they are known.
    roles : Roles
        Role of every row at the start.
    rounds : sequence of int
        What each round may spend.
    costs : ndarray of shape (n,), default=None
        Cost of every row's label; ``None``: 1 each.
    n_annotators : int, default=1
        Answers that make a majority.

    Attributes
    ----------
    y, query_round
        Labels and rounds of purchase as they are now.
    roles : Roles
        Roles for the model as they are now: rows that were bought to measure it stay unlabelled.
    bought_ids : list of int
        Row numbers in order of purchase.
    closed : list of Round
        The rounds that ended.
    round : Round or None
        The round that goes on.
    votes : dict of int -> dict of str or None -> label
        The answers to every row by annotator; None abstains.
    n_initial : int
        Rows that could be asked about at the start.
    n_corrections : int
        Answers that were replaced.
    n_before_extension : int
        Rounds that had ended when the budget was last raised.
    n_answers : Counter
        Answers by annotator, where annotators are named.
    """

    def __init__(
        self,
        y: NDArray[Any],
        roles: Roles,
        *,
        rounds: Sequence[int],
        costs: NDArray[np.float64] | None = None,
        n_annotators: int = 1,
    ) -> None:
        self.initial_roles = self.roles = roles
        self._y = mask_labels(y, ~roles.is_labeled)
        self._query_round = np.where(roles.is_labeled, 0, -1)
        # Views that nobody writes through, and that follow.
        self.y, self.query_round = self._y.view(), self._query_round.view()
        self.y.flags.writeable = self.query_round.flags.writeable = False
        self.rounds, self.n_annotators = list(rounds), n_annotators
        self.spending = Spending(len(y), costs)
        self.n_initial = len(roles.candidates)
        # Round from which on a label trains the model, which is never for those that measure it.
        self._training_round = self._query_round.copy()
        self._audited: dict[int, None] = {}
        self.bought_ids: list[int] = []
        self.closed: list[Round] = []
        self.round: Round | None = None
        self.votes: dict[int, dict[str | None, Any]] = {}
        self.n_corrections = 0
        self.n_before_extension = 0
        self.n_answers: Counter[str] = Counter()
        self._initial_kinds = label_kinds(y[roles.is_labeled])
        self._purchases: list[list[Any]] = []

    @property
    def budget(self) -> int:
        """Budget: labels, or an amount, that may be spent in all."""
        return sum(self.rounds)

    @property
    def spent(self) -> int | float:
        """Cost of the labels bought so far."""
        return self.spending.total(self.bought_ids)

    @property
    def remaining(self) -> int | float:
        """Part of the budget that is left."""
        return sum(self.rounds) - self.spending.total(self.bought_ids)

    @property
    def pool_cost(self) -> int:
        """Rows that could be asked about at the start; with costs, what all their labels cost, in whole units."""
        return self.spending.whole_units(self.initial_roles.candidates)

    @property
    def audited_ids(self) -> list[int]:
        """Row numbers whose labels measure the model and do not train it, in order of purchase."""
        return list(self._audited)

    @property
    def known_y(self) -> NDArray[Any]:
        """Labels (n,) without those that measure the model: what a strategy may be handed."""
        return mask_labels(self.y, np.isin(np.arange(len(self.y)), self.audited_ids)) if self._audited else self.y

    @property
    def askable(self) -> NDArray[np.int64]:
        """Row numbers that may still be asked about, ascending."""
        candidates = self.roles.candidates
        return np.setdiff1d(candidates, self.audited_ids, assume_unique=True) if self._audited else candidates

    @property
    def n_affordable(self) -> int:
        """Number of labels that the rest of the budget pays for, the cheapest ones."""
        return self.spending.n_affordable(self.askable, self.remaining)

    @property
    def open_ids(self) -> list[int]:
        """Rows asked about that have no label yet, in order of choice."""
        return [] if self.round is None else list(self.round.open_ids)

    @property
    def tied_ids(self) -> list[int]:
        """Open rows that have all the answers that they need, and no majority."""
        return [row for row in self.open_ids if self._is_tied(row)]

    @property
    def abstained_ids(self) -> NDArray[np.int64]:
        """Rows that nobody could label and that are not asked about again, ascending."""
        excluded = self.roles.is_excluded
        return np.array([], dtype=np.int64) if excluded is None else np.flatnonzero(excluded)

    @property
    def label_kinds(self) -> set[str]:
        """Kinds of the labels that are known, see `labels.label_kinds`."""
        return self._initial_kinds or label_kinds(self.y[self.bought_ids])

    @property
    def termination_condition(self) -> str | None:
        """Why there is nothing more to ask: ``"budget"``, ``"pool"`` or ``"no_target"``; None while there is."""
        if self.open_ids:
            return None
        if not len(self.roles.target):
            return "no_target"
        candidates = self.askable
        if not len(candidates):
            return "pool"
        return None if len(self.spending.affordable(candidates, self.remaining)) else "budget"

    def is_open(self, row: int) -> bool:
        """Tell whether a row is asked about and has no label yet."""
        return self.round is not None and row in self.round.open_ids

    def is_open_to(self, row: int, annotator: str | None) -> bool:
        """Tell whether an open row waits for this annotator, who has not answered or is asked again for a tie."""
        return annotator is None or annotator not in self.votes.get(row, ()) or self._is_tied(row)

    def describe_row(self, row: int) -> str:
        """Return in words why a row is no open question, or that it is one."""
        if self.is_open(row):
            return " (it is open: `tell` answers it)"
        if not 0 <= row < len(self.y) or not self.roles.is_target[row]:
            return " (it is no target row)"
        if self.query_round[row] > 0:
            return f" (it was answered, {labels_to_list(self.y[[row]])[0]!r}: `correct` changes that)"
        if row in self.abstained_ids:
            return " (it was abstained on: `readmit` lets it be asked about again)"
        return " (its label was known from the start)" if self.query_round[row] == 0 else " (nobody asked about it)"

    def correctable_ids(self, annotator: str | None) -> list[int]:
        """Return the rows whose answers can be corrected: all that have a label, or those an annotator answered."""
        if annotator is None:
            return self.bought_ids
        open_or_bought = {*self.open_ids, *self.bought_ids}
        return [row for row, votes in self.votes.items() if annotator in votes and row in open_or_bought]

    def is_new_answer(self, row: int, label: Any, annotator: str | None) -> bool:
        """Tell whether a label is another than the one that a row has, or that an annotator gave it."""
        before = self.y[row] if annotator is None else self.votes[row][annotator]
        return before is None or before != label

    def ties_after(self, ids: Sequence[int], labels: Sequence[Any], annotator: str | None) -> list[int]:
        """Return the labelled rows that would have no majority if an annotator answered so."""
        if annotator is None:
            return []
        after = ({**self.votes[row], annotator: label} for row, label in zip(ids, labels, strict=True))
        is_tied = [majority_vote(votes.values(), self.n_annotators) is UNDECIDED for votes in after]
        return [row for row, tied in zip(ids, is_tied, strict=True) if tied and self.query_round[row] > 0]

    def next_round(self, size: int | None = None) -> Round:
        """Return the round that comes next, with `size` rows or what the schedule lets it spend.

        What earlier rounds left is spent in the first round in which a candidate can be paid for.
        """
        number, candidates = len(self.closed) + 1, self.askable
        if size is not None:
            return Round(number, size, self.remaining)
        spent = self.spending.total(self.bought_ids)
        left = (int(end) - spent for end in np.cumsum(self.rounds))
        affordable = (amount for amount in left if amount > 0 and len(self.spending.affordable(candidates, amount)))
        return Round(number, None, next(affordable, 0))

    def left_in(self, current: Round) -> int | float:
        """Return what a round may still spend."""
        return min(current.amount - self.spending.total(current.bought_ids), self.remaining)

    def n_wanted(self, current: Round) -> int:
        """Return how many rows a round has to ask about: at its start, and in place of those somebody abstained on."""
        left = self.left_in(current)
        candidates = self.spending.affordable(self.askable, left)
        if not len(candidates):
            return 0
        n_rows = max(1, self.spending.n_at_mean_cost(candidates, left))
        if current.size is not None:
            n_rows = min(n_rows, current.size - len(current.bought_ids))
        return max(0, min(n_rows, len(candidates)))

    def purchases(self) -> list[list[Any]]:
        """Return rows and labels bought in every round that ended: what the model of that round is trained on."""
        for finished in self.closed[len(self._purchases) :]:
            self._purchases.append([finished.bought_ids, labels_to_list(self.y[finished.bought_ids])])
        return list(self._purchases)

    def askable_roles(self, current: Round, classes: ArrayLike) -> Roles:
        """Return the roles in which only rows are candidates that a round can pay for, each alone, or that are audited.

        Rows of a class that is none of `classes`, answered for the first time in a round that goes on, are left out:
        they have no column in the model yet.
        """
        candidates, labeled = self.askable, self.roles.labeled_target
        affordable = self.spending.affordable(candidates, self.left_in(current))
        roles = self.roles
        if len(affordable) < len(candidates):
            roles = roles.exclude(np.setdiff1d(candidates, affordable, assume_unique=True))
        unseen = labeled[~np.isin(self.y[labeled], classes)]
        return roles.exclude(unseen).hide(np.isin(np.arange(len(roles)), unseen)) if len(unseen) else roles

    def as_of(self, number: int) -> tuple[NDArray[Any], Roles, NDArray[np.int64]]:
        """Return the labels and roles that the model is trained on at the end of a round, corrections included.

        The third array has the rounds of purchase by then, those of rows included that measure the model.
        """
        trains = (self._training_round > 0) & (self._training_round <= number)
        labels = mask_labels(self.y, (self.query_round > 0) & ~trains)
        query_round = np.where(self.query_round > number, -1, self.query_round)
        return labels, self.initial_roles.reveal(np.flatnonzero(trains)), query_round

    def audit(self, number: int) -> Audit:
        """Return the audit of the model at the end of a round, corrections included.

        Its rows stand for the target rows that the model is not trained on, without those that nobody could label.
        """
        is_pool = self.initial_roles.is_target & ~self.initial_roles.is_labeled
        is_pool &= (self._training_round <= 0) | (self._training_round > number)
        is_pool[[row for finished in self.closed[:number] for row in finished.abstained_ids]] = False
        is_bought = (self.query_round > 0) & (self.query_round <= number)
        audited = np.flatnonzero(is_pool & is_bought)
        return Audit(audited, self.y[audited], np.flatnonzero(is_pool))

    @singledispatchmethod
    def apply(self, event: Event) -> None:
        """Apply an event, which has been checked before it was recorded."""
        raise TypeError(f"{event!r} is no event of a session.")

    @apply.register
    def _asked(self, event: Asked) -> None:
        if self.round is None:
            self.round = Round(len(self.closed) + 1, event.size, event.amount)
        if event.promoted:
            self.round.promoted_ids += event.promoted
            self._training_round[list(event.promoted)] = self.round.number
            self.roles = self.roles.reveal(event.promoted)
            for row in event.promoted:
                del self._audited[row]
        for row in event.ids:  # one that was readmitted may be asked again for another purpose
            self.round.audit_ids.pop(row, None)
        self.round.audit_ids |= dict.fromkeys(event.audit)
        utilities = [math.nan] * len(event.ids) if event.utilities is None else event.utilities
        self.round.open_ids = dict.fromkeys(event.ids)
        self.round.utilities |= dict(zip(event.ids, utilities, strict=True))
        self.round.query_seconds += event.seconds
        self.round.asked_at = event.time.timestamp()

    @apply.register
    def _told(self, event: Told) -> None:
        if event.annotator is not None:
            self.n_answers[event.annotator] += len(event.ids)
        self._label_open(self._vote(event, self.n_annotators), event.time.timestamp())

    @apply.register
    def _corrected(self, event: Corrected) -> None:
        self.n_corrections += len(event.ids)
        if event.annotator is None:
            self.votes |= {row: {} for row in event.ids}
        decided = self._vote(event, 1 if event.annotator is None else self.n_annotators)
        known = [row for row in event.ids if self.query_round[row] > 0]
        if known:
            del self._purchases[self.query_round[known].min() - 1 :]
        self._y[known] = labels_from_list([decided[row] for row in known], self.y)
        self._label_open({row: label for row, label in decided.items() if self.is_open(row)}, event.time.timestamp())

    @apply.register
    def _readmitted(self, event: Readmitted) -> None:
        self.roles = self.roles.readmit(event.ids)
        for row in event.ids:
            del self.votes[row]
            if self.round is not None and row in self.round.abstained_ids:
                self.round.abstained_ids.remove(row)

    @apply.register
    def _extended(self, event: Extended) -> None:
        self.rounds += event.rounds
        self.n_before_extension = len(self.closed)

    def _is_tied(self, open_row: int) -> bool:
        return len(self.votes.get(open_row, ())) >= self.n_annotators

    def _vote(self, event: Told, n_needed: int) -> dict[int, Any]:
        """Count the votes of an event, and return the labels that its rows have then."""
        for row, label in zip(event.ids, event.labels, strict=True):
            self.votes.setdefault(row, {})[event.annotator] = label
        if n_needed == 1:
            return dict(zip(event.ids, event.labels, strict=True))
        decided = {row: majority_vote(self.votes[row].values(), n_needed) for row in event.ids}
        return {row: label for row, label in decided.items() if label is not UNDECIDED}

    def _label_open(self, decided: dict[int, Any], now: float) -> None:
        if not decided or self.round is None:
            return
        bought = [row for row, label in decided.items() if label is not None]
        abstained = [row for row, label in decided.items() if label is None]
        self._y[bought] = labels_from_list([decided[row] for row in bought], self.y)
        audited = [row for row in bought if row in self.round.audit_ids]
        trained = [row for row in bought if row not in self.round.audit_ids] if audited else bought
        self.roles = self.roles.reveal(trained).exclude(abstained) if abstained else self.roles.reveal(trained)
        self._query_round[bought] = self._training_round[trained] = self.round.number
        self._training_round[audited] = _NEVER
        self._audited |= dict.fromkeys(audited)
        self.bought_ids += bought
        self.round.bought_ids += bought
        self.round.abstained_ids += abstained
        for row in decided:
            del self.round.open_ids[row]
        # The time since the last question or answer was the oracle's.
        self.round.oracle_seconds += max(0.0, now - self.round.asked_at)
        self.round.asked_at = now
        if not self.round.open_ids and not self.n_wanted(self.round):
            self.closed.append(self.round)
            self.round = None
