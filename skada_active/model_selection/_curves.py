"""Learning curves of one loop over several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from skada_active.domains import check_inputs
from skada_active.metrics.scoring import BUILT_IN
from skada_active.model_selection._splits import holdout_target
from skada_active.utils.rows import take_rows

__all__ = ["check_seeds", "fit_held_out", "learning_curves"]

_GROUPS = ("holdout", "unqueried", "transductive")


def learning_curves(
    loop: Any,
    X: Any,
    y: ArrayLike,
    *,
    sample_domain: ArrayLike,
    seeds: Iterable[int] = range(8),
    group: str = "holdout",
    metric: str = "accuracy",
    test_size: float = 0.5,
    eval_set: tuple[Any, ArrayLike] | None = None,
    n_jobs: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Run a loop with several seeds and return the learning curve of each.

    A seed is that of the loop and, for ``group="holdout"`` without an `eval_set`, of the target rows that are set
    aside too: the defaults are the protocol of the SAGE paper, half of the target held out and 8 seeds.

    Parameters
    ----------
    loop : ActiveAdaptationLoop or recipe
        Cloned for every seed, and not fitted itself. Its own `random_state` is replaced.
    X : array-like of shape (n, ...) or dataset
        Rows of all domains.
    y : array-like of shape (n,)
        Labels, those of the target rows too: they are the answers, hidden until they are bought, and what is scored.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target.
    seeds : iterable of int, default=range(8)
        The seeds; with the same ones another loop is given the same splits.
    group : {"holdout", "unqueried", "transductive"}, default="holdout"
        On which rows: rows set aside, target rows that are never bought, or all target rows (which is what most papers
        report, and where every bought row counts).
    metric : str, default="accuracy"
        ``"accuracy"``, ``"balanced_accuracy"`` (the mean over the classes), or a name in the loop's `scoring`.
    test_size : float or int, default=0.5
        Share or number of the target rows to set aside for ``group="holdout"``.
    eval_set : tuple (X, y), default=None
        Rows to score on instead; then no target row is set aside. Only for ``group="holdout"``.
    n_jobs : int, default=None
        How many seeds run at a time, as in scikit-learn; it changes no result.

    Returns
    -------
    n_queries : ndarray of shape (n_rounds + 1,), int64
        Labels bought, starting with 0.
    values : ndarray of shape (n_seeds, n_rounds + 1), float64
        A row per seed, NaN where nothing is known.

    Raises
    ------
    TypeError
        If `loop` is no loop.
    ValueError
        If an argument is not valid, or seeds end with different numbers of labels.

    See Also
    --------
    skada_active.metrics.area_under_curve : A curve as one number.
    skada_active.metrics.mean_interval : Mean over the seeds and its confidence interval.

    Notes
    -----
    The time of as many calls of the loop's ``fit``, over `n_jobs`. An integer `random_state` of the strategy or the
    estimator stays what it is, so that the seeds differ in the rest alone.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Section 5.1.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.model_selection import learning_curves
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=[4] * 2)
    >>> n_queries, values = learning_curves(loop, X, y, sample_domain=sample_domain, seeds=range(3))
    >>> n_queries, values.shape
    (array([0, 4, 8]), (3, 3))
    """
    numbers = check_seeds(seeds)
    _check_arguments(loop, group, metric, eval_set)
    X, labels, roles = check_inputs(X, y, sample_domain)
    split = test_size if group == "holdout" and eval_set is None else None
    run = delayed(_learning_curve)
    parts = {"test_size": split, "eval_set": eval_set}
    curves = Parallel(n_jobs=n_jobs)(
        run((group, metric), loop, X, labels, roles.domain, seed, **parts) for seed in numbers
    )
    for seed, (n_queries, _) in zip(numbers, curves, strict=True):
        if not np.array_equal(n_queries, curves[0][0]):
            raise ValueError(
                f"The loop bought {curves[0][0].tolist()} labels with seed {numbers[0]} and {n_queries.tolist()} with "
                f"seed {seed}, so that the curves have no common axis: give target rows whose labels are known, and a "
                "budget that the pool outlasts."
            )
    return curves[0][0], np.stack([values for _, values in curves])


def _learning_curve(what: tuple[str, str], *data: Any, **parts: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    group, metric = what
    return fit_held_out(*data, **parts).learning_curve(group, metric=metric)


def fit_held_out(
    loop: Any,
    X: Any,
    y: NDArray[Any],
    domain: NDArray[np.int64],
    seed: int,
    *,
    test_size: float | None,
    eval_set: tuple[Any, ArrayLike] | None = None,
) -> Any:
    """Return a clone of a loop, fitted with a seed, which scores target rows that are set aside.

    Parameters
    ----------
    loop : ActiveAdaptationLoop or recipe
        Not fitted itself.
    X, y, domain
        As `check_inputs` returns them, all labels known.
    seed : int
        Seed of the loop and of the rows to set aside.
    test_size : float, int or None
        Share or number of the target rows to set aside; ``None``: none.
    eval_set : tuple (X, y), default=None
        Rows to score where none is set aside.
    """
    if test_size is not None:
        # Of the row numbers, so that X is taken from once.
        numbers = np.arange(len(y))
        (train, y_train, domain), (test, y_test) = holdout_target(
            numbers, y, domain, test_size=test_size, random_state=seed
        )
        X, y, eval_set = take_rows(X, train), y_train, (take_rows(X, test), y_test)
    return clone(loop).set_params(random_state=seed).fit(X, y, sample_domain=domain, eval_set=eval_set)


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """Return seeds as a list of integers; anything else is an error."""
    numbers = [seeds] if isinstance(seeds, Integral) else list(seeds)
    if isinstance(seeds, Integral) or not numbers or any(not isinstance(seed, Integral) for seed in numbers):
        raise ValueError(f"seeds={seeds!r} must be one or more integers in a list, such as range(8).")
    return [int(seed) for seed in numbers]


def _check_arguments(loop: Any, group: str, metric: str, eval_set: Any) -> None:
    """Raise an error before any training."""
    if not hasattr(loop, "learning_curve"):
        raise TypeError(
            f"loop={loop!r} has no learning curve; give an ActiveAdaptationLoop or a recipe, which may have this "
            "classifier as its estimator."
        )
    if group not in _GROUPS:
        raise ValueError(f"group must be one of {list(_GROUPS)}, got {group!r}.")
    if eval_set is not None and group != "holdout":
        raise ValueError(f'eval_set is read for group="holdout" alone, got group={group!r}; leave one of them out.')
    if loop.scoring is None and metric not in BUILT_IN:
        raise ValueError(f"metric must be one of {list(BUILT_IN)} or named in the loop's scoring, got {metric!r}.")
