"""State of a trained net as plain values and numpy arrays, and a net made again from it, on any device."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import Tensor, nn

from skada_active.deep._callbacks import is_of_skorch
from skada_active.deep.net import AdaptationNet

__all__ = ["is_alike", "load_state", "net_state"]

#: Dicts with this key stand for tensors; numpy has no bfloat16 and the like, which travel as integers of their width.
_TENSOR = "torch_dtype"
_INTEGERS = {1: torch.uint8, 2: torch.int16}
_PLAIN = bool | int | float | str | bytes | np.generic | None
#: Attributes of a net that have a form of their own in the state, are set for every call, or follow from the machine.
_NOT_SETTINGS = frozenset({"history_", "anchor_counts_", "anchor_set_", "class_weight", "device"})


def net_state(net: AdaptationNet) -> dict[str, Any]:
    """Return what a net has learned, so that one made with the same parameters predicts and goes on alike.

    Parameters
    ----------
    net : AdaptationNet
        An initialized net.

    Returns
    -------
    dict
        Copies, as numpy arrays and plain values: weights, buffers, names of frozen parameters, plain attributes of
        the net and its modules, state of the optimisers, history, step counter, anchors and their counts, what an
        augmentation was fitted to, and of each callback its plain attributes. Callbacks that are not of skorch or this
        package are there as they are.

    Notes
    -----
    Attributes of a module that are neither plain, parameters nor buffers are not part of it, nor are those whose names
    begin with an underscore.
    """
    return _encoded(
        {
            "modules": {name: _module_state(module) for name, module in _modules(net).items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in _optimizers(net).items()},
            "callbacks": {name: _of_callback(callback) for name, callback in net.callbacks_},
            "augmentation": _fitted_values(net.augmentation),
            "settings": {name: value for name, value in _plain_attributes(net).items() if name not in _NOT_SETTINGS},
            "anchor_counts": net.anchor_counts_,
            "anchor_set": net.anchor_set_,
            "iteration": net.clock_.iteration,
            "history": net.history.to_list(),
        }
    )


def load_state(state: dict[str, Any], make_net: Callable[[], AdaptationNet]) -> AdaptationNet:
    """Return a net with the state that `net_state` returned.

    Parameters
    ----------
    state : dict
        Neither kept nor changed, but for the callbacks that are there as they are.
    make_net : callable
        Returns an initialized net, made with the parameters of the other.

    Raises
    ------
    ValueError
        If the state does not fit the net.
    """
    state = _decoded(state)
    # A net initializes the callbacks among its parameters, which may be these very objects. Values, which may come from
    # a file, count where their names say that they are fitted: no file says where a callback writes.
    is_given = {name: isinstance(held, Callback) for name, held in state["callbacks"].items()}
    held = {name: dict(vars(values)) if is_given[name] else values for name, values in state["callbacks"].items()}
    net = make_net()
    own = {"callbacks": dict(net.callbacks_), "modules": _modules(net), "optimizers": _optimizers(net)}
    for part, things in own.items():
        if lacking := sorted(things.keys() ^ state[part].keys()):
            raise ValueError(f"The {part} in the state and those that the parameters make differ by {lacking}.")
    for name, callback in own["callbacks"].items():
        if not isinstance(state["callbacks"][name], dict | type(callback)):
            raise ValueError(f"The state does not fit the callback {name!r}, which is a {type(callback).__name__}.")
        vars(callback).update({key: value for key, value in held[name].items() if is_given[name] or key[-1:] == "_"})
    for name, module in own["modules"].items():
        _load_module(module, state["modules"][name])
    for name, optimizer in own["optimizers"].items():
        _load_optimizer(optimizer, state["optimizers"][name])
    if (state["augmentation"] is None) != (_fitted_values(net.augmentation) is None):
        raise ValueError(f"The state does not fit augmentation={net.augmentation!r}: one is fitted, the other is not.")
    if state["augmentation"] is not None:
        vars(net.augmentation).update(state["augmentation"])
    net.__dict__.update(state["settings"])
    net.anchor_counts_ = [counts.to(net.device) for counts in state["anchor_counts"]]
    net.anchor_set_ = {name: values.to(net.device) for name, values in state["anchor_set"].items()}
    net.clock_.iteration = state["iteration"]
    net.history.extend(state["history"])
    return net


def is_alike(first: Any, second: Any) -> bool:
    """Return whether two parameters are surely alike: the same object, or of one content, whatever was fitted."""
    if first is second or first is None or second is None:
        return first is second
    try:
        a, b = (joblib.hash(clone(it, safe=False) if hasattr(it, "get_params") else it) for it in (first, second))
    except Exception:  # what cannot be pickled is not surely alike
        return False
    return bool(a == b)


def _modules(net: AdaptationNet) -> dict[str, nn.Module]:
    return {name: getattr(net, f"{name}_") for name in (*net._modules, *net._criteria)}


def _optimizers(net: AdaptationNet) -> dict[str, torch.optim.Optimizer]:
    return {name: getattr(net, f"{name}_") for name in net._optimizers}


def _module_state(module: nn.Module) -> dict[str, Any]:
    weights = module.state_dict()
    return {
        "weights": dict(weights),
        # A state_dict leaves out those registered with persistent=False, although training may change them.
        "buffers": {name: buffer for name, buffer in module.named_buffers() if name not in weights},
        # skorch's Freezer acts in one epoch only, which may be over.
        "frozen": [name for name, parameter in module.named_parameters() if not parameter.requires_grad],
        "attributes": {path: _plain_attributes(part) for path, part in module.named_modules()},
    }


def _of_callback(callback: Callback) -> Any:
    # Between two calls of training those of skorch keep single numbers at most; what others keep, nobody knows.
    if not is_of_skorch(callback):
        return callback
    values = _plain_attributes(callback).items()
    return {name: value for name, value in values if name.endswith("_") and value is not None}


def _fitted_values(augmentation: Any) -> dict[str, Any] | None:
    if not (hasattr(augmentation, "fit") and hasattr(augmentation, "get_params")):
        return None
    given = augmentation.get_params(deep=False).keys()
    return {name: value for name, value in vars(augmentation).items() if name not in given}


def _plain_attributes(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if name[0] != "_" and _is_plain(value)}


def _is_plain(tree: Any) -> bool:
    if type(tree) is dict:
        return all(map(_is_plain, (*tree, *tree.values())))
    return all(map(_is_plain, tree)) if type(tree) in (list, tuple) else isinstance(tree, _PLAIN)


def _load_module(module: nn.Module, state: dict[str, Any]) -> None:
    own = module.state_dict()
    weights = copy(own)  # it holds versions, without which some modules take it for a state of an older torch
    weights.clear()
    weights.update(state["weights"])
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"The state does not fit the network that the parameters make: {error}") from error
    for name, values in own.items():
        if isinstance(values, Tensor) and values.dtype != weights[name].dtype:
            raise ValueError(f"The state holds {name!r} as {weights[name].dtype}, the network has {values.dtype}.")
    device = next((parameter.device for parameter in module.parameters()), None)
    for path, buffer in state["buffers"].items():
        owner, _, leaf = path.rpartition(".")
        # Registered again: what is cached there may have another shape than in a new network, or be new to it.
        module.get_submodule(owner).register_buffer(leaf, buffer.to(device), persistent=False)
    for path, parameter in module.named_parameters():
        parameter.requires_grad_(path not in state["frozen"])
    for path, part in module.named_modules():
        vars(part).update(state["attributes"].get(path, {}))


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        for group, own in zip(state["param_groups"], optimizer.param_groups, strict=False):
            if lacking := sorted(own.keys() - group.keys()):
                raise ValueError(f"it lacks {lacking}.")
        optimizer.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"The state does not fit optimizer={type(optimizer).__name__}: {error}") from error


def _encoded(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        values = tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        dtype = str(values.dtype).removeprefix("torch.")
        if not hasattr(np, dtype):
            values = values.view(_INTEGERS[values.itemsize])
        return {_TENSOR: dtype, "values": values.numpy()}
    if isinstance(tree, dict):
        if all(isinstance(key, str) for key in tree):
            return {key: _encoded(value) for key, value in tree.items()}
        return {"items": [(key, _encoded(value)) for key, value in tree.items()], _TENSOR: None}
    if isinstance(tree, np.ndarray):
        return tree.copy()
    return type(tree)(map(_encoded, tree)) if type(tree) in (list, tuple) else tree


def _decoded(tree: Any) -> Any:
    if isinstance(tree, dict):
        if _TENSOR not in tree:
            return {key: _decoded(value) for key, value in tree.items()}
        if tree[_TENSOR] is None:
            return {key: _decoded(value) for key, value in tree["items"]}
        return torch.tensor(tree["values"]).view(getattr(torch, tree[_TENSOR]))
    return type(tree)(map(_decoded, tree)) if type(tree) in (list, tuple) else tree
