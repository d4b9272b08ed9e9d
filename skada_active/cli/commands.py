"""Commands of the command line: each returns what it says, as words and as values for JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skada_active import experiments, inspection
from skada_active.cli.campaign import Campaign, DataFile, make_loop, read_table
from skada_active.io import save
from skada_active.utils.rows import take_rows

__all__ = ["ask", "compare", "export", "init", "report", "status", "tell"]

Answer = tuple[str, dict[str, Any]]


def init(options: argparse.Namespace) -> Answer:
    """Begin a campaign."""
    data = DataFile(
        options.data,
        options.target,
        options.source,
        options.domain,
        options.label,
        tuple(options.drop),
        options.image_size,
    )
    loop = {name: getattr(options, name) for name in ("recipe", "model", "strategy", "budget", "audit")}
    loop |= {"n_rounds": options.rounds, "random_state": options.seed}
    Campaign.create(options.folder, data, {name: value for name, value in loop.items() if value is not None})
    return status(options)


def ask(options: argparse.Namespace) -> Answer:
    """Ask, where no question is open, and write the open ones to a table."""
    with Campaign.open(options.folder).session() as session:
        if not len(session.open_ids):
            session.ask(options.n)
        table = session.questions()
        state = dict(session.status().rows())["state"]
    if not len(table):
        return f"nothing to ask: {state}", {"questions": 0, "state": state, "output": None}
    _write(table, options.output)
    words = f"{len(table)} questions in {options.output}: fill in the column 'label'"
    return words, {"questions": len(table), "state": state, "output": str(options.output)}


def tell(options: argparse.Namespace) -> Answer:
    """Record the answers in a table."""
    table = read_table(options.answers)
    with Campaign.open(options.folder).session() as session:
        count = session.tell_table(table, annotator=options.annotator)
        state = dict(session.status().rows())["state"]
    return f"{count} answers recorded; {state}", {"answers": count, "state": state}


def status(options: argparse.Namespace) -> Answer:
    """Return where the campaign stands."""
    with Campaign.open(options.folder).session() as session:
        status = session.status()
    return repr(status), asdict(status)


def report(options: argparse.Namespace) -> Answer:
    """Write a page about the campaign."""
    with Campaign.open(options.folder).session() as session:
        path = inspection.report(session, options.output)
    return f"report in {path}", {"output": str(path)}


def export(options: argparse.Namespace) -> Answer:
    """Write the predictions for all target rows, and the model where a file is named."""
    import pandas as pd  # here, for the package works without it

    with Campaign.open(options.folder).session() as session:
        rows, model, answers = session.state.roles.target, session.estimator_, session.answers()
        proba = model.predict_proba(take_rows(session.X, rows)) if hasattr(model, "predict_proba") else None
        predicted = model.predict(take_rows(session.X, rows))
    table = pd.DataFrame({"id": rows, "prediction": predicted})
    if proba is not None:
        table["probability"] = proba.max(axis=1)
    known = dict(zip(answers["id"].tolist(), answers["label"].tolist(), strict=True))
    table["label"] = [known.get(row) for row in rows.tolist()]
    _write(table, options.output)
    if options.model:
        save(model, options.model)
    words = f"{len(rows)} predictions in {options.output}" + (
        f", the model in {options.model}" if options.model else ""
    )
    return words, {
        "predictions": len(rows),
        "output": str(options.output),
        "model": options.model and str(options.model),
    }


def compare(options: argparse.Namespace) -> Answer:
    """Run methods on tasks, as a file of JSON names them."""
    try:
        config = json.loads(options.config.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{options.config} is no JSON: {error}.") from error
    if not isinstance(config, dict) or not {"methods", "tasks"} <= config.keys():
        raise ValueError(f'{options.config} must be an object with "methods" and "tasks".')
    tasks = {
        name: DataFile(**{**task, "drop": tuple(task.get("drop", ()))}) for name, task in config.pop("tasks").items()
    }
    is_table = not any(Path(task.path).is_dir() for task in tasks.values())
    methods = {name: make_loop(method, is_table=is_table) for name, method in config.pop("methods").items()}
    read = {name: _with_labels(task) for name, task in tasks.items()}
    store = options.store or options.config.with_suffix(".db")
    results = experiments.compare(methods, read, store=store, n_jobs=options.jobs, **config)
    values = {"methods": results.methods, "tasks": results.tasks, "failed": len(results.failures)}
    means = results.values(options.measure).mean(axis=2)
    known = [[None if mean != mean else mean for mean in row] for row in means.tolist()]  # JSON has no NaN
    return results.to_markdown(options.measure), {**values, "mean": known}


def _with_labels(task: DataFile) -> Any:
    X, y, sample_domain = task.read()
    if any(label is None for label in y):
        raise ValueError(f"{task.path} lacks labels, and a comparison answers with them; drop the rows without one.")
    return X, y, sample_domain


def _write(table: Any, path: Path) -> None:
    writers = {".csv": table.to_csv, ".xlsx": table.to_excel, ".parquet": table.to_parquet}
    if path.suffix not in writers:
        raise ValueError(f"--output {path} must end in .csv, .xlsx or .parquet.")
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix](path, index=False)
