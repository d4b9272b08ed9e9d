"""Domain gap: how far target rows are from the source domains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length, gen_batches

from skada_active.pool.moments import source_moments
from skada_active.utils.arrays import to_host

__all__ = ["domain_gap", "gap_to_moments"]

_AGGREGATIONS: dict[str, Callable[..., Any]] = {"mean": np.mean, "min": np.min, "max": np.max}
_GAPS = ("standardized", "gaussian_w2")
_BLOCK_BYTES = 2**22
# A distance in the smallest unit, 1e-8, still has a finite square.
_LARGEST = 1e140


@dataclass(frozen=True)
class _Moments:
    """Mean and population standard deviation of each dimension of n rows."""

    n: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether a dimension varies by more than its mean's rounding."""
        return self.std > self.n * np.finfo(np.float64).eps * np.abs(self.mean)


def domain_gap(
    features: ArrayLike,
    source_features: ArrayLike,
    source_domain: ArrayLike,
    *,
    aggregation: str = "mean",
    gap: str = "standardized",
    cluster_labels: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Return how far every row is from the source domains, in the sources' own units.

    With the mean :math:`\mu_s` and the population standard deviation :math:`\sigma_s` of source s,

    .. math::

        \Delta_s(x) = \sqrt{\frac{1}{D} \sum_d \left(\frac{x_d - \mu_{sd}}{\sigma_{sd} + \epsilon_s}\right)^2},
        \quad \epsilon_s = 10^{-8} (1 + \operatorname{median}_d \sigma_{sd}),

    and the gap is the mean, the least or the largest of the :math:`\Delta_s`. All are the same with one source.

    Parameters
    ----------
    features : array-like of shape (n, D)
        Embedding of the rows.
    source_features : array-like of shape (s, D)
        Embedding of the source rows, at least one.
    source_domain : array-like of shape (s,), int
        Domain number of each source row; any number of domains, one included.
    aggregation : {"mean", "min", "max"}, default="mean"
        How the gaps to several sources become one. ``"min"`` looks for rows that no source explains.
    gap : {"standardized", "gaussian_w2"}, default="standardized"
        The distance above; or, our reading of the Wasserstein alternative, the 2-Wasserstein distance over
        :math:`\sqrt D` between the Gaussian of the source and one that lies at x and is as wide as the cluster of x,
        both with independent dimensions: :math:`\Delta_s(x)^2 = \frac{1}{D} \sum_d (x_d - \mu_{sd})^2 +
        (\sigma_{cd} - \sigma_{sd})^2`. It is not free of scale: wide dimensions count more.
    cluster_labels : array-like of shape (n,), int, default=None
        Cluster of each row, read by ``"gaussian_w2"`` only; ``None``: all rows are one cluster.

    Returns
    -------
    ndarray of shape (n,), float64
        Gaps, at least 0.

    Raises
    ------
    ValueError
        If there is no source row, shapes do not agree, values are NaN or infinite, or an option is unknown.

    Notes
    -----
    A dimension in which a source is constant is left out of its standardized distance. A source that is constant in
    all, such as one of a single row, has no units: it is left out, unless all are so; then all units are 1.

    O((n S + s) D) time for S sources; O(n S + s) memory and a block of rows. ``"gaussian_w2"`` holds the k cluster
    deviations too, O(k D).

    References
    ----------
    .. [1] Zheng et al., "GALA: A GlobAl-LocAl Approach for Multi-Source Active Domain Adaptation", arXiv 2510.22214,
       Sec. III-C. Only a summary of the paper was at hand: the exact distance is our reading.

    Examples
    --------
    >>> from skada_active.query import domain_gap
    >>> source = [[-1.0, -1.0], [1.0, 1.0], [2.0, -1.0], [6.0, 1.0]]
    >>> domain_gap([[1.0, 1.0], [6.0, 3.0], [2.0, -2.0]], source, [1, 1, 2, 2]).round(4)
    array([1.1374, 3.4897, 1.7906])
    """
    _check_option("aggregation", aggregation, tuple(_AGGREGATIONS))
    _check_option("gap", gap, _GAPS)
    rows, source_rows, domain = _check_arrays(features, source_features, source_domain)
    return _aggregated(rows, _sources_of(source_rows, domain), aggregation, gap, cluster_labels)


def gap_to_moments(
    features: ArrayLike,
    source_mean: ArrayLike,
    source_std: ArrayLike,
    source_count: ArrayLike,
    *,
    aggregation: str = "mean",
    gap: str = "standardized",
    cluster_labels: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return the `domain_gap` to sources of which mean and deviation (S, D) and the number of rows (S,) are known."""
    rows = _check_rows("features", features, ensure_min_samples=0)
    counts = to_host(source_count)
    _require_source(len(counts))
    columns = (_check_rows(name, value) for name, value in (("source_mean", source_mean), ("source_std", source_std)))
    sources = [_Moments(*of_source) for of_source in zip(counts, *columns, strict=True)]
    return _aggregated(rows, sources, aggregation, gap, cluster_labels)


def _aggregated(
    rows: NDArray[Any], sources: list[_Moments], aggregation: str, gap: str, cluster_labels: ArrayLike | None
) -> NDArray[np.float64]:
    if gap == "standardized":
        distances = _standardized(rows, sources)
    else:
        labels = np.zeros(len(rows), dtype=np.int64) if cluster_labels is None else np.asarray(cluster_labels)
        distances = _gaussian_w2(rows, sources, labels)
    return _AGGREGATIONS[aggregation](distances, axis=0)


def _sources_of(features: NDArray[Any], domain: NDArray[Any]) -> list[_Moments]:
    moments = source_moments(features, domain)
    return [_Moments(*of) for of in zip(*(moments[f"source_{name}"] for name in ("count", "mean", "std")), strict=True)]


def _check_option(name: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")


def _check_arrays(
    features: ArrayLike, source_features: ArrayLike, source_domain: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    domain = to_host(source_domain)
    _require_source(len(domain))
    rows = _check_rows("features", features, ensure_min_samples=0)
    source_rows = _check_rows("source_features", source_features)
    check_consistent_length(source_rows, domain)
    if rows.shape[1] != source_rows.shape[1]:
        raise ValueError(
            f"features and source_features must be of one width, got {rows.shape[1]} and {source_rows.shape[1]}; take "
            "both from the same layer."
        )
    return rows, source_rows, domain


def _require_source(n: int) -> None:
    if not n:
        raise ValueError(
            "source_features has no row, and the domain gap is a distance to source domains. Pass rows of one or more "
            "source domains (sample_domain >= 0), go on from a SourceModel (skada_active.source_free) whose embedding "
            "stays (of networks: frozen=['backbone'], batch_statistics='frozen'), or use a strategy that needs none, "
            "such as GALA(mode='global') or BADGE."
        )


def _check_rows(name: str, values: ArrayLike, **checks: Any) -> NDArray[Any]:
    rows = check_array(to_host(values), dtype=[np.float64, np.float32], input_name=name, **checks)
    if len(rows) and max(-float(rows.min()), float(rows.max())) > _LARGEST:
        raise ValueError(f"{name} holds numbers beyond {_LARGEST:.0e}, whose squares are out of range; scale it down.")
    return rows


def _standardized(features: NDArray[Any], sources: list[_Moments]) -> NDArray[np.float64]:
    """Return the (S, n) distances in units of the sources' deviations."""
    distances = []
    for source in [source for source in sources if source.varies.any()]:
        unit = source.std + 1e-8 * (1 + np.median(source.std))
        # Nothing is far in units of infinity.
        unit[~source.varies] = np.inf
        distances.append(np.sqrt(_sums_of_squares(features, source.mean, unit) / source.varies.sum()))
    if not distances:
        width = features.shape[1]
        distances = [np.sqrt(_sums_of_squares(features, source.mean, np.ones(width)) / width) for source in sources]
    return np.stack(distances)


def _gaussian_w2(features: NDArray[Any], sources: list[_Moments], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the (S, n) distances between Gaussians at the rows, as wide as their clusters, and the sources."""
    check_consistent_length(features, labels)
    _, cluster = np.unique(labels, return_inverse=True)
    width = features.shape[1]
    stds = source_moments(features, cluster)["source_std"]
    distances = []
    for source in sources:
        widths = np.square(stds - source.std).sum(axis=1)
        places = _sums_of_squares(features, source.mean, np.ones(width))
        distances.append(np.sqrt((places + widths[cluster]) / width))
    return np.stack(distances)


def _sums_of_squares(
    features: NDArray[Any], origin: NDArray[np.float64], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.empty(len(features))
    for block in _blocks(*features.shape):
        deviations = (features[block] - origin) / unit
        np.einsum("ij,ij->i", deviations, deviations, out=sums[block])
    return sums


def _blocks(n: int, width: int) -> Iterator[slice]:
    return gen_batches(n, max(1, _BLOCK_BYTES // (8 * max(1, width))))
