"""Put a net together from the parameters of the classifier."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skada_active._rows import is_dataset
from skada_active.deep.batches import RowBatches
from skada_active.deep.net import AdaptationCriterion, AdaptationModule, AdaptationNet
from skada_active.networks import MLP, ConvNet, CosineHead, Standardize

if TYPE_CHECKING:
    from skada_active.deep.classifier import AdaptationClassifier

__all__ = ["build_net", "resolve_device"]

# The fused kernels do the same updates in one pass over the weights; torch has them on the CPU and on CUDA.
_FUSED = {"optimizer__fused": True}
_OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, _FUSED),
    "adamw": (torch.optim.AdamW, _FUSED),
    "adadelta": (torch.optim.Adadelta, {}),
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9, "optimizer__nesterov": True, **_FUSED}),
}


def resolve_device(device: str) -> str:
    """Return the name of the device: CUDA where available for ``"auto"``, else the CPU."""
    if device != "auto":
        return str(device)
    return "cuda" if torch.cuda.is_available() else "cpu"


def build_net(config: AdaptationClassifier, X: Any, *, n_classes: int, n_domains: int) -> AdaptationNet:
    """Return an initialized net for rows like those of `X`; weights come from torch's global generator."""
    _check_choices(config)
    params = dict(config.net_params or {})
    net_class = params.pop("net_class", AdaptationNet)
    module = _build_module(config, X, n_classes)
    objective = None
    target_role = None
    if config.objective is not None:
        objective = config.objective.build(module.n_features, n_classes, n_domains)
        if config.objective.reads_target:
            target_role = "target" if config.unlabeled_pool == "all" else "unlabeled_target"
    optimizer, optimizer_params = _optimizer(config)
    defaults = {
        "joint": config.labeled_loss == "joint",
        "source_weight": config.source_weight,
        "target_role": target_role,
        "max_epochs": config.max_epochs,
        "lr": config.lr,
        "batch_size": config.batch_size,
        "optimizer": optimizer,
        "optimizer__weight_decay": config.weight_decay,
        "device": resolve_device(config.device),
        "train_split": None,
        "verbose": config.verbose,
        **optimizer_params,
    }
    return net_class(module, AdaptationCriterion(objective), **{**defaults, **params}).initialize()


def _build_module(config: AdaptationClassifier, X: Any, n_classes: int) -> AdaptationModule:
    shape = _row_shape(X)
    backbone = _backbone(config.module, X, shape)
    n_features = _embedding_width(backbone, shape)
    if config.head == "cosine":
        head: nn.Module = CosineHead(n_features, n_classes, config.head_temperature)
    else:
        head = nn.Linear(n_features, n_classes)
    module = AdaptationModule(backbone, head)
    module.n_features = n_features
    return module


def _backbone(module: Any, X: Any, shape: tuple[int, ...]) -> nn.Module:
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)  # the module that a user passed in is never trained itself
    if callable(module):
        return module(shape)
    if module is not None:
        raise ValueError(f"module must be an nn.Module, a callable that returns one, or None, got {module!r}.")
    if len(shape) not in (1, 3):
        raise ValueError(
            f"X has rows of shape {shape}; the default networks take (d,) or (C, H, W). Pass a network as `module`."
        )
    default = MLP(shape[0]) if len(shape) == 1 else ConvNet(shape[0])
    return default if is_dataset(X) else nn.Sequential(Standardize.fitted_to(torch.as_tensor(X)), default)


def _row_shape(X: Any) -> tuple[int, ...]:
    if is_dataset(X):
        rows, _ = next(iter(RowBatches(X, 1)))
        return tuple(rows.shape[1:])
    return tuple(np.shape(X)[1:])


def _embedding_width(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    backbone.eval()
    with torch.no_grad():
        embedding: Tensor = backbone(torch.zeros(1, *shape))
    backbone.train()
    if embedding.ndim != 2:
        raise ValueError(f"module must return an embedding of shape (n, D), got {tuple(embedding.shape)} for one row.")
    return embedding.shape[1]


def _optimizer(config: AdaptationClassifier) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    if not isinstance(config.optimizer, str):
        return config.optimizer, {}
    if config.optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {sorted(_OPTIMIZERS)} or a class, got {config.optimizer!r}.")
    return _OPTIMIZERS[config.optimizer]


def _check_choices(config: AdaptationClassifier) -> None:
    choices = {
        "labeled_loss": ("s+t", "joint"),
        "head": ("linear", "cosine"),
        "unlabeled_pool": ("all", "unlabeled"),
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {getattr(config, name)!r}.")
