"""What a trained network has learned, as plain values and tensors: storing and restoring it needs no pickle."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skada_active.deep._builder import InputProfile, build_net, resolve_device
from skada_active.deep._seeding import seeded_torch
from skada_active.deep.net import AdaptationNet
from skada_active.io._plain import to_plain

if TYPE_CHECKING:
    from skada_active.deep.classifier import AdaptationClassifier

__all__ = ["hidden_state", "network_state", "restore_network"]

#: Attributes of a fitted classifier beside its net; those of the columns exist only where `X` had such.
_ATTRIBUTES = frozenset({"classes_", "domains_", "_n_calls", "_n_features_out", "_row_shape", "_seed", "_standardizes"})
_COLUMNS = frozenset({"n_features_in_", "feature_names_in_"})
#: A dict with this as its only key stands for a tensor.
_TENSOR = "$tensor"


def network_state(model: AdaptationClassifier) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a fitted classifier has learned.

    Parameters
    ----------
    model : AdaptationClassifier
        A fitted classifier.

    Returns
    -------
    info : dict
        Values that `skada_active.io._plain.to_plain` takes (unless `hidden_state` names some that it does not): fitted
        attributes, history, step counter, numbers of the optimiser, and where each tensor belongs.
    tensors : dict of str to Tensor
        Contiguous copies on the CPU, no two of which share memory: weights, buffers, the optimiser's moments, and what
        an augmentation was fitted to.

    Notes
    -----
    Not in it: parameters of the classifier, and what modules keep in plain Python attributes, which is not in torch's
    ``state_dict`` either. The copies take as much memory as the weights and the optimiser's moments.
    """
    check_is_fitted(model, "net_")
    tensors: dict[str, Tensor] = {}
    info = {part: _without_tensors(value, part, tensors) for part, value in _learned(model).items()}
    layout = {"copy": True, "memory_format": torch.contiguous_format}
    return info, {name: tensor.detach().to("cpu", **layout) for name, tensor in tensors.items()}


def restore_network(
    model: AdaptationClassifier, info: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> AdaptationClassifier:
    """Give an unfitted classifier the state of a fitted one, so that it predicts and goes on training alike.

    Parameters
    ----------
    model : AdaptationClassifier
        An unfitted classifier with the parameters that the other was fitted with.
    info, tensors : dict
        What `network_state` returned; neither is kept or changed.

    Returns
    -------
    AdaptationClassifier
        `model`, fitted. Torch's global generators are left as they were.

    Raises
    ------
    ValueError
        If the classifier is fitted already, or the state is incomplete or fits other parameters; the classifier is then
        left as it was.
    """
    if hasattr(model, "net_"):
        raise ValueError("model is fitted already; restore the state into an unfitted copy, sklearn.base.clone(model).")
    model._validate_params()
    learned = _with_tensors(info, tensors)
    attributes = learned.get("attributes", {})
    _check_names(attributes.keys() - _COLUMNS, _ATTRIBUTES, "attributes of the classifier")
    net = _blank_net(model, attributes)
    _load(net, learned)
    vars(model).update(attributes)
    model.net_ = net
    return model


def hidden_state(model: AdaptationClassifier) -> str | None:
    """Return what may hold state that `network_state` has no form for, or None.

    Parameters
    ----------
    model : AdaptationClassifier
        A fitted classifier.

    Returns
    -------
    str or None
        A callback of a class that belongs neither to skorch nor to this package, or a part of the state with values
        that are neither plain nor tensors.

    Notes
    -----
    Between two calls of training skorch's own callbacks keep single numbers and flags at most, which are part of the
    state (whether `LoadInitState` has loaded, the best score of `PassthroughScoring`). The others start anew with every
    call (`EarlyStopping`), or read the history (`EpochScoring`, `LRScheduler`, `Freezer` and its kin).
    """
    check_is_fitted(model, "net_")
    for name, callback in model.net_.callbacks_:
        if type(callback).__module__.partition(".")[0] not in ("skorch", "skada_active"):
            return f"callback {name!r} of class {type(callback).__qualname__}"
    for part, value in _learned(model).items():
        try:
            to_plain(_without_tensors(value, part, {}))
        except TypeError as error:
            return f"{part}: {error}"
    return None


def _learned(model: AdaptationClassifier) -> dict[str, Any]:
    attributes = {name: vars(model)[name] for name in sorted(_ATTRIBUTES | _COLUMNS) if name in vars(model)}
    return {"attributes": attributes, **_net_state(model.net_)}


def _net_state(net: AdaptationNet) -> dict[str, Any]:
    modules = _modules(net)
    return {
        "weights": {name: module.state_dict() for name, module in modules.items()},
        "buffers": {name: _passing_buffers(module) for name, module in modules.items()},
        "frozen": {name: _frozen(module) for name, module in modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in _optimizers(net).items()},
        "callbacks": {name: _single_values(callback) for name, callback in net.callbacks_},
        "augmentation": _fitted_values(net.augmentation),
        "anchor_counts": net.anchor_counts_,
        "iteration": net.clock_.iteration,
        "history": net.history.to_list(),
    }


def _modules(net: AdaptationNet) -> dict[str, nn.Module]:
    return {name: getattr(net, f"{name}_") for name in (*net._modules, *net._criteria)}


def _optimizers(net: AdaptationNet) -> dict[str, torch.optim.Optimizer]:
    return {name: getattr(net, f"{name}_") for name in net._optimizers}


def _passing_buffers(module: nn.Module) -> dict[str, Tensor]:
    # Those registered with persistent=False, which a state_dict leaves out although training may change them.
    persistent = module.state_dict().keys()
    return {name: buffer for name, buffer in module.named_buffers() if name not in persistent}


def _frozen(module: nn.Module) -> list[str]:
    # skorch's Freezer acts in one epoch only, which may be over.
    return [name for name, parameter in module.named_parameters() if not parameter.requires_grad]


def _single_values(callback: Any) -> dict[str, Any]:
    kinds = bool | int | float | str | None
    return {name: value for name, value in vars(callback).items() if name.endswith("_") and isinstance(value, kinds)}


def _fitted_values(augmentation: Any) -> dict[str, Any] | None:
    if not (hasattr(augmentation, "fit") and hasattr(augmentation, "get_params")):
        return None
    given = augmentation.get_params(deep=False).keys()
    return {name: value for name, value in vars(augmentation).items() if name not in given}


def _without_tensors(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return a copy in which tensors are named, and collect them by these names."""
    if isinstance(tree, Tensor):
        while path in tensors:
            path += "'"
        tensors[path] = tree
        return {_TENSOR: {"name": path, **_form(tree)}}
    if isinstance(tree, dict):
        return {key: _without_tensors(value, f"{path}.{key}", tensors) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_without_tensors(item, f"{path}.{position}", tensors) for position, item in enumerate(tree)]
        return tuple(items) if isinstance(tree, tuple) else items
    return tree


def _with_tensors(info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return a copy in which tensors stand where they were named; each has to be used."""
    used: set[str] = set()

    def filled(tree: Any) -> Any:
        if isinstance(tree, dict) and tree.keys() == {_TENSOR}:
            used.add(tree[_TENSOR]["name"])
            return _checked_copy(tree[_TENSOR], tensors)
        if isinstance(tree, dict):
            return {key: filled(value) for key, value in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(filled(item) for item in tree)
        return tree

    learned = filled(dict(info))
    _check_names(tensors.keys(), used, "tensors")
    return learned


def _checked_copy(note: dict[str, Any], tensors: Mapping[str, Tensor]) -> Tensor:
    name = note["name"]
    if name not in tensors:
        raise ValueError(f"tensors lacks {name!r}, which the state names.")
    form = _form(tensors[name])
    if form != {"shape": note["shape"], "dtype": note["dtype"]}:
        raise ValueError(
            f"tensors: {name!r} has shape {form['shape']} and type {form['dtype']}, "
            f"but its state was stored with {note['shape']} and {note['dtype']}."
        )
    return tensors[name].clone()


def _form(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _check_names(given: Any, expected: Any, what: str) -> None:
    lacking, unknown = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    if lacking or unknown:
        raise ValueError(
            f"The {what} in the state do not fit the parameters of the classifier: "
            f"lacking {lacking or 'none'}, unknown {unknown or 'none'}."
        )


def _blank_net(model: AdaptationClassifier, attributes: dict[str, Any]) -> AdaptationNet:
    inputs = InputProfile.blank(model, attributes["_row_shape"], attributes["_standardizes"])
    sizes = {"n_classes": len(attributes["classes_"]), "n_domains": len(attributes["domains_"])}
    # The weights drawn here are overwritten; drawing them must not move the global generators.
    with seeded_torch(attributes["_seed"], resolve_device(model)):
        return build_net(model, inputs, **sizes)


def _load(net: AdaptationNet, learned: dict[str, Any]) -> None:
    blank = _net_state(net)
    _check_names(learned.keys() - {"attributes"}, blank, "parts")
    for part in ("weights", "buffers", "frozen", "optimizers", "callbacks"):
        _check_names(learned[part], blank[part], part)
    for name, module in _modules(net).items():
        _load_weights(module, learned["weights"][name])
        for path, buffer in learned["buffers"][name].items():
            owner, _, leaf = path.rpartition(".")
            # Registered anew: what is cached there may have another shape than in a new network, or be new to it.
            module.get_submodule(owner).register_buffer(leaf, buffer.to(net.device), persistent=False)
        for path, parameter in module.named_parameters():
            parameter.requires_grad_(path not in learned["frozen"][name])
    for name, optimizer in _optimizers(net).items():
        _load_optimizer(optimizer, learned["optimizers"][name])
    for name, callback in net.callbacks_:
        vars(callback).update(learned["callbacks"][name])
    if (learned["augmentation"] is None) != (blank["augmentation"] is None):
        raise ValueError(f"The state does not fit augmentation={net.augmentation!r}: one is fitted, the other is not.")
    if learned["augmentation"] is not None:
        vars(net.augmentation).update(learned["augmentation"])
    net.anchor_counts_ = [counts.to(net.device) for counts in learned["anchor_counts"]]
    net.clock_.iteration = learned["iteration"]
    net.history.extend(learned["history"])


def _load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    own = module.state_dict()
    state = OrderedDict(weights)
    state._metadata = own._metadata  # versions, without which some modules take the state for one of an older torch
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"The state does not fit the network that the parameters make: {error}") from error
    for name, values in weights.items():
        if isinstance(values, Tensor) and values.dtype != own[name].dtype:
            raise ValueError(f"The state holds {name!r} as {values.dtype}, the network has {own[name].dtype}.")


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    blank = optimizer.state_dict()
    _check_names(state, blank, "optimizer")
    for group, own in zip(state["param_groups"], blank["param_groups"], strict=False):
        lacking = sorted(own.keys() - group.keys())
        if lacking:
            raise ValueError(f"The state does not fit optimizer={type(optimizer).__name__}: it lacks {lacking}.")
    optimizer.load_state_dict(state)
