"""Status of a session, for people to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

from skada_active.metrics.accuracy import class_counts, listed
from skada_active.session.state import SessionState

__all__ = ["SessionStatus"]

_SHOWN_IDS = 20


@dataclass(frozen=True)
class SessionStatus:
    """Status of a session: printed it is a text, in a notebook a table. `AdaptationSession.status` makes one.

    Attributes
    ----------
    budget, spent, remaining : int or float
        Labels, or with costs what they cost.
    n_labels : int
        Labels bought.
    n_rounds : int
        Rounds that ended.
    n_rounds_planned : int
        Rounds of the schedule.
    class_counts : dict
        How often each label was revealed in the target.
    open_ids : list of int
        Rows asked about that have no label yet.
    tied_ids : list of int
        Those of them that have all their answers, and no majority.
    abstained_ids : list of int
        Rows that nobody could label.
    n_corrections : int
        Answers that were replaced.
    n_answers : dict of str -> int
        Answers by annotator, where annotators are named.
    pool : int
        Rows that may still be asked about.
    termination_condition : str or None
        Why there is nothing more to ask.
    journal : str or None
        File of the journal.
    n_audited : int
        Labels bought that measure the model and do not train it.
    accuracies : dict of str -> str
        Accuracy of the last model, and the balanced one, by group of rows, where labels to measure them are known.
    stopping_reason : str or None
        Why the stopping rule says that more labels are not worth it.
    """

    budget: Any
    spent: Any
    remaining: Any
    n_labels: int
    n_rounds: int
    n_rounds_planned: int
    class_counts: dict[Any, int]
    open_ids: list[int]
    tied_ids: list[int]
    abstained_ids: list[int]
    n_corrections: int
    n_answers: dict[str, int]
    pool: int
    termination_condition: str | None
    journal: str | None
    n_audited: int = 0
    accuracies: dict[str, str] = field(default_factory=dict)
    stopping_reason: str | None = None

    @classmethod
    def from_state(
        cls,
        state: SessionState,
        journal: Any = None,
        accuracies: dict[str, str] | None = None,
        termination_condition: str | None = None,
        stopping_reason: str | None = None,
    ) -> SessionStatus:
        """Return where a session with this state stands; `journal` is its file, `accuracies` are those of its model."""
        return cls(
            budget=state.budget,
            spent=state.spent,
            remaining=state.remaining,
            n_labels=len(state.bought_ids),
            n_rounds=len(state.closed),
            n_rounds_planned=max(len(state.rounds), len(state.closed)),
            class_counts=class_counts(state.y[state.roles.labeled_target]),
            open_ids=state.open_ids,
            tied_ids=state.tied_ids,
            abstained_ids=state.abstained_ids.tolist(),
            n_corrections=state.n_corrections,
            n_answers=dict(sorted(state.n_answers.items())),
            pool=len(state.askable) - len(state.open_ids),
            termination_condition=termination_condition,
            journal=None if journal is None else str(journal),
            n_audited=len(state.audited_ids),
            accuracies=accuracies or {},
            stopping_reason=stopping_reason,
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values, as they are shown."""
        audited = f", {self.n_audited} of them to measure the model" if self.n_audited else ""
        rows = [
            ("budget", f"{self.spent:.10g} of {self.budget:.10g} spent, {self.remaining:.10g} left"),
            ("rounds", f"{self.n_rounds} of {self.n_rounds_planned} done"),
            ("labels", f"{self.n_labels} bought{audited}; {self.pool} row(s) left to ask about"),
            ("classes", _listed(f"{label!r}: {count}" for label, count in self.class_counts.items())),
            ("open", _listed(self.open_ids)),
        ]
        if self.tied_ids:
            rows.append(("tied", _listed(self.tied_ids)))
        if self.abstained_ids:
            rows.append(("abstained", _listed(self.abstained_ids)))
        if self.n_corrections:
            rows.append(("corrections", str(self.n_corrections)))
        if self.n_answers:
            rows.append(("annotators", _listed(f"{name}: {count}" for name, count in self.n_answers.items())))
        if self.accuracies:
            rows.append(("accuracy", listed(self.accuracies)))
        rows.append(("state", self._state()))
        if self.journal is not None:
            rows.append(("journal", self.journal))
        return rows

    def _state(self) -> str:
        if self.open_ids:
            return "waiting for answers"
        words = _STATES[self.termination_condition]
        if self.termination_condition == "budget" and self.remaining > 0:
            words = "done: what is left of the budget pays for no row"
        return words if self.stopping_reason is None else f"{words}; {self.stopping_reason}"

    def __repr__(self) -> str:
        return "\n".join(f"{name:<12} {value}" for name, value in self.rows())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.rows())
        return f'<table style="text-align: left">{rows}</table>'


_STATES = {
    None: "ready to ask",
    "budget": "done: the budget is spent",
    "pool": "done: no row is left to ask about",
    "no_target": "done: there are no target rows",
    "stopped": "stopped",
}


def _listed(values: Any) -> str:
    texts = [str(value) for value in values]
    more = f", ... ({len(texts)} in all)" if len(texts) > _SHOWN_IDS else ""
    return ", ".join(texts[:_SHOWN_IDS]) + more if texts else "none"
