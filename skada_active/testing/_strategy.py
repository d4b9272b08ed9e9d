"""The contract of a query strategy, as a check that anybody can run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skada_active.domains import mask_target, resolve_roles
from skada_active.pool.fields import FIELDS
from skada_active.query import QueryStrategy
from skada_active.testing._views import Fields, difficult_fields, make_fields, recorded, take_fields, view_of

__all__ = ["check_strategy"]

# Some fields are read in large pools only, such as those that a short list is made by.
_SIZES = (60, 12_000)


def check_strategy(strategy: QueryStrategy) -> None:
    """Check a query strategy against the whole contract of `QueryStrategy`.

    The rules: parameters are those of ``__init__`` and survive `sklearn.base.clone`; `needs` names what is read of a
    view, nothing less and nothing more; utilities are ``(n,)`` float64 without NaN; a choice holds exactly
    ``min(n_queries, n)`` distinct int64 positions, whatever the data (duplicates, zero vectors, one-hot probabilities,
    constant features, float32); the same view and seed give the same answer; nothing is written to, and no global
    random state is read; where the choice has no randomness, the order of the candidates does not change it; among
    candidates that are all the same, the seed decides, not their positions; fitted on data, it asks for rows of the
    pool; labels that are hidden never matter; in a loop the budget is spent exactly.

    Parameters
    ----------
    strategy : QueryStrategy
        Configured, fitted or not; it is cloned. Its `estimator` may be None where a model of this package or of
        scikit-learn supplies what it reads.

    Raises
    ------
    AssertionError
        At the first rule that does not hold; the message says which one, where, and how it failed.

    Notes
    -----
    A second or two, longer with a network, which is trained for one epoch about ten times. A field that is read in
    pools of more than 12000 rows only counts as not read.

    Examples
    --------
    >>> from skada_active.query import MarginSampling
    >>> from skada_active.testing import check_strategy
    >>> check_strategy(MarginSampling())
    """
    with _rule(strategy, "it is a QueryStrategy"):
        _require(isinstance(strategy, QueryStrategy), "subclass skada_active.QueryStrategy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for check in _CHECKS:
            check(strategy)


@contextmanager
def _rule(strategy: Any, rule: str, where: str = "") -> Iterator[None]:
    """Turn whatever goes wrong inside into an AssertionError that names the rule."""
    try:
        yield
    except Exception as error:
        what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"{strategy!r} breaks the rule that {rule}{where and ', on '}{where}: {what}") from error


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _require_equal(found: Any, expected: Any, what: str) -> None:
    _require(np.array_equal(found, expected), f"{what}, got {_short(found)} and {_short(expected)}")


def _short(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=12, separator=", ").replace("\n", "")


def _check_parameters(strategy: QueryStrategy) -> None:
    with _rule(strategy, "its parameters are those of __init__, stored as they are"):
        params = strategy.get_params(deep=False)
        missing = {"estimator", "random_state"} - params.keys()
        _require(not missing, f"__init__ has no {' and no '.join(sorted(missing))}; every strategy takes both")
        copy = clone(strategy)
        _require(repr(copy) == repr(strategy), f"its clone is {copy!r}")
        _require(
            clone(strategy).set_params(random_state=3).random_state == 3, "set_params(random_state=3) sets nothing"
        )


def _check_needs(strategy: QueryStrategy) -> None:
    with _rule(strategy, "needs and fills are frozensets of names of PoolView fields"):
        for name in ("needs", "fills"):
            names = getattr(strategy, name)
            _require(isinstance(names, frozenset), f"{name} is {names!r}")
            unknown = sorted(names - FIELDS.keys())
            _require(not unknown, f"{name} names {unknown}; the fields are {sorted(FIELDS)}")
        others = sorted(strategy.fills - strategy.needs)
        _require(not others, f"fills names {others}, which needs does not")


def _check_reads(strategy: QueryStrategy) -> None:
    with _rule(strategy, "needs names what is read of a view, nothing less and nothing more"):
        unread: set[str] = set(strategy.needs)
        for n in _SIZES:
            unread -= _read(strategy, make_fields(n))
            if not unread:
                return
        raise AssertionError(f"{sorted(unread)} in needs is never read; leave it out, or make needs a property")


def _read(strategy: QueryStrategy, fields: Fields) -> set[str]:
    """Return the names of the fields that a strategy reads of a view in which nothing but its needs is filled."""
    view, read, missing = recorded(fields, strategy.needs)
    try:
        strategy.select(view, 5, random_state=0)
        if strategy.has_utilities():
            strategy.utilities(view)
    except Exception:
        read |= strategy.needs  # whatever else is wrong has a rule of its own
    _require(not missing, f"{sorted(missing)} is read, and needs is {sorted(strategy.needs)}")
    return read


def _check_utilities(strategy: QueryStrategy) -> None:
    if not strategy.has_utilities():
        return
    seeded = clone(strategy).set_params(random_state=0)
    for where, fields in difficult_fields().items():
        with _rule(strategy, "utilities are (n,) float64 without NaN and +inf, and repeat themselves", where):
            view = view_of(fields, strategy.needs)
            utilities = seeded.utilities(view)
            _require(utilities.shape == (len(view),), f"the shape is {utilities.shape}, not ({len(view)},)")
            _require(utilities.dtype == np.float64, f"the dtype is {utilities.dtype}; convert it")
            _require(not (np.isnan(utilities) | np.isposinf(utilities)).any(), f"got {_short(utilities)}")
            again = seeded.utilities(view_of(fields, strategy.needs))
            _require_equal(again, utilities, "a second call gives others")


def _check_choices(strategy: QueryStrategy) -> None:
    for where, fields in difficult_fields().items():
        view = view_of(fields, strategy.needs)
        for n_queries in (0, 1, len(view) // 2, len(view), len(view) + 3):
            rule = f"select(view, {n_queries}) returns {min(n_queries, len(view))} distinct int64 positions"
            with _rule(strategy, rule, where):
                chosen = strategy.select(view, n_queries, random_state=3)
                _require(chosen.dtype == np.int64, f"the dtype is {chosen.dtype}")
                _require(len(set(chosen.tolist())) == len(chosen) == min(n_queries, len(view)), f"got {_short(chosen)}")
            if n_queries == len(view) // 2:
                with _rule(strategy, "the same view and seed give the same choice", where):
                    fresh = clone(strategy).select(view_of(fields, strategy.needs), n_queries, random_state=3)
                    _require_equal(fresh, chosen, "a second call chooses others")


def _check_purity(strategy: QueryStrategy) -> None:
    view, before = (view_of(make_fields(), strategy.needs) for _ in range(2))
    params = repr(strategy)
    with _rule(strategy, "a choice writes to nothing and uses no global random state"), _marked_generators() as moved:
        strategy.select(view, 5)
        if strategy.has_utilities():
            strategy.utilities(view)
        for name in strategy.needs:
            for now, then in zip(*map(_parts, (getattr(view, name), getattr(before, name))), strict=True):
                _require(np.array_equal(now, then), f"{name} of the view is another one afterwards; work on a copy")
        _require(repr(strategy) == params, f"the strategy is {strategy!r} afterwards; __init__ alone sets parameters")
        _require(not moved(), "a global generator has moved; draw from the rng that _select is given")


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@contextmanager
def _marked_generators() -> Iterator[Callable[[], bool]]:
    """Put the global generators into a state that nobody chose, yield whether they leave it, and put them back."""
    torch = sys.modules.get("torch")
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state() if torch else None  # noqa: NPY002
    np.random.set_state(np.random.RandomState(20171).get_state())  # noqa: NPY002
    if torch:
        torch.set_rng_state(torch.Generator().manual_seed(20171).get_state())
    marked = _states(torch)
    try:
        yield lambda: _states(torch) != marked
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        if torch:
            torch.set_rng_state(torch_state)


def _states(torch: Any) -> list[Any]:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return [state["key"].tolist(), state["pos"], torch.get_rng_state().tolist() if torch else None]


def _check_order(strategy: QueryStrategy) -> None:
    for seed in range(3):
        _check_order_of(strategy, make_fields(40, seed=seed))


def _check_order_of(strategy: QueryStrategy, fields: Fields) -> None:
    view = view_of(fields, strategy.needs)
    with _rule(strategy, "without randomness the order of the candidates changes no choice"):
        choices = [strategy.select(view, 8, random_state=seed) for seed in range(5)]
        if any(chosen.tolist() != choices[0].tolist() for chosen in choices):
            return
        order = np.random.default_rng(0).permutation(len(view))
        moved_view = view_of(take_fields(fields, order), strategy.needs)
        moved = order[strategy.select(moved_view, 8, random_state=0)]
        utilities = strategy.utilities(view) if strategy.has_utilities() else np.arange(len(view))
        if strategy.has_utilities():
            same = np.allclose(strategy.utilities(moved_view), utilities[order], rtol=1e-6)
            _require(same, "the utilities of the candidates depend on it")
        if len(np.unique(utilities)) == len(view):
            _require_equal(moved, choices[0], "other candidates are chosen")
        else:  # ties fall by position
            same = np.allclose(np.sort(utilities[moved]), np.sort(utilities[choices[0]]))
            _require(same, f"other utilities are chosen, {_short(utilities[moved])}")


def _check_ties(strategy: QueryStrategy) -> None:
    view = view_of(take_fields(make_fields(), np.zeros(12, dtype=np.int64)), strategy.needs)
    with _rule(strategy, "among candidates that are all the same the seed decides, not the position"):
        chosen = set(strategy.select(view, 4, random_state=0).tolist())
        for seed in range(1, 60):
            chosen |= set(strategy.select(view, 4, random_state=seed).tolist())
        never = sorted(set(range(12)) - chosen)
        _require(
            not never,
            f"positions {never} of 12 are never chosen, whatever the seed; break ties by the rng that _select is "
            "given, as skada_active.selection.top_k(scores, n_queries, rng) does",
        )


def _data() -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows, true labels, known labels and domains: two sources, two targets, a few answers."""
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    domain = np.repeat([1, 2, -1, -2], [20, 20, 10, 10])
    known = mask_target(y, domain)
    known[40:44] = y[40:44]
    return rng.normal(size=(60, 4)) + y[:, None], y, known, domain


def _seeded(strategy: QueryStrategy) -> QueryStrategy:
    """Return a seeded clone whose default estimator is trained for one epoch where that is a network."""
    copy = clone(strategy).set_params(random_state=0)
    if copy.estimator is None and copy.needs:
        copy.estimator = _default_model(copy)
    return copy


def _default_model(strategy: QueryStrategy) -> Any:
    model = strategy._default_estimator(_data()[0])
    return model.set_params(max_epochs=1) if "max_epochs" in model.get_params() else model


def _check_query(strategy: QueryStrategy) -> None:
    X, y, known, domain = _data()
    pool = set(np.flatnonzero(known == -1).tolist())
    seeded = _seeded(strategy)
    with _rule(strategy, "fitted on data, it asks for distinct rows of the pool, and for the same ones again"):
        fitted = seeded.fit(X, known, domain)
        _require(fitted is seeded, "fit returns something else than the strategy")
        ids = fitted.query(5)
        _require(set(ids.tolist()) <= pool and len(set(ids.tolist())) == 5, f"got {_short(ids)}")
        _require_equal(fitted.query(5), ids, "a second query gives others")
        _require_equal(clone(seeded).fit(X, known, domain).query(5), ids, "the same seed gives others")
    with _rule(strategy, "a pool without rows is no error, and has nothing to ask about"):
        _require(len(clone(seeded).fit(X, y, domain).query(1)) == 0, "rows are asked for")


def _check_hidden_labels(strategy: QueryStrategy) -> None:
    X, _, known, domain = _data()
    roles = resolve_roles(known, domain)
    with _rule(strategy, "labels that are hidden never matter"):
        chosen = []
        for poison in (-1, 0, 10**6):
            labels = np.where(roles.is_labeled, known, poison)
            seeded = _seeded(strategy)
            view = seeded.view(seeded.fit_model(X, labels, roles), X, labels, roles, random_state=0)
            chosen.append(view.index[seeded.choose(view, 6, random_state=0)[0]])
        _require_equal(chosen[1], chosen[0], "with other labels in their place other rows are chosen")
        _require_equal(chosen[2], chosen[0], "with other labels in their place other rows are chosen")


def _check_loop(strategy: QueryStrategy) -> None:
    from skada_active.loop import ActiveAdaptationLoop

    X, y, _, domain = _data()
    # One that reads nothing in the first round may read a model in a later one.
    model = LogisticRegression() if strategy.estimator is not None else _default_model(_seeded(strategy))
    with _rule(strategy, "in a loop of two rounds the budget is spent exactly"):
        loop = ActiveAdaptationLoop(model, strategy, budget=6, n_rounds=2, random_state=0)
        loop.fit(X, y, sample_domain=domain)
        ids = loop.queried_ids_.tolist()
        _require(len(ids) == len(set(ids)) == 6 and (domain[ids] < 0).all(), f"the rows bought are {ids}")


_CHECKS = (
    _check_parameters,
    _check_needs,
    _check_reads,
    _check_utilities,
    _check_choices,
    _check_purity,
    _check_order,
    _check_ties,
    _check_query,
    _check_hidden_labels,
    _check_loop,
)
