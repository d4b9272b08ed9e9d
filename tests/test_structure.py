"""The package's own rules of structure, read from its source."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from pkgutil import resolve_name

import pytest

import skada_active

ROOT = Path(skada_active.__file__).parent
# The ground first: a module imports from its own floor and from those below. The package's face stands on all of them.
FLOORS = [
    {"_version", "domains", "exceptions", "labels", "stacking", "utils"},
    {"io", "selection"},
    {"pool"},
    {"datasets", "metrics", "networks"},
    {"deep"},
    {"embedding", "query", "source_free"},
    {"model_selection"},
    {"session"},
    {"loop"},
    {"inspection"},
    {"recipes"},
    {"experiments"},
    {"cli"},
    {"testing"},
    {""},
]


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
FACES = {name for name, path in PATHS.items() if path.name == "__init__.py"}
DOCS = Path(__file__).parents[1] / "docs"
has_docs = pytest.mark.skipif(not DOCS.exists(), reason="the documentation is not part of an installed package")


def imports(tree):
    """Yield what a module imports anywhere in it, as pairs of a module and a name in it (None: the module itself)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def arrows(tree):
    """Return the modules of the package that a module imports, for type checkers alone and in functions too."""
    found = {f"{module}.{name}" if f"{module}.{name}" in TREES else module for module, name in imports(tree)}
    return found & TREES.keys()


def part(module):
    return module.split(".")[1] if "." in module else ""


def test_imports_make_no_circle():
    TopologicalSorter({name: arrows(tree) for name, tree in TREES.items()}).prepare()  # its error names a circle


def test_every_part_has_its_floor():
    assert {part(name) for name in TREES} <= set().union(*FLOORS)


def test_no_module_imports_from_a_floor_above():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    upwards = [
        f"{name} -> {to}" for name, tree in TREES.items() for to in arrows(tree) if floor[part(to)] > floor[part(name)]
    ]
    assert not upwards, "\n".join(sorted(upwards))


def test_private_names_of_scikit_learn_are_imported_in_one_place():
    private = {
        name
        for name, tree in TREES.items()
        for module, member in imports(tree)
        if re.match(r"sklearn\.", f"{module}.") and re.search(r"\._(?!_)", f".{module}.{member}")
    }
    assert private == {"skada_active.utils._sklearn"}


def test_every_module_postpones_its_annotations():
    late = {name for name, tree in TREES.items() if ("__future__", "annotations") in imports(tree)}
    assert TREES.keys() - late - FACES == set()


def test_every_module_says_what_it_exports():
    with_code = {name for name, tree in TREES.items() if len(tree.body) > 1}
    exporting = {
        name
        for name, tree in TREES.items()
        if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body)
    }
    assert with_code - exporting == set()


def test_every_docstring_of_a_module_begins_with_the_thing():
    first_lines = {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in TREES.items()}
    others = [f"{name}: {line}" for name, line in first_lines.items() if re.match(r"$|(What|Which|Who|How)\b", line)]
    assert not others, "\n".join(others)


def test_warnings_are_given_in_one_place():
    warning = {
        name
        for name, tree in TREES.items()
        if ("warnings", "warn") in imports(tree)
        or any(isinstance(node, ast.Attribute) and ast.unparse(node) == "warnings.warn" for node in ast.walk(tree))
    }
    assert warning == {"skada_active.utils.warn"}


def reachable(pairs):
    """Return the pairs of parts of which the first reaches the second, over any number of arrows."""
    pairs = set(pairs)
    while further := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs |= further
    return pairs


@has_docs
def test_the_picture_of_the_folders_has_the_imports_of_the_code():
    picture = (DOCS / "layers.svg").read_text(encoding="utf-8")
    ground = {*FLOORS[0], ""}
    pairs = {(part(name), part(to)) for name, tree in TREES.items() for to in arrows(tree)}
    drawn = {tuple(arrow.split()) for arrow in re.findall('data-arrow="(.+?)"', picture)}
    assert reachable(drawn) == reachable((a, b) for a, b in pairs if a != b and not {a, b} & ground)
    assert set().union(*FLOORS[1:]) - {""} == set(re.findall(r'class="name".*?>(\w+)<', picture))


@has_docs
def test_the_names_in_the_life_of_a_round_exist():
    page = (DOCS / "internals.rst").read_text(encoding="utf-8")
    names = re.findall(
        r"``([a-z_]+\.[\w.]+)``", page[page.index("The life of a round") : page.index("Two things follow")]
    )
    assert len(names) > 15
    for name in names:
        assert resolve_name(f"skada_active.{name}")
