"""One round while it runs: what was asked, what was answered, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Round"]


@dataclass
class Round:
    """Keep the questions and answers of one round.

    Parameters
    ----------
    number : int
        1 for the first round; 0 stands for the model before any purchase.
    size : int or None
        Labels that the round may buy; ``None``: as many as `amount` pays for.
    amount : float
        What the labels of the round may cost together.
    """

    number: int
    size: int | None = None
    amount: float = 0
    open_ids: list[int] = field(default_factory=list)
    bought_ids: list[int] = field(default_factory=list)
    abstained_ids: list[int] = field(default_factory=list)
    utilities: dict[int, float] = field(default_factory=dict)
    query_seconds: float = 0.0
    oracle_seconds: float = 0.0
    asked_at: float = 0.0

    def ask(self, ids: Sequence[int], utilities: Sequence[float], seconds: float, now: float) -> None:
        """Open questions, which took `seconds` to choose; `now` in seconds since the epoch."""
        self.open_ids = list(ids)
        self.utilities |= dict(zip(ids, utilities, strict=True))
        self.query_seconds += seconds
        self.asked_at = now

    def answer(self, bought: Sequence[int], abstained: Sequence[int], now: float) -> None:
        """Close questions; the time since the last question or answer was the oracle's."""
        self.oracle_seconds += max(0.0, now - self.asked_at)
        self.asked_at = now
        self.bought_ids += bought
        self.abstained_ids += abstained
        answered = {*bought, *abstained}
        self.open_ids = [row for row in self.open_ids if row not in answered]
