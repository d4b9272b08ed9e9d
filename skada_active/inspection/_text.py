"""Report of a shift as lines of text, and the words that it shares with the report as HTML.

A report is a `ShiftReport`, whose module imports this one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from skada_active.inspection._drop import Estimated

__all__ = ["QUESTIONS", "accuracy_rows", "as_text", "counts", "headline", "p_text", "pointed", "shown"]

#: Columns and classes that are shown; `to_dict` has all of them.
MAX_SHOWN = 8
CAUSES = {
    "covariate": "covariate shift: the rows moved, and the labels follow them as before",
    "label": "label shift: the class shares changed, and nothing else did",
    "concept": "changed P(y | x): the same rows have other labels",
    "several": "several causes: no single one explains what is seen",
    "none": "no shift is seen",
    "cannot tell": "cannot tell",
}
#: The same where nobody knows whether P(y | x) changed.
_OPEN = {
    "covariate": "covariate shift: the rows moved; whether the labels follow them as before is not known",
    "label": "label shift: class shares explain how the rows moved, if p(x | y) stayed as it was",
}
QUESTIONS = {
    "covariate": "p(x) moved beyond class shares",
    "label": "class shares changed, p(x | y) did not",
    "concept": "P(y | x) changed beyond class shares",
}


def as_text(report: Any) -> str:
    """Return the report as lines of text."""
    return "\n".join(_lines(report))


def _lines(report: Any) -> Iterator[str]:
    yield f"{counts(report)}, intervals of {100 * report.level:g} %"
    yield f"Verdict: {headline(report)}"
    for name, question in QUESTIONS.items():
        yield f"  {question:<40} {getattr(report.verdict, name)}"
    yield f"Domains told apart: AUC {shown(report.auc, '.2f')}, p {p_text(report.evidence.p_rows)}"
    if report.columns:
        yield "Columns that moved most (effect; p corrected; missing in source, target):"
        for column in report.columns[:MAX_SHOWN]:
            missing = f"{100 * column.missing_source:.0f} %, {100 * column.missing_target:.0f} %"
            yield f"  {column.name:<24} {shown(column, '+.2f', 'effect'):<26} p {p_text(column.p_value):<8} {missing}"
        yield from _more(len(report.columns))
    if report.class_shares:
        yield "Class shares in the source -> in the target if they alone changed, by EM; by BBSE; of labelled rows:"
        for share in report.class_shares[:MAX_SHOWN]:
            labeled = "-" if share.labeled is None else shown(share.labeled, ".2f")
            yield (
                f"  {share.label!s:<20} {share.source.value:.2f} -> {shown(share.em, '.2f')}; "
                f"{shown(share.bbse, '.2f')}; {labeled}"
            )
        yield from _more(len(report.class_shares))
    if report.accuracies is not None:
        yield "Accuracy:"
        for what, value in accuracy_rows(report):
            yield f"  {what:<40} {value}"
    yield f"Target rows like no source row: {pointed(report.strangers.share)} of those looked at"
    for note in report.notes:
        yield f"Note: {note}"


def _more(n: int) -> Iterator[str]:
    if n > MAX_SHOWN:
        yield f"  ... and {n - MAX_SHOWN} more in to_dict()"


def headline(report: Any) -> str:
    """Return the verdict in words; what cannot be known without labels of the target is not claimed."""
    is_open = report.verdict.concept == "cannot tell" and report.cause in _OPEN
    return _OPEN[report.cause] if is_open else CAUSES[report.cause]


def counts(report: Any) -> str:
    """Return what was compared."""
    return (
        f"Shift of {report.n_target} target rows, {report.n_labeled} of them labelled, against {report.n_source} "
        "source rows"
    )


def accuracy_rows(report: Any) -> list[tuple[str, str]]:
    """Return what is said of the accuracies, line by line."""
    accuracies = report.accuracies
    assert accuracies is not None
    unknown = "not identifiable without labels"
    n_effective = f" (by {accuracies.n_effective:.0f} effective source rows)"
    rows = [
        ("on held-out source rows", pointed(accuracies.source)),
        ("if class shares alone had changed", pointed(accuracies.if_label)),
        ("if p(x) alone had changed", pointed(accuracies.if_covariate) + n_effective),
        ("on labelled target rows", unknown if accuracies.target is None else pointed(accuracies.target)),
    ]
    for part, what in (("label", "class shares"), ("covariate", "p(x)"), ("concept", "P(y | x), and the rest")):
        value: Estimated | None = getattr(accuracies, part)
        rows.append((f"  due to {what}", unknown if value is None else pointed(value, "+.1f", "points")))
    return rows


def shown(estimate: Any, spec: str, name: str = "value") -> str:
    """Return an estimate with its interval; a dash where there is none."""
    value = getattr(estimate, name)
    if math.isnan(value):
        return "-"
    return f"{value:{spec}} ({estimate.low:{spec}} to {estimate.high:{spec}})"


def pointed(estimate: Estimated, spec: str = ".1f", unit: str = "%") -> str:
    """Return a share with its interval in percent, or a difference of shares in points."""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:{spec}} {unit} ({low:{spec}} to {high:{spec}})"


def p_text(p_value: float) -> str:
    """Return a p-value in as many digits as it takes."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
