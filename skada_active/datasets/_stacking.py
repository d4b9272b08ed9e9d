"""Domains of shipped data, chosen by their keys, read, and stacked under their own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    #: ``X, y, sample_domain`` of a table.
    Table: TypeAlias = tuple[NDArray[np.float32] | pd.DataFrame, NDArray[Any], NDArray[np.int64]]

__all__ = ["Arrays", "Dataset", "Domain", "load_domains", "load_table", "read_archive", "stacked"]

#: What a loader calls a domain by: a number or a name.
Domain = TypeVar("Domain", bound=int | str)
#: ``X, y`` of one domain.
Arrays: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
#: ``X, y, sample_domain``.
Dataset: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]


def stacked(domains: Mapping[Any, Arrays], target: Any) -> Dataset:
    """Return `skada_active.stack_domains` of arrays."""
    from skada_active.stacking import stack_domains  # here, for the data sets import without scikit-learn

    return stack_domains(domains, target)


def load_domains(
    source: Domain | Sequence[Domain],
    target: Domain | Sequence[Domain],
    numbers: Mapping[Domain, int],
    read: Callable[[Domain], Arrays],
) -> Dataset:
    """Check the choice of domains, read them and stack them: sources first, each in the order given.

    Parameters
    ----------
    source, target : domain or sequence of domains
        Keys of ``numbers``.
    numbers : mapping
        The number of every domain that exists: ``+number`` marks a source row, ``-number`` a target row.
    read : callable
        ``read(domain)`` returns the ``(X, y)`` of one domain.
    """
    sources, targets = _chosen("source", source, numbers), _chosen("target", target, numbers)
    if shared := [domain for domain in sources if domain in targets]:
        raise ValueError(f"source={source!r} and target={target!r} share {shared}: a domain is either source or target")
    chosen = [*sources, *targets]
    X, y, position = stacked({domain: read(domain) for domain in chosen}, target=targets)
    own = np.array([numbers[domain] for domain in chosen], dtype=np.int64)
    return X, y, np.sign(position) * own[np.abs(position) - 1]


def load_table(
    file_name: str,
    numbers: Mapping[Domain, int],
    source: Domain | Sequence[Domain],
    target: Domain | Sequence[Domain],
    as_frame: bool,
) -> Table:
    """Load domains of a data file whose arrays are called by them; ``as_frame`` makes a DataFrame of X."""

    def read(domain: Domain) -> Arrays:
        X, y = read_archive(file_name, f"X_{domain}", f"y_{domain}")
        return X, y.astype(np.int64)

    dataset = load_domains(source, target, numbers, read)
    return _with_frame(dataset, file_name) if as_frame else dataset


def read_archive(file_name: str, *keys: str) -> list[NDArray[Any]]:
    """Read arrays from one of the package's data files, without unpickling; others in the file stay unread."""
    with (
        (resources.files(__package__) / "data" / file_name).open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        return [archive[key] for key in keys]


def _chosen(role: str, value: Domain | Sequence[Domain], numbers: Mapping[Domain, int]) -> list[Domain]:
    """Return the argument ``role`` as a list of existing, distinct domains."""
    choices = list(numbers)
    single = isinstance(value, str | Integral)
    if not single and not isinstance(value, Iterable):
        raise TypeError(f"{role}={value!r} must be one domain or a sequence of domains from {choices}")
    chosen = [cast("Domain", value)] if single else list(cast("Sequence[Domain]", value))
    if not chosen:
        raise ValueError(f"{role}={value!r} is empty: give at least one domain from {choices}")
    if unknown := [domain for domain in chosen if domain not in choices]:
        raise ValueError(f"{role}={value!r} names unknown domains {unknown}: choose from {choices}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{role}={value!r} names a domain twice: give every domain once")
    return chosen


def _with_frame(dataset: Dataset, file_name: str) -> Table:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("as_frame=True needs pandas: install it, or use as_frame=False") from error
    (feature_names,) = read_archive(file_name, "feature_names")
    X, y, sample_domain = dataset
    return pd.DataFrame(X, columns=feature_names.tolist()), y, sample_domain
