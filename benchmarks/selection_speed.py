"""Time and memory of every query strategy, next to other packages and the formulas written out.

Run ``python benchmarks/selection_speed.py``, with scikit-activeml and faiss-cpu installed for the comparison with them.
Each measurement is made in a process of its own, with one thread; the contenders of a rule take turns. Three tables are
printed: median times, peak memory beyond what was held before and the ratio of the times, with how many of the chosen
rows two contenders have in common; the exponents with which times grow; and what the clusterings cost.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _selection_formulas  # noqa: F401  (enters its contenders)
import _selection_peers  # noqa: F401
from _report import number, show
from _selection import AT, OURS, RULES, SIZES, Arrays
from _selection_ours import GOALS, clustering_costs

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Growth: from these candidates, classes, features and queries each is taken four times as large by itself.
GROWTH_BASE = {"N": 8000, "C": 16, "D": 128, "b": 50}
FACTOR = 4
SHORT, MOST_RUNS = 0.5, 7


def measure(rule: str, name: str, size: tuple[int, ...]) -> dict[str, Any]:
    """Return the time, the extra memory in MB and the picks of one contender, measured in this process."""
    import torch  # noqa: F401  (whoever trains a network has loaded it)

    warnings.simplefilter("ignore")
    choose = RULES[rule][name]
    choose(Arrays.of(100, *size[1:3], 5))  # imports and buffers of the libraries
    arrays = Arrays.of(*size)
    before = reset_peak()
    seconds = []
    while not seconds or (sum(seconds) < SHORT and len(seconds) < MOST_RUNS):
        start = time.perf_counter()
        picks = choose(arrays)
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "mb": status("VmHWM") - before, "picks": sorted(map(int, picks))}


def reset_peak() -> float:
    """Forget the peak of this process's memory so far and return what it holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> float:
    """Return a figure of this process from the kernel, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def run(rule: str, name: str, size: tuple[int, ...], timeout: float) -> dict[str, Any] | None:
    """Return the measurement of one contender in a new process; None if it takes too long or lacks its library."""
    command = [sys.executable, __file__, "--child", json.dumps([rule, name, size])]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        print(f"# {rule}, {name}, {size}: more than {timeout:.0f} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"# {rule}, {name}, {size}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


class Results:
    """Measurements of contenders at named sizes, by turns."""

    def __init__(self, timeout: float, peers: bool) -> None:
        self.timeout, self.peers = timeout, peers
        self.runs: dict[tuple[str, str, str], list[dict[str, Any]]] = {}

    def take_turns(self, rules: Iterable[str], sizes: dict[str, tuple[int, ...]], rounds: int) -> None:
        """Measure all contenders of the rules, one after the other, so many times."""
        for rule in rules:
            names = [name for name in RULES[rule] if self.peers or name == OURS]
            for label, size in sizes.items():
                wanted = [name for name in names if label in AT.get((rule, name), sizes)]
                for _ in range(rounds):
                    for name in list(wanted):
                        measured = run(rule, name, size, self.timeout)
                        if measured is None:
                            wanted.remove(name)
                        else:
                            self.runs.setdefault((rule, name, label), []).append(measured)

    def median(self, rule: str, name: str, label: str, key: str = "seconds") -> float | None:
        """Return the median of a contender's measurements, None where there are none."""
        runs = self.runs.get((rule, name, label))
        return statistics.median(run[key] for run in runs) if runs else None

    def against(self, rule: str, name: str, label: str) -> tuple[float, float] | None:
        """Return the median ratio of this package's times to another's in the same turns, and the picks in common."""
        pairs = list(zip(self.runs.get((rule, OURS, label), []), self.runs.get((rule, name, label), []), strict=False))
        if not pairs:
            return None
        mine, theirs = pairs[0]
        common = len(set(mine["picks"]) & set(theirs["picks"])) / len(mine["picks"])
        return statistics.median(mine["seconds"] / theirs["seconds"] for mine, theirs in pairs), common


def comparison(results: Results, rules: Iterable[str], sizes: Iterable[str]) -> list[list[str]]:
    """Return the table of times, memory and ratios."""
    rows = [["rule", "size", "seconds", "MB", "compared with", "seconds", "MB", "ratio", "goal", "common"]]
    for rule in rules:
        for label in sizes:
            mine = [number(results.median(rule, OURS, label, key)) for key in ("seconds", "mb")]
            others = [name for name in RULES[rule] if name != OURS and (rule, name, label) in results.runs]
            for name in others or [""]:
                theirs = [number(results.median(rule, name, label, key)) for key in ("seconds", "mb")]
                ratio, common = results.against(rule, name, label) or (None, None)
                shared = "" if common is None else f"{100 * common:.0f} %"
                rows.append(
                    [rule, label, *mine, name, *theirs, number(ratio), number(GOALS.get((rule, name, label))), shared]
                )
    return rows


def growth(results: Results, rules: Iterable[str]) -> list[list[str]]:
    """Return the table of the exponents with which times grow in each quantity."""
    rows = [["rule", "contender", "seconds", *GROWTH_BASE]]
    for rule in rules:
        for name in RULES[rule]:
            base = results.median(rule, name, "base")
            if base is None:
                continue
            larger = [results.median(rule, name, quantity) for quantity in GROWTH_BASE]
            exponents = ["" if value is None else f"{math.log(value / base, FACTOR):.1f}" for value in larger]
            rows.append([rule, name, number(base), *exponents])
    return rows


def growth_sizes() -> dict[str, tuple[int, ...]]:
    """Return the base size and those in which one quantity is larger."""
    sizes = {"base": tuple(GROWTH_BASE.values())}
    for quantity in GROWTH_BASE:
        sizes[quantity] = tuple(value * (FACTOR if name == quantity else 1) for name, value in GROWTH_BASE.items())
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES), metavar="RULE")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=200, help="seconds after which a contender is given up")
    parser.add_argument("--alone", action="store_true", help="this package only")
    parser.add_argument("--brief", action="store_true", help="the first table only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        rule, name, size = json.loads(arguments.child)
        print(json.dumps(measure(rule, name, tuple(size))))
        return
    results = Results(arguments.timeout, not arguments.alone)
    results.take_turns(arguments.rules, {label: SIZES[label] for label in arguments.sizes}, arguments.rounds)
    show(comparison(results, arguments.rules, arguments.sizes))
    if arguments.brief:
        return
    grown = Results(arguments.timeout, not arguments.alone)
    grown.take_turns(arguments.rules, growth_sizes(), 1)
    show(growth(grown, arguments.rules))
    show(clustering_costs([label for label in arguments.sizes if label in ("a", "b", "c")]))


if __name__ == "__main__":
    main()
