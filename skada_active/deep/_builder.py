"""Construction of a net from the parameters of the classifier."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from skorch.callbacks import Callback
from torch import nn

from skada_active.deep._callbacks import is_of_skorch
from skada_active.deep._inputs import InputConfig, InputProfile, default_backbone, embedding_width
from skada_active.deep._module import AdaptationCriterion, AdaptationModule, CommitteeHeads
from skada_active.deep.anchors import AnchorSet
from skada_active.deep.net import AdaptationNet
from skada_active.deep.objectives import Objective, ObjectiveSum, terms_of
from skada_active.networks import CosineHead
from skada_active.networks.stages import freeze
from skada_active.utils.warn import warn_user

__all__ = [
    "OPTIMIZERS",
    "NetConfig",
    "available_device",
    "build_net",
    "device_name",
    "own_net_params",
    "resolve_device",
]

# The fused kernels do the same updates in one pass over the weights; torch has them on the CPU and on CUDA.
_FUSED = {"optimizer__fused": True}
#: What `AdaptationClassifier` calls an optimiser, its class and its parameters.
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, _FUSED),
    "adamw": (torch.optim.AdamW, _FUSED),
    "adadelta": (torch.optim.Adadelta, {}),
    # No fused one: it takes no weights that first get a gradient after others did, as phases and unfreezing make them.
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9, "optimizer__nesterov": True}),
}


class NetConfig(InputConfig, Protocol):
    """Parameters that a net is made from, those of `AdaptationClassifier`."""

    objective: Objective | ObjectiveSum | None
    labeled_loss: str
    source_weight: float
    head: str
    head_temperature: float
    unlabeled_pool: str
    mix_alpha: float
    batch_statistics: str
    frozen: Sequence[str]
    channels_last: bool
    precision: str
    n_heads: int | None
    train_transform: Any
    anchors: AnchorSet | None
    max_epochs: int
    lr: float
    backbone_lr: float
    batch_size: int
    target_batch_size: int | None
    optimizer: Any
    weight_decay: float
    device: str
    verbose: int


def own_net_params(config: NetConfig) -> dict[str, Any]:
    """Return a copy of the parameters that the user gave for the skorch net."""
    return dict(config.net_params or {})


def resolve_device(config: NetConfig) -> str:
    """Return the name of the device: CUDA where available for ``"auto"``, else the CPU."""
    return device_name(own_net_params(config).get("device") or config.device)


def device_name(device: Any) -> str:
    """Return the name of a device: CUDA where available for ``"auto"``, else the CPU."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise ValueError(
            f'device must be "auto" or a torch device such as "cpu" or "cuda:0", got {device!r}.'
        ) from error


def available_device(device: str) -> str:
    """Return `device`, or the CPU with a warning where this machine has no such device."""
    kind, number = torch.device(device).type, torch.device(device).index or 0
    backend = torch.get_device_module(kind)
    if kind == "cpu" or (backend.is_available() and number < backend.device_count()):
        return device
    warn_user(f"The network was on the device {device!r}, which this machine lacks; it is loaded on the CPU.")
    return "cpu"


def build_net(
    config: NetConfig,
    inputs: InputProfile,
    *,
    n_classes: int,
    n_domains: int,
    device: str,
    weights: dict[str, Any] | None = None,
) -> AdaptationNet:
    """Return an initialized net; its weights come from torch's global generator, or are those of another network.

    The objective, augmentation and anchors of `config` become its own, and may be fitted.
    """
    # Training must leave no traces in the parameters.
    params = _with_own_callbacks(own_net_params(config), {})
    net_class = params.pop("net_class", AdaptationNet)
    module = _build_module(config, inputs, n_classes)
    if weights is not None:
        module.load_state_dict(weights)
    if config.batch_statistics == "frozen":
        module.freeze_statistics()
    freeze(module.train(), config.frozen)
    objective = None
    target_role = None
    if config.objective is not None:
        config.objective._validate_params()
        objective = config.objective.build(module.n_features, n_classes, n_domains)
        for term in terms_of(objective):
            term.attach(module)
        if config.objective.reads_target:
            target_role = "target" if config.unlabeled_pool == "all" else "unlabeled_target"
    optimizer, optimizer_params = _optimizer(params.pop("optimizer", config.optimizer))
    defaults = {
        "joint": config.labeled_loss == "joint",
        "source_weight": config.source_weight,
        "target_role": target_role,
        "max_epochs": config.max_epochs,
        "lr": config.lr,
        "batch_size": config.batch_size,
        "target_batch_size": config.target_batch_size,
        "train_transform": config.train_transform,
        "augmentation": inputs.augmentation,
        "mix_alpha": config.mix_alpha,
        "anchors": _anchors(config),
        "batch_statistics": config.batch_statistics,
        "optimizer": optimizer,
        "optimizer__weight_decay": config.weight_decay,
        "optimizer__param_groups": _learning_rates(config, module.backbone),
        "train_split": None,
        "verbose": config.verbose,
        **optimizer_params,
    }
    # An accelerator puts the modules on its own device.
    placed_elsewhere = getattr(params.get("accelerator"), "device_placement", False)
    params = {**defaults, **params, "device": None if placed_elsewhere else device}
    committee = None if config.n_heads is None else CommitteeHeads(module.n_features, n_classes, config.n_heads)
    net = net_class(module, AdaptationCriterion(objective, committee), **params).initialize()
    _check_callback_names(params, [name for name, _ in net.callbacks_])
    return net


def _check_callback_names(params: dict[str, Any], names: list[str]) -> None:
    """Raise a ValueError if a parameter is one of a callback that there is not, which skorch passes over."""
    for param in params:
        prefix, _, rest = param.partition("__")
        if prefix == "callbacks" and "__" in rest and rest.partition("__")[0] not in names:
            raise ValueError(f"net_params holds {param!r}, but there is no such callback; there are {names}.")


def _with_own_callbacks(params: Any, memo: dict[int, Callback]) -> Any:
    """Return parameters with copies of skorch's callbacks, whose references to one another are kept."""
    if isinstance(params, dict):
        return {name: _with_own_callbacks(value, memo) for name, value in params.items()}
    if type(params) in (list, tuple):
        return type(params)(_with_own_callbacks(value, memo) for value in params)
    if not is_of_skorch(params):
        return params
    if id(params) not in memo:
        memo[id(params)] = own = copy.copy(params)
        vars(own).update(_with_own_callbacks(vars(own), memo))
    return memo[id(params)]


def _anchors(config: NetConfig) -> AnchorSet | None:
    if config.anchors is None:
        return None
    config.anchors._validate_params()
    if config.labeled_loss == "joint":
        raise ValueError(
            'anchors stand in for the labelled target rows, which labeled_loss="joint" has no batch of; '
            'use labeled_loss="s+t".'
        )
    return config.anchors


def _build_module(config: NetConfig, inputs: InputProfile, n_classes: int) -> AdaptationModule:
    shape = inputs.row_shape
    backbone = default_backbone(inputs) if config.module is None else _given_backbone(config.module, shape)
    n_features = embedding_width(backbone, shape)
    if config.head == "cosine":
        head: nn.Linear | CosineHead = CosineHead(n_features, n_classes, config.head_temperature)
    else:
        head = nn.Linear(n_features, n_classes)
    module = AdaptationModule(
        backbone,
        head,
        channels_last=config.channels_last,
        reduced=config.precision == "bfloat16",
    )
    module.n_features = n_features
    return module


def _learning_rates(config: NetConfig, backbone: nn.Module) -> list[tuple[str, dict[str, float]]]:
    """Return the groups of weights, by the patterns of their names, that have a learning rate of their own."""
    if config.backbone_lr == 1.0:
        return []
    parts = backbone.named_modules()
    new = [name for name, part in parts if hasattr(part, "is_new") or name.rpartition(".")[2] == "bottleneck"]
    groups = [(f"backbone.{name}.*", {"lr": config.lr}) for name in new]
    return [*groups, ("backbone.*", {"lr": config.lr * config.backbone_lr})]


def _given_backbone(module: Any, shape: tuple[int, ...]) -> nn.Module:
    if isinstance(module, nn.Module):
        return copy.deepcopy(module).cpu()  # the module that a user passed in is never trained itself
    try:
        made = module(shape)
    except TypeError as error:
        raise TypeError(
            f"module={module!r} could not be called with the shape of a row, {shape} ({error}); give a network, or a "
            "function that makes one of that shape."
        ) from error
    if not isinstance(made, nn.Module):
        raise TypeError(f"module must be an nn.Module or return one for a row's shape, got {made!r} for {shape}.")
    return made


def _optimizer(optimizer: Any) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    if isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must be one of {sorted(OPTIMIZERS)} or a class of torch.optim, got {optimizer.__name__!r}."
        )
    return OPTIMIZERS[optimizer] if isinstance(optimizer, str) else (optimizer, {})
