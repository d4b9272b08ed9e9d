"""Display of average ranks: which methods differ over the tasks, and which may as well be the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import friedmanchisquare, studentized_range

from skada_active.inspection._plotting import as_label, new_axes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CriticalDifferenceDisplay"]


class CriticalDifferenceDisplay:
    r"""Average ranks of methods over tasks; a bar joins those whose ranks do not differ by the Nemenyi test.

    Made by `from_results`; all parameters are stored as attributes.

    Parameters
    ----------
    methods : list of str
        Names of the methods.
    ranks : ndarray of shape (n_tasks, n_methods)
        Ranks on every task, 1 for the best, equal ones sharing the mean of theirs.
    confidence : float, default=0.95
        One minus the probability of a bar that is missing by chance.

    Attributes
    ----------
    average_ranks : ndarray of shape (n_methods,)
        Mean ranks over the tasks.
    critical_difference : float
        Average ranks that are further apart differ.
    p_friedman : float
        P-value of Friedman's test that all methods are the same; NaN for two methods.
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    skada_active.experiments.compare : Runs methods on tasks.

    Notes
    -----
    The critical difference is :math:`q \sqrt{k (k + 1) / (6 N)}` for k methods on N tasks, q of the studentised range
    over :math:`\sqrt 2` [1]_. It is wide: with 5 methods on 6 tasks ranks differ from 2.5 on.

    References
    ----------
    .. [1] Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006, Section 3.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.inspection import CriticalDifferenceDisplay
    >>> ranks = np.array([[1, 2, 3]] * 8)
    >>> display = CriticalDifferenceDisplay(methods=["LAS", "margin", "random"], ranks=ranks)
    >>> round(display.critical_difference, 3)
    1.172
    >>> display.groups()
    [['LAS', 'margin'], ['margin', 'random']]
    """

    def __init__(self, *, methods: Sequence[str], ranks: ArrayLike, confidence: float = 0.95) -> None:
        self.methods = list(methods)
        self.ranks: NDArray[np.float64] = np.asarray(ranks, dtype=np.float64)
        self.confidence = confidence
        if self.ranks.ndim != 2 or self.ranks.shape[1] != len(self.methods) or self.ranks.shape[0] < 2:
            raise ValueError(
                f"ranks must have two rows or more, one per task, and a column for each of the {len(self.methods)} "
                f"methods, got shape {self.ranks.shape}."
            )
        if len(self.methods) < 2:
            raise ValueError(f"methods must be two or more, got {self.methods}.")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
        n_tasks, n_methods = self.ranks.shape
        quantile = studentized_range.ppf(confidence, n_methods, np.inf) / np.sqrt(2)
        self.average_ranks = self.ranks.mean(axis=0)
        self.critical_difference = float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tasks)))
        self.p_friedman = float(friedmanchisquare(*self.ranks.T).pvalue) if n_methods > 2 else np.nan

    @classmethod
    def from_results(
        cls,
        results: Any,
        measure: str = "area",
        *,
        metric: str = "accuracy",
        group: str | None = None,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> Self:
        """Draw the average ranks of a comparison.

        Parameters
        ----------
        results : Results
            What `skada_active.experiments.compare` returned.
        measure, metric, group
            What the methods are ranked by, see `skada_active.experiments.Results.values`.
        confidence : float, default=0.95
            One minus the probability of a bar that is missing by chance.
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.

        Returns
        -------
        CriticalDifferenceDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are fewer than two methods or two tasks that all methods have a run of.
        ImportError
            If matplotlib is not installed.
        """
        ranks = results.ranks(measure, metric=metric, group=group)
        return cls(methods=results.methods, ranks=ranks, confidence=confidence).plot(ax)

    def groups(self) -> list[list[str]]:
        """Return the largest groups of two or more methods whose average ranks do not differ, the best first."""
        order = self.average_ranks.argsort(kind="stable")
        ranks = self.average_ranks[order]
        ends = np.searchsorted(ranks, ranks + self.critical_difference, side="right")
        spans = [(start, end) for start, end in enumerate(ends) if end - start > 1]
        largest = [span for number, span in enumerate(spans) if not number or span[1] > spans[number - 1][1]]
        return [[self.methods[row] for row in order[start:end]] for start, end in largest]

    def plot(self, ax: Any = None) -> Self:
        """Draw the ranks.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.

        Returns
        -------
        CriticalDifferenceDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = ax = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = ax.figure
        rank = dict(zip(self.methods, self.average_ranks.tolist(), strict=True))
        order = sorted(rank, key=lambda method: rank[method])
        rows = dict(zip(order, range(len(order), 0, -1), strict=True))
        ax.hlines(list(rows.values()), 1, [rank[name] for name in rows], color="#DDDDDD", linewidth=1, zorder=0)
        ax.plot([rank[name] for name in rows], list(rows.values()), "o", color="#0072B2")
        ax.set_yticks(list(rows.values()), [f"{as_label(name)}  {rank[name]:.1f}" for name in rows])
        groups = self.groups()
        for number, names in enumerate(groups):
            # Between the rows, so that no bar hides a point or another bar.
            x = len(self.methods) + 0.35 + 0.25 * number
            ax.plot(
                [x, x],
                [rows[names[0]] + 0.2, rows[names[-1]] - 0.2],
                color="#444444",
                linewidth=3,
                solid_capstyle="butt",
            )
        ax.set_xlim(0.8, len(self.methods) + 0.35 + 0.25 * max(1, len(groups)))
        ax.set_ylim(0.4, len(self.methods) + 0.6)
        ax.set_xticks(range(1, len(self.methods) + 1))
        ax.set_xlabel(
            f"average rank on {len(self.ranks)} tasks\n(a bar joins methods within the critical difference, "
            f"{self.critical_difference:.2f})"
        )
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(left=False)
        return self
