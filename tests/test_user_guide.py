"""The code of the user guide runs: the Python blocks of each page in order, in one namespace."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from skada_active import deep, query

GUIDE = Path(__file__).parents[1] / "docs" / "user_guide"
WIDTH = 96  # characters of code that a page shows in one line
BLOCK = re.compile(r"^( *)\.\. code-block:: python\n((?:\1 +:.*\n)*)\n((?:(?:\1 +.*)?\n)+)", re.MULTILINE)
PAGES = sorted(path for path in GUIDE.glob("*.rst") if "code-block:: python" in path.read_text(encoding="utf-8"))


def blocks(path):
    """Yield the line and the code of every Python block of a page."""
    text = path.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        yield text.count("\n", 0, match.start(3)) + 1, textwrap.dedent(match[3])


@pytest.mark.skipif(not PAGES, reason="the user guide is not part of an installed package")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ModuleType("page_of_the_user_guide")  # a module, so that the classes of a page can be pickled
    monkeypatch.setitem(sys.modules, page.__name__, page)
    for line, code in blocks(path):
        # As many empty lines as the page has above it: an error shows the line of the page.
        exec(compile("\n" * (line - 1) + code, str(path), "exec"), vars(page))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_block_of_a_page_is_found(path):
    assert len(list(blocks(path))) == path.read_text(encoding="utf-8").count("code-block:: python")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_fits_its_width(path):
    lines = [line for _, code in blocks(path) for line in code.splitlines()]
    assert [line for line in lines if len(line) > WIDTH] == []


def exported(module, base):
    kinds = [getattr(module, name) for name in module.__all__]
    return [kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, base) and kind is not base]


@pytest.mark.skipif(not PAGES, reason="the user guide is not part of an installed package")
@pytest.mark.parametrize("page", ["strategies", "adaptation"])
def test_every_exported_strategy_and_objective_has_its_line(page):
    names = exported(query, query.QueryStrategy) if page == "strategies" else exported(deep, deep.Objective)
    for path in (GUIDE / f"{page}.rst", GUIDE.parents[1] / "README.md"):
        text = path.read_text(encoding="utf-8")
        assert [name for name in names if f"`{name}`" not in text and name != "ObjectiveSum"] == []
