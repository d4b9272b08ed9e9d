"""Command line: a campaign from a table to a report, and what a user's mistakes look like."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from skada_active.cli import main
from skada_active.datasets import make_shifted_blobs
from skada_active.io import load, save
from skada_active.source_free import SourceModel


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a table of two sites with texts and gaps, in a file of the working folder; the target has no label."""
    monkeypatch.chdir(tmp_path)
    X, y, sample_domain = make_shifted_blobs(n_source=60, n_target=40, random_state=0)
    frame = pd.DataFrame(X, columns=[f"blood {number}" for number in range(X.shape[1])])
    frame.iloc[3, 0] = np.nan
    frame["sex"] = np.where(np.arange(len(y)) % 3, "f", "m")
    frame["patient"] = np.arange(len(y)) + 1000
    frame["site"] = np.where(sample_domain < 0, "ward b", "ward a")
    frame["diagnosis"] = np.array(["healthy", "ill", "unsure"], dtype=object)[y % 3]
    answers = dict(enumerate(frame["diagnosis"]))
    frame.loc[frame["site"] == "ward b", "diagnosis"] = None
    frame.to_csv("patients.csv", index=False)
    return answers


INIT = ["init", "patients.csv", "--target", "ward b", "--domain", "site", "--label", "diagnosis", "--drop", "patient"]


def fill_in(answers, path="questions.csv"):
    questions = pd.read_csv(path)
    questions["label"] = [answers[row] for row in questions["id"]]
    questions.to_csv(path, index=False)
    return questions


def run(capsys, *words):
    """Return what a command printed as JSON."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_campaign_from_a_table_to_the_model(table, capsys):
    assert run(capsys, *INIT, "--budget", "6", "--rounds", "2")["budget"] == 6
    for _ in range(2):
        assert run(capsys, "ask") == {"questions": 3, "state": "waiting for answers", "output": "questions.csv"}
        questions = fill_in(table)
        assert {"sex", "blood 0", "prediction"} <= {*questions}
        assert "patient" not in questions
        assert run(capsys, "tell", "questions.csv")["answers"] == 3
    assert main(["ask"]) == 0
    assert capsys.readouterr().out == "nothing to ask: done: the budget is spent\n"
    assert run(capsys, "status")["n_labels"] == 6
    assert run(capsys, "export", "--model", "adapted.skops")["predictions"] == 40
    predictions = pd.read_csv("predictions.csv")
    assert predictions["label"].notna().sum() == 6
    patients = pd.read_csv("patients.csv").drop(columns=["site", "diagnosis", "patient"])
    np.testing.assert_array_equal(
        load("adapted.skops").predict(patients.loc[predictions["id"]]), predictions["prediction"]
    )
    assert main(["report", "--output", "pages/report.html"]) == 0
    assert "ward" not in capsys.readouterr().err


def test_a_round_may_be_answered_in_parts(table, capsys):
    main([*INIT, "--budget", "4", "--rounds", "1"])
    main(["ask"])
    questions = fill_in(table)
    questions.head(1).to_csv("one.csv", index=False)
    assert run(capsys, "tell", "one.csv") if capsys.readouterr() else None
    assert run(capsys, "ask")["questions"] == 3
    questions["label"] = "skip"
    questions.tail(1).to_csv("skipped.csv", index=False)
    assert run(capsys, "tell", "skipped.csv") == {"answers": 1, "state": "waiting for answers"}


def test_a_kill_between_two_days_loses_no_answer(table, capsys):
    main([*INIT, "--budget", "8", "--rounds", "2"])
    main(["ask"])
    fill_in(table)
    command = [sys.executable, "-m", "skada_active.cli"]
    with subprocess.Popen([*command, "tell", "questions.csv"], stdout=subprocess.DEVNULL) as process:
        before = os.path.getmtime("campaign/labels.db")
        deadline = time.monotonic() + 60
        while os.path.getmtime("campaign/labels.db") == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    capsys.readouterr()
    recorded = run(capsys, "status")["n_labels"]
    assert recorded in (0, 4)  # of one table all or none
    assert run(capsys, "tell", "questions.csv")["answers"] == 4 - recorded
    assert run(capsys, "ask")["questions"] == 4


def test_a_model_that_was_handed_over_goes_on(table, capsys):
    X, y, _ = make_shifted_blobs(n_source=60, n_target=40, random_state=0)
    model = LogisticRegression().fit(X[:60], np.array(["healthy", "ill", "unsure"])[y[:60] % 3])
    save(model, "model.skops")
    SourceModel.from_fit(LogisticRegression(), X[:60], y[:60] % 3, random_state=0).save("source.skops")
    rows = pd.DataFrame(X[60:]).assign(site="ward b", diagnosis=None)
    rows.to_csv("ward_b.csv", index=False)
    words = ["ward_b.csv", "--target", "ward b", "--domain", "site", "--label", "diagnosis", "--budget", "2"]
    for number, name in enumerate(["model.skops", "source.skops"]):
        run(capsys, "init", *words, "--model", name, "--rounds", "1", "--folder", f"campaign {number}")
        assert run(capsys, "ask", "--folder", f"campaign {number}")["questions"] == 2


def test_archives_and_images_are_data_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y, sample_domain = make_shifted_blobs(n_source=60, n_target=40, random_state=0)
    names = np.where(sample_domain < 0, "b", "a")
    np.savez("rows.npz", X=X, y=np.where(sample_domain < 0, -1, y), domain=names)
    words = ["--target", "b", "--label", "y", "--budget", "2", "--rounds", "1"]
    assert run(capsys, "init", "rows.npz", *words)["pool"] == 40
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "photos" / ("b" if number % 2 else f"a/{('cat', 'dog')[number % 4 // 2]}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    words = ["--target", "b", "--budget", "2", "--rounds", "1", "--image-size", "16", "--folder", "images"]
    assert run(capsys, "init", "photos", *words)["pool"] == 6
    assert run(capsys, "ask", "--folder", "images")["questions"] == 2
    assert pd.read_csv("questions.csv")["index"].str.endswith(".png").all()


def test_methods_are_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y, sample_domain = make_shifted_blobs(random_state=0)
    np.savez("rows.npz", X=X, y=y, domain=np.where(sample_domain < 0, "b", "a"))
    config = {
        "methods": {"margin": {"strategy": "MarginSampling"}, "random": {"strategy": "randomsampling"}},
        "tasks": {"a -> b": {"path": "rows.npz", "target": ["b"], "label": "y"}},
        **{"seeds": [0, 1], "budget": 4, "n_rounds": 2},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = run(capsys, "compare", "config.json")
    assert (found["methods"], found["tasks"], found["failed"]) == (["margin", "random"], ["a -> b"], 0)
    assert np.shape(found["mean"]) == (2, 1)
    assert main(["compare", "config.json"]) == 0
    assert capsys.readouterr().out.startswith("| method | a -> b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status"], "campaign holds no campaign; begin one by: skada-active init"),
        (["init", "nothing.csv", "--target", "b"], "nothing.csv does not exist"),
        (["init", "patients.csv", "--target", "ward b"], "patients.csv has no column 'domain'"),
        (
            [*INIT[:3], "ward c", *INIT[4:]],
            "patients.csv; there are ['ward a', 'ward b']",
        ),
        ([*INIT, "--source", "ward b"], "'ward b' is named as source and as target"),
        ([*INIT, "--strategy", "margins"], "strategy 'margins' is not known; there are ["),
        ([*INIT, "--recipe", "sdm", "--strategy", "BADGE"], "recipe='sdm' has its own model and strategy"),
        ([*INIT, "--budget", "-3"], "budget"),
        ([*INIT, "--model", "model.skops"], "model.skops"),
        (["init", "notes.txt", "--target", "b"], "notes.txt must end in .csv"),
        (["compare", "notes.txt"], "notes.txt is no JSON"),
    ],
)
def test_a_mistake_is_named_in_one_line_without_a_traceback(table, tmp_path, capsys, words, message):
    (tmp_path / "notes.txt").write_text("words")
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("skada-active: ")
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "campaign" / "campaign.json").exists()


def test_mistakes_in_answers_are_named_and_the_others_recorded(table, capsys):
    main([*INIT, "--budget", "4", "--rounds", "1"])
    main(["ask"])
    questions = fill_in(table)
    questions.loc[0, "label"] = "dead"
    questions.to_csv("questions.csv", index=False)
    capsys.readouterr()
    assert main(["tell", "questions.csv"]) == 1
    assert "'dead'" in capsys.readouterr().err
    assert run(capsys, "status")["n_labels"] == 3


def test_a_campaign_is_not_begun_twice(table, capsys):
    assert main(INIT) == 0
    assert main(INIT) == 1
    assert "holds a campaign already" in capsys.readouterr().err


def test_a_campaign_that_cannot_be_trained_leaves_nothing(table, capsys):
    pd.read_csv("patients.csv").assign(diagnosis=None).to_csv("unlabelled.csv", index=False)
    assert main(["init", "unlabelled.csv", *INIT[2:]]) == 1
    assert main(INIT) == 0


def test_a_wrong_command_is_one_of_the_command_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["label"])
    assert "invalid choice" in capsys.readouterr().err


def test_the_program_is_installed():
    result = subprocess.run([sys.executable, "-m", "skada_active.cli", "--version"], capture_output=True, text=True)
    assert result.stdout.startswith("skada-active 0.")
