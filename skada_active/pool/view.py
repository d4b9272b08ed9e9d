"""PoolView: all that a query strategy may read, frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from skada_active.pool.fields import FIELDS, names_from
from skada_active.pool.moments import source_moments
from skada_active.pool.values import (
    RowFunction,
    as_positions,
    check_axes,
    first_bad_row,
    frozen,
    named,
    read_only,
    taken,
)
from skada_active.selection import nearest_neighbors
from skada_active.utils.arrays import Array, as_floats, namespace, normalized, to_host
from skada_active.utils.entropy import row_entropy

__all__ = ["PoolView", "row_margin"]


@dataclass(frozen=True, init=False, repr=False, eq=False)
class PoolView:
    """View of the pool: all that a strategy may read about n candidates, C classes and D features.

    It has no field for the labels of the pool. Only what a strategy's ``needs`` names is filled; reading a field that
    is neither filled nor derivable raises an `AttributeError` that says what to do. Arrays are read-only views of what
    was given, not copies. Features, gradients and the discriminator may be torch tensors on any device; products with
    them are made there.

    Parameters
    ----------
    index : ndarray of shape (n,), default=arange(n)
        Row numbers of the candidates in the `X` given to ``fit``.
    target_domain : ndarray of shape (n,)
        Domain numbers of the candidates, below 0.
    proba, logits : ndarray of shape (n, C)
        Class probabilities and logits. Without `proba`, it is the softmax of `logits`.
    previous_proba : ndarray of shape (n, C), default=proba
        Class probabilities of the previous round's model; in the first round, those of the model itself.
    features : ndarray of shape (n, D)
        Embedding: the input of the final classifier, in evaluation mode.
    inputs : ndarray of shape (n, E)
        The rows of `X` themselves, flat, before the model made anything of them.
    head_weight, head_bias : ndarray of shape (C, D) and (C,)
        Final linear classifier; ``logits == features @ head_weight.T + head_bias``.
    source_logit : ndarray of shape (n,)
        Logit of P(source given x) of a trained domain discriminator.
    domain_grad : ndarray of shape (n, D)
        Gradient of ``-log P(source given x)`` of that discriminator with respect to the embedding that it reads, which
        stands before the normalisation of a cosine head; the direction is that for `features`.
    class_domain_grad : ndarray of shape (n, C, D) or callable
        Gradient of ``-log d_c(z)`` with respect to the embedding z, where d_c is the class-wise P(target); a callable
        maps an index array to the ``(len, C, D)`` block. Without it, such a callable derives from
        `class_discriminator` and `features`.
    class_discriminator : tuple of ndarray (W1, b1, W2, b2)
        The same discriminator where it is ``sigmoid(W2 relu(W1 z + b1) + b2)``, of shapes (H, D), (H,), (C, H), (C,).
    labeled_features, labeled_proba, labeled_y : ndarray of shape (l, D), (l, C) and (l,), default=none
        Revealed target rows; labels are column positions ``0..C-1``. Where none of them is filled, there are none: l is
        0, D that of `features`, `source_features` or `head_weight`, and C that of `proba`.
    source_features, source_y, source_domain : ndarray of shape (s, D), (s,) and (s,)
        Labelled source rows, their column positions and domain numbers.
    source_inputs : ndarray of shape (s, E)
        The same rows as they are in `X`, flat.
    source_mean, source_std, source_count : ndarray of shape (S, D), (S, D) and (S,)
        Mean and population standard deviation of the features in each source domain, in the order of their numbers, and
        how many rows they are of. Without them they derive from `source_features` and `source_domain`.
    committee_proba, committee_logits : ndarray of shape (M, n, C)
        Class probabilities and logits of the M members of a committee; as with `proba`, the former derive from the
        latter.
    virtual_divergence : ndarray of shape (n,)
        How far the prediction moves when the row is perturbed adversarially, without a label (VAP), at least 0.
    n_initial : int, default=n
        Size of the pool before the first round.

    Raises
    ------
    TypeError
        If there is no field of a name, or `n_initial` is not an integer.
    ValueError
        If shapes do not agree, positions and domains are not integers, or probabilities are not finite rows that sum
        to one (within 1e-3).

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> view = PoolView(proba=[[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]])
    >>> view.margin.round(2)
    array([0.5 , 0.05])
    """

    index: NDArray[np.int64]
    target_domain: NDArray[np.int64]
    proba: NDArray[Any]
    previous_proba: NDArray[Any]
    logits: NDArray[Any]
    features: NDArray[Any]
    inputs: NDArray[Any]
    head_weight: NDArray[Any]
    head_bias: NDArray[Any]
    source_logit: NDArray[Any]
    domain_grad: NDArray[Any]
    class_domain_grad: NDArray[Any] | Callable[[NDArray[np.int64]], NDArray[Any]]
    class_discriminator: tuple[NDArray[Any], ...]
    labeled_features: NDArray[Any]
    labeled_proba: NDArray[Any]
    labeled_y: NDArray[np.int64]
    source_features: NDArray[Any]
    source_inputs: NDArray[Any]
    source_y: NDArray[np.int64]
    source_domain: NDArray[np.int64]
    source_mean: NDArray[Any]
    source_std: NDArray[Any]
    source_count: NDArray[np.int64]
    committee_proba: NDArray[Any]
    committee_logits: NDArray[Any]
    virtual_divergence: NDArray[Any]
    n_initial: int

    def __init__(self, **values: Any) -> None:
        named(values)
        filled = {name: frozen(name, value) for name, value in values.items() if value is not None}
        sizes = check_axes(filled)
        n = sizes.get("n")
        if n is None:
            raise ValueError("PoolView needs a field with one row per candidate, such as index, proba or features.")
        filled.setdefault("index", read_only(np.arange(n, dtype=np.int64)))
        filled.setdefault("n_initial", n)
        self.__dict__.update(filled)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copies and unpickled arrays are writable.
        self.__dict__.update({name: read_only(value) for name, value in state.items()})

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"PoolView(n={len(self)}, filled={sorted(vars(self).keys() & FIELDS.keys())})"

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for a name that is not set: a field nobody filled,
        if name in FIELDS:
            return self._derived(name)
        # or a derived array whose own field is missing: computed again, it says which one.
        derived = getattr(type(self), name, None)
        if isinstance(derived, cached_property):
            return derived.func(self)
        raise AttributeError(f"PoolView has no attribute {name!r}.")

    def _derived(self, name: str) -> Any:
        """Return a field that was not filled, derived from the others; an error where it cannot be."""
        filled = vars(self)
        if name == "proba" and "logits" in filled:
            return self._softmax
        if name == "previous_proba" and {"proba", "logits"} & filled.keys():
            return self.proba
        if name == "committee_proba" and "committee_logits" in filled:
            return self._committee_softmax
        if name == "class_domain_grad" and {"class_discriminator", "features"} <= filled.keys():
            return RowFunction(partial(_domain_gradients, self.class_discriminator), self.features)
        if FIELDS[name].source == "moments" and {"source_features", "source_domain"} <= filled.keys():
            return self._source_moments[name]
        if FIELDS[name].source == "labeled" and not names_from("labeled") & filled.keys():
            if name == "labeled_y":
                return read_only(np.empty(0, dtype=np.int64))
            if name == "labeled_proba" and {"proba", "logits"} & filled.keys():
                return self.proba[:0]
            for wide in ("features", "source_features", "head_weight"):
                if name == "labeled_features" and wide in filled:
                    return filled[wide][:0]
        raise AttributeError(
            f"PoolView.{name} was not filled. Name {name!r} in the strategy's `needs`, or pass it: "
            f"PoolView({name}=...)."
        )

    @cached_property
    def _source_moments(self) -> dict[str, NDArray[Any]]:
        return source_moments(self.source_features, self.source_domain)

    @cached_property
    def _softmax(self) -> NDArray[Any]:
        return softmax(self.logits, axis=1)

    @cached_property
    def _committee_softmax(self) -> NDArray[Any]:
        return softmax(self.committee_logits, axis=2)

    @cached_property
    def log_proba(self) -> NDArray[Any]:
        """Log-probabilities, shape (n, C): the log-softmax of `logits` where `proba` derives from them."""
        if "proba" not in self.__dict__:
            return log_softmax(self.logits, axis=1)
        with np.errstate(divide="ignore"):
            return np.log(self.proba)

    @cached_property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the prediction in nats, shape (n,)."""
        return row_entropy(self.proba)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Largest probability, shape (n,)."""
        return self.proba.max(axis=1).astype(np.float64)

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """Largest minus second largest probability, shape (n,); with one class the second is 0."""
        return row_margin(self.proba)

    @cached_property
    def normalized_features(self) -> NDArray[Any]:
        """Features scaled to Euclidean length 1, shape (n, D); zero rows stay zero."""
        return normalized(self.features)

    def neighbors(
        self, n_neighbors: int, metric: Literal["cosine", "euclidean"] = "cosine"
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the other candidates whose features are nearest, searched for once.

        Parameters
        ----------
        n_neighbors : int
            How many; at most n - 1 are found.
        metric : {"cosine", "euclidean"}, default="cosine"
            What is nearest; see `skada_active.selection.nearest_neighbors`.

        Returns
        -------
        values, positions : ndarray of shape (n, min(n_neighbors, n - 1))
            Similarities in descending or distances in ascending order, and where in the view these candidates are.
        """
        search = partial(nearest_neighbors, self.features, n_neighbors, metric=metric)
        return self.once(_neighbors_key(n_neighbors, metric), search)

    def has_neighbors(self, n_neighbors: int, metric: Literal["cosine", "euclidean"] = "cosine") -> bool:
        """Tell whether these neighbours have been searched for already."""
        return self.has(_neighbors_key(n_neighbors, metric))

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns, read-only, computed once for a key that begins with an underscore.

        For what takes long and follows from the fields and the key alone.
        """
        if key not in self.__dict__:
            self.__dict__[key] = read_only(compute())
        return self.__dict__[key]

    def has(self, key: str) -> bool:
        """Tell whether `once` has computed what belongs to a key."""
        return key in self.__dict__

    def check_finite(self, names: Iterable[str], reader: str) -> None:
        """Raise a ValueError that names the field and the row if a field that a strategy reads holds NaN or infinity.

        A field that is not filled is no error here, but when it is read: some are read in large pools only.
        """
        filled = vars(self)
        for field in named(names):
            if field.is_probability and field.name in filled:
                continue  # the view itself checks probabilities
            name = "logits" if field.name == "proba" else field.name
            name = field.alternative if field.alternative in filled else name
            value = filled.get(name)
            if isinstance(value, tuple) and not all(np.isfinite(to_host(part)).all() for part in value):
                raise ValueError(
                    f"{name} of the pool view holds NaN or infinity: the training of the model diverged. Lower its lr, "
                    "or the trade_off of its objective."
                )
            row = first_bad_row(value)
            if row is not None:
                raise ValueError(
                    f"{name} of the pool view holds NaN or infinity, first in its row {row}, and {reader} "
                    f"cannot compute with that. Give an estimator whose {name} are finite: impute X before the last "
                    "step, for example with make_pipeline(SimpleImputer(), ...), or clean X; a strategy that reads "
                    "only probabilities, such as MarginSampling, leaves NaN in X to the model."
                )

    def take(self, positions: ArrayLike) -> PoolView:
        """Return the view of some of the candidates.

        Parameters
        ----------
        positions : array-like of shape (m,), int
            Positions in this view, in the order wanted.

        Returns
        -------
        PoolView
            Copies of their rows of every field that has one for each candidate; all other fields, `n_initial` too, are
            those of this view. Where the positions are all in order, it is this view itself, without a copy.

        Raises
        ------
        ValueError
            If positions are not integers from 0 to n - 1.

        Notes
        -----
        O(m) memory for each column of what is filled. What was computed from the fields is not taken along, and a
        callable `class_domain_grad` goes on to hold what it reads of all candidates.

        Examples
        --------
        >>> from skada_active.pool import PoolView
        >>> PoolView(index=[4, 7, 9], proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]]).take([2, 0]).index
        array([9, 4])
        """
        index = as_positions(positions, len(self))
        if np.array_equal(index, np.arange(len(self))):
            return self
        filled = {name: value for name, value in vars(self).items() if name in FIELDS}
        return type(self)(**{name: taken(name, value, index) for name, value in filled.items()})

    def restrict(self, positions: ArrayLike) -> PoolView:
        """Return the view of some of the candidates, as `take` does, that goes on to know the pool that they are of.

        Only they can be chosen, but what a strategy reads of the surroundings of a candidate is that of this view, or
        of the pool that this view is restricted to itself.

        Parameters
        ----------
        positions : array-like of shape (m,), int
            Positions in this view, in the order wanted.

        Returns
        -------
        PoolView
            The view; its `surroundings` are that pool and the positions in it.
        """
        view = self.take(positions)
        if view is not self:
            pool, own = self.surroundings
            view.__dict__["_surroundings"] = pool, own[as_positions(positions, len(self))]
        return view

    @property
    def surroundings(self) -> tuple[PoolView, NDArray[np.int64]]:
        """The pool around the candidates and their positions in it: this view itself, unless it was restricted."""
        return self.__dict__.get("_surroundings") or (self, np.arange(len(self)))

    @cached_property
    def energies(self) -> NDArray[Any]:
        """Energies of the classes, shape (n, C): the negative logits."""
        return -self.logits


def _neighbors_key(n_neighbors: int, metric: str) -> str:
    return f"_{metric}_neighbors_{n_neighbors}"


def _domain_gradients(discriminator: tuple[Array, ...], features: Array) -> Array:
    """Return the gradients (n, C, D) of -ln d_c(z) of a class-wise discriminator with one hidden layer."""
    features, weight, bias, output_weight, output_bias = as_floats(features, *discriminator)
    hidden = features @ weight.T + bias
    active = hidden > 0
    # d - 1 = -1 / (1 + exp(logit)), which is 0 where the exponential overflows.
    with np.errstate(over="ignore"):
        slope = -1 / (1 + namespace(hidden).exp(hidden * active @ output_weight.T + output_bias))
    return (slope[:, :, None] * output_weight * active[:, None, :]) @ weight


def row_margin(proba: NDArray[Any]) -> NDArray[np.float64]:
    """Return the largest minus the second largest number of each row (n, C); with one class the second is 0."""
    if proba.shape[1] == 1:
        return proba[:, 0].astype(np.float64)
    top = np.partition(proba, -2, axis=1)[:, -2:].astype(np.float64)
    return top[:, 1] - top[:, 0]
