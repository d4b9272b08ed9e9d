"""Rows on their way into the network: role-balanced batches, sliced from a tensor or read from a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import tee
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from skada_active.deep.anchors import Anchors
from skada_active.utils.arrays import to_host
from skada_active.utils.rows import as_row

#: Fewest steps of an epoch: with a few dozen rows, one pass over them would hardly move the weights.
MIN_STEPS = 10
#: Values of a block of rows that is looked at before training.
_BLOCK_VALUES = 2**20

__all__ = ["Batch", "DomainDataset", "RoleBatches", "RowBatches", "as_input", "read_rows", "row_blocks"]


class DomainDataset(Dataset):
    """Rows with their label and domain: the data of one call of training.

    Parameters
    ----------
    rows : Tensor of shape (n, ...) or Dataset
        The rows; a dataset yields one row per index (or a tuple that starts with it).
    labels : Tensor of shape (n,), int64
        Column position of the label, -1 where it is not known.
    domain : Tensor of shape (n,), int64
        Position of the domain, sources first.
    n_sources : int
        Number of source domains; a domain position below it is a source.
    """

    def __init__(self, rows: Any, labels: Tensor, domain: Tensor, n_sources: int) -> None:
        self.rows, self.labels, self.domain, self.n_sources = rows, labels, domain, n_sources

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        row = self.rows[index]
        return row[0] if isinstance(row, tuple | list) else row, self.labels[index]

    @property
    def device(self) -> torch.device:
        """Device of labels and domains."""
        return self.labels.device

    def role(self, name: str, among: Tensor | None = None) -> Tensor:
        """Return the row numbers of a role: source, labeled_target, unlabeled_target, target or labeled."""
        is_source, is_labeled = self.domain < self.n_sources, self.labels >= 0
        mask = {
            "source": is_source,
            "target": ~is_source,
            "labeled": is_labeled,
            "labeled_target": ~is_source & is_labeled,
            "unlabeled_target": ~is_source & ~is_labeled,
        }[name]
        return mask.nonzero()[:, 0] if among is None else among[mask[among]]


@dataclass
class Batch:
    """Labels and domains of one mixed batch, whose rows lie in blocks: source, labelled target, target.

    The third block is the target batch of the unsupervised losses; it is empty where no objective asks for it. Labels
    are column positions, -1 where unknown; domains are positions, sources first; rows are their numbers in the data.
    """

    labels: Tensor
    domain: Tensor
    n_source: int
    n_labeled: int
    rows: Tensor | None = None
    terms: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_target(self) -> int:
        """Number of rows of the third block."""
        return len(self.labels) - self.n_labeled


class RoleBatches:
    """Role-balanced batches: every step sees rows of every role, however rare it is.

    Each role is a stream of its own, reshuffled whenever it is exhausted, so that a few labelled target rows come back
    again and again. An epoch has as many steps as the largest labelled role needs to be seen once (without
    any label, the target rows), at least `MIN_STEPS`.

    Parameters
    ----------
    data : DomainDataset
        Rows, labels and domains.
    batch_size : int
        Rows of each role per step (all there are, if there are fewer).
    joint : bool
        Whether source and labelled target rows are one role (S∪T) instead of two (S+T).
    target_role : {"target", "unlabeled_target", None}
        Rows of the third block; ``None``: no third block.
    target_size : int, default=None
        Rows of the third block per step; ``None``: `batch_size`.
    among : Tensor of int64, default=None
        Row numbers to use; ``None``: all.
    anchors : Anchors, default=None
        Progressive anchor set that stands in for the labelled target rows.
    loader_params : dict, default=None
        Parameters of the `DataLoader` that reads a dataset, such as ``num_workers``.
    """

    def __init__(
        self,
        data: DomainDataset,
        batch_size: int,
        *,
        joint: bool,
        target_role: str | None,
        target_size: int | None = None,
        among: Tensor | None = None,
        anchors: Anchors | None = None,
        loader_params: dict[str, Any] | None = None,
    ) -> None:
        self.data, self.joint, self.anchors, self.loader_params = data, joint, anchors, loader_params
        self.batch_size = batch_size
        labeled = ["labeled"] if joint else ["source", "labeled_target"]
        self.streams = [data.role(name, among) for name in labeled]
        largest = max(len(rows) for rows in self.streams)
        if target_role is not None:
            self.streams.append(data.role(target_role, among))
        largest = largest or len(self.streams[-1])
        self.n_steps = max(MIN_STEPS, -(-largest // batch_size))
        self.sizes = [min(batch_size, len(rows)) for rows in self.streams]
        if target_role is not None:
            self.sizes[-1] = min(target_size or batch_size, len(self.streams[-1]))
        if anchors is not None:
            self.sizes[1] = 0
        self.n_labeled = sum(self.sizes[: len(labeled)])

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[tuple[Tensor, Batch]]:
        index = torch.cat([self._draw(*stream) for stream in zip(self.streams, self.sizes, strict=True)], dim=1)
        seed = int(torch.randint(2**62, ()))  # drawn for tensors too, so that they and datasets go on alike
        # A loader that works ahead asks for rows before their batch is trained on.
        plan, ahead = tee(self._plan(index) if self.anchors is None else self._anchored_plan(index, self.anchors))
        rows = read_rows(self.data.rows, (rows for rows, _ in ahead), self.loader_params, seed)
        for inputs in rows:
            _, batch = next(plan)
            yield as_input(inputs.to(batch.labels.device)), batch
            del inputs  # the next batch finds this one's memory, warm in the cache

    def _plan(self, index: Tensor) -> Iterator[tuple[Tensor, Batch]]:
        n_source = [self.sizes[0]] * self.n_steps
        if self.joint:
            is_target = self.data.domain[index[:, : self.n_labeled]] >= self.data.n_sources
            order = is_target.int().argsort(dim=1, stable=True)
            index[:, : self.n_labeled] = index[:, : self.n_labeled].gather(1, order)
            n_source = (~is_target).sum(dim=1).tolist()
        copies = 1 if index.shape[1] > 1 else 2  # batch normalisation has no statistics of a single row
        index = index.repeat(1, copies)
        labels, domain = self.data.labels[index], self.data.domain[index]
        for step, rows in enumerate(index):
            yield rows, Batch(labels[step], domain[step], n_source[step] * copies, self.n_labeled * copies, rows)

    def _anchored_plan(self, index: Tensor, anchors: Anchors) -> Iterator[tuple[Tensor, Batch]]:
        n_source = self.n_labeled
        for drawn, chosen in zip(index, anchors.chunks(self.batch_size), strict=False):
            rows = torch.cat([drawn[:n_source], chosen, drawn[n_source:]])
            n_labeled = n_source + len(chosen)
            labels = self.data.labels[rows]
            labels[n_source:n_labeled] = anchors.labels[chosen]
            copies = 1 if len(rows) > 1 else 2
            rows, labels = rows.repeat(copies), labels.repeat(copies)
            yield rows, Batch(labels, self.data.domain[rows], n_source * copies, n_labeled * copies, rows)

    def _draw(self, rows: Tensor, size: int) -> Tensor:
        needed = self.n_steps * size
        rounds = -(-needed // len(rows)) if size else 0
        order = [torch.randperm(len(rows)) for _ in range(rounds)]
        drawn = torch.cat(order)[:needed] if order else torch.empty(0, dtype=torch.int64)
        return rows[drawn.to(rows.device)].view(self.n_steps, size)


class RowBatches:
    """Batches of all rows in order, for prediction.

    Parameters
    ----------
    rows : Tensor of shape (n, ...) or Dataset
        The rows.
    batch_size : int
        Rows per batch.
    loader_params : dict, default=None
        Parameters of the `DataLoader` that reads a dataset.
    """

    def __init__(self, rows: Any, batch_size: int, loader_params: dict[str, Any] | None = None) -> None:
        self.rows, self.batch_size, self.loader_params = rows, batch_size, loader_params

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        if isinstance(self.rows, Tensor):
            # A copy: a module that works in place must not reach the rows of the caller.
            batches: Any = (batch.to(torch.float32, copy=True) for batch in self.rows.split(self.batch_size))
        else:
            index = torch.arange(len(self.rows)).split(self.batch_size)
            batches = read_rows(self.rows, index, self.loader_params)
        for rows in batches:
            yield as_input(rows), None


def read_rows(
    rows: Any, index: Iterable[Tensor], loader_params: dict[str, Any] | None = None, seed: int = 0
) -> Iterator[Tensor]:
    """Yield the rows of each index batch: slices of a tensor, or what a loader reads from a dataset."""
    if isinstance(rows, Tensor):
        for batch in index:
            yield rows[batch]
        return
    batches = (batch.tolist() for batch in index)
    # A generator of its own: a loader would otherwise draw its workers' seeds from torch's global one.
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(rows, batch_sampler=batches, collate_fn=_stack, generator=generator, **(loader_params or {}))
    yield from loader


def row_blocks(
    rows: Any, row_shape: tuple[int, ...], loader_params: dict[str, Any] | None = None
) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array or dataset in order, in blocks of some megabytes: the same ones for the same rows."""
    size = max(1, _BLOCK_VALUES // max(1, math.prod(row_shape)))
    if isinstance(rows, np.ndarray):
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
        return
    yield from map(to_host, read_rows(rows, torch.arange(len(rows)).split(size), loader_params))


def _stack(items: list[Any]) -> Tensor:
    rows = [torch.as_tensor(np.require(as_row(item), requirements=["C", "W"])) for item in items]
    other = next((row for row in rows if row.shape != rows[0].shape), None)
    if other is not None:
        raise ValueError(
            f"X is a dataset whose items differ in shape, such as {tuple(rows[0].shape)} and {tuple(other.shape)}; "
            "crop or resize them to one, for example by torchvision.transforms.v2.Resize."
        )
    return torch.stack(rows)


def as_input(rows: Tensor) -> Tensor:
    """Return rows as the floats that a network takes."""
    # Images may be kept as bytes; they become floats batch by batch.
    return rows if rows.dtype == torch.float32 else rows.float()
