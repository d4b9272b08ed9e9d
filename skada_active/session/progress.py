"""Progress bar over the labels that a session has bought."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from skada_active.session.state import SessionState
from skada_active.utils.progress import hearing_epochs

__all__ = ["Progress"]


class Progress:
    """Progress bar: labels bought, the epoch while a model is trained, then the accuracies that are known.

    Every training has a bar of its own; inside a ``with`` block all trainings share one.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._depth = 0

    def __enter__(self) -> Progress:
        self._depth += 1
        return self

    def __exit__(self, *exception: Any) -> None:
        self._depth -= 1
        if not self._depth and self._bar is not None:
            self._bar.close()
            self._bar = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_bar": None, "_depth": 0}  # a bar that is shown is not copied

    @contextmanager
    def training(self, state: SessionState, accuracies: Callable[[], dict[str, str]]) -> Iterator[None]:
        """Show that a model is trained inside the block, and then what `accuracies` are known of it."""
        with self:
            if self._bar is None:
                self._bar = tqdm(total=state.budget, initial=state.spent, desc="labels")
            bar = self._bar
            bar.total, bar.n = state.budget, state.spent
            bar.set_postfix_str("training")
            with hearing_epochs(lambda done, total: bar.set_postfix_str(f"training, epoch {done} of {total}")):
                yield
            bar.set_postfix(accuracies())
