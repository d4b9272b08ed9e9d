"""Report of a shift as HTML: tables that need neither scripts, style sheets nor a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from skada_active.inspection._text import MAX_SHOWN, QUESTIONS, accuracy_rows, counts, headline, p_text, pointed, shown

__all__ = ["as_html"]

#: Text inherits its colour, so that dark pages stay readable; a mark says by its word, too, what its colour says.
_STYLE = """
.skada-shift { font: 14px/1.5 system-ui, sans-serif; max-width: 60em }
.skada-shift h4 { margin: 1.2em 0 .3em; font-size: 1em }
.skada-shift table { border-collapse: collapse; margin: 0 }
.skada-shift th, .skada-shift td { padding: .2em 1.2em .2em 0; text-align: left; border-bottom: 1px solid #8884 }
.skada-shift th { font-weight: 600; opacity: .75 }
.skada-shift .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.skada-shift .cause { font-size: 1.15em; margin: .3em 0 .6em }
.skada-shift .mark { border-radius: .6em; padding: .05em .6em; color: #111 }
.skada-shift .bar { display: inline-block; height: .7em; background: #4c78a8 }
.skada-shift .note { opacity: .8; margin: .2em 0 }
"""
_COLORS = {"yes": "#f4b183", "no": "#b7dfb9", "cannot tell": "#d9d9d9"}
_BAR_EM = 6


def as_html(report: Any) -> str:
    """Return the report as one element of HTML."""
    parts = [
        f"<p>{escape(counts(report))}; intervals of {100 * report.level:g} %.</p>",
        f'<p class="cause"><strong>Verdict:</strong> {escape(headline(report))}</p>',
        _table(["", ""], [[escape(text), _mark(getattr(report.verdict, name))] for name, text in QUESTIONS.items()], 0),
        f"<p>Domains told apart: AUC {shown(report.auc, '.2f')}, p {escape(p_text(report.evidence.p_rows))}.</p>",
        *_columns(report),
        *_class_shares(report),
        *_accuracies(report),
        *_strangers(report),
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
    ]
    return f'<div class="skada-shift"><style>{_STYLE}</style>{"".join(parts)}</div>'


def _columns(report: Any) -> Iterable[str]:
    if not report.columns:
        return
    yield "<h4>Columns that moved most</h4>"
    rows = [
        [
            escape(column.name),
            shown(column, "+.2f", "effect"),
            f'<span class="bar" style="width:{_BAR_EM * column.distance:.2f}em"></span> {column.distance:.2f}',
            escape(p_text(column.p_value)),
            f"{100 * column.missing_source:.0f} %",
            f"{100 * column.missing_target:.0f} %",
        ]
        for column in report.columns[:MAX_SHOWN]
    ]
    names = ["column", "effect", "distance", "p, corrected", "missing in source", "in target"]
    yield _table(names, rows, 1, left=2)
    yield _more(len(report.columns))


def _class_shares(report: Any) -> Iterable[str]:
    if not report.class_shares:
        return
    yield "<h4>Class shares</h4>"
    rows = [
        [
            escape(str(share.label)),
            *(shown(value, ".2f") if value else "-" for value in (share.source, share.em, share.bbse, share.labeled)),
        ]
        for share in report.class_shares[:MAX_SHOWN]
    ]
    yield _table(["class", "source", "target, if they alone changed: by EM", "by BBSE", "of labelled rows"], rows, 1)
    yield _more(len(report.class_shares))


def _accuracies(report: Any) -> Iterable[str]:
    if report.accuracies is not None:
        yield "<h4>Accuracy</h4>"
        yield _table(["", ""], [[escape(what.strip()), escape(value)] for what, value in accuracy_rows(report)], 1)


def _strangers(report: Any) -> Iterable[str]:
    yield "<h4>Target rows like no source row</h4>"
    ids = report.strangers.ids[:MAX_SHOWN].tolist()
    strangest = f"; the strangest are the rows {', '.join(map(str, ids))}" if ids else ""
    yield f"<p>{pointed(report.strangers.share)} of those looked at{strangest}.</p>"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], first_number: int, left: int = -1) -> str:
    """Return a table; cells are HTML, and those from `first_number` on numbers, but for the column `left`."""

    def cell(tag: str, position: int, content: str) -> str:
        is_number = 0 < first_number <= position != left
        kind = ' class="number"' if is_number else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}{kind}>{content}</{tag}>"

    def line(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(cell(tag, position, content) for position, content in enumerate(cells))}</tr>"

    head = f"<thead>{line('th', [escape(name) for name in names])}</thead>" if any(names) else ""
    return f"<table>{head}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


def _mark(answer: str) -> str:
    return f'<span class="mark" style="background:{_COLORS[answer]}">{answer}</span>'


def _more(n: int) -> str:
    return f'<p class="note">... and {n - MAX_SHOWN} more in to_dict().</p>' if n > MAX_SHOWN else ""
