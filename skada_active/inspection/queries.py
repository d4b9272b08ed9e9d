"""Display of the rows in two dimensions: what was asked, by round and by class, and what was audited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.inspection._fitted import as_session
from skada_active.inspection._plane import limits, plane_of, sample_rows
from skada_active.inspection._plotting import (
    GREY,
    POOL,
    class_styles,
    legend_below,
    new_axes,
    require_matplotlib,
    show_plane,
)
from skada_active.labels import labels_to_list
from skada_active.utils.random import RandomStateLike

if TYPE_CHECKING:
    from typing_extensions import Self

    from skada_active.session import AdaptationSession

__all__ = ["QueryDisplay"]

_BY = ("round", "class")


class QueryDisplay:
    """Source and target rows in two dimensions, and which of them were asked about.

    Made by `from_loop`; all parameters are stored as attributes. Equal positions of the arrays are one row.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64
        Row numbers of the rows that are shown.
    points : ndarray of shape (n, 2)
        Their places.
    kind : ndarray of shape (n,), str
        ``"source"``; ``"pool"``: a target row that nobody was asked about; ``"known"``: one whose label was known from
        the start; ``"asked"``: one that was answered; ``"audited"``: one whose answer measures the model and does not
        train it; ``"open"``: asked about, and not answered yet; ``"abstained"``: nobody could label it.
    query_round : ndarray of shape (n,), int64
        Round in which a label was bought, 0 for one that was known from the start, -1 for none.
    labels : list of length n
        Known labels, None elsewhere.
    axes : tuple of str
        Names of the two axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure of the axes.
    points_ : dict of str to matplotlib PathCollection
        The points by kind; ``"asked"`` has all answered rows, by round.
    class_points_ : dict of str to matplotlib PathCollection
        The answered rows by class, as the legend names it.
    legend_ : matplotlib Legend
        The legend.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.inspection import QueryDisplay
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=6, n_rounds=3, random_state=0)
    >>> display = QueryDisplay.from_loop(loop.fit(X, y, sample_domain=sample_domain), by="class")
    >>> (display.kind == "asked").sum()
    np.int64(6)
    """

    def __init__(
        self,
        *,
        ids: NDArray[np.int64],
        points: NDArray[np.float64],
        kind: NDArray[np.str_],
        query_round: NDArray[np.int64],
        labels: Sequence[Any],
        axes: tuple[str, str] = ("first coordinate", "second coordinate"),
    ) -> None:
        self.ids = ids
        self.points = points
        self.kind = kind
        self.query_round = query_round
        self.labels = labels
        self.axes = axes

    def plot(self, ax: Any = None, *, by: str = "round") -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.
        by : {"round", "class"}, default="round"
            What the colours of the answered rows say; by class, source rows have them, too. The rarest of more than
            seven classes share one.

        Returns
        -------
        QueryDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if by not in _BY:
            raise ValueError(f"by must be one of {list(_BY)}, got {by!r}.")
        self.ax_ = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.points_: dict[str, Any] = {}
        self.class_points_: dict[str, Any] = {}
        self._handles: list[Any] = []
        if by == "class":
            self._draw_classes()
        else:
            self._draw_crowd()
            self._draw_rounds()
        self._draw_kind("known", label="known from the start", marker="D", s=26, facecolor="white", edgecolor="black")
        self._draw_kind("open", label="asked, no answer yet", marker="s", s=34, facecolor="white", edgecolor="black")
        self._draw_kind("abstained", label="nobody could tell", marker="x", s=30, color="black", linewidth=1.2)
        ring = {"s": 130, "facecolor": "none", "edgecolor": "black", "linewidth": 1.2, "zorder": 4}
        self._draw_kind("audited", label="audited", **ring)
        crowd = ("source", "pool")
        show_plane(
            self.ax_, self.points, limits(self.points, self.kind != "source", ~np.isin(self.kind, crowd)), self.axes
        )
        self.legend_ = legend_below(self.ax_, self._handles)
        return self

    @classmethod
    def from_loop(
        cls,
        fitted: Any,
        *,
        coordinates: ArrayLike | None = None,
        max_points: int = 2000,
        random_state: RandomStateLike = 0,
        ax: Any = None,
        by: str = "round",
    ) -> Self:
        """Draw the rows of a fitted loop or of a session, finished or not.

        Parameters
        ----------
        fitted : ActiveAdaptationLoop or AdaptationSession
            The loop or session.
        coordinates : array-like of shape (n, D), default=None
            Where every row lies: two columns are taken as they are, of more the first two principal components.
            ``None``: the principal components of the features that the model has now, its embedding or the input of its
            last step; columns of tables are divided by their deviations.
        max_points : int, default=2000
            At most so many rows besides those that were asked about, drawn from both domains.
        random_state : int, RandomState instance or None, default=0
            Seed of the draw.
        ax, by
            As in `plot`.

        Returns
        -------
        QueryDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `coordinates` are no such array, or the model has no features that are numbers.

        Notes
        -----
        One forward pass over the rows that are shown, and a singular value decomposition of their features. What is
        audited among open questions is not shown, for it would tell who answers.
        """
        require_matplotlib(f"{cls.__name__}.from_loop")
        session = as_session(fitted, "fitted")
        if not max_points >= 0:
            raise ValueError(f"max_points must be an integer >= 0, got {max_points!r}.")
        kinds = _kinds(session)
        asked = np.flatnonzero(np.isin(kinds, ["known", "asked", "audited", "open", "abstained"]))
        rows = sample_rows(session.state.initial_roles, asked, max_points, random_state)
        plane = plane_of(session, rows, coordinates)
        display = cls(
            ids=rows,
            points=plane.points,
            kind=kinds[rows],
            query_round=session.query_round_[rows],
            labels=labels_to_list(session.state.y[rows]),
            axes=plane.axes,
        )
        return display.plot(ax=ax, by=by)

    def _draw_crowd(self) -> None:
        self._draw_kind("source", label="source", s=9, color=GREY, linewidth=0, rasterized=True)
        self._draw_kind("pool", label="target", s=9, color=POOL, linewidth=0, rasterized=True)

    def _draw_rounds(self) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import BoundaryNorm

        is_asked = np.isin(self.kind, ["asked", "audited"])
        if not is_asked.any():
            return
        rounds = self.query_round[is_asked]
        last = int(rounds.max())
        norm = BoundaryNorm(np.arange(0.5, last + 1), 256)
        look = {"cmap": colormaps["viridis"], "norm": norm, "s": 42, "edgecolor": "black", "linewidth": 0.6}
        self.points_["asked"] = self._scatter(is_asked, label="asked", c=rounds, zorder=3, **look)
        white = {"s": 42, "facecolor": "white", "edgecolor": "black", "linewidth": 0.6}
        self._handles.append(self.ax_.scatter([], [], label="asked, colour by round", **white))
        bar = self.figure_.colorbar(self.points_["asked"], ax=self.ax_, label="round")
        bar.set_ticks(np.unique(np.linspace(1, last, min(last, 8)).round()))

    def _draw_classes(self) -> None:
        self._draw_kind("pool", label="target", s=9, color=GREY, linewidth=0, rasterized=True)
        is_source, is_asked = self.kind == "source", np.isin(self.kind, ["asked", "audited"])
        asked = [label for label, is_one in zip(self.labels, is_asked, strict=True) if is_one]
        styles = class_styles(asked or [label for label in self.labels if label is not None])
        style_of = [styles.get(label) for label in self.labels]
        for style in (None, *dict.fromkeys(styles.values())):
            of_class = np.array([one == style for one in style_of], dtype=bool)
            look = {"color": style.color, "marker": style.marker} if style else {"color": GREY}
            self._scatter(is_source & of_class, s=9, alpha=0.3, linewidth=0, rasterized=True, **look)
            if style is not None and (is_asked & of_class).any():
                edge = {"s": 42, "edgecolor": "black", "linewidth": 0.6, "zorder": 3}
                points = self._scatter(is_asked & of_class, label=style.name, **look, **edge)
                self.class_points_[style.name] = points
                self._handles.append(points)

    def _draw_kind(self, kind: str, *, label: str, **look: Any) -> None:
        if (self.kind == kind).any():
            self.points_[kind] = self._scatter(self.kind == kind, label=label, **{"zorder": 2, **look})
            self._handles.append(self.points_[kind])

    def _scatter(self, mask: NDArray[np.bool_], **look: Any) -> Any:
        return self.ax_.scatter(*self.points[mask].T, **look)


def _kinds(session: AdaptationSession) -> NDArray[np.str_]:
    """Return the kind of every row of a session, see `QueryDisplay`."""
    state = session.state
    kinds = np.where(state.initial_roles.is_target, "pool", "source").astype("<U9")
    kinds[state.initial_roles.labeled_target] = "known"
    for kind, ids in (
        ("asked", state.bought_ids),
        ("audited", state.audited_ids),
        ("open", state.open_ids),
        ("abstained", state.abstained_ids),
    ):
        kinds[np.asarray(ids, dtype=np.int64)] = kind
    return kinds
