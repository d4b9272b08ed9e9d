"""Results of a comparison: curves, areas, tables and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from skada_active.experiments.paired_tests import Comparison, compare_pairs
from skada_active.experiments.runs import GROUPS
from skada_active.experiments.store import RunStore
from skada_active.metrics import area_under_curve, mean_interval

__all__ = ["Results"]

_NAMES = ("method", "task", "seed")
_MEASURES = ("area", "first", "last", "gain")
#: What means something else in LaTeX.
_LATEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
    }
)


class Results:
    """Results of a comparison of methods over tasks and seeds.

    `compare` returns them, and `from_store` reads them from its file.

    Parameters
    ----------
    runs : list of dict
        Records of the runs, each with its ``method``, ``task`` and ``seed``, and either ``n_queries`` (k,) and
        ``curves`` (values (k,) by metric and group), or an ``error``.

    Attributes
    ----------
    methods, tasks : list of str
        Names, in the order of the runs.
    seeds : list of int
        The seeds.
    runs : list of dict
        Records of the runs that succeeded.
    failures : list of dict
        Records of those that failed, with their traceback as ``error``.

    Notes
    -----
    Accuracies are those of a *group* of rows: ``"holdout"`` (target rows set aside: the default where there are some),
    ``"transductive"`` (all target rows) or ``"unqueried"`` (those not bought); a *measure* makes one number of a curve:
    ``"area"`` under it (its mean along the budget), its ``"first"`` or ``"last"`` value, or the ``"gain"`` between
    these.

    Examples
    --------
    >>> from skada_active.experiments import Results
    >>> def run(method, task, *accuracies):
    ...     curves = {"accuracy": {"holdout": list(accuracies)}}
    ...     return {"method": method, "task": task, "seed": 0, "n_queries": [0, 5, 10], "curves": curves}
    >>> results = Results([run("margin", "a", 0.5, 0.7, 0.9), run("random", "a", 0.5, 0.6, 0.7)])
    >>> results.values("area")[:, 0, 0].round(3)
    array([0.7, 0.6])
    >>> print(results.to_markdown("last"))
    | method | a    | mean |
    |--------|------|------|
    | margin | 90.0 | 90.0 |
    | random | 70.0 | 70.0 |
    """

    def __init__(self, runs: Sequence[dict[str, Any]]) -> None:
        self.methods, self.tasks, self.seeds = (list(dict.fromkeys(run[name] for run in runs)) for name in _NAMES)
        self.runs = [run for run in runs if "error" not in run]
        self.failures = [run for run in runs if "error" in run]
        twice = Counter(tuple(run[name] for name in _NAMES) for run in runs).most_common(1)
        if twice and twice[0][1] > 1:
            raise ValueError(f"runs hold {twice[0][0]} more than once; leave all but one out.")

    @classmethod
    def from_store(cls, path: str | PathLike[str]) -> Results:
        """Return the results in a file that `compare` wrote.

        Parameters
        ----------
        path : str or path
            The file; a comparison that goes on in another process has it to itself.

        Returns
        -------
        Results
            Of all runs in the file; of those with the same method, task and seed, made with other parameters or data,
            the last one.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        JournalError
            If it is damaged or holds something else.
        """
        with open(path, "rb"):  # a store would make a new one
            pass
        with RunStore(path) as store:
            last = {tuple(record[name] for name in _NAMES): record for record in store.records()}
        return cls(list(last.values()))

    def curves(
        self, task: str, *, metric: str = "accuracy", group: str | None = None
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Return the learning curves of a task, by method.

        Parameters
        ----------
        task : str
            Name of the task.
        metric : str, default="accuracy"
            What was measured.
        group : {"holdout", "transductive", "unqueried"}, default=None
            On which rows.

        Returns
        -------
        dict of str to tuple (n_queries, values)
            Labels bought (k,), and a row (k,) per seed that was measured, as `LearningCurveDisplay` takes them.

        Raises
        ------
        ValueError
            If there is no such task, metric or group, or seeds of a method end with other numbers of labels.
        """
        self._check(task, self.tasks, "task")
        group = self._group(metric, group)
        found: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for method in self.methods:
            of_both = [run for run in self.runs if run["method"] == method and run["task"] == task]
            runs = [run for run in of_both if group in run["curves"].get(metric, {})]
            if not runs:
                continue
            if any(run["n_queries"] != runs[0]["n_queries"] for run in runs):
                raise ValueError(f"{method!r} bought other numbers of labels with other seeds on {task!r}.")
            values = np.array([run["curves"][metric][group] for run in runs], dtype=np.float64)
            found[method] = np.array(runs[0]["n_queries"]), values
        return found

    def values(
        self, measure: str = "area", *, metric: str = "accuracy", group: str | None = None
    ) -> NDArray[np.float64]:
        """Return one number for each run, shape (n_methods, n_tasks, n_seeds); NaN where it failed or did not measure.

        Parameters
        ----------
        measure : {"area", "first", "last", "gain", "seconds"}, default="area"
            What makes a number of a curve; ``"seconds"``: the time of the run.
        metric : str, default="accuracy"
            What was measured.
        group : {"holdout", "transductive", "unqueried"}, default=None
            On which rows.

        Returns
        -------
        ndarray of shape (n_methods, n_tasks, n_seeds), float64
            Shares, and seconds.
        """
        self._check(measure, [*_MEASURES, "seconds"], "measure")
        rows = "" if measure == "seconds" else self._group(metric, group)
        table = np.full((len(self.methods), len(self.tasks), len(self.seeds)), np.nan)
        for run in self.runs:
            place = tuple(names.index(run[name]) for name, names in zip(_NAMES, self._names, strict=True))
            curve = run["curves"].get(metric, {}).get(rows)
            if measure == "seconds":
                table[place] = run["seconds"]
            elif curve is not None:
                table[place] = _measured(measure, run["n_queries"], curve)
        return table

    def test(
        self,
        control: str,
        measure: str = "area",
        *,
        metric: str = "accuracy",
        group: str | None = None,
        confidence: float = 0.95,
    ) -> Comparison:
        """Return paired tests of every other method against a control.

        Parameters
        ----------
        control : str
            Name of the method that the others are compared with, such as random rows.
        measure, metric, group
            What is compared, see `values`.
        confidence : float, default=0.95
            Level of the intervals.

        Returns
        -------
        Comparison
            Differences with their intervals, p-values with Holm's correction, wins, ties and losses.

        Raises
        ------
        ValueError
            If there is no such method, or fewer than two pairs.
        """
        self._check(control, self.methods, "control")
        values = self.values(measure, metric=metric, group=group)
        return compare_pairs(values, self.methods, control, confidence)

    def ranks(
        self, measure: str = "area", *, metric: str = "accuracy", group: str | None = None
    ) -> NDArray[np.float64]:
        """Return the ranks of the methods on every task by their mean over the seeds, shape (n_tasks, n_methods).

        The best has rank 1; equal ones share the mean of their ranks. Tasks where a method has no run are left out.
        """
        means = _mean_of_known(self.values(measure, metric=metric, group=group)).T
        means = means[~np.isnan(means).any(axis=1)]
        return rankdata(-means if measure != "seconds" else means, axis=1)

    def table(self) -> list[dict[str, Any]]:
        """Return the long table: a dict for each run, round, metric and group of rows, with the ``value``."""
        return [
            {**{name: run[name] for name in _NAMES}, "n_queries": n, "metric": metric, "group": group, "value": value}
            for run in self.runs
            for metric, of_metric in run["curves"].items()
            for group, values in of_metric.items()
            for n, value in zip(run["n_queries"], values, strict=True)
        ]

    def to_frame(self) -> Any:
        """Return `table` as a DataFrame of pandas, which has to be installed."""
        try:
            import pandas as pd  # here, for the package works without it
        except ImportError as error:
            raise ImportError("Results.to_frame needs pandas: pip install pandas, or use Results.table().") from error
        return pd.DataFrame(self.table())

    def to_markdown(self, measure: str = "area", *, metric: str = "accuracy", group: str | None = None) -> str:
        """Return a table in Markdown: a row per method, a column per task, percent with their 95 % intervals."""
        rows = self._cells(measure, metric, group)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, ["-" * width for width in widths])
        padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
        lines = [f"| {' | '.join(row)} |" for row in padded]
        lines[1] = lines[1].replace(" ", "-")
        return "\n".join(lines)

    def to_latex(self, measure: str = "area", *, metric: str = "accuracy", group: str | None = None) -> str:
        """Return a table in LaTeX, for the package booktabs; the best mean of every column is bold."""
        rows = [[cell.translate(_LATEX) for cell in row] for row in self._cells(measure, metric, group)]
        for column, best in enumerate(_best(self._means(measure, metric, group), measure), start=1):
            for row in best:
                rows[1 + row][column] = rf"\textbf{{{rows[1 + row][column]}}}"
        head, *lines = [" & ".join(row) + r" \\" for row in rows]
        columns = "l" + "r" * (len(rows[0]) - 1)
        begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
        return "\n".join([begin, r"\toprule", head, r"\midrule", *lines, r"\bottomrule", end])

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        sizes = f"{len(self.methods)} methods, {len(self.tasks)} tasks, {len(self.seeds)} seeds"
        return f"<Results of {len(self.runs)} runs: {sizes}{failed}>"

    @property
    def _names(self) -> tuple[list[Any], ...]:
        return self.methods, self.tasks, self.seeds

    def _means(self, measure: str, metric: str, group: str | None) -> NDArray[np.float64]:
        """Return means over the seeds, and in the last column those over the tasks, (n_methods, n_tasks + 1)."""
        means = _mean_of_known(self.values(measure, metric=metric, group=group))
        return np.column_stack([means, means.mean(axis=1)])

    def _cells(self, measure: str, metric: str, group: str | None) -> list[list[str]]:
        values, means = self.values(measure, metric=metric, group=group), self._means(measure, metric, group)
        scale = 1 if measure == "seconds" else 100
        rows = [["method", *map(str, self.tasks), "mean"]]
        for method, of_tasks, mean in zip(self.methods, values, means, strict=True):
            cells = [_cell(scale * of_task) for of_task in of_tasks]
            rows.append([method, *cells, "" if np.isnan(mean[-1]) else f"{scale * mean[-1]:.1f}"])
        return rows

    def _group(self, metric: str, group: str | None) -> str:
        metrics: dict[str, set[str]] = {}
        for name, groups in ((name, groups) for run in self.runs for name, groups in run["curves"].items()):
            metrics.setdefault(name, set()).update(groups)
        if not self.runs:
            raise ValueError("no run succeeded; see the failures.")
        self._check(metric, list(metrics), "metric")
        known = [name for name in GROUPS if name in metrics[metric]]
        if group is None:
            return "holdout" if "holdout" in known else "transductive"
        self._check(group, known, "group")
        return group

    @staticmethod
    def _check(value: Any, known: Sequence[Any], name: str) -> None:
        if value not in known:
            raise ValueError(f"{name} must be one of {list(known)}, got {value!r}.")


def _measured(measure: str, n_queries: list[int], curve: list[float | None]) -> float:
    values = np.array(curve, dtype=np.float64)
    if measure == "area":
        return float(area_under_curve(n_queries, values)) if len(values) > 1 else float(values[-1])
    return float({"first": values[0], "last": values[-1], "gain": values[-1] - values[0]}[measure])


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means along the last axis of what is not NaN, NaN where there is nothing else."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)


def _cell(values: NDArray[np.float64]) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return ""
    return f"{known.mean():.1f}" if len(known) == 1 else "{:.1f} ± {:.1f}".format(*mean_interval(known))


def _best(means: NDArray[np.float64], measure: str) -> list[list[int]]:
    """Return the rows that are best in each column, as far as a table with one decimal tells."""
    shown = np.round(means if measure == "seconds" else -100 * means, 1)
    return [np.flatnonzero(column == np.nan_to_num(column, nan=np.inf).min()).tolist() for column in shown.T]
