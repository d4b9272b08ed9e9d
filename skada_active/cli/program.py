"""Program ``skada-active``: its commands, options and exit status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skada_active._version import __version__
from skada_active.exceptions import TrainingError

__all__ = ["main"]

#: Errors that a user can mend; others are faults of the package, and show where they come from.
_MISTAKES = (ValueError, TypeError, OSError, ImportError, TrainingError)
_EPILOG = """
A campaign from a table with the columns "site" and "diagnosis":

  skada-active init patients.csv --target hospital_b --domain site --label diagnosis --budget 50
  skada-active ask --output questions.csv     # fill in the column "label"; "skip" where nobody can tell
  skada-active tell questions.csv
  skada-active status
  skada-active report --output report.html
  skada-active export --output predictions.csv --model adapted.skops

Exit status: 0 for success, 1 for a mistake in data, files or settings, 2 for one on the command line.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Words of the command line after the program's name; ``None``: those of the process.

    Returns
    -------
    int
        0 for success, 1 for a mistake in data, files or settings.

    Examples
    --------
    >>> from skada_active.cli import main
    >>> main(["status", "--folder", "no_such_folder"])
    1
    """
    options = _parser().parse_args(arguments)
    from skada_active.cli import commands  # here, for help and mistakes on the command line need no torch

    try:
        words, values = getattr(commands, options.command)(options)
    except _MISTAKES as error:
        print(f"skada-active: {error}", file=sys.stderr)
        return 1
    print(json.dumps(values, default=_plain) if options.json else words)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skada-active",
        description="Choose which rows of a new domain to label, and adapt a model with the answers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"skada-active {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    begin = _command(commands, "init", "begin a campaign")
    begin.add_argument(
        "data", metavar="DATA", help="table (.csv, .parquet, .xlsx), .npz, or folder of images by domain"
    )
    begin.add_argument("--target", nargs="+", required=True, help="names of the domains to be labelled")
    begin.add_argument("--source", nargs="+", help="names of the labelled domains (default: all others)")
    begin.add_argument("--domain", default="domain", help="column of the domain (default: domain)")
    begin.add_argument("--label", default="label", help="column of the label (default: label); empty: not known")
    begin.add_argument("--drop", nargs="+", default=[], help="columns that are no features")
    begin.add_argument("--image-size", type=int, default=64, help="pixels a side of images (default: 64)")
    begin.add_argument("--model", help="file of a model that skada_active.io.save wrote; a fitted one is adapted")
    begin.add_argument("--recipe", help="method of a paper with its own model, such as sdm or lada")
    begin.add_argument("--strategy", help="query strategy, such as MarginSampling (default: the robust default)")
    begin.add_argument("--budget", type=_budget, default=50, help="labels, or a share of the pool (default: 50)")
    begin.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    begin.add_argument("--audit", type=_budget, default=0, help="of them, to measure the model (default: 0)")
    begin.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    ask = _command(commands, "ask", "write the open questions of the round to a table")
    ask.add_argument("--output", "-o", type=Path, default=Path("questions.csv"), help="(default: questions.csv)")
    ask.add_argument("-n", type=int, help="how many (default: those of the round)")
    tell = _command(commands, "tell", "read answers from a table")
    tell.add_argument("answers", metavar="ANSWERS", help="the table of questions with its column label filled in")
    tell.add_argument("--annotator", help="who answered")
    _command(commands, "status", "show where the campaign stands")
    report = _command(commands, "report", "write a page about the campaign")
    report.add_argument("--output", "-o", type=Path, default=Path("report.html"), help="(default: report.html)")
    export = _command(commands, "export", "write the predictions for all target rows")
    export.add_argument("--output", "-o", type=Path, default=Path("predictions.csv"), help="(default: predictions.csv)")
    export.add_argument("--model", type=Path, help="file for the adapted model, too")
    runs = commands.add_parser("compare", help="run methods on tasks and show a table")
    runs.set_defaults(command="compare")
    runs.add_argument("config", metavar="CONFIG", type=Path, help="file of JSON: methods, tasks, seeds, budget, ...")
    runs.add_argument("--store", help="file of the runs, to go on with (default: CONFIG with the ending .db)")
    runs.add_argument("--jobs", type=int, help="runs at a time")
    runs.add_argument("--measure", default="last", help="what the table shows (default: last)")
    runs.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.set_defaults(command=name)
    parser.add_argument("--folder", default="campaign", help="folder of the campaign (default: campaign)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _budget(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and "." not in text else value


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
