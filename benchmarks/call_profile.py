"""Count the functions and files of the package that a call runs through.

Run ``python benchmarks/call_profile.py``. A reader who follows a call has to read each of them once, so that these
figures say how far an algorithm is scattered. Counted are the functions of the package that are entered, each once,
and the moves from a file to another; logistic regression, 400 rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression

import skada_active
from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.query import MarginSampling

PACKAGE = str(Path(skada_active.__file__).parent)


class CallProfile:
    """Record the functions of the package that run inside a ``with`` block.

    Attributes
    ----------
    functions : set of (str, str, int)
        File, name and line of each.
    n_calls, n_moves : int
        Calls, and calls from a function of one file to one of another.
    """

    def __init__(self) -> None:
        self.functions: set[tuple[str, str, int]] = set()
        self.n_calls = self.n_moves = 0
        self._files: list[str] = []

    def __enter__(self) -> CallProfile:
        sys.setprofile(self._record)
        return self

    def __exit__(self, *exception: Any) -> None:
        sys.setprofile(None)

    def _record(self, frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        # Comprehensions are frames of their own only in some versions of Python.
        if not code.co_filename.startswith(PACKAGE) or code.co_name.startswith("<"):
            return
        if event == "call":
            self.n_calls += 1
            self.n_moves += bool(self._files) and self._files[-1] != code.co_filename
            self._files.append(code.co_filename)
            self.functions.add((code.co_filename, code.co_name, code.co_firstlineno))
        elif event == "return" and self._files:
            self._files.pop()

    @property
    def files(self) -> set[str]:
        """Files of the functions."""
        return {file for file, _, _ in self.functions}


def profile(call: Callable[[], Any]) -> CallProfile:
    """Return the profile of a call."""
    with CallProfile() as found:
        call()
    return found


def measure(folder: Path) -> dict[str, CallProfile]:
    """Return the profiles of the calls that a newcomer reads first."""
    X, y, sample_domain = make_shifted_blobs(200, 200, random_state=0)
    known = mask_target(y, sample_domain)
    loop = ActiveAdaptationLoop(LogisticRegression(), MarginSampling(), budget=25, n_rounds=5, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)  # what is imported or computed once is not counted
    profiles = {"loop.fit, 5 rounds": profile(lambda: loop.fit(X, y, sample_domain=sample_domain))}
    for name, journal in (("in memory", None), ("with a journal", folder / "labels.db")):
        session = loop.session(X, known, sample_domain=sample_domain, journal=journal)
        profiles[f"session.ask, {name}"] = profile(session.ask)
        row = session.ask()[:1]
        profiles[f"session.tell, {name}"] = profile(lambda row=row, session=session: session.tell(row, y[row]))
        session.close()
    strategy = MarginSampling()
    profiles["MarginSampling.fit"] = profile(lambda: strategy.fit(X, known, sample_domain))
    profiles["MarginSampling.query"] = profile(lambda: strategy.query(5))
    return profiles


def main() -> None:
    """Print the table; with ``--list`` the functions of each call, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the functions")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profiles = measure(Path(folder))
    print(f"{'call':<32}{'calls':>8}{'functions':>11}{'files':>7}{'moves':>7}")
    for name, found in profiles.items():
        print(f"{name:<32}{found.n_calls:>8}{len(found.functions):>11}{len(found.files):>7}{found.n_moves:>7}")
        if arguments.list:
            for file, function, line in sorted(found.functions):
                print(f"    {Path(file).relative_to(PACKAGE)}:{line} {function}")


if __name__ == "__main__":
    main()
