"""A run of an experiment: one loop on one task with one seed."""

from __future__ import annotations

import time
import traceback
from typing import Any, NamedTuple

import numpy as np

from skada_active._version import __version__
from skada_active.domains import check_inputs
from skada_active.io.fingerprint import fingerprint
from skada_active.io.hashing import value_hash
from skada_active.io.parameters import describe_parameters
from skada_active.metrics.scoring import BUILT_IN
from skada_active.model_selection._curves import fit_held_out
from skada_active.utils.threads import inner_threads

__all__ = ["GROUPS", "Run", "execute", "identity_of", "load_task", "run_key"]

#: Rows that a loop is scored on, see `ActiveAdaptationLoop.learning_curve`.
GROUPS = ("holdout", "unqueried", "transductive")
#: What stands in the description of functions that another process may know under the same name.
_NAMELESS = ("<lambda>", "<locals>", "unknown content")


class Run(NamedTuple):
    """What to run, by its names, and the key that a store finds it by."""

    method: str
    task: str
    seed: int
    key: str


def load_task(task: Any, name: str) -> tuple[Any, Any, Any]:
    """Return rows, labels and domains of a task, which a function may load; anything else is an error."""
    data = task() if callable(task) else task
    if not isinstance(data, tuple | list) or len(data) != 3:
        raise ValueError(
            f"tasks[{name!r}] must be a tuple (X, y, sample_domain), or a function without arguments that returns one, "
            f"got {type(data).__name__}{f' of {len(data)}' if isinstance(data, tuple | list) else ''}."
        )
    return data[0], data[1], data[2]


def run_key(loop: Any, name: str, identity: Any, seed: int, test_size: Any, *, stored: bool) -> str:
    """Return a hash of all that the result of a run depends on.

    Parameters
    ----------
    loop : ActiveAdaptationLoop or recipe
        The method.
    name : str
        Its name, for the error.
    identity : object
        Fingerprint of the task's data.
    seed, test_size
        Seed of the run, and what is set aside.
    stored : bool
        Whether another process is to find it again, so that functions without a name of their own are an error.
    """
    described = describe_parameters(loop, type(loop).__name__)
    # The seed takes its place.
    described.pop(f"{type(loop).__name__}__random_state", None)
    if stored and (nameless := [path for path, text in described.items() if any(mark in text for mark in _NAMELESS)]):
        raise ValueError(
            f"methods[{name!r}] has a function in {nameless[0].partition('__')[2]} that no other process can tell from "
            "one that has changed, so that a store could give its results for those of the new one; define it with def "
            "at the top of a module, or leave store out."
        )
    return str(value_hash([__version__, described, identity, seed, test_size]))


def identity_of(task: Any, name: str) -> dict[str, Any]:
    """Return the fingerprint of a task's data."""
    return fingerprint(*load_task(task, name))


def execute(run: Run, loop: Any, task: Any, test_size: Any, n_threads: int) -> dict[str, Any]:
    """Return the record of a run, in JSON's own types: its learning curves, or the traceback of its failure."""
    record: dict[str, Any] = {**run._asdict(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    start = time.perf_counter()
    try:
        with inner_threads(n_threads):
            X, y, roles = check_inputs(*load_task(task, run.task))
            fitted = fit_held_out(loop, X, y, roles.domain, run.seed, test_size=test_size)
        record |= _measured(fitted)
    except Exception:
        record["error"] = traceback.format_exc()
    return {**record, "seconds": time.perf_counter() - start}


def _measured(fitted: Any) -> dict[str, Any]:
    entries = [fitted.initial_, *fitted.history_]
    scorers = fitted.session_.trainer.scoring
    metrics = [*BUILT_IN, *(scorers.names if scorers else ())]
    curves: dict[str, dict[str, list[float | None]]] = {}
    for metric in metrics:
        for group in GROUPS:
            values = [entry.get(metric, {}).get(group) for entry in entries]
            if any(value is not None for value in values):
                curves.setdefault(metric, {})[group] = [None if value is None else float(value) for value in values]
    n_queries = np.array([entry["n_queries"] for entry in entries]).tolist()
    phases = {name: sum(entry["seconds"].get(name, 0.0) for entry in entries) for name in fitted.initial_["seconds"]}
    return {
        "n_queries": n_queries,
        "curves": curves,
        "termination": fitted.termination_condition_,
        "phase_seconds": phases,
    }
