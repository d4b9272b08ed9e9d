"""Comparison of methods over tasks and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from os import PathLike
from typing import Any

from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from skada_active.experiments.results import Results
from skada_active.experiments.runs import Run, execute, identity_of, load_task, run_key
from skada_active.experiments.store import RunStore
from skada_active.loop import ActiveAdaptationLoop
from skada_active.model_selection._curves import check_seeds
from skada_active.query import QueryStrategy
from skada_active.utils.warn import warn_user

__all__ = ["compare"]

Task = tuple[Any, Any, Any] | Callable[[], tuple[Any, Any, Any]]


def compare(
    methods: Mapping[str, Any],
    tasks: Mapping[str, Task],
    seeds: Iterable[int] = range(5),
    *,
    budget: Any = None,
    n_rounds: int | None = None,
    test_size: float | None = 0.5,
    n_jobs: int | None = None,
    n_threads: int = 1,
    store: str | PathLike[str] | None = None,
    verbose: int = 0,
) -> Results:
    """Run every method on every task with every seed, and return what was measured.

    With a `store` a run is on the disk the moment that it ends: whatever stops the process, the same call goes on with
    the runs that are left. A run that fails is recorded with its traceback, the others go on, and the next call tries
    it again.

    Parameters
    ----------
    methods : dict of str to ActiveAdaptationLoop, recipe or QueryStrategy
        The methods by name, not fitted; each run trains a clone. A strategy stands for a loop with the default model.
    tasks : dict of str to tuple (X, y, sample_domain) or callable
        The tasks by name: rows, labels (those of the target rows too: they are the answers, and what is scored) and
        domains, or a function without arguments that loads them, which every run calls.
    seeds : iterable of int, default=range(5)
        Seeds of the loops, and of the target rows that are set aside: with one seed all methods see the same ones.
    budget : int, float or list, default=None
        Labels to buy, for all methods, see `ActiveAdaptationLoop`; ``None``: what each method has.
    n_rounds : int, default=None
        Rounds, for all methods; ``None``: what each method has.
    test_size : float, int or None, default=0.5
        Share or number of the target rows to set aside, so that accuracies are those of new rows; ``None``: none, which
        leaves *transductive* (all target rows) and *unqueried* (those that were not bought).
    n_jobs : int, default=None
        How many runs at a time, by joblib: with the backend that ``joblib.parallel_config`` names, processes by
        default.
    n_threads : int, default=1
        Threads inside of each run, of BLAS and torch. Sums come out differently with their number, so that with the
        same one all backends give the same bits.
    store : str or path, default=None
        File of the runs, made if it is not there. ``None``: they are kept in memory alone.
    verbose : int, default=0
        Whether to show a bar of the runs.

    Returns
    -------
    Results
        Learning curves, areas, tables and tests.

    Raises
    ------
    TypeError
        If a method is no loop and no strategy.
    ValueError
        If there is no method, task or seed, a task is no triple, a parameter is not one of all methods, or, with a
        `store`, a method holds a function that has no name of its own.
    JournalError
        If `store` is damaged or holds something else.
    BlockingIOError
        If another process writes to `store`.

    Warns
    -----
    UserWarning
        If runs failed.

    See Also
    --------
    skada_active.model_selection.learning_curves : The curves of one loop.

    Notes
    -----
    A run is found again by the version of the package, all parameters of the method, a hash of the task's data, the
    seed and `test_size`: not by names, so that another parameter or other data make other runs. An integer
    `random_state` of an estimator or strategy stays what it is.

    Beside the runs it costs a hash of each task's data (a second or two per GB) and 1 ms per run for the commit. An
    interrupted run is begun anew. Runs are made seed by seed, so that the first seeds make a table by themselves.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.experiments import compare
    >>> from skada_active.query import MarginSampling, RandomSampling
    >>> methods = {
    ...     name: ActiveAdaptationLoop(LogisticRegression(), strategy)
    ...     for name, strategy in {"margin": MarginSampling(), "random": RandomSampling()}.items()
    ... }
    >>> tasks = {"blobs": make_shifted_blobs(random_state=0), "more blobs": make_shifted_blobs(random_state=1)}
    >>> results = compare(methods, tasks, seeds=range(2), budget=12, n_rounds=3)
    >>> results
    <Results of 8 runs: 2 methods, 2 tasks, 2 seeds>
    >>> results.values("area").shape
    (2, 2, 2)
    """
    loops = {name: _as_loop(name, method, budget, n_rounds) for name, method in _named(methods, "methods").items()}
    tasks, numbers = _named(tasks, "tasks"), check_seeds(seeds)
    if store is None:
        identities: dict[str, Any] = {name: name for name in tasks}
        for name, task in tasks.items():
            if not callable(task):
                load_task(task, name)
    else:
        identities = {name: identity_of(task, name) for name, task in tasks.items()}
    runs = [
        Run(method, task, seed, run_key(loop, method, identities[task], seed, test_size, stored=store is not None))
        for seed in numbers
        for task in tasks
        for method, loop in loops.items()
    ]
    with nullcontext() if store is None else RunStore(store) as kept:
        finished = {record["key"]: record for record in (kept.records() if kept else ()) if "error" not in record}
        left = {run.key: run for run in runs if run.key not in finished}
        jobs = (
            delayed(execute)(run, loops[run.method], tasks[run.task], test_size, n_threads) for run in left.values()
        )
        with tqdm(total=len(runs), initial=len(runs) - len(left), unit="run", disable=not verbose) as bar:
            for record in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
                if kept:
                    kept.add(record)
                finished[record["key"]] = record
                bar.update()
    results = Results([{**finished[run.key], **run._asdict()} for run in runs])
    if failures := results.failures:
        first = failures[0]
        warn_user(
            f"{len(failures)} of {len(runs)} runs failed, first {first['method']!r} on {first['task']!r} with seed "
            f"{first['seed']}: {first['error'].strip().splitlines()[-1]}; see results.failures."
        )
    return results


def _named(things: Any, argument: str) -> dict[str, Any]:
    if not isinstance(things, Mapping) or not things or not all(isinstance(name, str) for name in things):
        raise ValueError(f"{argument} must be a dict of at least one name, got {things!r:.200}.")
    return dict(things)


def _as_loop(name: str, method: Any, budget: Any, n_rounds: int | None) -> Any:
    if isinstance(method, QueryStrategy):
        method = ActiveAdaptationLoop(strategy=method)
    if not hasattr(method, "learning_curve") or not hasattr(method, "get_params"):
        raise TypeError(
            f"methods[{name!r}] must be an ActiveAdaptationLoop, a recipe or a query strategy, got "
            f"{type(method).__name__}; a classifier is the estimator of a loop, ActiveAdaptationLoop(classifier)."
        )
    given = {"budget": budget, "n_rounds": n_rounds}
    return clone(method).set_params(**{key: value for key, value in given.items() if value is not None})
