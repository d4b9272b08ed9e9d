"""The gallery: what its pictures have to pass, its order, and formulas without the network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXTENSIONS = ROOT / "docs" / "_extensions"
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))

pytestmark = pytest.mark.skipif(not EXTENSIONS.is_dir(), reason="the documentation is not part of an installed package")


def extension(name):
    specification = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery():
    pytest.importorskip("matplotlib")
    return extension("gallery")


@pytest.fixture
def panels(gallery):
    """A figure of two panels, of which the left one is filled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([1, 2])
    return figure, right


EMPTY = {
    "nothing": lambda axis: None,
    "a title and a grid": lambda axis: (axis.set_title("later"), axis.grid()),
    "a legend": lambda axis: axis.legend(["later"]),
    "a reference line": lambda axis: axis.axvline(1),
    "no points": lambda axis: axis.scatter([], []),
    "points without a place": lambda axis: axis.plot([np.nan] * 3, "o"),
    "points outside": lambda axis: (axis.scatter([1, 2], [1, 2]), axis.set_xlim(5, 6)),
    "an invisible line": lambda axis: axis.plot([1, 2], visible=False),
    "bars of nothing": lambda axis: axis.hist([]),
}
FILLED = {
    "a line": lambda axis: axis.plot([1, 2]),
    "a point": lambda axis: axis.scatter([1], [1]),
    "bars": lambda axis: axis.bar([1, 2], [1, 2]),
    "an image": lambda axis: axis.imshow(np.eye(3)),
    "a text": lambda axis: axis.text(0.5, 0.5, "no data"),
    "a colour bar": lambda axis: axis.figure.colorbar(axis.pcolormesh(np.eye(3))),
    "a second scale": lambda axis: axis.twinx().plot([1, 2]),
    "no frame": lambda axis: axis.set_axis_off(),
}


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_picture_with_an_empty_panel_is_refused(gallery, panels, draw):
    figure, right = panels
    draw(right)
    with pytest.raises(ValueError, match=r"Panel 1 .* is empty"):
        gallery.check_figure(figure)


@pytest.mark.parametrize("draw", FILLED.values(), ids=FILLED)
def test_a_picture_whose_panels_show_something_passes(gallery, panels, draw):
    figure, right = panels
    draw(right)
    gallery.check_figure(figure)


def test_a_picture_wider_than_the_page_is_refused(gallery, panels):
    figure, right = panels
    right.plot([1, 2])
    figure.set_figwidth(12)
    with pytest.raises(ValueError, match=r"12\.0 inches wide"):
        gallery.check_figure(figure)


def test_tick_labels_on_top_of_each_other_are_refused(gallery, panels):
    figure, right = panels
    right.plot([1, 2])
    right.set_xticks(range(6), ["a long name"] * 6)
    with pytest.raises(ValueError, match="on top of each other"):
        gallery.check_figure(figure)


def test_a_legend_wider_than_its_panel_is_refused(gallery, panels):
    figure, right = panels
    right.plot([1, 2], label="a label that says much more than there is room for in so narrow a panel")
    right.legend()
    with pytest.raises(ValueError, match="narrower than its legend"):
        gallery.check_figure(figure)


def test_the_figures_of_a_block_are_checked_before_they_are_saved(gallery):
    pytest.importorskip("sphinx_gallery")
    from matplotlib import pyplot

    with pyplot.rc_context({"backend": "agg"}):
        pyplot.subplots(1, 2)  # filled by a later block
        try:
            with pytest.raises(ValueError, match="is empty"):
                gallery.scrape(None, {}, {})
        finally:
            pyplot.close("all")


def test_the_gallery_has_every_example_in_order_of_reading(gallery):
    assert sorted(gallery.ORDER) == [path.stem for path in EXAMPLES]
    assert sorted(EXAMPLES, key=gallery.by_reading_order)[0].stem == "plot_quickstart"


def test_a_formula_becomes_mathml():
    pytest.importorskip("math_core")
    pytest.importorskip("sphinx")
    assert extension("mathml").to_mathml(r"\frac{a}{b}", block=True).startswith('<math display="block">')


def test_a_formula_that_cannot_be_shown_is_an_error():
    pytest.importorskip("math_core")
    pytest.importorskip("sphinx")
    with pytest.raises(Exception, match="has no MathML"):
        extension("mathml").to_mathml(r"\unknown{a}", block=False)
