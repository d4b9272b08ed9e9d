"""Stages of a backbone: the first ones, which training leaves as they are, and those after them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["FrozenStages", "freeze", "frozen_stages", "split_backbone"]

#: So many random rows show the way through a backbone.
_N_ROWS = 8


class FrozenStages:
    """Parts of a backbone that run before any other, each on what the one before it returned.

    Parameters
    ----------
    parts : list of nn.Module
        The parts, in the order of their calls; one that is called again is there again.
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
        calls = Counter(self.parts)
        before = {part: vars(part).get("forward") for part in calls}
        try:
            for part, n_calls in calls.items():
                part.forward = _skipping(part.forward, n_calls)
            yield
        finally:
            for part, forward in before.items():
                if forward is None:
                    vars(part).pop("forward", None)
                else:
                    part.forward = forward


@torch.no_grad()
def frozen_stages(backbone: nn.Module, rows: Tensor, set_mode: Callable[[bool], Any]) -> FrozenStages | None:
    """Return the stages of a backbone that come before all that is trained.

    None where there are none with weights, where they are no chain of parts, and where they do in training what they do
    not do in prediction, as dropout and batch normalisation.

    Parameters
    ----------
    backbone : nn.Module
        The backbone; it is left in the mode of training.
    rows : Tensor of shape (n, ...)
        Input rows that show the way through it.
    set_mode : callable
        Puts it into the mode of training (True) or prediction (False).
    """
    parts = _parts(backbone)
    if parts is None:
        return None
    set_mode(False)
    called, next_part = _order(backbone, parts, rows)
    set_mode(True)
    if not any(True for part in called for _ in part.parameters()):
        return None
    if any(isinstance(part, _NormBase) and part.training for stage in called for part in stage.modules()):
        return None  # a look at them would move their running statistics
    stages = FrozenStages(called, next_part)
    try:
        in_training = stages.before(backbone, rows)
        set_mode(False)
        maps = stages.before(backbone, rows)
        same = torch.equal(in_training, maps) and torch.allclose(stages.after(backbone, maps), backbone(rows), 1e-4)
    except Exception:  # whatever a network raises at the shape of its own feature maps
        return None
    finally:
        set_mode(True)
    stages.shape = maps.shape[1:]
    return stages if same else None


def freeze(module: nn.Module, parts: Sequence[str]) -> None:
    """Keep parts of a network, ``backbone`` and maybe ``head``, from being trained; a name of none is an error."""
    for part in parts:
        short = part if part.partition(".")[0] in ("head", "backbone") else f"backbone.{part}"
        matching = [
            weight for name, weight in module.named_parameters() if fnmatch(name, short) or fnmatch(name, f"{short}.*")
        ]
        if not matching:
            names = sorted({name.rpartition(".")[0] for name, _ in module.named_parameters()})
            raise ValueError(f"frozen holds {part!r}, but no part of the network has such a name; there are {names}.")
        for weight in matching:
            weight.requires_grad_(False)


def split_backbone(backbone: nn.Module, frozen: Sequence[str], row_shape: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    """Return the frozen first stages of a backbone and the stages after them, as two networks.

    The first is an encoder for `skada_active.embedding.Embedding`, whose cache keeps the feature maps of every row for
    all rounds, models and processes; the second is the `module` of an `AdaptationClassifier` that is trained on them.

    Parameters
    ----------
    backbone : nn.Module
        Network whose stages run one after the other; it is copied.
    frozen : sequence of str
        The stages that are not trained, named as in `AdaptationClassifier`: ``["0.conv1", "0.bn1", "0.layer[123]"]``.
    row_shape : sequence of int
        Shape of a row, (C, H, W) of images.

    Returns
    -------
    first : nn.Module
        Maps rows (n, ...) to their feature maps as vectors (n, d), in prediction and training as in prediction.
    rest : nn.Module
        Maps these vectors to the embedding (n, D).

    Raises
    ------
    ValueError
        If no part has such a name, or the frozen ones are not the first stages, one after the other.

    See Also
    --------
    skada_active.deep.AdaptationClassifier : Has a parameter `frozen`, too, and computes these maps once for each call
        of training.

    Notes
    -----
    Where pretrained stages after the frozen ones have batch normalisation, ``batch_statistics="frozen"`` of the
    classifier keeps its statistics.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import split_backbone, torchvision_backbone
    >>> backbone = torchvision_backbone("resnet18", out_features=64).eval()
    >>> first, rest = split_backbone(backbone, ["0.conv1", "0.bn1", "0.layer[123]"], (3, 64, 64))
    >>> maps = first(torch.zeros(2, 3, 64, 64))
    >>> maps.shape, rest.eval()(maps).shape
    (torch.Size([2, 4096]), torch.Size([2, 64]))
    """
    backbone = copy.deepcopy(backbone).cpu()
    freeze(nn.ModuleDict({"backbone": backbone}), frozen)
    rows = torch.randn(_N_ROWS, *row_shape, generator=torch.Generator().manual_seed(0))
    stages = frozen_stages(backbone, rows, lambda _: backbone.eval())
    if stages is None:
        raise ValueError(
            f"frozen={list(frozen)!r} are not the first stages of the backbone, one after the other; name all parts "
            "with weights up to the first one that is trained, in a network whose stages are a chain."
        )
    first, rest = (_FrozenFirst(backbone, stages), _Rest(backbone, stages))
    return copy.deepcopy(first), copy.deepcopy(rest).without_weights().train()


class _FrozenFirst(nn.Module):
    """First stages of a backbone, which make vectors of feature maps."""

    def __init__(self, backbone: nn.Module, stages: FrozenStages) -> None:
        super().__init__()
        self.backbone, self.stages = backbone, stages

    def train(self, mode: bool = True) -> _FrozenFirst:
        return super().train(False)

    def forward(self, rows: Tensor) -> Tensor:
        return self.stages.before(self.backbone, rows).flatten(1)


class _Rest(nn.Module):
    """Stages of a backbone after the first ones, on vectors of feature maps."""

    def __init__(self, backbone: nn.Module, stages: FrozenStages) -> None:
        super().__init__()
        self.backbone, self.stages = backbone, stages

    def without_weights(self) -> _Rest:
        """Put parts without weights in the place of the first stages."""
        skipped = [part for part in self.stages.parts if any(True for _ in part.parameters())]
        for path, part in list(self.backbone.named_modules()):
            if part in skipped and path:
                parent, _, name = path.rpartition(".")
                empty = nn.Identity()
                self.backbone.get_submodule(parent).register_module(name, empty)
                self.stages.parts = [empty if other is part else other for other in self.stages.parts]
        return self

    def forward(self, maps: Tensor) -> Tensor:
        return self.stages.after(self.backbone, maps.unflatten(1, self.stages.shape))


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


def _skipping(forward: Callable[..., Any], n_calls: int) -> Callable[..., Any]:
    """Return a function that leaves its input as it is in the first calls; later ones, as of an activation, count."""
    left = iter(range(n_calls))

    def call(maps: Tensor, *args: Any, **kwargs: Any) -> Any:
        return forward(maps, *args, **kwargs) if next(left, None) is None else maps

    return call
