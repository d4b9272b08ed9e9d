"""Events of a session: what is asked, told, corrected, readmitted and added, as typed data and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any

from skada_active.exceptions import JournalError

__all__ = ["Asked", "Corrected", "Event", "Extended", "Readmitted", "Told", "from_json", "to_json"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Event of a session: base class of all of them.

    Parameters
    ----------
    time : datetime, default=now
        When, with the time zone.
    """

    time: datetime = field(default_factory=partial(datetime.now, timezone.utc))


@dataclass(frozen=True)
class Asked(Event):
    """Question: rows were chosen to ask about.

    Parameters
    ----------
    ids : sequence of int
        Row numbers, in order of choice.
    utilities : sequence of float or None
        Their utilities; ``None`` where the strategy has no score per row.
    size : int or None
        Labels that the round may buy, where somebody said so.
    amount : float
        What the labels of the round may cost together.
    seconds : float
        How long the choice took.
    audit : sequence of int, default=()
        Those among `ids` that were drawn at random, to measure the model.
    promoted : sequence of int, default=()
        Rows audited before that the strategy chose now: their labels are known, and serve training from now on.
    """

    ids: Sequence[int]
    utilities: Sequence[float] | None
    size: int | None
    amount: float
    seconds: float
    audit: Sequence[int] = ()
    promoted: Sequence[int] = ()


@dataclass(frozen=True)
class Told(Event):
    """Answer: rows were labelled, or abstained on.

    Parameters
    ----------
    ids : sequence of int
        Row numbers.
    labels : sequence
        Their labels; None abstains.
    annotator : str or None
        Who answered.
    """

    ids: Sequence[int]
    labels: Sequence[Any]
    annotator: str | None


@dataclass(frozen=True)
class Corrected(Told):
    """Correction: answers were replaced; without an annotator the labels themselves, whatever the annotators said."""


@dataclass(frozen=True)
class Readmitted(Event):
    """Readmission: rows that somebody abstained on may be asked about again.

    Parameters
    ----------
    ids : sequence of int
        Row numbers.
    """

    ids: Sequence[int]


@dataclass(frozen=True)
class Extended(Event):
    """Extension: rounds were added to the schedule.

    Parameters
    ----------
    rounds : sequence of int
        What each new round may spend.
    """

    rounds: Sequence[int]


_KINDS = {kind.__name__.lower(): kind for kind in (Asked, Told, Corrected, Readmitted, Extended)}


def to_json(event: Event) -> str:
    """Return an event as a line of JSON that `from_json` reads."""
    return json.dumps({"event": type(event).__name__.lower(), **vars(event), "time": event.time.isoformat()})


def from_json(line: str) -> Event:
    """Return the event of a line of JSON; a `JournalError` if this version knows no such event."""
    try:
        content = json.loads(line)
        kind: type[Any] = _KINDS[content.pop("event")]
        content["time"] = datetime.fromisoformat(content["time"])
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(
            f"{line[:80]!r} is no event of a session ({type(error).__name__}: {error}); go on with the version of "
            "skada_active that wrote it."
        ) from error
