"""Names of classes and functions, and the way back from a name in a file, which is not to be trusted."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from inspect import signature
from types import FunctionType
from typing import Any

import numpy as np

__all__ = ["full_name", "is_configurable", "name_of", "params_of", "resolve"]

# A file decides what is imported, made and later called, so that each of these is a list of what is harmless.
_ROOTS = frozenset({"numpy", "skada_active", "sklearn", "skorch", "torch", "torchvision"})
_VISION = ("torchvision.models", "torchvision.transforms")
_IMPORTS = ("skada_active", "sklearn", "skorch", "torch.nn", "torch.optim", "torch.utils.data", *_VISION)
_NETS = ("skorch.callbacks", "skorch.classifier", "skorch.dataset", "skorch.net", "skorch.regressor", "skorch.toy")
_LOADERS = ("torch.utils.data.dataloader", "torch.utils.data.dataset", "torch.utils.data.sampler")
_CLASSES = ("skada_active", "sklearn", *_NETS, "torch.nn", "torch.optim", *_LOADERS, *_VISION)
_SKLEARN_FUNCTIONS = ("sklearn.feature_selection", "sklearn.metrics", "sklearn.preprocessing")
_TORCH_FUNCTIONS = ("torch.nn.functional", "torch.nn.init", *_VISION)
_HELPERS = ("skorch.utils.noop", "skorch.utils.to_numpy")
_FUNCTIONS = ("skada_active", *_SKLEARN_FUNCTIONS, *_TORCH_FUNCTIONS, *_HELPERS)
_BUILTINS = {f"builtins.{item.__name__}": item for item in (bool, int, float, str, print)}
# No modules of tests, and none that runs when it is imported.
_REFUSED_PART = re.compile(r"__\w*|conftest|tests")
# Splitters and column selectors: they have no get_params, but keep the arguments of their constructors.
_HOLDERS = ("sklearn.model_selection", "sklearn.compose", "skorch.dataset", "skada_active.model_selection")


def full_name(value: Any) -> str:
    """Return module and qualified name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"


def name_of(value: Any) -> str | None:
    """Return the name under which a class or function is found again, the shortest one; None if there is no such."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, np.ufunc):
        module, name = "numpy", value.__name__
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    parts = module.split(".")
    # The public name outlives a move of the module that defines it.
    prefixes = [".".join(parts[:end]) for end in range(1, len(parts))] if parts[0] in _ROOTS else []
    for prefix in [*prefixes, module]:
        found: Any = sys.modules.get(prefix)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return f"{prefix}.{name}"
    return None


def _within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def resolve(name: str) -> Any:
    """Return the class or function of that name; a ValueError unless it is one that a file may name.

    Nothing is imported before the name itself has passed, and nothing is called.
    """
    if name in _BUILTINS:
        return _BUILTINS[name]
    parts = name.split(".")
    known = _within(name, _IMPORTS + _HELPERS) or (len(parts) == 2 and parts[0] in _ROOTS)
    if not known or not all(part.isidentifier() and not _REFUSED_PART.fullmatch(part) for part in parts):
        raise ValueError("it is not of the packages whose objects a file may name")
    found, rest = _import_longest(parts)
    for position, part in enumerate(rest):
        if part.startswith("_") or (position and not isinstance(found, type)):
            raise ValueError("it is not public")
        found = getattr(found, part)
    if not _is_harmless(found):
        raise ValueError("it is not among the classes and functions that a file may name")
    return found


def _import_longest(parts: list[str]) -> tuple[Any, list[str]]:
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            return import_module(module), parts[end:]
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise ValueError("there is no such module")


def _is_harmless(found: Any) -> bool:
    # What counts is where it was defined: a module can be the way to what it imports itself.
    if isinstance(found, type):
        if not _within(found.__module__, _CLASSES):
            return issubclass(found, np.generic) and found.__module__ == "numpy"
        return not found.__module__.startswith("sklearn.") or is_configurable(found)
    if isinstance(found, np.ufunc):
        return getattr(np, found.__name__, None) is found
    return isinstance(found, FunctionType) and "." not in found.__qualname__ and _within(full_name(found), _FUNCTIONS)


def is_configurable(kind: Any) -> bool:
    """Tell whether it is a class whose objects are made from their parameters alone."""
    has_params = callable(getattr(kind, "get_params", None)) and callable(getattr(kind, "set_params", None))
    return isinstance(kind, type) and (has_params or _within(kind.__module__, _HOLDERS))


def params_of(value: Any) -> dict[str, Any] | None:
    """Return the parameters that make the object again; None where that is not known."""
    if hasattr(value, "get_params"):
        # skorch's nets list what they keep track of among their parameters.
        return {name: item for name, item in value.get_params(deep=False).items() if not name.startswith("_")}
    if not _within(type(value).__module__, _HOLDERS):
        return None
    names = signature(type(value)).parameters
    return {name: getattr(value, name) for name in names} if all(hasattr(value, name) for name in names) else None
