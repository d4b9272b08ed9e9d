"""Backbones from torchvision, cut before their classifier."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["torchvision_backbone"]


def torchvision_backbone(name: str = "resnet50", *, weights: Any = None, out_features: int | None = 256) -> nn.Module:
    """Return a torchvision classification model without its classifier, followed by a linear bottleneck.

    Parameters
    ----------
    name : str, default="resnet50"
        Name of a classification model of torchvision, as in ``torchvision.models.get_model``.
    weights : str or torchvision weights, default=None
        Pretrained weights, for example ``"DEFAULT"`` (downloaded by torchvision); ``None``: random.
    out_features : int or None, default=256
        Width of the bottleneck (linear layer and batch normalisation); ``None``: no bottleneck.

    Returns
    -------
    nn.Module
        Maps images (n, 3, H, W) to the embedding (n, out_features).

    Raises
    ------
    ValueError
        If the model has no final linear layer.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import torchvision_backbone
    >>> backbone = torchvision_backbone("resnet18", out_features=64)
    >>> backbone.eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 64])
    """
    from torchvision.models import get_model  # importing torchvision takes seconds, and most users need none of it

    model = get_model(name, weights=weights)
    path, classifier = _last_linear(model, name)
    parent = model.get_submodule(path.rpartition(".")[0])
    setattr(parent, path.rpartition(".")[2], nn.Identity())
    if out_features is None:
        return model
    return nn.Sequential(model, nn.Linear(classifier.in_features, out_features), nn.BatchNorm1d(out_features))


def _last_linear(model: nn.Module, name: str) -> tuple[str, nn.Linear]:
    linear = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"name={name!r} has no final linear layer to cut off; choose another model.")
    return linear[-1]
