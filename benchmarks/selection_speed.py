"""Time and memory of every query strategy, beside other packages and the formulas written out.

Run ``python benchmarks/selection_speed.py``, with scikit-activeml and faiss-cpu installed for the comparison with them.
Each measurement is made in a process of its own, with one thread; the contenders of a rule take turns. The tables have
the median time, the peak memory beyond the arrays that were there before, and this package's time over the other's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Growth: from these candidates, classes, features and queries each is taken four times as large by itself.
GROWTH_BASE = {"N": 8000, "C": 16, "D": 128, "b": 50}
FACTOR = 4
SHORT, MOST_RUNS = 0.5, 7


def measure(rule: str, name: str, size: tuple[int, ...]) -> dict[str, float]:
    """Return the time and the extra memory of one contender, measured in this process."""
    import torch  # noqa: F401  (whoever trains a network has loaded it)
    from _selection_rules import RULES, Arrays

    warnings.simplefilter("ignore")
    choose = RULES[rule][name]
    choose(Arrays.of(100, *size[1:3], 5))  # imports, threads and allocators
    arrays = Arrays.of(*size)
    before = reset_peak()
    seconds = []
    while not seconds or (sum(seconds) < SHORT and len(seconds) < MOST_RUNS):
        start = time.perf_counter()
        picks = choose(arrays)
        seconds.append(time.perf_counter() - start)
    peak = status("VmHWM") - before
    if len(picks) != arrays.n_queries:
        raise RuntimeError(f"{name} chose {len(picks)} rows instead of {arrays.n_queries}.")
    return {"seconds": statistics.median(seconds), "mb": peak}


def reset_peak() -> float:
    """Forget the peak of this process's memory so far and return what it holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> float:
    """Return a figure of this process from the kernel, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def run(rule: str, name: str, size: tuple[int, ...], timeout: float) -> dict[str, float] | None:
    """Return the measurement of one contender in a new process; None if it takes too long or lacks its library."""
    command = [sys.executable, __file__, "--child", json.dumps([rule, name, size])]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"# {rule}, {name}, {size}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


class Results:
    """Measurements of contenders at named sizes, by turns."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.runs: dict[tuple[str, str, str], list[dict[str, float]]] = {}

    def take_turns(self, rules: Iterable[str], sizes: dict[str, tuple[int, ...]], rounds: int, *, peers: bool) -> None:
        """Measure all contenders of the rules, one after the other, so many times."""
        from _selection_rules import AT, OURS, RULES

        for rule in rules:
            names = [name for name in RULES[rule] if peers or name == OURS]
            for label, size in sizes.items():
                wanted = [name for name in names if label in AT.get((rule, name), sizes)]
                for _ in range(rounds):
                    for name in list(wanted):
                        measured = run(rule, name, size, self.timeout)
                        if measured is None:
                            wanted.remove(name)
                            continue
                        self.runs.setdefault((rule, name, label), []).append(measured)

    def median(self, rule: str, name: str, label: str, key: str = "seconds") -> float | None:
        """Return the median of a contender's measurements, None where there are none."""
        runs = self.runs.get((rule, name, label))
        return statistics.median(run[key] for run in runs) if runs else None

    def ratio(self, rule: str, ours: str, name: str, label: str) -> float | None:
        """Return the median ratio of the times of two contenders in the same turns."""
        pairs = zip(self.runs.get((rule, ours, label), []), self.runs.get((rule, name, label), []), strict=False)
        ratios = [mine["seconds"] / theirs["seconds"] for mine, theirs in pairs]
        return statistics.median(ratios) if ratios else None


def comparison(results: Results, rules: Iterable[str], sizes: Iterable[str]) -> list[list[str]]:
    """Return the table of times, memory and ratios."""
    from _selection_rules import OURS, RULES

    rows = [["rule", "size", "seconds", "extra MB", "compared with", "seconds", "extra MB", "ratio"]]
    for rule in rules:
        for label in sizes:
            mine = [number(results.median(rule, OURS, label, key)) for key in ("seconds", "mb")]
            others = [name for name in RULES[rule] if name != OURS and (rule, name, label) in results.runs]
            for name in others or [""]:
                theirs = [number(results.median(rule, name, label, key)) for key in ("seconds", "mb")]
                rows.append([rule, label, *mine, name, *theirs, number(results.ratio(rule, OURS, name, label))])
    return rows


def growth(results: Results, rules: Iterable[str]) -> list[list[str]]:
    """Return the table of the exponents with which time grows in each quantity."""
    from math import log

    from _selection_rules import RULES

    rows = [["rule", "contender", "seconds", *GROWTH_BASE]]
    for rule in rules:
        for name in RULES[rule]:
            base = results.median(rule, name, "base")
            if base is None:
                continue
            larger = [results.median(rule, name, quantity) for quantity in GROWTH_BASE]
            exponents = ["" if value is None else f"{log(value / base) / log(FACTOR):.1f}" for value in larger]
            rows.append([rule, name, number(base), *exponents])
    return rows


def growth_sizes() -> dict[str, tuple[int, ...]]:
    """Return the base size and those in which one quantity is larger."""
    sizes = {"base": tuple(GROWTH_BASE.values())}
    for quantity in GROWTH_BASE:
        sizes[quantity] = tuple(value * (FACTOR if name == quantity else 1) for name, value in GROWTH_BASE.items())
    return sizes


def number(value: float | None) -> str:
    """Return a number with about three digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(rows: list[list[str]]) -> None:
    """Print a table that both reStructuredText and a person can read."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * max(1, width) for width in widths)
    lines = ["  ".join((cell or "\\").ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    print("\n".join(["", rule, lines[0], rule, *lines[1:], rule]), flush=True)


def main() -> None:
    from _selection_rules import RULES, SIZES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES), metavar="RULE")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=120, help="seconds after which a contender is given up")
    parser.add_argument("--alone", action="store_true", help="this package only")
    parser.add_argument("--growth", action="store_true", help="the exponents of growth as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        rule, name, size = json.loads(arguments.child)
        print(json.dumps(measure(rule, name, tuple(size))))
        return
    results = Results(arguments.timeout)
    sizes = {label: SIZES[label] for label in arguments.sizes}
    results.take_turns(arguments.rules, sizes, arguments.rounds, peers=not arguments.alone)
    show(comparison(results, arguments.rules, sizes))
    if arguments.growth:
        results.take_turns(arguments.rules, growth_sizes(), arguments.rounds, peers=not arguments.alone)
        show(growth(results, arguments.rules))


if __name__ == "__main__":
    main()
