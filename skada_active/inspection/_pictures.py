"""Pictures of the report, with words for those who do not see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skada_active.inspection._campaign import GROUPS, Campaign, as_share
from skada_active.inspection._markup import figure, paragraph, svg_bytes
from skada_active.inspection.learning_curve import LearningCurveDisplay
from skada_active.inspection.queries import QueryDisplay
from skada_active.inspection.shift_display import ShiftDisplay
from skada_active.inspection.shift_report import ShiftReport

__all__ = ["learning_curve", "queries", "shift"]

#: Whatever the user's own style is, and the same ids of shapes in every run.
_STYLE: list[Any] = ["default", {"svg.fonttype": "none", "svg.hashsalt": "skada_active", "font.size": 10}]


def learning_curve(campaign: Campaign, group: str) -> str:
    """Return the learning curve on a group of rows, beside that of the control."""
    with _style(), _panels(1, (7.2, 4.4)) as (drawn, (ax,)):
        try:
            display = LearningCurveDisplay.from_loops(
                campaign.loop, accuracy=group, control=campaign.controls or None, ax=ax
            )
        except ValueError as error:
            return _without("curve", error)
        picture = svg_bytes(drawn)
    first, last = (as_share(campaign.measured(campaign.entries[n], group)) for n in (0, -1))
    n_labels = campaign.entries[-1]["n_queries"]
    alt = (
        f"Line chart: accuracy on the {GROUPS[group]}, {first} before any label was bought and {last} after {n_labels}."
    )
    caption = "Accuracy of the model after each round."
    if display.control is not None:
        final = as_share(float(display.control[1].mean(axis=0)[-1]))
        alt += f" The control, {display.control_name}, ends at {final} after {display.control[0][-1]} labels."
        n_runs = len(campaign.controls)
        caption += f" Grey: the control, {n_runs} run(s). One run differs from the next by chance."
    if display.audits:
        alt += f" The interval of the audit ends as {as_share(campaign.measured(campaign.entries[-1], 'audit'))}."
        caption += f" Light band: interval of the audit{'' if group == 'audit' else ', around the dotted line'}."
    return figure(picture, alt, caption)


def queries(campaign: Campaign) -> str:
    """Return the rows in two dimensions, what was asked coloured by round and by class."""
    with _style(), _panels(2, (10.4, 5.0)) as (drawn, (left, right)):
        try:
            display = QueryDisplay.from_loop(campaign.session, ax=left)
        except (TypeError, ValueError) as error:
            return _without("rows", error)
        display.plot(ax=right, by="class")
        picture = svg_bytes(drawn)
    counts = Counter(display.kind.tolist())
    n_asked = counts["asked"] + counts["audited"]
    alt = (
        f"Two scatter plots of the same {len(display.ids)} rows, {counts['source']} of the source and "
        f"{len(display.ids) - counts['source']} of the target; {n_asked} answered ones stand out, on the left by "
        f"round, on the right by class, and {counts['audited']} audited ones have a ring."
    )
    caption = "Rows as the model sees them: what was asked, by round and by class."
    if display.axes[0].startswith("first principal"):
        caption += " Principal components of its features, either domain with the same weight."
    return figure(picture, alt, caption)


def shift(report: ShiftReport) -> str:
    """Return the columns that moved most and the class shares, as far as there are any."""
    kinds = [name for name, there in (("columns", report.columns), ("classes", report.class_shares)) if there]
    auc = f"AUC {report.auc.value:.2f} ({report.auc.low:.2f} to {report.auc.high:.2f})"
    with _style(), _panels(len(kinds) or 1, (10.4 if len(kinds) == 2 else 6.4, 4.2)) as (drawn, axes):
        for ax, kind in zip(axes, kinds or ["auc"], strict=True):
            display = ShiftDisplay.from_report(report, ax=ax, kind=kind)
            if ax is not axes[0]:
                display.ax_.set_title("Shares of the classes", fontsize="medium", loc="left")
        picture = svg_bytes(drawn)
    alt = f"Estimates with their intervals. A classifier tells the domains apart with an {auc}."
    if report.columns:
        moved = ", ".join(f"{column.name} by {column.effect:+.2f}" for column in report.columns[:3])
        alt += f" The columns that moved most: {moved}."
    if report.class_shares:
        most = max(report.class_shares, key=lambda share: abs(share.em.value - share.source.value))
        alt += (
            f" Class {most.label} changed most, from {as_share(most.source.value)} to {as_share(most.em.value)} by EM."
        )
    return figure(picture, alt, "What sets the target apart from the source.")


def _without(what: str, error: Exception) -> str:
    return paragraph(f"There is no picture of the {what}: {error}", "note")


@contextmanager
def _panels(n: int, size: tuple[float, float]) -> Iterator[tuple[Any, Any]]:
    """Yield a figure of panels side by side that no window and no notebook shows."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, layout="constrained")
    yield drawn, np.atleast_1d(drawn.subplots(1, n))


def _style() -> Any:
    from matplotlib import style

    return style.context(_STYLE)
