"""Display of learning curves: how the accuracy grew with the labels bought, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skada_active.inspection._fitted import loops_in, strategy_name
from skada_active.inspection._plotting import (
    GREY,
    as_label,
    count_along,
    legend_below,
    looks,
    new_axes,
    require_matplotlib,
)
from skada_active.metrics import mean_interval
from skada_active.metrics.scoring import BUILT_IN

if TYPE_CHECKING:
    from typing_extensions import Self

    from skada_active.loop import ActiveAdaptationLoop

__all__ = ["LearningCurveDisplay"]

#: Labels bought (k,), and what was measured then, seed by seed (n_seeds, k).
Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
_ROWS = {
    "unqueried": "target rows never bought",
    "transductive": "all target rows",
    "holdout": "held-out rows",
    "audit": "the pool, by audited rows",
}


class LearningCurveDisplay:
    """Learning curves with their intervals: a method per line, random rows in grey, and what the audit says.

    Made by `from_loops`; all parameters are stored as attributes.

    Parameters
    ----------
    curves : dict of str to tuple (n_queries, values)
        By name, labels bought (k,) and measurements (n_seeds, k), as
        `~skada_active.model_selection.learning_curves` returns them.
    audits : dict of str to tuple (n_queries, estimates), default=None
        By name, labels bought (k,) and the audits' estimates with the ends of their intervals (n_seeds, k, 3).
    control : tuple (n_queries, values), default=None
        Curve of the control.
    control_name : str, default="random"
        What the legend calls the control.
    accuracy : str, default="unqueried"
        On which rows the curves are measured.
    metric : str, default="accuracy"
        What is measured.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : dict of str to matplotlib Line2D
        Line of every method.
    control_line_ : matplotlib Line2D or None
        Line of the control.
    bands_ : dict of str to matplotlib PolyCollection
        Confidence intervals over the seeds, of the methods that have several.
    audit_bands_ : dict of str to matplotlib PolyCollection
        Intervals of the audits.

    See Also
    --------
    skada_active.model_selection.learning_curves : Run a loop with several seeds.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.inspection import LearningCurveDisplay
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loops = [ActiveAdaptationLoop(LogisticRegression(), budget=9, n_rounds=3, random_state=seed) for seed in (0, 1)]
    >>> loops = [loop.fit(X, y, sample_domain=sample_domain) for loop in loops]
    >>> display = LearningCurveDisplay.from_loops({"margin": loops})
    >>> display.curves["margin"][0]
    array([0, 3, 6, 9])
    """

    def __init__(
        self,
        *,
        curves: Mapping[str, Curve],
        audits: Mapping[str, Curve] | None = None,
        control: Curve | None = None,
        control_name: str = "random",
        accuracy: str = "unqueried",
        metric: str = "accuracy",
    ) -> None:
        self.curves = curves
        self.audits = audits
        self.control = control
        self.control_name = control_name
        self.accuracy = accuracy
        self.metric = metric

    def plot(
        self, ax: Any = None, *, confidence: float = 0.95, audit: bool = True, line_kw: dict[str, Any] | None = None
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.
        confidence : float, default=0.95
            Level of the intervals over the seeds.
        audit : bool, default=True
            Whether to draw the intervals of the audits.
        line_kw : dict, default=None
            Further keywords of the lines of the methods, for ``Axes.plot``.

        Returns
        -------
        LearningCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.lines_: dict[str, Any] = {}
        self.control_line_ = None
        self.bands_: dict[str, Any] = {}
        self.audit_bands_: dict[str, Any] = {}
        if self.control is not None:
            look = {"color": GREY, "linestyle": "--", "linewidth": 2, "zorder": 1.5}
            self.control_line_, _ = self._draw(self.control_name, self.control, confidence, look)
        names = list(dict.fromkeys([*self.curves, *(self.audits or {})]))
        for name, (color, marker) in zip(names, looks(len(names)), strict=True):
            look = {"color": color, "marker": marker, "markersize": 5, "linewidth": 2, **(line_kw or {})}
            if name in self.curves:
                self.lines_[name], band = self._draw(name, self.curves[name], confidence, look)
                if band is not None:
                    self.bands_[name] = band
            if audit and self.audits and name in self.audits:
                self._draw_audit(name, *self.audits[name], color)
        self._dress()
        return self

    @classmethod
    def from_loops(
        cls,
        loops: Any,
        *,
        accuracy: str = "unqueried",
        metric: str = "accuracy",
        control: Any = None,
        ax: Any = None,
        confidence: float = 0.95,
        audit: bool = True,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the learning curves of fitted loops or sessions.

        Parameters
        ----------
        loops : loop, session, list of them, or dict of str to any of these
            By the name of the method, one fitted loop, recipe or session, or one for each seed. Without names, that of
            the query strategy is taken.
        accuracy : {"unqueried", "transductive", "holdout", "audit"}, default="unqueried"
            On which rows, see `ActiveAdaptationLoop.learning_curve`.
        metric : str, default="accuracy"
            ``"accuracy"``, ``"balanced_accuracy"``, or a name in the loops' `scoring`.
        control : loop, session or list of them, default=None
            The same with another strategy, `RandomSampling` as a rule: a grey line. It is fitted already; nothing is
            run here.
        ax, confidence, audit, line_kw
            As in `plot`.

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `loops` or `control` holds something else.
        ValueError
            If there is no accuracy or metric of that name, nothing is known of it, or loops of one name bought
            different numbers of labels.

        Notes
        -----
        The lines are means over the seeds, the bands the confidence intervals of these means, by
        `~skada_active.metrics.mean_interval`; one seed has none. A run that ended earlier than others of its name, by a
        stopping rule, keeps its last value. Where the loops have an audit, a lighter band with a dotted line shows its
        interval; for several seeds the means of its ends, which is what one campaign sees.
        """
        require_matplotlib(f"{cls.__name__}.from_loops")
        groups = _groups(loops)
        of_name = {name: [_curve(loop, accuracy, metric) for loop in group] for name, group in groups.items()}
        curves = {name: _aligned(name, runs) for name, runs in of_name.items()}
        known = {name: curve for name, curve in curves.items() if not np.isnan(curve[1]).all()}
        audited = {name: [_audit(loop, metric) for loop in group] for name, group in groups.items()}
        audits = {name: _aligned(name, runs) for name, runs in audited.items() if _is_known(runs)}
        if not known and not audits:
            raise ValueError(
                f"loops: nothing is known of {metric!r} on {_ROWS.get(accuracy, accuracy)}. Fit with labels of the "
                "target, with eval_set, or buy an audit by audit=0.2; or ask for another accuracy."
            )
        others = [] if control is None else loops_in(control, "control")
        grey = _aligned("control", [_curve(loop, accuracy, metric) for loop in others]) if others else None
        if grey is not None and np.isnan(grey[1]).all():
            raise ValueError(
                f"control: nothing is known of {metric!r} on {_ROWS.get(accuracy, accuracy)}; fit it with the labels, "
                "eval_set or audit that the others have."
            )
        display = cls(
            curves=known,
            audits=audits or None,
            control=grey,
            control_name=_control_name(others[0]) if others else "random",
            accuracy=accuracy,
            metric=metric,
        )
        return display.plot(ax=ax, confidence=confidence, audit=audit, line_kw=line_kw)

    def _draw(self, name: str, curve: Curve, confidence: float, look: dict[str, Any]) -> tuple[Any, Any]:
        n_queries, values = curve
        label = as_label(name) if len(values) == 1 else f"{as_label(name)}, mean of {len(values)}"
        (line,) = self.ax_.plot(n_queries, values.mean(axis=0), **{"label": label, **look})
        if len(values) == 1:
            return line, None
        mean, half = mean_interval(values, confidence=confidence)
        color = line.get_color()
        return line, self.ax_.fill_between(
            n_queries, mean - half, mean + half, color=color, alpha=0.2, linewidth=0, zorder=1
        )

    def _draw_audit(self, name: str, n_queries: NDArray[np.int64], estimates: NDArray[np.float64], color: str) -> None:
        value, low, high = estimates.mean(axis=0).T
        self.ax_.plot(n_queries, value, color=color, linestyle=":", linewidth=1.5)
        self.audit_bands_[name] = self.ax_.fill_between(
            n_queries, low, high, facecolor=color, edgecolor=color, alpha=0.12, linestyle=":", zorder=0.5
        )
        self.audit_bands_[name].set_label(f"{as_label(name)}, audit")

    def _dress(self) -> None:
        from matplotlib.ticker import PercentFormatter

        what = self.metric.replace("_", " ")
        self.ax_.set(xlabel="labels bought", ylabel=f"{what} on\n{_ROWS.get(self.accuracy, self.accuracy)}")
        count_along(self.ax_.xaxis)
        if self.metric in BUILT_IN:
            self.ax_.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
            low, high = self.ax_.get_ylim()
            self.ax_.set_ylim(max(low, -0.02), min(high, 1.02))  # an interval of a mean may go beyond
        self.ax_.grid(axis="y", alpha=0.3)
        legend_below(self.ax_, self.ax_.get_legend_handles_labels()[0], ncols=2)


def _groups(loops: Any) -> dict[str, list[ActiveAdaptationLoop]]:
    if isinstance(loops, Mapping):
        if not loops:
            raise ValueError("loops is an empty dict; give a fitted loop by its name.")
        return {str(name): loops_in(group, f"loops[{name!r}]") for name, group in loops.items()}
    group = loops_in(loops, "loops")
    return {strategy_name(group[0]): group}


def _control_name(loop: ActiveAdaptationLoop) -> str:
    name = strategy_name(loop)
    return "random" if name == "RandomSampling" else f"control: {name}"


def _curve(loop: ActiveAdaptationLoop, accuracy: str, metric: str) -> Curve:
    n_queries, values = loop.learning_curve(accuracy, metric=metric)
    return n_queries, values


def _audit(loop: ActiveAdaptationLoop, metric: str) -> Curve | None:
    entries = [loop.initial_, *loop.history_]
    found = [entry.get(metric, {}).get("audit") for entry in entries]
    if any(estimate is None for estimate in found):
        return None
    ends = np.array([[estimate.value, estimate.low, estimate.high] for estimate in found], dtype=np.float64)
    ends[np.isnan(ends[:, 0])] = np.nan  # nothing was audited yet, which is no interval from 0 to 1
    return np.array([entry["n_queries"] for entry in entries]), ends


def _is_known(audits: list[Any]) -> bool:
    return all(run is not None and not np.isnan(run[1]).all() for run in audits)


def _aligned(name: str, runs: list[Any]) -> Curve:
    """Return the runs of one name on the axis of the longest; one that ended earlier keeps its last value."""
    longest = max((n_queries for n_queries, _ in runs), key=len)
    for n_queries, _ in runs:
        if not np.array_equal(n_queries, longest[: len(n_queries)]):
            raise ValueError(
                f"{name}: a run bought {n_queries.tolist()} labels and another one {longest.tolist()}, so that their "
                "curves have no common axis; give loops of one budget and number of rounds."
            )
    filled = [np.concatenate([values, values[[-1] * (len(longest) - len(values))]]) for _, values in runs]
    return longest, np.stack(filled)
