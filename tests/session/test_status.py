"""What a session says of itself, for people to read."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.query import RandomSampling


@pytest.fixture
def begin(blobs):
    """Return a function that starts a session on the blobs."""
    X, y, sample_domain = blobs

    def begin(y=y, sample_domain=sample_domain, budget=10, n_rounds=2, **options):
        loop = ActiveAdaptationLoop(
            LogisticRegression(), RandomSampling(), budget=budget, n_rounds=n_rounds, random_state=0
        )
        return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, **options)

    return begin


def shown(session):
    """Return what the text says, by name."""
    return {line[:12].strip(): line[13:] for line in str(session.status()).splitlines()}


class Cells(HTMLParser):
    """Collect the cells of a table; any tag beside those of the table is an error."""

    def __init__(self, html):
        super().__init__()
        self.cells = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "tr", "th", "td")
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        self.cells[-1] += data


def test_a_new_session(begin):
    assert shown(begin()) == {
        "budget": "0 of 10 spent, 10 left",
        "rounds": "0 of 2 done",
        "labels": "0 bought; 60 row(s) left to ask about",
        "classes": "none",
        "open": "none",
        "state": "ready to ask",
    }


def test_a_session_that_waits(begin, blobs):
    session = begin()
    ids = session.ask()
    session.tell(ids[:2], [0, 2])
    expected = {
        "budget": "2 of 10 spent, 8 left",
        "rounds": "0 of 2 done",
        "labels": "2 bought; 55 row(s) left to ask about",
        "classes": "0: 1, 2: 1",
        "open": ", ".join(map(str, ids[2:])),
        "state": "waiting for answers",
    }
    assert shown(session) == expected


def test_a_session_between_two_rounds(begin, blobs):
    session = begin()
    ids = session.ask()
    session.tell(ids, [1] * 5)
    status = shown(session)
    assert status["rounds"] == "1 of 2 done"
    assert status["classes"] == "1: 5"
    assert status["state"] == "ready to ask"


def test_a_session_whose_budget_is_spent(begin, blobs, finish):
    session = finish(begin(), blobs[1])
    status = shown(session)
    assert status["budget"] == "10 of 10 spent, 0 left"
    assert status["rounds"] == "2 of 2 done"
    assert status["labels"] == "10 bought; 50 row(s) left to ask about"
    assert status["state"] == "done: the budget is spent"


def test_a_session_whose_pool_is_used_up(begin, blobs, finish):
    status = shown(finish(begin(budget=60), blobs[1]))
    assert status["labels"] == "60 bought; 0 row(s) left to ask about"
    assert status["state"] == "done: no row is left to ask about"


def test_a_session_without_target_rows(blobs):
    loop = ActiveAdaptationLoop(LogisticRegression()).fit(*blobs[:2], sample_domain=np.ones(120, dtype=int))
    status = shown(loop.session_)
    assert (status["state"], status["rounds"]) == ("done: there are no target rows", "0 of 0 done")


def test_rounds_beyond_the_schedule_count(begin, blobs):
    session = begin(budget=3, n_rounds=1)
    for _ in range(3):
        ids = session.ask(1)
        session.tell(ids, blobs[1][ids])
    assert shown(session)["rounds"] == "3 of 3 done"


def test_more_budget_shows(begin, blobs, finish):
    session = finish(begin(), blobs[1])
    session.extend([4, 4])
    status = shown(session)
    assert (status["budget"], status["rounds"]) == ("10 of 18 spent, 8 left", "2 of 4 done")
    assert status["state"] == "ready to ask"


def test_abstentions_and_corrections_show_where_there_are_some(begin):
    session = begin()
    ids = session.ask()
    assert {"abstained", "corrections"}.isdisjoint(shown(session))
    session.abstain(ids[:2])
    session.tell(ids[2:3], [0])
    session.correct(ids[2], 1)
    session.correct(ids[2], 2)
    status = shown(session)
    assert status["abstained"] == ", ".join(map(str, sorted(ids[:2])))
    assert status["corrections"] == "2"
    assert status["classes"] == "2: 1"
    session.readmit(ids[:2])
    assert "abstained" not in shown(session)


def test_annotators_and_ties_show_where_there_are_some(begin):
    session = begin(n_annotators=2)
    ids = session.ask()
    assert {"annotators", "tied"}.isdisjoint(shown(session))
    session.tell(ids[:3], [0, 1, 2], annotator="bo")
    session.tell(ids[:2], [0, 2], annotator="anna")
    status = shown(session)
    assert status["annotators"] == "anna: 2, bo: 3"
    assert status["tied"] == str(ids[1])
    assert status["open"] == ", ".join(map(str, ids[1:]))


def test_costs_are_not_labels(begin, blobs):
    session = begin(budget=6, n_rounds=1, costs=np.full(120, 0.1) + np.arange(120) % 2)
    ids = session.ask()
    session.tell(ids[:1], blobs[1][ids[:1]])
    spent = 0.1 + ids[0] % 2
    assert shown(session)["budget"] == f"{spent:g} of 6 spent, {6 - spent:g} left"
    assert shown(session)["labels"].startswith("1 bought")


@pytest.mark.parametrize(
    ("cost", "text"),
    [(1234567, "1234567 of 3000000 spent, 1765433 left"), (100000.25, "100000.25 of 3000000 spent, 2899999.75 left")],
)
def test_large_amounts_are_shown_in_full(begin, blobs, cost, text):
    session = begin(budget=3_000_000, n_rounds=1, costs=np.full(120, cost))
    ids = session.ask(1)
    session.tell(ids, blobs[1][ids])
    assert shown(session)["budget"] == text


def test_tenths_show_no_rounding_errors(begin, blobs):
    session = begin(budget=1, n_rounds=1, costs=np.full(120, 0.1))
    for _ in range(3):
        ids = session.ask(1)
        session.tell(ids, blobs[1][ids])
    assert shown(session)["budget"] == "0.3 of 1 spent, 0.7 left"


def test_the_journal_is_named(begin, tmp_path):
    with begin(journal=tmp_path / "session") as session:
        assert shown(session)["journal"] == str(tmp_path / "session")


def test_long_lists_are_abbreviated(begin, blobs):
    session = begin(budget=60, n_rounds=1)
    ids = session.ask()
    assert shown(session)["open"] == f"{', '.join(map(str, ids[:20]))}, ... (60 in all)"
    session.tell(ids[20:], blobs[1][ids[20:]])
    assert shown(session)["open"] == ", ".join(map(str, ids[:20]))


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_many_classes_are_abbreviated(begin, blobs):
    y = np.arange(120) % 60
    session = begin(y=y, budget=60, n_rounds=1)
    ids = session.ask()
    session.tell(ids[:-1], y[ids[:-1]])
    assert shown(session)["classes"].endswith(", ... (59 in all)")
    assert len(session.status().class_counts) == 59


def test_the_values_are_there_to_compute_with(begin):
    session = begin()
    ids = session.ask()
    session.abstain(ids[:1])
    status = session.status()
    assert (status.budget, status.spent, status.remaining, status.n_labels) == (10, 0, 10, 0)
    assert (status.n_rounds, status.n_rounds_planned, status.pool) == (0, 2, 55)
    assert (status.open_ids, status.tied_ids, status.abstained_ids) == (ids[1:].tolist(), [], [ids[0]])
    assert (status.class_counts, status.n_answers, status.n_corrections) == ({}, {}, 0)
    assert (status.termination_condition, status.journal) == (None, None)


def test_a_status_is_of_its_time(begin):
    session = begin()
    status = session.status()
    text = str(status)
    session.tell(session.ask(), [0] * 5)
    assert str(status) == text


class TestHtml:
    def test_the_table_holds_what_the_text_says(self, begin):
        session = begin()
        session.tell(session.ask()[:1], [0])
        cells = Cells(session.status()._repr_html_()).cells
        assert dict(zip(cells[::2], cells[1::2], strict=True)) == shown(session)

    def test_a_session_shows_its_status(self, begin):
        session = begin()
        assert session._repr_html_() == session.status()._repr_html_()

    @pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", '"><b>', "O'Brien"])
    def test_labels_and_names_are_text(self, begin, blobs, name, tmp_path):
        y = np.array(["x", "y", name], dtype=object)[blobs[1]]
        folder = tmp_path / name.replace("/", "")
        with begin(y=y, journal=folder) as session:
            session.tell(session.ask()[:1], [name], annotator=name)
            html = session._repr_html_()
            cells = Cells(html).cells
        shown_as = dict(zip(cells[::2], cells[1::2], strict=True))
        assert shown_as["classes"] == f"{name!r}: 1"
        assert shown_as["annotators"] == f"{name}: 1"
        assert shown_as["journal"] == str(folder)
