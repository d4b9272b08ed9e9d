"""State of a trained net as plain values and numpy arrays, and a net made again from it, on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from skada_active.deep._builder import is_of_skorch
from skada_active.deep.net import AdaptationNet

__all__ = ["is_alike", "load_state", "net_state"]

#: Dicts with this key stand for tensors; numpy has no bfloat16 and the like, which travel as integers of their width.
_TENSOR = "torch_dtype"
_INTEGERS = {1: torch.uint8, 2: torch.int16}
_PLAIN = bool | int | float | str | bytes | np.generic | None
#: Attributes of a net that have a form of their own in the state, are set for every call, or follow from the machine.
_NOT_SETTINGS = frozenset({"history_", "anchor_counts_", "class_weight", "device"})


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
        the net and its modules, state of the optimisers, history, step counter, counts of anchors, what an augmentation
        was fitted to, and of each callback its plain attributes. Callbacks that are not of skorch or this package are
        there as they are.

    Notes
    -----
    Attributes of a module that are neither plain, parameters nor buffers are not part of it, nor are those whose names
    begin with an underscore.
    """
    modules = _modules(net)
    return _encoded(
        {
            "weights": {name: dict(module.state_dict()) for name, module in modules.items()},
            "buffers": {name: _passing_buffers(module) for name, module in modules.items()},
            "frozen": {name: _frozen(module) for name, module in modules.items()},
            "attributes": {name: _of_submodules(module) for name, module in modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in _optimizers(net).items()},
            "callbacks": {name: _of_callback(callback) for name, callback in net.callbacks_},
            "augmentation": _fitted_values(net.augmentation),
            "settings": {name: value for name, value in _plain_attributes(net).items() if name not in _NOT_SETTINGS},
            "anchor_counts": net.anchor_counts_,
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
    callbacks = {
        name: {key: value for key, value in held.items() if key.endswith("_")}
        if isinstance(held, dict)
        else dict(vars(held))
        for name, held in state["callbacks"].items()
    }
    net = make_net()
    _check_names(callbacks, dict(net.callbacks_), "callbacks")
    for name, callback in net.callbacks_:
        if not isinstance(state["callbacks"][name], dict | type(callback)):
            raise ValueError(f"The state does not fit the callback {name!r}, which is a {type(callback).__name__}.")
        callback.__dict__.update(callbacks[name])
    _check_names(state["weights"], _modules(net), "modules")
    for name, module in _modules(net).items():
        _load_module(module, {part: state[part][name] for part in ("weights", "buffers", "frozen", "attributes")})
    _check_names(state["optimizers"], _optimizers(net), "optimisers")
    for name, optimizer in _optimizers(net).items():
        _load_optimizer(optimizer, state["optimizers"][name])
    if (state["augmentation"] is None) != (_fitted_values(net.augmentation) is None):
        raise ValueError(f"The state does not fit augmentation={net.augmentation!r}: one is fitted, the other is not.")
    if state["augmentation"] is not None:
        vars(net.augmentation).update(state["augmentation"])
    net.__dict__.update(state["settings"])
    net.anchor_counts_ = [counts.to(net.device) for counts in state["anchor_counts"]]
    net.clock_.iteration = state["iteration"]
    net.history.extend(state["history"])
    return net


def is_alike(first: Any, second: Any) -> bool:
    """Return whether two parameters are surely alike: the same object, equal plain values, or made of such."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    if hasattr(first, "get_params"):
        return is_alike(first.get_params(deep=False), second.get_params(deep=False))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_alike(value, second[name]) for name, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(is_alike, first, second))
    return isinstance(first, _PLAIN) and first == second


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


def _of_submodules(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {path: _plain_attributes(part) for path, part in module.named_modules()}


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
    name = type(optimizer).__name__
    for group, own in zip(state["param_groups"], optimizer.param_groups, strict=False):
        lacking = sorted(own.keys() - group.keys())
        if lacking:
            raise ValueError(f"The state does not fit optimizer={name}: it lacks {lacking}.")
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"The state does not fit optimizer={name}: {error}") from error


def _check_names(stored: Iterable[str], own: Iterable[str], what: str) -> None:
    lacking, unknown = sorted({*own} - {*stored}), sorted({*stored} - {*own})
    if lacking or unknown:
        raise ValueError(
            f"The {what} in the state do not fit the parameters of the classifier: "
            f"lacking {lacking or 'none'}, unknown {unknown or 'none'}."
        )


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
