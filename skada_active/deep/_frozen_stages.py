"""First stages of a backbone that training leaves as they are, and what comes after them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["FrozenStages", "frozen_stages"]


class FrozenStages:
    """Parts of a backbone that run before any other, each on what the one before it returned.

    Parameters
    ----------
    parts : list of nn.Module
        The parts, in the order of their calls.
    next_part : nn.Module or None
        The first part after them; ``None``: they are the whole backbone.

    Attributes
    ----------
    shape : tuple of int
        Shape of the feature maps of a row.
    """

    shape: tuple[int, ...]

    def __init__(self, parts: list[nn.Module], next_part: nn.Module | None) -> None:
        self.parts, self.next_part = parts, next_part

    def before(self, backbone: nn.Module, inputs: Tensor) -> Tensor:
        """Return the feature maps of inputs: what the first part after these stages reads."""
        if self.next_part is None:
            return backbone(inputs)
        handle = self.next_part.register_forward_pre_hook(_stop)
        try:
            backbone(inputs)
        except _ReachedError as reached:
            return reached.maps
        finally:
            handle.remove()
        raise RuntimeError("the backbone took another way than before")

    def after(self, backbone: nn.Module, maps: Tensor) -> Tensor:
        """Return what the backbone makes of feature maps, in the graph."""
        with self._skipped():
            return backbone(maps)

    @contextmanager
    def _skipped(self) -> Iterator[None]:
        # In the instances alone, and not beyond a call: weights, names and copies of the network stay what they are.
        before = [vars(part).get("forward") for part in self.parts]
        try:
            for part in self.parts:
                part.forward = _unchanged
            yield
        finally:
            for part, forward in zip(self.parts, before, strict=True):
                if forward is None:
                    vars(part).pop("forward", None)
                else:
                    part.forward = forward


@torch.no_grad()
def frozen_stages(network: Any, rows: Tensor) -> FrozenStages | None:
    """Return the stages of a network's backbone that come before all that is trained.

    None where there are none with weights, where they are no chain of parts, and where they do in training what they do
    not do in prediction, as dropout and batch normalisation.

    Parameters
    ----------
    network : AdaptationModule
        The network; it is left in the mode of training.
    rows : Tensor of shape (n, ...)
        Input rows that show the way through it.
    """
    backbone = network.backbone
    parts = _parts(backbone)
    if parts is None:
        return None
    network.eval()
    called, next_part = _order(backbone, parts, rows)
    network.train()
    if not any(True for part in called for _ in part.parameters()):
        return None
    if any(isinstance(part, _NormBase) and part.training for stage in called for part in stage.modules()):
        return None  # a look at them would move their running statistics
    stages = FrozenStages(called, next_part)
    try:
        in_training = stages.before(backbone, rows)
        network.eval()
        maps = stages.before(backbone, rows)
        same = torch.equal(in_training, maps) and torch.allclose(stages.after(backbone, maps), backbone(rows), 1e-4)
    except Exception:  # whatever a network raises at the shape of its own feature maps
        return None
    finally:
        network.train()
    stages.shape = maps.shape[1:]
    # Rows of the same shape could not be told from their maps.
    return stages if same and stages.shape != rows.shape[1:] else None


def _parts(module: nn.Module) -> dict[nn.Module, bool] | None:
    """Return the largest parts that are trained as a whole or not at all, and whether they are.

    None where a weight to be trained belongs to no such part.
    """
    trained = [weight.requires_grad for weight in module.parameters()]
    if not any(trained) or all(trained):
        return {module: any(trained)}
    if any(weight.requires_grad for weight in module.parameters(recurse=False)):
        return None
    parts: dict[nn.Module, bool] = {}
    for child in module.children():
        if (of_child := _parts(child)) is None:
            return None
        parts.update(of_child)
    return parts


def _order(backbone: nn.Module, parts: dict[nn.Module, bool], rows: Tensor) -> tuple[list[nn.Module], nn.Module | None]:
    """Return the parts that are called before the first trained one, in their order, and this one."""
    called: list[nn.Module] = []
    trained: list[nn.Module] = []

    def note(part: nn.Module, _: Any) -> None:
        if parts[part]:
            trained.append(part)
            raise _ReachedError(rows)
        called.append(part)

    handles = [part.register_forward_pre_hook(note) for part in parts]
    try:
        backbone(rows)
    except _ReachedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return called, trained[0] if trained else None


class _ReachedError(Exception):
    """The first part after the frozen stages is called, with their feature maps."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps


def _stop(part: nn.Module, inputs: tuple[Any, ...]) -> None:
    (maps,) = inputs
    raise _ReachedError(maps)


def _unchanged(maps: Tensor) -> Tensor:
    return maps
