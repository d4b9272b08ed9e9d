"""Histories as plain values."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.metrics import history_records
from skada_active.query import CoreSet


@pytest.fixture
def loop(blobs):
    X, y, sample_domain = blobs
    names = np.array(["a", "b", "c"])[y]
    loop = ActiveAdaptationLoop(
        LogisticRegression(), CoreSet(), budget=4, n_rounds=2, scoring="f1_macro", random_state=0
    )
    return loop.fit(X, names, sample_domain=sample_domain)


def test_records_go_through_json_and_come_back_the_same(loop):
    records = history_records(loop)
    assert json.loads(json.dumps(records, allow_nan=False)) == records


def test_there_is_a_record_for_every_model(loop):
    assert [record["round"] for record in history_records(loop)] == [0, 1, 2]
    assert history_records(loop.history_) == history_records(loop)[1:]
    assert history_records(loop.session_) == history_records(loop)


def test_records_hold_what_the_history_does(loop):
    record, entry = history_records(loop)[1], loop.history_[0]
    assert list(record) == list(entry)
    assert record["ids"] == entry["ids"].tolist()
    assert record["utilities"] == [None, None]  # this strategy has none: NaN, which JSON has not
    assert record["f1_macro"] == entry["f1_macro"]


def test_records_become_tables(loop):
    assert len(pd.DataFrame(history_records(loop))) == 3
    curve = pd.json_normalize(history_records(loop))["accuracy.unqueried"]
    assert curve.tolist() == loop.learning_curve()[1].tolist()


def test_labels_of_any_type_are_keys_as_text(blobs):
    X, y, sample_domain = blobs
    session = ActiveAdaptationLoop(LogisticRegression(), budget=2, n_rounds=1, random_state=0).session(
        X, mask_target(y > 0, sample_domain), sample_domain=sample_domain
    )
    session.tell(session.ask(), [True, False])
    assert history_records(session)[-1]["class_counts"] == {"False": 1, "True": 1}
