"""Sections of the report of a campaign, each a piece of HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from skada_active.inspection import _pictures
from skada_active.inspection._campaign import GROUPS, Campaign, as_share, as_value
from skada_active.inspection._markup import details, paragraph, section, table
from skada_active.inspection._shift_section import shift_section
from skada_active.inspection.shift_report import ShiftReport
from skada_active.io.parameters import describe_parameters
from skada_active.labels import is_missing, labels_to_list
from skada_active.utils.rows import take_rows
from skada_active.utils.versions import package_versions

__all__ = ["sections_of"]

#: Rows and classes that a table shows, and rows that the model's predictions are counted on.
_SHOWN_ROWS, _SHOWN_CLASSES, _PREDICTED_ROWS = 300, 50, 5000


def sections_of(campaign: Campaign, shift: ShiftReport | None) -> Iterator[str]:
    """Yield the sections of the report; without `shift` it is diagnosed."""
    yield _standing(campaign)
    yield shift_section(campaign, shift)
    yield _curve(campaign)
    yield _estimates(campaign)
    yield _asked(campaign)
    yield _classes(campaign)
    yield _run(campaign)
    yield _settings(campaign)


def _standing(campaign: Campaign) -> str:
    roles = campaign.state.initial_roles
    n_domains = [len(np.unique(roles.domain[rows])) for rows in (roles.source, roles.target)]
    data = (
        f"{len(roles.source)} source row(s) of {n_domains[0]} domain(s), {len(roles.target)} target row(s) of "
        f"{n_domains[1]}; the model knows {len(campaign.session.estimator_.classes_)} classes."
    )
    rows = campaign.session.status().rows()
    return (
        paragraph(_headline(campaign), "headline")
        + paragraph(data)
        + table("Where it stands", ["what", "now"], rows, align=False)
    )


def _headline(campaign: Campaign) -> str:
    if not campaign.known_groups:
        return (
            "How accurate the model is on the target is not known: no row was audited, and no labels to measure it on "
            "were given. audit=0.2 takes a fifth of the labels to measure."
        )
    group = campaign.known_groups[0]
    first, last = (campaign.measured(campaign.entries[n], group) for n in (0, -1))
    words = f"Accuracy on the {GROUPS[group]}: {as_share(last)}"
    if group == "audit":
        words += f", a {100 * last.level:g} % interval from {last.n_audit} audited label(s)"
    return f"{words}; source model {as_share(first)}." if len(campaign.entries) > 1 else f"{words} (source model)."


def _curve(campaign: Campaign) -> str:
    if not campaign.known_groups:
        return section("Learning curve", paragraph("There is none, for no accuracy is known."))
    group = next((name for name in campaign.known_groups if name != "audit"), "audit")
    parts = [_pictures.learning_curve(campaign, group)]
    if not campaign.controls:
        parts.append(
            paragraph(
                "No control: nothing here says what random rows would have given. Fit the same loop with "
                "RandomSampling() on the same rows, and give it as control=.",
                "note",
            )
        )
    shown = [name for name in campaign.known_groups if name in (group, "audit")]
    rows = [
        [str(entry["n_queries"]), *(as_share(campaign.measured(entry, name)) for name in shown)]
        for entry in campaign.entries
    ]
    head = ["labels bought", *(f"accuracy on {GROUPS[name]}" for name in shown)]
    return section("Learning curve", *parts, details("The curve as a table", table("Accuracy by labels", head, rows)))


def _estimates(campaign: Campaign) -> str:
    first, last = campaign.entries[0], campaign.entries[-1]
    rows = []
    for metric in campaign.metrics:
        for group, words in GROUPS.items():
            values = [campaign.measured(entry, group, metric) for entry in (first, last)]
            if any(value is not None for value in values):
                n_audit = values[1].n_audit if group == "audit" and values[1] is not None else None
                basis = "known labels" if n_audit is None else f"{n_audit} audited labels, {values[1].method}"
                rows.append([metric, words, *(as_value(value, metric) for value in values), basis])
    if not rows:
        return section(
            "How good the model is", paragraph("Nothing is known. Confidence of a model is no measure of it.")
        )
    head = ["metric", "on", "source model", "last model", "by"]
    note = (
        "Rows that were asked about are hard ones, and the model has seen their labels: all target rows include them, "
        "the others are without. An estimate by audited rows is of the rows that the model is not trained on."
    )
    return section("How good the model is", table("Before any purchase, and now", head, rows), paragraph(note, "note"))


def _asked(campaign: Campaign) -> str:
    if not campaign.rounds:
        return section("What was asked", paragraph("Nothing yet."), _pictures.queries(campaign))
    state, spending = campaign.state, campaign.state.spending
    head = ["round", "labels", "audited", "abstained", "open", *(["cost"] if spending.has_costs else []), "answers"]
    rows = []
    for asked in campaign.rounds:
        counts = Counter(labels_to_list(state.y[asked.bought_ids])).most_common()
        n_audited = sum(row in asked.audit_ids for row in asked.bought_ids)
        numbers: list[Any] = [asked.number, len(asked.bought_ids), n_audited, len(asked.abstained_ids)]
        numbers.append(len(asked.open_ids))
        numbers += [float(spending.total(asked.bought_ids))] if spending.has_costs else []
        rows.append([*numbers, ", ".join(f"{label}: {count}" for label, count in counts)])
    by_row = details("Row by row", _asked_rows(campaign))
    return section("What was asked", _pictures.queries(campaign), table("Round by round", head, rows), by_row)


def _asked_rows(campaign: Campaign) -> str:
    state = campaign.state
    audited, X = set(state.audited_ids), campaign.session.X
    utilities = {row: value for asked in campaign.rounds for row, value in asked.utilities.items()}
    optional = {"name": hasattr(X, "iloc"), "votes": bool(state.n_answers), "cost": state.spending.has_costs}
    rows = []
    for row in state.bought_ids[:_SHOWN_ROWS]:
        utility = utilities.get(row, np.nan)
        votes = ", ".join(f"{name}: {'–' if vote is None else vote}" for name, vote in state.votes.get(row, {}).items())
        extra = {
            "name": str(X.index[row]) if optional["name"] else "",
            "votes": votes,
            "cost": float(state.spending.costs[row]),
        }
        known = [row, int(state.query_round[row]), labels_to_list(state.y[[row]])[0]]
        use = "measures" if row in audited else "trains"
        rows.append(
            [*known, None if np.isnan(utility) else float(utility), use, *(extra[k] for k in optional if optional[k])]
        )
    more = len(state.bought_ids) - len(rows)
    head = ["row", "round", "label", "utility", "use", *(name for name in optional if optional[name])]
    caption = "Labels bought, in order" + (f"; {more} more are not shown" if more else "")
    return table(caption, head, rows)


def _classes(campaign: Campaign) -> str:
    state, session, roles = campaign.state, campaign.session, campaign.state.initial_roles
    bought = Counter(labels_to_list(state.y[state.bought_ids]))
    columns = {"source": Counter(labels_to_list(campaign.source_labels))}
    if session.y_true is not None:
        truth = session.y_true[roles.target]
        columns["target, known labels"] = Counter(labels_to_list(truth[~is_missing(truth)]))
    if session.X is not None and len(roles.target):
        rng = np.random.RandomState(0)
        rows = np.sort(rng.permutation(roles.target)[:_PREDICTED_ROWS])
        predicted = np.asarray(session.estimator_.predict(take_rows(session.X, rows)))
        columns[f"target, as predicted for {len(rows)} rows"] = Counter(labels_to_list(predicted))
    columns = {name: counts for name, counts in columns.items() if counts}
    total: Counter[Any] = sum((Counter(counts) for counts in columns.values()), Counter(bought))
    rows_of_table = [
        [label, *(as_share(counts[label] / counts.total()) for counts in columns.values()), bought[label]]
        for label, _ in total.most_common(_SHOWN_CLASSES)
    ]
    caption = "Shares of the classes, the most frequent first"
    more = len(total) - len(rows_of_table)
    parts = [table(caption, ["class", *columns, "labels bought"], rows_of_table)]
    if more > 0:
        parts.append(paragraph(f"{more} more classes are not shown.", "note"))
    return section("Classes", *parts)


def _run(campaign: Campaign) -> str:
    phases = ("query", "oracle", "train")
    rows: list[list[Any]] = [
        [entry["round"], *(f"{entry['seconds'].get(phase, 0.0):.2f}" for phase in phases)] for entry in campaign.entries
    ]
    totals = [sum(entry["seconds"].get(phase, 0.0) for entry in campaign.entries) for phase in phases]
    rows.append(["all", *(f"{seconds:.2f}" for seconds in totals)])
    events = campaign.session.events
    when = f"First question {_time(events[0])}, last event {_time(events[-1])}. " if events else ""
    end = f"Now: {dict(campaign.session.status().rows())['state']}."
    note = "The oracle's seconds are those between question and answer: also the night, where people answer."
    versions = list(package_versions().items())
    return section(
        "The run",
        paragraph(when + end),
        details("Seconds", table("Seconds by round and phase", ["round", *phases], rows), paragraph(note, "note")),
        details("Versions", table("Versions", ["package", "version"], versions, align=False)),
    )


def _settings(campaign: Campaign) -> str:
    described = describe_parameters(campaign.loop, "loop")
    rows = [(path.removeprefix("loop__"), value) for path, value in described.items()]
    fixed = [("seed", campaign.session.settings.seed), ("annotators for a row", campaign.state.n_annotators)]
    return section(
        "Settings", details("All parameters", table("Parameters", ["name", "value"], [*rows, *fixed], align=False))
    )


def _time(event: Any) -> str:
    return f"{event.time:%Y-%m-%d %H:%M} UTC"
