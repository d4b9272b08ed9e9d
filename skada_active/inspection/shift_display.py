"""Display of a shift: which columns moved and how far, and what became of the class shares."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from skada_active.inspection._drop import Estimated
from skada_active.inspection._moved_columns import MovedColumn
from skada_active.inspection._plotting import as_label, legend_below, new_axes, require_matplotlib
from skada_active.inspection.shift_report import ShiftReport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ShiftDisplay"]

_KINDS = ("columns", "classes", "auc")
_SOURCE, _TARGET, _LABELED = "#5F5F5F", "#0072B2", "#D55E00"


class ShiftDisplay:
    """Shift between source and target, as `~skada_active.inspection.diagnose_shift` found it.

    Made by `from_report`; all parameters are stored as attributes.

    Parameters
    ----------
    report : ShiftReport
        What was found.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : dict of str to matplotlib ErrorbarContainer
        Estimates with their intervals: ``"number"`` and ``"category"`` of ``kind="columns"``, ``"source"``,
        ``"target"`` and ``"labeled"`` of ``kind="classes"``, ``"auc"`` of ``kind="auc"``.
    kind_ : str
        What was drawn.

    See Also
    --------
    diagnose_shift : What makes the report.

    Examples
    --------
    >>> from skada_active.datasets import make_label_shift
    >>> from skada_active.inspection import ShiftDisplay, diagnose_shift
    >>> X, y, sample_domain = make_label_shift(random_state=0)
    >>> display = ShiftDisplay.from_report(diagnose_shift(X, sample_domain, random_state=0))
    >>> display.kind_
    'columns'
    """

    def __init__(self, *, report: ShiftReport) -> None:
        self.report = report

    def plot(self, ax: Any = None, *, kind: str | None = None, max_shown: int = 10) -> Self:
        """Draw a part of the report.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.
        kind : {"columns", "classes", "auc"}, default=None
            ``"columns"``: the columns that moved most, the first on top, by their effect with its interval: Cohen's d
            of numbers, total variation of categories. ``"classes"``: the share of each class in the source, and as
            estimated for the target by EM, and from labelled target rows where there are enough. ``"auc"``: how well
            the domains can be told apart, which the title of the others says. ``None``: the first that there is.
        max_shown : int, default=10
            At most so many columns or classes; of the classes those whose share changed most.

        Returns
        -------
        ShiftDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the report has no such part, or an argument is not valid.
        """
        there = {"columns": self.report.columns, "classes": self.report.class_shares, "auc": True}
        kind = next(name for name in _KINDS if there[name]) if kind is None else kind
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {list(_KINDS)} or None, got {kind!r}.")
        if not there[kind]:
            needed = "a table as X" if kind == "columns" else "labels, y"
            raise ValueError(f"kind={kind!r}: the report has none; give diagnose_shift {needed}.")
        if not isinstance(max_shown, Integral) or max_shown < 1:
            raise ValueError(f"max_shown must be an integer >= 1, got {max_shown!r}.")
        self.ax_: Any = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_, self.kind_ = self.ax_.figure, kind
        self.bars_: dict[str, Any] = {}
        auc = self.report.auc
        told = f"Domains told apart: AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})"
        self.ax_.set_title(told, fontsize="medium", loc="left")
        if kind == "auc":
            self._draw_auc()
        else:
            {"columns": self._draw_columns, "classes": self._draw_classes}[kind](int(max_shown))
        self.ax_.grid(axis="x", alpha=0.3)
        return self

    @classmethod
    def from_report(cls, report: ShiftReport, *, ax: Any = None, kind: str | None = None, max_shown: int = 10) -> Self:
        """Draw a part of a report.

        Parameters
        ----------
        report : ShiftReport
            What `~skada_active.inspection.diagnose_shift` returned.
        ax, kind, max_shown
            As in `plot`.

        Returns
        -------
        ShiftDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the report has no such part, or an argument is not valid.
        """
        require_matplotlib(f"{cls.__name__}.from_report")
        return cls(report=report).plot(ax=ax, kind=kind, max_shown=max_shown)

    def _draw_auc(self) -> None:
        self._draw("auc", [self.report.auc], [0.0], _TARGET, "o", "AUC")
        self.ax_.axvline(0.5, color=_SOURCE, linewidth=1, linestyle="--")
        self.ax_.set(xlabel="area under the ROC curve; 0.5: the domains look alike", yticks=[], ylim=(-1, 1))
        self.ax_.set_xlim(min(0.45, self.report.auc.low - 0.02), 1.02)

    def _draw_columns(self, max_shown: int) -> None:
        columns = self.report.columns[:max_shown]
        for kind, marker, color in (("number", "o", _TARGET), ("category", "s", _LABELED)):
            places = [place for place, column in enumerate(columns) if column.kind == kind]
            if places:
                label = {"number": "number: Cohen's d", "category": "category: total variation"}[kind]
                estimates = [_effect(columns[place]) for place in places]
                self._draw(kind, estimates, places, color, marker, label)
        self.ax_.axvline(0, color=_SOURCE, linewidth=1, linestyle="--")
        self._name_rows([_name(column) for column in columns], "effect, target minus source")

    def _draw_classes(self, max_shown: int) -> None:
        from matplotlib.ticker import PercentFormatter

        shares = sorted(self.report.class_shares, key=lambda share: -abs(share.em.value - share.source.value))
        shares = shares[:max_shown]
        places = np.arange(len(shares), dtype=np.float64)
        # EM takes label shift for all there is.
        label = "target, by EM" if self.report.verdict.label == "yes" else "target, if by label shift alone (EM)"
        self._draw("source", [share.source for share in shares], places - 0.2, _SOURCE, "o", "source")
        self._draw("target", [share.em for share in shares], places, _TARGET, "s", label)
        labeled = [place for place, share in enumerate(shares) if share.labeled is not None]
        if labeled:
            estimates = [share.labeled for share in shares if share.labeled is not None]
            self._draw("labeled", estimates, places[labeled] + 0.2, _LABELED, "D", "target, labelled rows")
        self.ax_.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        self._name_rows([as_label(share.label) for share in shares], "share of the rows")

    def _name_rows(self, names: list[str], xlabel: str) -> None:
        self.ax_.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
        legend_below(self.ax_, list(self.bars_.values()))

    def _draw(self, key: str, estimates: list[Estimated], places: Any, color: str, marker: str, label: str) -> None:
        values = np.array([[one.value, one.low, one.high] for one in estimates], dtype=np.float64).T
        # Rounding must not put an end on the wrong side.
        reach = np.maximum([values[0] - values[1], values[2] - values[0]], 0)
        self.bars_[key] = self.ax_.errorbar(
            values[0], places, xerr=reach, fmt=marker, color=color, capsize=3, markersize=6, label=label
        )


def _name(column: MovedColumn) -> str:
    name = as_label(column.name)
    name = f"column {name}" if name.isdigit() else name
    return name if math.isfinite(column.effect) else f"{name} (no values)"


def _effect(column: MovedColumn) -> Estimated:
    return Estimated(column.effect, column.low, column.high)
