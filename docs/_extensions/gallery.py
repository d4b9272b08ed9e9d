"""Order of the gallery of examples, and the checks that its pictures have to pass."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg

__all__ = ["ORDER", "ReadingOrder", "by_reading_order", "check_figure", "scrape"]

#: From the first steps to the methods of single papers.
ORDER = (
    "plot_quickstart",
    "plot_strategy_alone",
    "plot_person_in_the_loop",
    "plot_source_free",
    "plot_inspection",
    "plot_images",
    "plot_image_folders",
    "plot_texts",
    "plot_grid_search",
    "plot_sdm",
    "plot_lada",
    "plot_sage",
    "plot_gala",
    "plot_gsda",
)

#: Widest figure, in inches, whose letters of 10 points can be read at the width of the page.
MAX_WIDTH = 8.0


def by_reading_order(path: str) -> int:
    """Return the place of an example in the gallery."""
    return ORDER.index(Path(path).stem)


class ReadingOrder:
    """Sort key of the examples of a folder, in the form that sphinx-gallery asks for."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> int:
        """Return the place of an example in the gallery."""
        return by_reading_order(filename)

    def __repr__(self) -> str:
        return "<ReadingOrder>"  # the same in every build, as it is part of the configuration


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Check the figures that a block of an example has left open, and save them as sphinx-gallery does."""
    from matplotlib import pyplot
    from sphinx_gallery.scrapers import matplotlib_scraper

    for number in pyplot.get_fignums():
        check_figure(pyplot.figure(number))
    return matplotlib_scraper(block, block_vars, gallery_conf)


def check_figure(figure: Any) -> None:
    """Raise a ValueError if a figure cannot be read: empty panels, overlaps, too wide a page.

    A figure is checked as it is captured, at the end of the block that made it: what a later block draws on it is lost.
    """
    if figure.get_figwidth() > MAX_WIDTH:
        raise ValueError(f"The figure is {figure.get_figwidth()} inches wide; the page shows {MAX_WIDTH} legibly.")
    figure.canvas.draw()
    drawn = {axis.get_position().bounds for axis in figure.axes if _draws_data(axis)}
    for number, axis in enumerate(figure.axes):
        name = f"Panel {number} ({axis.get_title() or axis.get_xlabel() or 'without a title'})"
        if axis.get_visible() and axis.axison and axis.get_position().bounds not in drawn:
            raise ValueError(f"{name} is empty at the end of the block that made it.")
        if axis.get_legend() and axis.get_legend().get_window_extent().width > axis.bbox.width:
            raise ValueError(f"{name} is narrower than its legend.")
        for side in (axis.xaxis, axis.yaxis):
            labels = [label for label in side.get_ticklabels() if label.get_visible() and label.get_text()]
            boxes = [label.get_window_extent() for label in labels]
            if any(one.overlaps(other) for one, other in pairwise(boxes)):
                raise ValueError(f"{name} has tick labels on top of each other: {[x.get_text() for x in labels]}.")


def _draws_data(axis: Any) -> bool:
    """Tell whether data or a text leave a trace inside of the axes; a grid, a legend or a reference line is no data."""
    data = (
        [*axis.lines, *axis.collections, *axis.patches, *axis.images] if np.isfinite(axis.dataLim.bounds).all() else []
    )
    paper = RendererAgg(*axis.figure.canvas.get_width_height(), axis.figure.dpi)
    for artist in (*data, *axis.texts, *axis.tables):
        artist.draw(paper)
    return bool(np.asarray(paper.buffer_rgba())[..., 3].any())
