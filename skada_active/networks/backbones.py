"""Backbones from torchvision, cut before their classifier."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

__all__ = ["torchvision_backbone"]

#: Auxiliary classifiers, whose outputs some models return beside the main one in training.
_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def torchvision_backbone(name: str = "resnet50", *, weights: Any = None, out_features: int | None = 256) -> nn.Module:
    """Return a torchvision classification model without its classifier, followed by a linear bottleneck.

    Parameters
    ----------
    name : str, default="resnet50"
        Name of a classification model of torchvision, as in ``torchvision.models.get_model``.
    weights : str, path or torchvision weights, default=None
        Pretrained weights, for example ``"DEFAULT"`` (downloaded by torchvision), or a file that ``torch.save`` wrote
        of the ``state_dict`` of such a model, whose classifier is not read; ``None``: random.
    out_features : int or None, default=256
        Width of the bottleneck (linear layer and batch normalisation); ``None``: no bottleneck.

    Returns
    -------
    nn.Module
        Maps images (n, 3, H, W) to the embedding (n, out_features), in training too: auxiliary classifiers are removed.

    Raises
    ------
    ValueError
        If there is no such classification model, it has no final linear layer, or the file is of another model.
    FileNotFoundError
        If `weights` is a path to a file that is not there.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import torchvision_backbone
    >>> backbone = torchvision_backbone("resnet18", out_features=64)
    >>> backbone.eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 64])
    """
    from torchvision import models  # importing torchvision takes seconds, and most users need none of it

    if name.lower() not in models.list_models(module=models):
        raise ValueError(
            f"name={name!r} is no classification model of torchvision, which list_models(torchvision.models) names; "
            "give any other network, cut before its classifier, as `module`."
        )
    auxiliary = _AUXILIARY.get(name.lower(), ())
    # These two warn unless they are told how to draw their weights; so they did before.
    names = models.get_model_weights(name).__members__
    is_named = weights is None or not isinstance(weights, str | os.PathLike) or str(weights).rpartition(".")[2] in names
    drawn = {"init_weights": True} if auxiliary and (not is_named or not weights) else {}
    model = models.get_model(name, weights=weights if is_named else None, **drawn)
    path, classifier = _last_linear(model, name)
    if not is_named:
        _load_weights(model, name, weights, path)
    for part in auxiliary:
        setattr(model, part, None)
        model.aux_logits = False
    parent = model.get_submodule(path.rpartition(".")[0])
    setattr(parent, path.rpartition(".")[2], nn.Identity())
    if out_features is None:
        return model
    # Batch normalisation takes a bias out again, but for the lag of its running mean.
    bottleneck = nn.Linear(classifier.in_features, out_features, bias=False), nn.BatchNorm1d(out_features)
    for layer in bottleneck:
        # It learns at the full rate where a pretrained backbone learns at a lower one.
        layer.is_new = True  # type: ignore[assignment]
    return nn.Sequential(model, *bottleneck)


def _load_weights(model: nn.Module, name: str, path: Any, classifier: str) -> None:
    """Load a file of weights into all of a model but its classifier, which is cut off."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    kept = {key: value for key, value in weights.items() if not key.startswith(f"{classifier}.")}
    own = {key for key in model.state_dict() if not key.startswith(f"{classifier}.")}
    if kept.keys() != own:
        raise ValueError(
            f"weights={str(path)!r} is no state_dict of {name!r}: it differs by {sorted(kept.keys() ^ own)[:3]}; save "
            "one by torch.save(model.state_dict(), path), of the model before its classifier is cut off."
        )
    try:
        model.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise ValueError(f"weights={str(path)!r} is of a model of other widths than {name!r}: {error}") from error


def _last_linear(model: nn.Module, name: str) -> tuple[str, nn.Linear]:
    linear = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"name={name!r} has no final linear layer to cut off; choose another model.")
    return linear[-1]
