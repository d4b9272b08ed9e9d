"""Comparisons on a cluster of dask."""

from __future__ import annotations

import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop, recipes
from skada_active.datasets import make_shifted_blobs
from skada_active.experiments import Results, compare
from skada_active.query import MarginSampling

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_cluster_gives_the_same_bits(client, tmp_path):
    methods = {
        "network": recipes.baseline(MarginSampling(), max_epochs=1, round_epochs=1),
        "logistic regression": ActiveAdaptationLoop(LogisticRegression(), MarginSampling()),
    }
    arguments = {"tasks": {"blobs": make_shifted_blobs(random_state=0)}, "seeds": [0, 1], "budget": 4, "n_rounds": 2}
    here = compare(methods, **arguments)
    with parallel_config(backend="dask"):
        there = compare(methods, **arguments, store=tmp_path / "runs.db")
    for run, same in zip(there.runs, here.runs, strict=True):
        assert (run["method"], run["seed"], run["curves"]) == (same["method"], same["seed"], same["curves"])
    assert Results.from_store(tmp_path / "runs.db").runs != []
    assert len(client.scheduler_info()["workers"]) == 2
