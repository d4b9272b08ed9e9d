from __future__ import annotations

import subprocess
import sys

import pytest

import skada_active


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


OTHERS = ("torch", "torchvision", "skada", "skorch", "skops", "matplotlib")
LIGHT = ["", ".domains", ".pool", ".query", ".loop", ".selection", ".datasets", ".model_selection", ".io"]
#: Work on arrays and plain estimators.
LIGHT_WORK = """
from sklearn.linear_model import LogisticRegression
from skada_active.io.parameters import describe_parameters
from skada_active.utils.rows import as_rows
as_rows([[1.0]])
skada_active.stack_domains({"A": ([[1.0]], [0]), "B": ([[2.0]], None)}, target="B")
describe_parameters(skada_active.query.LAS(estimator=LogisticRegression()), "strategy")
"""


def loaded_after(statement):
    return run(f"{statement}\nimport sys\nprint(*[name for name in {OTHERS!r} if name in sys.modules])")


def test_neither_import_nor_work_on_arrays_loads_torch_or_an_optional_package():
    # In one process: what an import loads is still there after the next.
    look = f"print(*[name for name in {OTHERS!r} if name in sys.modules])"
    steps = [f"import skada_active{module}\n{look}" for module in LIGHT]
    assert run("\n".join(["import sys", *steps, LIGHT_WORK, look])) == []


def test_deep_import_loads_neither_torchvision_nor_an_optional_package():
    loaded = loaded_after("import skada_active.deep, skada_active.networks")
    assert not {"torchvision", "skada", "matplotlib"} & set(loaded)


def test_import_changes_neither_random_states_nor_the_configuration():
    code = """
import random, numpy, sklearn, torch
def state():
    return (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
            sklearn.get_config(), numpy.geterr(), torch.get_default_dtype(), torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled())
before = state()
import skada_active, skada_active.deep, skada_active.query, skada_active.loop, skada_active.datasets
print(state() == before)
"""
    assert run(code) == ["True"]


def test_every_public_name_is_there():
    for name in skada_active.__all__:
        assert getattr(skada_active, name) is not None
    assert set(skada_active.__all__) <= set(dir(skada_active))


def test_an_unknown_name_is_an_attribute_error():
    name = "no_such_name"
    with pytest.raises(AttributeError, match=name):
        getattr(skada_active, name)
