"""One round while it runs: what was asked, what was answered, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Round"]


@dataclass
class Round:
    """Keep the questions and answers of one round.

    Parameters
    ----------
    number : int
        1 for the first round; 0 stands for the model before any purchase.
    size : int
        Labels that the round may buy.
    """

    number: int
    size: int = 0
    open_ids: list[int] = field(default_factory=list)
    bought_ids: list[int] = field(default_factory=list)
    abstained_ids: list[int] = field(default_factory=list)
    utilities: dict[int, float] = field(default_factory=dict)
    query_seconds: float = 0.0
    oracle_seconds: float = 0.0
    asked_at: float = 0.0

    def ask(self, ids: NDArray[np.int64], utilities: NDArray[np.float64], seconds: float) -> None:
        """Open questions, which took `seconds` to choose."""
        self.open_ids = ids.tolist()
        self.utilities |= dict(zip(self.open_ids, utilities.tolist(), strict=True))
        self.query_seconds += seconds
        self.asked_at = time.perf_counter()

    def answer(self, bought: NDArray[np.int64], abstained: NDArray[np.int64]) -> None:
        """Close questions; the time since the last question or answer was the oracle's."""
        now = time.perf_counter()
        self.oracle_seconds += now - self.asked_at
        self.asked_at = now
        self.bought_ids += bought.tolist()
        self.abstained_ids += abstained.tolist()
        answered = {*bought.tolist(), *abstained.tolist()}
        self.open_ids = [row for row in self.open_ids if row not in answered]

    @property
    def missing(self) -> int:
        """Labels that the round may still buy."""
        return self.size - len(self.bought_ids)
