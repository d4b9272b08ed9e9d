"""Drawing that the displays share: axes, colours that everybody can tell apart, and names that are only names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GREY",
    "POOL",
    "ClassStyle",
    "as_label",
    "class_styles",
    "count_along",
    "legend_below",
    "looks",
    "new_axes",
    "require_matplotlib",
    "show_plane",
]

#: Okabe and Ito's colours without the yellow, which is lost on white, and markers for those who see none of them.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: Rows that nobody asked about: of the source, and of the target.
GREY, POOL = "#ABABAB", "#4C86C6"
_WIDTH = 28
#: Axes of less inches are narrow.
_NARROW = 3.4


class ClassStyle(NamedTuple):
    """Colour and marker of a class, and its name in a legend.

    Parameters
    ----------
    name : str
        What the legend says.
    color, marker : str
        As matplotlib takes them.
    """

    name: str
    color: str
    marker: str


def require_matplotlib(caller: str) -> None:
    """Raise an ImportError that names the extra if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401  # here, for the package imports without it
    except ImportError as error:
        raise ImportError(f"{caller} draws with matplotlib; install it: pip install 'skada-active[plot]'.") from error


def new_axes(ax: Any, caller: str) -> Any:
    """Return `ax`, or the axes of a new figure where it is None."""
    require_matplotlib(caller)
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def as_label(value: Any) -> str:
    """Return a value as a short line of text in which nothing is markup of matplotlib."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split()) or repr(str(value))
    text = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
    # A dollar begins a formula, and an underscore in front hides a name from legends.
    return ("\u200b" if text[0] == "_" else "") + text.replace("$", r"\$")


def looks(n: int) -> list[tuple[str, str]]:
    """Return a colour and a marker for each of `n` lines; no pair comes twice in 49."""
    k = len(_COLORS)
    return [(_COLORS[i % k], _MARKERS[(i + i // k) % k]) for i in range(n)]


def class_styles(labels: Iterable[Any]) -> dict[Any, ClassStyle]:
    """Return the style of each class; the rarest ones share one, where there are more than colours."""
    counts = Counter(labels)
    frequent = [label for label, _ in counts.most_common(len(_COLORS))]
    others = [label for label in counts if label not in frequent]
    order = sorted(frequent, key=lambda label: (str(type(label)), label))
    styles = {
        label: ClassStyle(as_label(label), color, marker)
        for label, color, marker in zip(order, _COLORS, _MARKERS, strict=False)
    }
    shared = ClassStyle(f"{len(others)} more", "#444444", "*")
    return styles | dict.fromkeys(others, shared)


def legend_below(ax: Any, handles: list[Any], ncols: int = 3) -> Any:
    """Return a legend below the axes, where it covers no data; narrow axes have one column less."""
    inches = ax.get_position().width * ax.figure.get_figwidth()
    ncols -= inches < _NARROW
    legend = ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=max(1, min(ncols, len(handles))),
        frameon=False,
        fontsize="small",
        columnspacing=1.2,
        handletextpad=0.4,
    )
    for handle in legend.legend_handles:
        if hasattr(handle, "get_sizes"):  # of points, which may be too small to show their colour
            handle.set_sizes(handle.get_sizes().clip(24, 60))
            handle.set_alpha(1)
    return legend


def count_along(axis: Any) -> None:
    """Let an axis have whole numbers, at round steps."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def show_plane(ax: Any, points: NDArray[np.float64], ends: NDArray[np.float64], names: tuple[str, str]) -> None:
    """Let axes show the rectangle between two corners (2, 2), and say how many points lie outside."""
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1], xlabel=names[0], ylabel=names[1])
    n_outside = int((~((points >= ends[0]) & (points <= ends[1])).all(axis=1)).sum())
    if n_outside:
        ax.set_title(f"{n_outside} row(s) lie outside of the picture", fontsize="small", loc="right", color="#555555")
