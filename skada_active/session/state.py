"""What a session knows: who was asked, what was answered, what it cost. A fold over events, without any model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.io._plain import to_plain
from skada_active.io._storage import digest_of
from skada_active.labels import is_missing, label_kinds, mask_labels
from skada_active.session._round import Round

__all__ = ["Ledger", "labels_of", "plain_list", "pool_cost"]

#: What `settle` returns where a row has no label yet.
UNSETTLED = object()
#: What sums of costs may be off by.
_SLACK = 1e-9


def plain_list(labels: NDArray[Any]) -> list[Any]:
    """Return labels as an event holds them: a list, None where a label is missing."""
    return [None if missing else label for label, missing in zip(labels.tolist(), is_missing(labels), strict=True)]


def labels_of(values: list[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of an event in the type of `y`."""
    missing = np.array([value is None for value in values], dtype=bool)
    labels = mask_labels(np.zeros(len(values), dtype=y.dtype), missing)
    labels[~missing] = [value for value in values if value is not None]
    return labels


def settle(votes: Iterable[Any], n_needed: int) -> Any:
    """Return the label that most votes are for, None if all abstain, `UNSETTLED` for a tie or too few votes."""
    votes = list(votes)
    if len(votes) < n_needed:
        return UNSETTLED
    (label, n_votes), *others = Counter(vote for vote in votes if vote is not None).most_common(2) or [(None, 1)]
    return UNSETTLED if others and others[0][1] == n_votes else label


def pool_cost(costs: NDArray[Any], roles: Roles) -> int:
    """Return what the labels of all candidates cost, in whole units that pay for all of them."""
    return math.ceil(math.fsum(costs[roles.candidates].tolist()) - _SLACK)


class Ledger:
    """Keep what was asked and answered: the state of a session is what its events make of its start.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels; read only where `roles` says that they are known.
    roles : Roles
        Role of every row at the start.
    rounds : list of int
        What each round may spend.
    costs : ndarray of shape (n,), default=None
        Cost of every row's label; ``None``: 1 each.
    n_annotators : int, default=1
        Answers that settle a row.

    Attributes
    ----------
    y, roles, query_round
        Labels, roles and rounds of purchase as they are now.
    bought : list of int
        Row numbers in order of purchase.
    closed : list of Round
        The rounds that ended.
    round : Round or None
        The round that goes on.
    votes : dict of int -> dict of str or None -> label
        The answers to every row by annotator; None abstains.
    """

    def __init__(
        self, y: NDArray[Any], roles: Roles, *, rounds: list[int], costs: Any = None, n_annotators: int = 1
    ) -> None:
        self.initial_roles = self.roles = roles
        self.y = mask_labels(y, ~roles.is_labeled)
        self.rounds, self.n_annotators = list(rounds), n_annotators
        self.has_costs = costs is not None
        self.costs = costs if self.has_costs else np.ones(len(y), dtype=np.int64)
        self.n_initial = len(roles.candidates)
        self.query_round = np.where(roles.is_labeled, 0, -1)
        self.bought: list[int] = []
        self.closed: list[Round] = []
        self.round: Round | None = None
        self.votes: dict[int, dict[str | None, Any]] = {}
        self._keys: list[str] = []
        self._kinds = label_kinds(y[roles.is_labeled])
        self.n_corrections = 0
        self.n_answers: Counter[str] = Counter()

    @property
    def budget(self) -> int:
        """What may be spent in all."""
        return sum(self.rounds)

    @property
    def spent(self) -> Any:
        """What the labels bought so far cost."""
        return self._cost(self.bought)

    @property
    def remaining(self) -> Any:
        """What may still be spent."""
        return self.budget - self.spent

    @property
    def open_ids(self) -> list[int]:
        """Rows asked about and not settled yet, in order of choice."""
        current = self.round
        return [] if current is None else current.open_ids

    @property
    def pool_cost(self) -> int:
        """What all labels of the initial pool cost, in whole units."""
        return pool_cost(self.costs, self.initial_roles)

    @property
    def label_kinds(self) -> set[str]:
        """Kinds of the labels that are known, see `domains.label_kinds`."""
        return self._kinds or label_kinds(self.y[self.bought])

    @property
    def abstained(self) -> NDArray[np.int64]:
        """Rows that nobody could label and that are not asked about again, ascending."""
        excluded = self.roles.is_excluded
        return np.array([], dtype=np.int64) if excluded is None else np.flatnonzero(excluded)

    def open_to(self, annotator: str | None) -> list[int]:
        """Return the open rows that an annotator has not answered, or is asked again about because of a tie."""
        return [
            row
            for row in self.open_ids
            if annotator is None or annotator not in self.votes.get(row, ()) or self._is_tied(row)
        ]

    @property
    def tied_ids(self) -> list[int]:
        """Open rows that have all the answers that they need, and no majority."""
        return [row for row in self.open_ids if self._is_tied(row)]

    def state_of(self, row: int) -> str:
        """Return in words why a row is no open question, or that it is one."""
        if row in self.open_ids:
            return " (it is open: `tell` answers it)"
        if not 0 <= row < len(self.y) or not self.roles.is_target[row]:
            return " (it is no target row)"
        if self.query_round[row] > 0:
            return f" (it was answered, {plain_list(self.y[[row]])[0]!r}: `correct` changes that)"
        if row in self.abstained:
            return " (it was abstained on: `readmit` lets it be asked about again)"
        return " (its label was known from the start)" if self.query_round[row] == 0 else " (nobody asked about it)"

    def answered_by(self, annotator: str | None) -> list[int]:
        """Return the rows whose answers can be corrected: all that are settled, or those an annotator answered."""
        if annotator is None:
            return self.bought
        open_or_bought = {*self.open_ids, *self.bought}
        return [row for row, votes in self.votes.items() if annotator in votes and row in open_or_bought]

    def differs(self, row: int, label: Any, annotator: str | None) -> bool:
        """Tell whether a label is another than the one that a row has, or that an annotator gave it."""
        before = self.y[row] if annotator is None else self.votes[row][annotator]
        return before is None or before != label

    def ties_after(self, ids: list[int], labels: list[Any], annotator: str | None) -> list[int]:
        """Return the settled rows that would have no majority if an annotator answered so."""
        if annotator is None:
            return []
        after = ({**self.votes[row], annotator: label} for row, label in zip(ids, labels, strict=True))
        is_tied = [settle(votes.values(), self.n_annotators) is UNSETTLED for votes in after]
        return [row for row, tied in zip(ids, is_tied, strict=True) if tied and self.query_round[row] > 0]

    def affordable(self, amount: float) -> NDArray[np.int64]:
        """Return the candidates whose label costs `amount` at most, ascending."""
        candidates = self.roles.candidates
        return candidates[self.costs[candidates] <= amount + _SLACK]

    def affordable_in(self, current: Round) -> NDArray[np.int64]:
        """Return the candidates that a round can pay for, each alone."""
        return self.affordable(self._left(current))

    @property
    def n_affordable(self) -> int:
        """How many more labels the budget pays for, the cheapest ones."""
        costs = np.cumsum(np.sort(self.costs[self.roles.candidates]))
        return int(np.searchsorted(costs, self.remaining + _SLACK, side="right"))

    def next_round(self, size: int | None = None) -> Round:
        """Return the round that comes next, with `size` rows or what the schedule lets it spend.

        What earlier rounds left is spent in the first round in which a candidate can be paid for.
        """
        number, spent = len(self.closed) + 1, self.spent
        if size is not None:
            return Round(number, size, self.budget - spent)
        left = (int(end) - spent for end in np.cumsum(self.rounds))
        return Round(number, None, next((amount for amount in left if amount > 0 and len(self.affordable(amount))), 0))

    def n_wanted(self, current: Round) -> int:
        """Return how many rows a round has to ask about: at its start, and in place of those somebody abstained on."""
        candidates = self.affordable_in(current)
        if not len(candidates):
            return 0
        n_rows = max(1, int((self._left(current) + _SLACK) / self.costs[candidates].mean()))
        if current.size is not None:
            n_rows = min(n_rows, current.size - len(current.bought_ids))
        return max(0, min(n_rows, len(candidates)))

    def fitting(self, current: Round, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of the rows, in their order, the round can pay for together."""
        left, fits = self._left(current) + _SLACK, np.zeros(len(ids), dtype=bool)
        for position, cost in enumerate(self.costs[ids].tolist()):
            fits[position] = cost <= left
            left -= cost if fits[position] else 0
        return fits

    def apply(self, event: dict[str, Any]) -> None:
        """Let an event count. It has been checked: what it says has happened."""
        getattr(self, f"_apply_{event['event']}")(event)

    def round_keys(self) -> list[str]:
        """Return a digest for every round that ended: of all rows and labels that its model is trained on."""
        for finished in self.closed[len(self._keys) :]:
            labels = plain_list(self.y[finished.bought_ids])
            before = self._keys[-1] if self._keys else ""
            self._keys.append(digest_of(before.encode(), repr(to_plain([finished.bought_ids, labels])).encode()))
        return list(self._keys)

    def as_of(self, number: int) -> tuple[NDArray[Any], Roles, NDArray[np.int64]]:
        """Return labels, roles and rounds of purchase at the end of a round, corrections included."""
        later = self.query_round > number
        known = np.flatnonzero((self.query_round > 0) & ~later)
        return mask_labels(self.y, later), self.initial_roles.reveal(known), np.where(later, -1, self.query_round)

    def _apply_ask(self, event: dict[str, Any]) -> None:
        if self.round is None:
            self.round = Round(len(self.closed) + 1, event["size"], event["amount"])
        utilities = [math.nan] * len(event["ids"]) if event["utilities"] is None else event["utilities"]
        self.round.ask(event["ids"], utilities, event["seconds"], _when(event))

    def _apply_tell(self, event: dict[str, Any]) -> None:
        if event["annotator"] is not None:
            self.n_answers[event["annotator"]] += len(event["ids"])
        self._vote(event)
        settled = {row: settle(self.votes[row].values(), self.n_annotators) for row in event["ids"]}
        self._take({row: label for row, label in settled.items() if label is not UNSETTLED}, _when(event))

    def _apply_correct(self, event: dict[str, Any]) -> None:
        self.n_corrections += len(event["ids"])
        n_needed = self.n_annotators
        if event["annotator"] is None:
            n_needed = 1
            for row in event["ids"]:
                self.votes[row] = {}
        self._vote(event)
        settled = {row: settle(self.votes[row].values(), n_needed) for row in event["ids"]}
        known = [row for row in event["ids"] if self.query_round[row] > 0]
        if known:
            del self._keys[self.query_round[known].min() - 1 :]
        self.y[known] = labels_of([settled[row] for row in known], self.y)
        self._take(
            {row: label for row, label in settled.items() if row in self.open_ids and label is not UNSETTLED},
            _when(event),
        )

    def _apply_readmit(self, event: dict[str, Any]) -> None:
        self.roles = self.roles.readmit(event["ids"])
        for row in event["ids"]:
            del self.votes[row]
            if self.round is not None and row in self.round.abstained_ids:
                self.round.abstained_ids.remove(row)

    def _apply_extend(self, event: dict[str, Any]) -> None:
        self.rounds += event["rounds"]

    def _is_tied(self, open_row: int) -> bool:
        return len(self.votes.get(open_row, ())) >= self.n_annotators

    def _vote(self, event: dict[str, Any]) -> None:
        for row, label in zip(event["ids"], event["labels"], strict=True):
            self.votes.setdefault(row, {})[event["annotator"]] = label

    def _take(self, settled: dict[int, Any], now: float) -> None:
        if not settled:
            return
        bought = [row for row, label in settled.items() if label is not None]
        abstained = [row for row, label in settled.items() if label is None]
        self.y[bought] = labels_of([settled[row] for row in bought], self.y)
        self.roles = self.roles.reveal(bought).exclude(abstained)
        self.query_round[bought] = self.round.number
        self.bought += bought
        self.round.answer(bought, abstained, now)
        if not self.round.open_ids and not self.n_wanted(self.round):
            self.closed.append(self.round)
            self.round = None

    def _left(self, current: Round) -> Any:
        return min(current.amount - self._cost(current.bought_ids), self.remaining)

    def _cost(self, ids: Any) -> Any:
        return math.fsum(self.costs[ids].tolist()) if self.has_costs else len(ids)


def _when(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()
