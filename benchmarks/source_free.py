"""Compare going on from a model alone with training on all source rows, with 0 to 100 random target labels.

``python benchmarks/source_free.py --data FOLDER`` takes the tasks of `_robust_tasks.py`, and of their target rows those
of classes that the source has. On each, a pipeline of logistic regression, boosted trees and the default network are
fitted on the source rows; then random target rows are labelled. Measured on the other target rows:

* *source*: the model as it is;
* *rows*: the same kind of model fitted on all source rows and the labels, which count as much as all source rows
  together (a network: with its own batches of both);
* *labels*: it fitted on the labels alone;
* *transfer*: `HypothesisTransfer` on the labels, no source row;
* *init*: networks only, `AdaptationClassifier(init=...)` on the labels, no source row.

Defaults were chosen on the half ``choose``.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import numpy as np
from _report import show
from _robust_candidates import MODELS
from _robust_tasks import HALVES, Task, load_task
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skada_active.deep import AdaptationClassifier
from skada_active.domains import resolve_roles
from skada_active.metrics import mean_interval
from skada_active.source_free import HypothesisTransfer
from skada_active.utils.fitting import fit_estimator, split_pipeline

Figures = dict[str, float]


def adapted(model: Any, X: Any, y: Any, sample_domain: Any) -> dict[str, Any]:
    """Return the models that go on from one without source rows."""
    found = {"transfer": HypothesisTransfer(FrozenEstimator(model), random_state=0).fit(X, y, sample_domain)}
    before, last = split_pipeline(model)
    if isinstance(last, AdaptationClassifier):
        network = AdaptationClassifier(init=FrozenEstimator(last), device="cpu", random_state=0)
        if before is None:
            found["init"] = network.fit(X, y, sample_domain)
        else:
            inner = network.fit(before.transform(X), y, sample_domain)
            found["init"] = make_pipeline(FrozenEstimator(before), inner)
    return found


def run(data: Path, task: Task, name: str, seed: int, sizes: list[int]) -> list[tuple[str, str, int, Figures]]:
    X, y, sample_domain = load_task(data, task)
    kept = np.isin(y, y[sample_domain >= 0])
    X, y, sample_domain = X[kept], y[kept], sample_domain[kept]
    source, target = np.flatnonzero(sample_domain >= 0), np.flatnonzero(sample_domain < 0)
    order, template = np.random.RandomState(seed).permutation(target), MODELS[name](task)
    if hasattr(split_pipeline(template)[1], "random_state"):
        split_pipeline(template)[1].random_state = seed
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(template).fit(X[source], y[source])
        for size in sizes:
            bought, rest = order[:size], order[max(sizes) :]
            known = np.full(len(y), -1)
            known[source], known[bought] = y[source], y[bought]
            roles = resolve_roles(known, sample_domain)
            models = {"source": model, "rows": fit_estimator(clone(template), X, known, roles, "balanced")}
            if len(np.unique(y[bought])) > 1:
                with suppress(ValueError):  # boosted trees fail on a column that is missing in every row
                    models["labels"] = clone(template).fit(X[bought], y[bought])
            models |= adapted(model, X[target], known[target], sample_domain[target])
            rows.append(
                (
                    str(task),
                    name,
                    size,
                    {key: float(np.mean(m.predict(X[rest]) == y[rest])) for key, m in models.items()},
                )
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=[*HALVES], default="report")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[0, 10, 50, 100])
    parser.add_argument("--tasks", type=int, default=None, help="so many of the half, from its first on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--by-task", action="store_true")
    arguments = parser.parse_args()
    grid = itertools.product(HALVES[arguments.half][: arguments.tasks], arguments.models, range(arguments.seeds))
    runs = (delayed(run)(arguments.data, *cell, arguments.sizes) for cell in grid)
    rows = [row for of_run in Parallel(arguments.jobs)(runs) for row in of_run]
    kinds = ["source", "rows", "labels", "transfer", "init"]
    for name, size in itertools.product(arguments.models, arguments.sizes):
        by_task: dict[str, list[Figures]] = {}
        for task, model, n_labels, figures in rows:
            if (model, n_labels) == (name, size):
                by_task.setdefault(task, []).append(figures)
        lines = []
        for kind in kinds:
            of_task = {
                task: 100 * np.array([[run[kind], run["rows"], run["source"]] for run in runs if kind in run])
                for task, runs in by_task.items()
            }
            means = np.array([values.mean(axis=0) for values in of_task.values() if len(values)])
            if not len(means):
                continue
            line = [kind, f"{means[:, 0].mean():.2f}"]
            for other in (1, 2):
                mean, half = mean_interval(means[:, 0] - means[:, other]) if len(means) > 1 else (0.0, 0.0)
                line.append(f"{mean:+.2f} ± {half:.2f}")
            below = [mean_interval(values[:, 0] - values[:, 2]) for values in of_task.values() if len(values) > 1]
            line.append(str(sum(mean + half < 0 for mean, half in below)))
            lines.append(line)
            if arguments.by_task and kind == "transfer":
                for task, values in of_task.items():
                    print(f"{task:50s} {values.mean(axis=0).round(1)}")
        print(f"\n{arguments.half}, {name}, {size} labels: accuracy in %, {len(by_task)} tasks")
        show([["model", "mean", "above rows", "above source", "tasks below source"], *lines])


if __name__ == "__main__":
    main()
