"""Display of what the anchor sets of a network took: which rows, with which labels, and how sure it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.inspection._fitted import as_session
from skada_active.inspection._plane import limits, plane_of, sample_rows
from skada_active.inspection._plotting import (
    GREY,
    POOL,
    as_label,
    class_styles,
    count_along,
    legend_below,
    looks,
    new_axes,
    require_matplotlib,
    show_plane,
)
from skada_active.labels import as_labels, is_missing, labels_to_list
from skada_active.utils.fitting import split_pipeline
from skada_active.utils.random import RandomStateLike

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AnchorDisplay"]

_KINDS = ("rows", "counts", "confidence")
_RIGHT, _WRONG, _UNKNOWN = "#009E73", "#D55E00", GREY


class AnchorDisplay:
    """Anchors of the last epoch: confident target rows that joined the answers in training (LADA).

    Made by `from_loop`; all parameters are stored as attributes.

    Parameters
    ----------
    anchors : ndarray of shape (n_anchors,)
        ``anchor_set_`` of an `~skada_active.deep.AdaptationClassifier`: ``row``, ``label``, ``confidence``, ``joined``.
    counts : ndarray of shape (n_passes, C)
        Anchors of each class at each pass over the set.
    classes : ndarray of shape (C,)
        The classes.
    ids : ndarray of shape (n,), int64
        Row numbers of the rows that are shown, the anchors among them.
    points : ndarray of shape (n, 2)
        Their places.
    is_target : ndarray of shape (n,), bool
        Which of them are target rows.
    is_right : ndarray of shape (n_anchors,), object, default=None
        Whether an anchor has its true label: True, False, or None where nobody knows; ``None``: nobody knows any.
    axes : tuple of str
        Names of the two axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture.
    figure_ : matplotlib Figure
        Figure of the axes.
    points_ : dict of str to matplotlib PathCollection
        Of ``kind="rows"``: the anchors by class, as the legend names it, and those with a wrong label as ``"wrong"``.
    lines_ : list of matplotlib Line2D
        Of ``kind="counts"``: a line per class.
    bars_ : dict of str to matplotlib BarContainer
        Of ``kind="confidence"``: bars of the anchors that are ``"right"``, ``"wrong"`` and ``"unknown"``.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Sec. 3.2 and Fig. 6.

    Examples
    --------
    >>> from skada_active import recipes
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.inspection import AnchorDisplay
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = recipes.lada(budget=6, n_rounds=2, max_epochs=2, round_epochs=1, random_state=0)
    >>> display = AnchorDisplay.from_loop(loop.fit(X, y, sample_domain=sample_domain))
    >>> len(display.anchors) >= 6
    True
    """

    def __init__(
        self,
        *,
        anchors: NDArray[Any],
        counts: NDArray[np.int64],
        classes: NDArray[Any],
        ids: NDArray[np.int64],
        points: NDArray[np.float64],
        is_target: NDArray[np.bool_],
        is_right: NDArray[Any] | None = None,
        axes: tuple[str, str] = ("first coordinate", "second coordinate"),
    ) -> None:
        self.anchors = anchors
        self.counts = counts
        self.classes = classes
        self.ids = ids
        self.points = points
        self.is_target = is_target
        self.is_right = is_right
        self.axes = axes

    def plot(self, ax: Any = None, *, kind: str = "rows") -> Self:
        """Draw the anchors.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; ``None``: on a new figure.
        kind : {"rows", "counts", "confidence"}, default="rows"
            ``"rows"``: where the anchors lie, coloured by the label they were trained for, the answers larger and with
            an edge, wrong labels crossed. ``"counts"``: how many of each class were in the set, pass by pass.
            ``"confidence"``: how sure the model was of those that joined, and which of them it had right.

        Returns
        -------
        AnchorDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {list(_KINDS)}, got {kind!r}.")
        self.ax_ = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.points_: dict[str, Any] = {}
        self.lines_: list[Any] = []
        self.bars_: dict[str, Any] = {}
        {"rows": self._draw_rows, "counts": self._draw_counts, "confidence": self._draw_confidence}[kind]()
        return self

    @classmethod
    def from_loop(
        cls,
        fitted: Any,
        *,
        y: ArrayLike | None = None,
        coordinates: ArrayLike | None = None,
        max_points: int = 2000,
        random_state: RandomStateLike = 0,
        ax: Any = None,
        kind: str = "rows",
    ) -> Self:
        """Draw the anchors of the network of a fitted loop or a session.

        Parameters
        ----------
        fitted : ActiveAdaptationLoop or AdaptationSession
            The loop or session; the last step of its estimator has ``anchors=AnchorSet(...)``.
        y : array-like of shape (n,), default=None
            True labels, missing where nobody knows one; ``None``: those that the loop was fitted with.
        coordinates, max_points, random_state
            As in `QueryDisplay.from_loop`.
        ax, kind
            As in `plot`.

        Returns
        -------
        AnchorDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the estimator has no anchors, or `y` has another length.
        """
        require_matplotlib(f"{cls.__name__}.from_loop")
        session = as_session(fitted, "fitted")
        model = split_pipeline(session.estimator_)[1]
        if getattr(model, "anchors", None) is None:
            raise ValueError(
                f"fitted has no anchors: its model is {type(model).__name__}; fit an AdaptationClassifier with "
                "anchors=AnchorSet(), or recipes.lada()."
            )
        state, anchors = session.state, model.anchor_set_
        known = (state.y if session.y_true is None else session.y_true) if y is None else as_labels(y)
        if len(known) != len(state.y):
            raise ValueError(f"y must have a label for each of the {len(state.y)} rows, got {len(known)}.")
        rows = sample_rows(state.initial_roles, anchors["row"], max_points, random_state)
        plane = plane_of(session, rows, coordinates)
        display = cls(
            anchors=anchors,
            counts=model.anchor_counts_,
            classes=model.classes_,
            ids=rows,
            points=plane.points,
            is_target=state.initial_roles.is_target[rows],
            is_right=_are_right(anchors, known[anchors["row"]]),
            axes=plane.axes,
        )
        return display.plot(ax=ax, kind=kind)

    @property
    def _right(self) -> list[Any]:
        return [None] * len(self.anchors) if self.is_right is None else list(self.is_right)

    def _draw_rows(self) -> None:
        crowd = {"s": 9, "linewidth": 0, "rasterized": True}
        handles = []
        for name, mask, color in (("source", ~self.is_target, GREY), ("target", self.is_target, POOL)):
            if mask.any():
                handles.append(self.ax_.scatter(*self.points[mask].T, color=color, label=name, **crowd))
        places = self.points[np.searchsorted(self.ids, self.anchors["row"])]
        labels, is_answer = labels_to_list(self.anchors["label"]), self.anchors["joined"] == 0
        styles = class_styles(labels)
        style_of = [styles[label] for label in labels]
        for style in dict.fromkeys(styles.values()):
            mask = np.array([one == style for one in style_of], dtype=bool)
            sizes = np.where(is_answer, 70, 24)[mask]
            edges = np.where(is_answer, "black", "none")[mask].tolist()
            look = {"color": style.color, "marker": style.marker, "label": style.name, "zorder": 3}
            self.points_[style.name] = self.ax_.scatter(*places[mask].T, s=sizes, edgecolor=edges, **look)
            handles.append(self.points_[style.name])
        is_wrong = np.array([right is False for right in self._right], dtype=bool)
        if is_wrong.any():
            cross = {"marker": "x", "s": 45, "color": "black", "linewidth": 1.2, "zorder": 4}
            self.points_["wrong"] = self.ax_.scatter(*places[is_wrong].T, label="wrong label", **cross)
            handles.append(self.points_["wrong"])
        is_anchor = np.isin(self.ids, self.anchors["row"])
        show_plane(self.ax_, self.points, limits(self.points, self.is_target, is_anchor), self.axes)
        legend_below(self.ax_, handles)

    def _draw_counts(self) -> None:
        passes = np.arange(1, len(self.counts) + 1)
        for label, of_class, (color, marker) in zip(
            labels_to_list(self.classes), self.counts.T, looks(len(self.classes)), strict=True
        ):
            self.lines_ += self.ax_.plot(
                passes, of_class, color=color, marker=marker, markersize=4, label=as_label(label)
            )
        self.ax_.set(xlabel="pass over the anchor set", ylabel="anchors in the set")
        count_along(self.ax_.xaxis)
        count_along(self.ax_.yaxis)
        self.ax_.grid(alpha=0.3)
        legend_below(self.ax_, self.lines_[: 3 * 7])

    def _draw_confidence(self) -> None:
        has_joined = self.anchors["joined"] > 0
        confidence = self.anchors["confidence"][has_joined].astype(np.float64)
        right = np.array(self._right, dtype=object)[has_joined]
        lowest = float(confidence.min(initial=0.99))
        edges, below = np.linspace(lowest, 1.0, 11), np.zeros(10)
        for name, value, color in (("right", True, _RIGHT), ("wrong", False, _WRONG), ("unknown", None, _UNKNOWN)):
            counts, _ = np.histogram(confidence[[one is value for one in right]], bins=edges)
            if counts.any():
                hatch = {"right": "", "wrong": "//", "unknown": ".."}[name]
                look = {"color": color, "edgecolor": "white", "hatch": hatch}
                self.bars_[name] = self.ax_.bar(
                    edges[:-1], counts, np.diff(edges), below, align="edge", label=f"{name}: {counts.sum()}", **look
                )
                below += counts
        self.ax_.set(xlabel="confidence at joining", ylabel="anchors that joined")
        count_along(self.ax_.yaxis)
        if self.bars_:
            legend_below(self.ax_, list(self.bars_.values()))


def _are_right(anchors: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    """Return whether each anchor has its true label: True, False, or None where that is missing."""
    right = np.empty(len(anchors), dtype=object)
    right[:] = anchors["label"].astype(object) == truth.astype(object)
    right[is_missing(truth)] = None
    return right
