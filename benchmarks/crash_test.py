"""Kill labelling sessions at random instants: nothing may be lost or bought twice, and the model stays the same.

Run ``python benchmarks/crash_test.py`` (not on Windows). A child process runs a session with a journal: it asks,
answers in parts, abstains, makes slips that are corrected at once or rounds later, readmits and extends the budget.
Through a pipe it reports every call that returned. The parent kills it (SIGKILL), half of the time at any instant of
the session, half of the time where it has just announced to be: in an append, in its commit, in the writing of a
checkpoint or in a training. Children rest around every statement to SQLite, so that kills fall there too. Then another
process goes on, until one comes to the end. This is compared with a session that nobody killed: after every kill all
events on disk, of which those reported have to be there, and one more at most; at the end rows, history and budget, and
every weight bit for bit, of the model that was trained, of the one that is read from the checkpoint, and of the one
that is trained again without it. What is answered depends on the rows and the events so far alone.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import _one_thread  # noqa: F401 - before the packages that start threads
import numpy as np
import torch
from _crash_session import BUDGET, ESTIMATORS, MORE, Send, announce, comparable, fix_seed, run_session
from _report import show

SEEDS = (None, 7)
#: What `fix_seed` gives to sessions that begin.
FIRST_SEED = 1
#: Commits, by what is committed.
COMMITS = {"append": "append's commit", "checkpoint": "checkpoint's commit", "other": "start's commit"}
PLACES = ("append", "checkpoint", *COMMITS.values(), "training", "other")
#: Upper end of the delay, in seconds, between an announcement and the kill.
DELAYS = {"append": 0.005, "commit": 0.002, "checkpoint": 0.02, "training": 0.03}


class Case(NamedTuple):
    """What is run, and what came of it where nobody killed it."""

    estimator: str
    random_state: int | None
    reference: dict[str, Any]
    seconds: float


class Life(NamedTuple):
    """What a child did before it was killed or came to its end."""

    killed_in: str | None
    n_reported: int
    result: dict[str, Any]


def fork(work: Callable[[Send], Any]) -> tuple[int, int]:
    """Let a child work; return its process id and the pipe through which it reports."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        warnings.simplefilter("ignore")

        def report(message: Any) -> None:
            os.write(writing, json.dumps(message).encode() + b"\n")

        with os.fdopen(os.dup(writing), "wb") as end:
            end.write(json.dumps({"result": work(report)}).encode() + b"\n")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_child(work: Callable[[Send], Any], aim: str | None = None, count: int = 1, delay: float | None = None) -> Life:
    """Run a child, and kill it `delay` seconds after its start, or after it has announced a place `count` times."""
    child, pipe = fork(work)
    deadline = None if aim or delay is None else time.monotonic() + delay
    messages: list[dict[str, Any]] = []
    rest = b""
    while True:
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], wait)[0]:
            os.kill(child, signal.SIGKILL)
            deadline = aim = None
            continue
        block = os.read(pipe, 2**16)
        if not block:
            break
        *lines, rest = (rest + block).split(b"\n")
        messages += map(json.loads, lines)
        if aim and messages.count({"enter": aim}) >= count:
            deadline, aim = time.monotonic() + delay, None
    os.close(pipe)
    return life_of(os.waitpid(child, 0)[1], messages)


def life_of(status: int, messages: list[dict[str, Any]]) -> Life:
    n_reported = sum("returned" in message for message in messages)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return Life(place_of(messages), n_reported, {})
    if status:
        raise RuntimeError("a session ended with the error above.")
    return Life(None, n_reported, messages[-1]["result"])


def place_of(messages: list[dict[str, Any]]) -> str:
    """Return the innermost place that was entered and not left."""
    places = ["other"]
    for message in messages:
        if "enter" in message:
            places.append(message["enter"])
        elif "leave" in message:
            places.pop()
    return places[-1] if places[-1] != "commit" else COMMITS[places[-2]]


def written(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the events on disk, which no code of the package reads here, and whether a commit has to be undone."""
    copy = path.parent / "copy.db"  # SQLite plays the rollback file back, and the package has to do so itself
    rollback = path.with_name(f"{path.name}-journal")
    is_half = rollback.exists() and rollback.read_bytes()[:8].strip(b"\0") != b""
    if not path.exists() or not path.stat().st_size:
        return [], is_half
    for source, target in ((path, copy), (rollback, copy.with_name("copy.db-journal"))):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copy(source, target)
    reader = sqlite3.connect(copy)
    is_begun = reader.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    lines = reader.execute("SELECT content FROM entries ORDER BY number").fetchall() if is_begun else []
    reader.close()
    return [comparable(json.loads(line)) for (line,) in lines], is_half


def live(case: Case, path: Path, *, begins: bool, **kill: Any) -> Life:
    """Let a child go on with a session, or begin it."""

    def work(report: Send) -> dict[str, Any]:
        if begins and case.random_state is None:  # later it has to be on record
            fix_seed(FIRST_SEED)
        announce(report)
        return run_session(case.estimator, case.random_state, path, report)

    return run_child(work, **kill)


def random_kill(case: Case, rng: np.random.Generator) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {"delay": rng.uniform(0, case.seconds)}
    aim = str(rng.choice(list(DELAYS)))
    return {"aim": aim, "count": int(rng.integers(1, 9)), "delay": rng.uniform(0, DELAYS[aim])}


def check(is_true: bool, what: str, path: Path) -> None:
    if not is_true:
        sys.exit(f"FAILED: {what}; see {path.parent}")


def torture(case: Case, path: Path, rng: np.random.Generator, n_kills: int) -> Counter[str]:
    """Run a session to its end against at most `n_kills` kills, check it, and return the counts."""
    counts, n_before, expected = Counter(sessions=1), 0, case.reference
    while True:
        kill = random_kill(case, rng) if counts["kills"] < n_kills else {}
        life = live(case, path, begins=not n_before, **kill)
        events, is_half = written(path)
        n_after, n_known = len(events), max(n_before, 1 if events else 0) + life.n_reported
        check(n_known <= n_after <= n_known + 1, f"{n_known} events were reported, {n_after} are on disk", path)
        check(events[1:] == expected["events"][: max(0, n_after - 1)], "other events than without kills", path)
        counts["undone"] += is_half
        counts["unreported"] += n_after > n_known
        n_before = n_after
        if life.killed_in is None:
            break
        counts["kills"] += 1
        counts[life.killed_in] += 1
    check(life.result == expected, "another end than without kills", path)
    for name in ("read from the checkpoint", "trained again"):
        again = live(case, path, begins=False)
        check(again.result == expected, f"another model or history when {name}", path)
        with sqlite3.connect(path) as program:
            program.execute("DELETE FROM checkpoint")
        program.close()
    return counts


def prepare(estimator: str, random_state: int | None, path: Path) -> Case:
    """Run the session that nobody kills; its result is what the others have to come to."""
    case = Case(estimator, random_state, {}, 0.0)
    begun = time.monotonic()
    life = live(case, path, begins=True)
    seconds = time.monotonic() - begun
    buys, result = [e for e in life.result["events"] if e["event"] == "told"], life.result
    rows = [row for e in buys for row, label in zip(e["ids"], e["labels"], strict=True) if label is not None]
    check(rows == result["ids"] and len(set(rows)) == len(rows), "a row was bought twice", path)
    check(len(rows) == sum(BUDGET + MORE) and result["remaining"] == 0, "the budget was not kept", path)
    missing = {"asked", "told", "corrected", "extended", "readmitted"} - {event["event"] for event in result["events"]}
    check(not missing, f"the session lacks {missing}", path)
    return case._replace(reference=result, seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="kills in all, shared evenly by the cases")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # before the first fork: no child inherits a pool of threads
    rng, begun = np.random.default_rng(arguments.seed), time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="crash_test_"))
    for name in arguments.estimators:  # what is loaded before the fork need not be loaded by every child
        run_session(name, 0, base / f"{name}-loading" / "labels.db", report=lambda message: None)
    columns = ("sessions", "kills", *PLACES, "undone", "unreported")
    table = [["estimator", "random_state", *columns, "s"]]
    cases = [(name, seed) for name in arguments.estimators for seed in SEEDS]
    for name, seed in cases:
        case, counts, since = prepare(name, seed, base / f"{name}-{seed}" / "labels.db"), Counter(), time.monotonic()
        while (left := -(-arguments.kills // len(cases)) - counts["kills"]) > 0:
            counts += torture(case, base / f"{name}-{seed}-{counts['sessions']}" / "labels.db", rng, left)
        seconds = f"{time.monotonic() - since:.0f}"
        table.append([name, str(seed), *(str(counts[column]) for column in columns), seconds])
    show(table)
    print(f"Nothing lost, nothing twice, all weights equal; {time.monotonic() - begun:.0f} s in all.")
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
