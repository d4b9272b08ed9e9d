"""Strategies made of others, each of which comes with a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.utils._sklearn import BaseComposition, name_estimators
from skada_active.utils.random import RandomStateLike

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CompositeStrategy", "choose_as_part"]


def choose_as_part(
    part: QueryStrategy, view: PoolView, n_queries: int, random_state: RandomStateLike
) -> NDArray[np.int64]:
    """Return what a part of another strategy selects; its own integer seed wins over the given random state."""
    return part.select(view, n_queries, random_state=part._own_seed(random_state))


class CompositeStrategy(QueryStrategy, BaseComposition):
    """Base class of the strategies that hold pairs of a strategy and a number, in one parameter.

    The parts are reached as in `sklearn.pipeline.make_pipeline`: by the name of their class in lower case, with ``-1``,
    ``-2``, ... after it where several are of one class.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`; the parts must have none of their own.
    random_state : int, RandomState instance or None, default=None
        See `QueryStrategy`.
    """

    #: Name of the parameter, what the numbers are, and the pairs that None stands for.
    holds: ClassVar[str]
    number_name: ClassVar[str]
    default_pairs: ClassVar[Sequence[tuple[QueryStrategy, Any]]]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, with `deep` the parts and their parameters too: ``coreset__metric``."""
        return self._get_params("_named", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of parts by the names of `get_params`, or whole parts: ``coreset=BADGE()``."""
        if self.holds in params:  # first: the others may be those of its parts
            setattr(self, self.holds, params.pop(self.holds))
        return self._set_params("_named", **params)

    @property
    def pairs(self) -> list[tuple[QueryStrategy, Any]]:
        """The strategies with their numbers."""
        given = getattr(self, self.holds)
        return list(self.default_pairs if given is None else given)

    @property
    def strategies(self) -> list[QueryStrategy]:
        """The strategies alone."""
        return [strategy for strategy, _ in self.pairs]

    @property
    def _named(self) -> list[tuple[str, QueryStrategy]]:
        given = getattr(self, self.holds)
        is_whole = isinstance(given, list | tuple) and all(map(_is_pair, given))
        return name_estimators([strategy for strategy, _ in given]) if is_whole else []

    @_named.setter
    def _named(self, named: list[tuple[str, QueryStrategy]]) -> None:
        kept = zip(named, getattr(self, self.holds), strict=True)
        setattr(self, self.holds, [(strategy, number) for (_, strategy), (_, number) in kept])

    def _validate_params(self) -> None:
        super()._validate_params()
        pairs = self.pairs
        example = f"{self.holds}={list(self.default_pairs)!r}"
        if not pairs:
            raise ValueError(f"{self.holds} is empty; give at least one strategy, such as {example}.")
        for pair in pairs:
            if not _is_pair(pair):
                raise ValueError(
                    f"{self.holds} must hold pairs (strategy, {self.number_name}), such as {example}, got {pair!r}."
                )
            if pair[0].estimator is not None:
                raise ValueError(
                    f"{pair[0]!r} in {self.holds} has an estimator of its own, but all strategies there read the same "
                    f"model; give it to {type(self).__name__}: {type(self).__name__}(..., estimator=...)."
                )
        self._validate_names([name for name, _ in self._named])
        self._check_numbers([number for _, number in pairs])

    def _check_numbers(self, numbers: list[Any]) -> None:
        """Raise a ValueError if a number of a pair is not valid."""

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if any of the strategies cannot read `estimator`; see `QueryStrategy.check_model`."""
        self._validate_params()
        for strategy in self.strategies:
            strategy.check_model(estimator)

    @property
    def _reads(self) -> frozenset[str]:
        return frozenset().union(*(strategy._reads for strategy in self.strategies))

    @property
    def _n_heads(self) -> int | None:
        return next((strategy._n_heads for strategy in self.strategies if strategy._n_heads), None)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], QueryStrategy)
