"""Comparisons of methods over tasks and seeds."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.datasets import make_shifted_blobs
from skada_active.experiments import Results, compare
from skada_active.query import EntropySampling, MarginSampling, RandomSampling

STRATEGIES = {"margin": MarginSampling(), "random": RandomSampling()}
METHODS = {name: ActiveAdaptationLoop(LogisticRegression(), strategy) for name, strategy in STRATEGIES.items()}
BUDGET = {"budget": 6, "n_rounds": 2}


def blobs(seed=0):
    return make_shifted_blobs(random_state=seed)


def more_blobs():
    calls.append("more blobs")
    return blobs(1)


calls: list[str] = []
TASKS = {"blobs": blobs(), "more blobs": more_blobs}


class Unlucky(DecisionTreeClassifier):
    """Model that some data are too much for."""

    def fit(self, X, y, sample_weight=None, **params):
        if len(X) > 205:
            raise RuntimeError("too many rows")
        return super().fit(X, y, sample_weight=sample_weight)


def without_times(results):
    return [{name: value for name, value in run.items() if name not in TIMES} for run in results.runs]


TIMES = {"started", "seconds", "phase_seconds"}


def test_every_method_runs_on_every_task_with_every_seed():
    results = compare(METHODS, TASKS, seeds=[3, 5], **BUDGET)
    assert (results.methods, results.tasks, results.seeds) == (["margin", "random"], ["blobs", "more blobs"], [3, 5])
    assert len({(run["method"], run["task"], run["seed"]) for run in results.runs}) == 8
    assert {tuple(run["n_queries"]) for run in results.runs} == {(0, 3, 6)}
    assert not np.isnan(results.values()).any()


def test_a_run_is_that_of_the_loop_alone():
    X, y, sample_domain = blobs()
    loop = METHODS["margin"].set_params(random_state=None)
    results = compare({"margin": loop}, {"blobs": (X, y, sample_domain)}, seeds=[4], test_size=None, **BUDGET)
    loop = ActiveAdaptationLoop(LogisticRegression(), MarginSampling(), random_state=4, **BUDGET)
    loop.fit(X, y, sample_domain=sample_domain)
    for group in ("unqueried", "transductive"):
        n_queries, (values,) = results.curves("blobs", group=group)["margin"]
        np.testing.assert_array_equal(n_queries, loop.learning_curve(group)[0])
        np.testing.assert_array_equal(values, loop.learning_curve(group)[1])


def test_methods_are_strategies_and_recipes_too():
    methods = {"entropy": EntropySampling(), "sdm": recipes.sdm(max_epochs=1, round_epochs=1)}
    results = compare(methods, {"blobs": blobs()}, seeds=[0], budget=2, n_rounds=1)
    assert not results.failures


def test_a_budget_of_their_own_stays():
    results = compare({"few": METHODS["random"].set_params(budget=[1])}, {"blobs": blobs()}, seeds=[0])
    METHODS["random"].set_params(budget=0.05)
    assert results.runs[0]["n_queries"] == [0, 1]


def test_backends_give_the_same_bits():
    networks = {"network": recipes.baseline(MarginSampling(), max_epochs=2, round_epochs=1), **METHODS}
    first = compare(networks, {"blobs": blobs()}, seeds=[0], n_jobs=1, **BUDGET)
    for backend in ("loky", "threading"):
        with parallel_config(backend=backend, n_jobs=2):
            assert without_times(compare(networks, {"blobs": blobs()}, seeds=[0], **BUDGET)) == without_times(first)


def test_a_store_keeps_what_is_done(tmp_path):
    store = tmp_path / "runs.db"
    first = compare(METHODS, TASKS, seeds=[0], store=store, **BUDGET)
    calls.clear()
    again = compare(METHODS, TASKS, seeds=[0, 1], store=store, n_jobs=1, **BUDGET)
    assert calls == ["more blobs"] * 3  # for its hash, and the two runs of the new seed
    assert [run for run in again.runs if run["seed"] == 0] == first.runs
    assert Results.from_store(store).runs == again.runs


@pytest.mark.parametrize(
    "change",
    [
        {"methods": {"margin": ActiveAdaptationLoop(LogisticRegression(C=2.0), MarginSampling())}},
        {"tasks": {"blobs": blobs(7)}},
        {"budget": 4},
        {"test_size": 0.3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_a_run_makes_another_one(tmp_path, change):
    same = {"methods": {"margin": METHODS["margin"]}, "tasks": {"blobs": blobs()}, "seeds": [0], **BUDGET}
    store = tmp_path / "runs.db"
    before = compare(**same, store=store)
    assert compare(**{**same, **change}, store=store).runs[0]["started"] >= before.runs[0]["started"]
    assert Results.from_store(store).runs[0]["key"] != before.runs[0]["key"]
    assert compare(**same, store=store).runs == before.runs


def test_a_new_name_runs_nothing_anew(tmp_path):
    before = compare(METHODS, {"blobs": blobs()}, seeds=[0], store=tmp_path / "runs.db", **BUDGET)
    renamed = {f"{name} rows": method for name, method in METHODS.items()}
    after = compare(renamed, {"shifted": blobs()}, seeds=[0], store=tmp_path / "runs.db", **BUDGET)
    assert after.methods == ["margin rows", "random rows"]
    assert [run["seconds"] for run in after.runs] == [run["seconds"] for run in before.runs]


def test_failures_are_kept_with_their_traceback_and_tried_again(tmp_path):
    store = tmp_path / "runs.db"
    methods = {"tree": ActiveAdaptationLoop(Unlucky(), RandomSampling()), **METHODS}
    with pytest.warns(UserWarning, match=r"1 of 3 runs failed, first 'tree' on 'blobs' with seed 0: .*too many rows"):
        results = compare(methods, {"blobs": blobs()}, seeds=[0], store=store, budget=40, n_rounds=4)
    assert len(results.runs) == 2
    assert "in fit" in results.failures[0]["error"]
    assert np.isnan(results.values()[0, 0, 0])
    assert "tree" in results.to_markdown()
    with pytest.warns(UserWarning, match="1 of 3 runs failed"):
        again = compare(methods, {"blobs": blobs()}, seeds=[0], store=store, budget=40, n_rounds=4)
    assert again.failures[0]["started"] >= results.failures[0]["started"]
    assert again.runs == results.runs


SCRIPT = """
import sys, time
from sklearn.linear_model import LogisticRegression
from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.experiments import compare
from skada_active.query import RandomSampling

class Slow(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        time.sleep(0.02)
        return super().fit(X, y, sample_weight)

loop = ActiveAdaptationLoop(Slow(), RandomSampling(), budget=2, n_rounds=1)
tasks = {str(seed): make_shifted_blobs(random_state=seed) for seed in range(3)}
compare({"random": loop}, tasks, seeds=range(8), store=sys.argv[1])
"""


def n_entries(store):
    with suppress(sqlite3.Error), sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
    return 0


def test_a_kill_loses_no_run_and_repeats_none(tmp_path):
    store, script = tmp_path / "runs.db", tmp_path / "experiment.py"
    script.write_text(SCRIPT)
    seen = {}
    for delay in (0.1, 0.3):
        process = subprocess.Popen([sys.executable, script, store], stderr=subprocess.DEVNULL)
        n_before = len(seen)
        deadline = time.monotonic() + 60
        while n_entries(store) < n_before + 2:  # the start of the journal is one
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        done = {(run["task"], run["seed"]): run for run in Results.from_store(store).runs}
        assert seen.items() <= done.items()
        assert len(done) > n_before
        seen = done
    subprocess.run([sys.executable, script, store], check=True, timeout=120)
    runs = Results.from_store(store).runs
    assert len(runs) == 24
    assert seen.items() <= {(run["task"], run["seed"]): run for run in runs}.items()


def test_a_store_in_use_is_refused(tmp_path):
    compare(METHODS, {"blobs": blobs()}, seeds=[0], store=tmp_path / "runs.db", **BUDGET)
    script = (
        "import sys, time; from skada_active.experiments.store import RunStore; store = RunStore(sys.argv[1]); "
        "print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "runs.db"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(BlockingIOError, match="open in another process"):
            compare(METHODS, {"blobs": blobs()}, seeds=[0], store=tmp_path / "runs.db", **BUDGET)
        process.kill()


def test_a_file_of_something_else_is_refused(tmp_path):
    X, y, sample_domain = blobs()
    path = tmp_path / "labels.db"
    loop = ActiveAdaptationLoop(LogisticRegression(), RandomSampling(), budget=2)
    loop.session(X, np.where(sample_domain < 0, -1, y), sample_domain=sample_domain, journal=path).close()
    with pytest.raises(ValueError, match="something else than experiments"):
        compare(METHODS, {"blobs": blobs()}, seeds=[0], store=path, **BUDGET)
    (tmp_path / "notes.txt").write_text("no database")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        compare(METHODS, {"blobs": blobs()}, seeds=[0], store=tmp_path / "notes.txt", **BUDGET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {}}, "methods must be a dict of at least one name"),
        ({"methods": [MarginSampling()]}, "methods must be a dict"),
        ({"methods": {"tree": DecisionTreeClassifier()}}, r"methods\['tree'\] must be .*ActiveAdaptationLoop\(classif"),
        ({"tasks": {}}, "tasks must be a dict"),
        ({"tasks": {"blobs": blobs()[:2]}}, r"tasks\['blobs'\] must be a tuple .* got tuple of 2"),
        ({"tasks": {"blobs": 3}}, r"tasks\['blobs'\] must be a tuple .* got int"),
        ({"seeds": []}, "seeds="),
        ({"seeds": 3}, "seeds="),
    ],
)
def test_bad_arguments_are_refused_before_any_run(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        compare(**{"methods": METHODS, "tasks": {"blobs": blobs()}, "seeds": [0], **change})


def test_a_function_without_a_name_is_refused_with_a_store(tmp_path):
    loop = recipes.baseline(RandomSampling(), module=lambda shape: None)
    with pytest.raises(ValueError, match=r"methods\['net'\] has a function in .*module"):
        compare({"net": loop}, {"blobs": blobs()}, seeds=[0], store=tmp_path / "runs.db")


def test_records_are_plain_json():
    results = compare(METHODS, {"blobs": blobs()}, seeds=[0], **BUDGET)
    assert json.loads(json.dumps(results.runs)) == results.runs
