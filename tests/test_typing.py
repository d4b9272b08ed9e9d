"""What type checkers see of the package in a user's script."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest

import skada_active

ROOT = Path(skada_active.__file__).parents[1]

CORRECT = """
from skada_active import ActiveAdaptationLoop, AdaptationClassifier, datasets, recipes
from skada_active.query import MarginSampling

X, y, sample_domain = datasets.make_shifted_blobs(random_state=0)
strategy = MarginSampling()
loop = ActiveAdaptationLoop(AdaptationClassifier(), strategy, budget=3)
loop.fit(X, y, sample_domain=sample_domain)
print(loop.score(X, y), recipes.sdm(budget=0.1).n_rounds)
"""
SCRIPTS = {
    "correct": CORRECT,
    "argument": CORRECT.replace("sample_domain=sample_domain)", "sample_domain=sample_domain, bugdet=3)"),
    "strategy": CORRECT.replace("MarginSampling()", '"margin"'),
    "name": CORRECT.replace("datasets, recipes", "datasets, recipes, NoSuchName"),
}
# Other packages are taken as they are, so that a check takes seconds.
MYPY_CONFIG = """
[mypy]
follow_imports = silent
ignore_missing_imports = True
[mypy-pandas.*,scipy.*,sklearn.*,skorch.*,torch.*,torchvision.*]
follow_imports = skip
"""


def check(checker, folder):
    """Return the output of the checker for all scripts in the folder."""
    scripts = [f"{name}.py" for name in SCRIPTS]
    if checker == "mypy":
        Path(folder, "mypy.ini").write_text(MYPY_CONFIG)
        command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", "--cache-dir=cache", *scripts]
    else:
        command = ["pyright", "--pythonpath", sys.executable, "--outputjson", *scripts]
    # An installed package is found without a path, and mypy refuses the folder of installed packages as one.
    path = {} if "site-packages" in ROOT.parts else {"MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **path}, capture_output=True, text=True, check=False, timeout=300
    ).stdout


def mypy_errors(output):
    return [(name, int(line)) for name, line in re.findall(r"^(\w+)\.py:(\d+): error", output, re.MULTILINE)]


def pyright_errors(output):
    found = json.loads(output)["generalDiagnostics"]
    return [(Path(one["file"]).stem, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"]


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def flagged(request, tmp_path_factory):
    """The lines that the checker flags, by script."""
    checker = request.param
    if find_spec("mypy") is None if checker == "mypy" else shutil.which("pyright") is None:
        pytest.skip(f"{checker} is not installed")
    folder = tmp_path_factory.mktemp(checker)
    for name, script in SCRIPTS.items():
        Path(folder, f"{name}.py").write_text(script)
    lines = defaultdict(set)
    for name, line in (mypy_errors if checker == "mypy" else pyright_errors)(check(checker, folder)):
        lines[name].add(SCRIPTS[name].splitlines()[line - 1])
    return lines


def test_a_correct_script_has_no_error(flagged):
    assert flagged["correct"] == set()


def test_a_misspelled_argument_is_an_error(flagged):
    assert flagged["argument"] == {"loop.fit(X, y, sample_domain=sample_domain, bugdet=3)"}


def test_a_strategy_given_by_its_name_is_an_error(flagged):
    assert flagged["strategy"] == {"loop = ActiveAdaptationLoop(AdaptationClassifier(), strategy, budget=3)"}


def test_a_name_that_is_not_exported_is_an_error(flagged):
    assert flagged["name"] == {
        "from skada_active import ActiveAdaptationLoop, AdaptationClassifier, datasets, recipes, NoSuchName"
    }


def test_type_checkers_know_every_public_name():
    block = Path(skada_active.__file__).read_text().partition("if TYPE_CHECKING:")[2].partition("\nelse:")[0]
    assert set(skada_active.__all__) <= set(re.findall(r"\w+", block))
