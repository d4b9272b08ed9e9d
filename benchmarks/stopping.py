"""Simulate campaigns with stopping rules: how often they stop too early, what they save, and what audits cost.

``python benchmarks/stopping.py --data FOLDER`` runs campaigns on the tasks of the half ``report`` of `_robust_tasks.py`
(at most 1000 rows of either domain, drawn by the seed), with a pipeline of logistic regression and the loop's default
strategy. No campaign is stopped: the predictions of every round are recorded, and the rules are asked afterwards what
they would have said.

* False stops: 100 labels in 5 rounds, half of them audited. `TargetAccuracy` is asked for more and for less than the
  last model's accuracy on the rows that it is not trained on. Its stop is *false* if the model at which it stops is
  below what was asked for, on the rows that this model is not trained on. Half a point above the last model, nearly
  every stop is. `SmallGain` stops falsely where the round before had gained as much as it asks for, or more.
* Savings: 100 labels in 10 rounds, without audits. Labels bought until a rule stops, and accuracy lost against the
  whole budget, on a quarter of the target rows that is drawn beforehand and never in the pool. (What a campaign leaves
  in its pool are mostly easy rows, on which little is lost, whatever the rule: the last column.) With ``pip install
  small-text`` its criteria stand beside the package's rules, with its defaults, and see the predictions for all rows of
  the initial pool: `KappaAverage` (Bloodgood and Vijay-Shanker 2009), `ClassificationChange` (Zhu, Wang and Hovy 2008)
  and, where there are two classes, `DeltaFScore` (Altschuler and Bloodgood 2019).
* The price of audits: 50 labels in 5 rounds with and without ``audit=0.2``, accuracy on rows never bought.

Ten minutes of one core.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import _one_thread  # noqa: F401
import numpy as np
from _report import show
from _robust_candidates import MODELS
from _robust_tasks import HALVES, Task, load_task
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import binomtest

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.loop.stopping import SmallGain, StablePredictions, StoppingRule, TargetAccuracy
from skada_active.metrics import mean_interval

try:
    from small_text import stopping_criteria as small_text
except ImportError:
    small_text = None

TASKS = HALVES["report"]
MOST_ROWS = 1000
HELD_OUT = 0.25
MARGINS = (0.005, -0.05, -0.10, -0.15, -0.20)  # what `TargetAccuracy` is asked for, from the last model's accuracy
GAINS = (1, 3)  # what `SmallGain` is asked for, in points


class Never(StoppingRule):
    """Rule that never stops: a campaign with it records what the other rules read."""

    def _check(self, history: Any) -> str | None:
        return None


class Campaign(NamedTuple):
    """What came of a campaign that bought its whole budget; entry 0 is the model before any purchase.

    Parameters
    ----------
    history : list of dict
        What the package's rules read.
    codes : ndarray of shape (n_models, n_pool), int64
        Predicted class of every row of the initial pool.
    is_correct : ndarray of shape (n_models, n_pool), bool
        Where that is the label.
    is_untrained : ndarray of shape (n_models, n_pool), bool
        Rows that a model is not trained on.
    is_unbought : ndarray of shape (n_pool,), bool
        Rows whose labels were never bought.
    held_out : ndarray of shape (n_models,)
        Accuracy on the target rows that were held out.
    n_classes : int
        Number of classes.
    """

    history: list[dict[str, Any]]
    codes: NDArray[np.int64]
    is_correct: NDArray[np.bool_]
    is_untrained: NDArray[np.bool_]
    is_unbought: NDArray[np.bool_]
    held_out: NDArray[np.float64]
    n_classes: int

    def truth(self, number: int, pool: int) -> float:
        """Return the accuracy of a model on the rows that the model `pool` is not trained on."""
        return float(self.is_correct[number, self.is_untrained[pool]].mean())


def drawn(data: Path, task: Task, seed: int) -> tuple[Any, Any, Any]:
    X, y, sample_domain = load_task(data, task)
    rng = np.random.RandomState(seed)
    kept = [rng.permutation(np.flatnonzero(side))[:MOST_ROWS] for side in (sample_domain >= 0, sample_domain < 0)]
    rows = np.sort(np.concatenate(kept))
    return X[rows], y[rows], sample_domain[rows]


def campaign(data: Path, task: Task, seed: int, held_out: float = 0.0, **settings: Any) -> Campaign:
    X, y, sample_domain = drawn(data, task, seed)
    classes, target = np.unique(y), np.flatnonzero(sample_domain < 0)
    held = np.random.RandomState(seed).permutation(target)[: round(held_out * len(target))]
    X_held, y_held = X[held], y[held]
    X, y, sample_domain = (np.delete(values, held, axis=0) for values in (X, y, sample_domain))
    loop = ActiveAdaptationLoop(MODELS["logistic"](task), stopping=Never(), random_state=seed, **settings)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    pool, models = np.flatnonzero(sample_domain < 0), [session.estimator_]
    while len(ids := session.ask()):
        session.tell(ids, y[ids])
        models.append(session.estimator_)
    predicted = np.array([model.predict(X[pool]) for model in models])
    return Campaign(
        history=[session.initial_, *session.history_],
        codes=np.searchsorted(classes, predicted),
        is_correct=predicted == y[pool],
        is_untrained=np.array([np.isin(pool, session.state.audit(number).pool) for number in range(len(models))]),
        is_unbought=session.query_round_[pool] < 0,
        held_out=np.array([np.mean(model.predict(X_held) == y_held) if len(held) else np.nan for model in models]),
        n_classes=len(classes),
    )


def stop_of_rule(rule: StoppingRule, run: Campaign) -> int | None:
    """Return the number of the round after which a rule of the package stops."""
    return next((n for n in range(1, len(run.history)) if rule.check(run.history[: n + 1])), None)


def stop_of_criterion(make: Callable[[int], Any], run: Campaign) -> int | None:
    """Return the number of the round after which a criterion of small-text stops."""
    criterion = make(run.n_classes)
    return next((n for n, codes in enumerate(run.codes) if criterion.stop(predictions=codes)), None)


def criteria() -> dict[str, Callable[[Campaign], int | None]]:
    rules = [*map(SmallGain, GAINS), StablePredictions(), StablePredictions(kappa=0.95)]
    found: dict[str, Callable[[Campaign], int | None]] = {repr(rule): partial(stop_of_rule, rule) for rule in rules}
    if small_text is not None:
        names = ("KappaAverage", "ClassificationChange", "DeltaFScore")
        found |= {f"small-text {name}": partial(stop_of_criterion, getattr(small_text, name)) for name in names}
    return found


def false_stops(data: Path, task: Task, seed: int) -> dict[str, tuple[bool, bool]]:
    """Return, by what was asked for, whether a rule stops, and whether falsely."""
    run = campaign(data, task, seed, budget=100, n_rounds=5, audit=0.5)
    last, found = len(run.history) - 1, {}
    for margin in MARGINS:
        if 0 < (target := run.truth(last, last) + margin) <= 1:
            stop = stop_of_rule(TargetAccuracy(target), run)
            found[f"TargetAccuracy, {100 * margin:+g}"] = (
                stop is not None,
                bool(stop and run.truth(stop, stop) < target),
            )
    for points in GAINS:
        stop = stop_of_rule(SmallGain(points), run)
        gain = 100 * (run.truth(stop, stop) - run.truth(stop - 1, stop)) if stop else 0.0
        found[repr(SmallGain(points))] = (stop is not None, gain >= points)
    return found


class Saving(NamedTuple):
    """Whether a criterion stops, the labels bought until then, the points lost on rows held out and never bought."""

    stops: bool
    labels: int
    lost: float
    lost_unbought: float


def savings(data: Path, task: Task, seed: int) -> dict[str, Saving]:
    run = campaign(data, task, seed, held_out=HELD_OUT, budget=100, n_rounds=10)
    unbought, found = run.is_correct[:, run.is_unbought].mean(axis=1), {}
    for name, stop_of in criteria().items():
        if "DeltaFScore" not in name or run.n_classes == 2:
            number = len(run.history) - 1 if (stop := stop_of(run)) is None else stop
            lost = [100 * (values[-1] - values[number]) for values in (run.held_out, unbought)]
            found[name] = Saving(stop is not None, run.history[number]["n_queries"], *lost)
    return found


def price(data: Path, task: Task, seed: int) -> float:
    """Return the points of accuracy that ``audit=0.2`` gains; below 0, it costs them."""
    X, y, sample_domain = drawn(data, task, seed)
    final = []
    for audit in (0.2, 0.0):
        loop = ActiveAdaptationLoop(MODELS["logistic"](task), budget=50, n_rounds=5, audit=audit, random_state=seed)
        final.append(loop.fit(X, y, sample_domain=sample_domain).history_[-1]["accuracy"]["unqueried"])
    return 100 * float(final[0] - final[1])


def run_all(measure: Callable[..., Any], arguments: argparse.Namespace, seeds: int) -> list[list[Any]]:
    """Return what every task and seed gives, a list per task."""
    flat = Parallel(arguments.jobs)(
        delayed(quietly)(measure, arguments.data, task, seed) for task, seed in product(TASKS, range(seeds))
    )
    return [flat[start : start + seeds] for start in range(0, len(flat), seeds)]


def quietly(measure: Callable[..., Any], *cell: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes without an answer yet, and the like
        return measure(*cell)


def print_false_stops(found: list[list[dict[str, tuple[bool, bool]]]]) -> None:
    print(
        "\nFalse stops, 100 labels in 5 rounds, half of them audited; what is asked for, in points from the last model"
    )
    names, lines, by_task = list(dict.fromkeys(name for runs in found for run in runs for name in run)), [], []
    for name in names:
        tasks = [[run[name] for run in runs if name in run] for runs in found]
        stops, false = np.array([pair for pairs in tasks for pair in pairs]).T
        interval = binomtest(int(false.sum()), len(false)).proportion_ci(method="wilson")
        shares = [f"{sum(pair[1] for pair in pairs)} of {len(pairs)}" for pairs in tasks]
        worst = max(
            (np.mean([pair[1] for pair in pairs]), share) for pairs, share in zip(tasks, shares, strict=True) if pairs
        )
        share = f"{false.mean():.1%} ({interval.low:.1%} to {interval.high:.1%})"
        lines.append([name, str(len(false)), f"{stops.mean():.0%}", str(false.sum()), share, worst[1]])
        by_task.append(shares)
    show([["rule", "campaigns", "stops in", "false stops", "share", "worst task"], *lines])
    show([[names[0], "false stops"], *([str(task), share] for task, share in zip(TASKS, by_task[0], strict=True))])


def print_savings(found: list[list[dict[str, Saving]]]) -> None:
    print("\nSavings, 100 labels in 10 rounds")
    if small_text is None:
        print("small-text is not installed: `pip install small-text` adds its criteria.")
    binary = [runs for runs in found if any("DeltaFScore" in name for name in runs[0])]
    for title, tasks in ((f"all {len(found)} tasks", found), (f"{len(binary)} tasks of two classes", binary)):
        if tasks:
            names = [name for name in criteria() if all(name in runs[0] for runs in tasks)]
            head = [title, "stops in", "labels bought", "points lost", "worst task", "never bought"]
            show([head, *(savings_line(name, [[run[name] for run in runs] for runs in tasks]) for name in names)])


def savings_line(name: str, tasks: list[list[Saving]]) -> list[str]:
    stops, labels, lost, unbought = np.array(tasks, dtype=float).mean(axis=1).T
    mean, half = mean_interval(lost)
    cells = [f"{stops.mean():.0%}", f"{labels.mean():.0f}", f"{mean:.2f} ± {half:.2f}", f"{lost.max():.1f}"]
    return [name, *cells, f"{unbought.mean():.2f}"]


def print_price(found: list[list[float]]) -> None:
    change = np.array(found).T
    of_tasks = zip(TASKS, map(mean_interval, change.T), strict=True)
    lines = [[str(task), f"{mean:+.1f} ± {half:.1f}"] for task, (mean, half) in of_tasks]
    show([["task", "audit=0.2 against none"], *lines])
    print("mean {:+.2f} ± {:.2f} over the tasks".format(*mean_interval(change.mean(axis=0))), flush=True)


PARTS: dict[str, tuple[Callable[..., Any], Callable[..., None]]] = {
    "price": (price, print_price),
    "savings": (savings, print_savings),
    "false_stops": (false_stops, print_false_stops),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=60, help="campaigns per task for the false stops; 17 tasks")
    parser.add_argument("--savings-seeds", type=int, default=20)
    parser.add_argument("--price-seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    seeds = {"price": arguments.price_seeds, "savings": arguments.savings_seeds, "false_stops": arguments.seeds}
    for part in arguments.parts:
        measure, show_part = PARTS[part]
        show_part(run_all(measure, arguments, seeds[part]))


if __name__ == "__main__":
    main()
