"""Feature maps of the frozen stages of a network: made once for a call of training, they stand in for the rows."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import torch
from skorch.callbacks import ParamMapper
from torch import Tensor

from skada_active.deep._callbacks import is_of_skorch
from skada_active.deep._module import AdaptationModule
from skada_active.deep.batches import Batch, DomainDataset, as_input, read_rows
from skada_active.deep.step import Step
from skada_active.networks.stages import FrozenStages, frozen_stages

__all__ = ["MappedDataset", "MappedStep", "mapped_data"]

#: Feature maps of all rows take at most so many bytes.
_MOST_BYTES = 2**31
#: So many rows show whether the stages can be skipped.
_N_PROBES = 8


class MappedDataset(DomainDataset):
    """Data of one call of training whose rows are feature maps, as far as they are needed.

    Parameters
    ----------
    data : DomainDataset
        The data with the rows themselves.
    maps : Tensor of shape (n, ...)
        Their feature maps.
    stages : FrozenStages
        What made them.
    """

    def __init__(self, data: DomainDataset, maps: Tensor, stages: FrozenStages) -> None:
        super().__init__(maps, data.labels, data.domain, data.n_sources)
        self.data, self.stages = data, stages

    def inputs(self, batch: Batch) -> Tensor:
        """Return the rows of a batch as they are before the stages."""
        return _read(self.data, cast(Tensor, batch.rows))


class MappedStep(Step):
    """Step whose rows entered the network as feature maps; the rows themselves are read if an objective asks for them.

    Its parameter `inputs` is a function that returns them.
    """

    @property
    def inputs(self) -> Tensor:  # type: ignore[override]
        """Input rows (n, ...)."""
        return self._inputs()

    @inputs.setter
    def inputs(self, read: Any) -> None:
        self._inputs = cache(read)


def mapped_data(net: Any, data: DomainDataset, epochs: int) -> MappedDataset | None:
    """Return training data with the feature maps of a net's frozen stages as rows; None where that is no use.

    It is none where there are no such stages, where a row is changed before it enters, where a callback might thaw them
    or read other rows, where most rows are read once, and where the maps take too much memory.
    """
    network = net.module_
    if not isinstance(network, AdaptationModule) or all(part.requires_grad for part in network.backbone.parameters()):
        return None  # compiled, on several devices, or trained from the first stage on
    if net.train_transform is not None or net.augmentation is not None:
        return None
    if not all(is_of_skorch(callback) and not isinstance(callback, ParamMapper) for callback in net._own_callbacks):
        return None
    batches = net.get_iterator(data, training=True)
    joining = [] if net.anchors is None else [data.role("target")]
    needed = torch.cat([*batches.streams, *joining]).unique()
    if epochs * len(batches) * sum(batches.sizes) < 2 * len(needed):
        return None
    network.train()
    rows = _read(data, needed[:_N_PROBES])
    stages = frozen_stages(network.backbone, rows, network.train)
    if stages is None or stages.shape == rows.shape[1:]:
        return None  # rows of the same shape could not be told from their maps
    if 4 * len(data) * math.prod(stages.shape) > _MOST_BYTES:
        return None
    maps = torch.empty((len(data), *stages.shape), device=data.device)
    index = needed.split(net._prediction_batch(data.rows))
    with torch.no_grad():
        for numbers, rows in zip(index, read_rows(data.rows, index, batches.loader_params), strict=True):
            maps[numbers] = network.maps(as_input(rows.to(data.device)), stages).float()
    return MappedDataset(data, maps, stages)


def _read(data: DomainDataset, numbers: Tensor) -> Tensor:
    return as_input(next(read_rows(data.rows, [numbers])).to(data.device))
