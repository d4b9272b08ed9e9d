"""Events are data: equal after a way through JSON, and refused where they are none."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone

import pytest

from skada_active.exceptions import JournalError
from skada_active.session.events import Asked, Corrected, Extended, Readmitted, Told, from_json, to_json

NOON = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=timezone.utc)
EVENTS = [
    Asked(ids=(4, 2), utilities=(0.1 + 0.2, -float("inf")), size=None, amount=2.5, seconds=0.001, time=NOON),
    Asked(ids=(4,), utilities=None, size=1, amount=3, seconds=0.0, time=NOON),
    Told(ids=(4, 2), labels=("caf\u00e9 \ud800 \x00", None), annotator=None, time=NOON),
    Told(ids=(4, 2, 3), labels=(1, 1.5, True), annotator="anna", time=NOON),
    Corrected(ids=(2,), labels=(0,), annotator=None, time=NOON),
    Readmitted(ids=(2,), time=NOON),
    Extended(rounds=(5, 0), time=NOON),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_json_equal_and_of_its_type(event):
    again = from_json(to_json(event))
    assert type(again) is type(event)
    assert again == event
    assert repr(again) == repr(event)  # 1, 1.0 and True are equal, and not the same label


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_json_is_one_line_of_ascii(event):
    line = to_json(event)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__.lower()


def test_an_event_happens_now_where_no_time_is_given():
    assert abs(datetime.now(timezone.utc) - Readmitted(ids=(1,)).time) < timedelta(seconds=10)


def test_events_do_not_change():
    with pytest.raises(FrozenInstanceError):
        EVENTS[0].ids = (7,)


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "7", '{"event": "flown"}', '{"event": "told"}', '{"event": "readmitted", "ids": [1]}', "[" * 10**5],
)
def test_what_is_no_event_is_refused_by_its_text(line):
    with pytest.raises(JournalError, match="is no event of a session"):
        from_json(line)
