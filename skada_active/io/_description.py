"""Configured, unfitted objects as trees that JSON can hold, and back, without pickle."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from enum import Enum
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skada_active.io._digests import learned_digest, state_digest
from skada_active.io._names import full_name, is_configurable, name_of, params_of, resolve
from skada_active.io._plain import from_plain, to_plain

__all__ = [
    "RebuildError",
    "describe",
    "differences",
    "opaque_paths",
    "rebuild",
    "shared_parameters",
    "without_parameters",
]

# Through these, scikit-learn and skorch unpickle a file.
_UNPICKLES = frozenset({"memory", "torch_load_kwargs"})


class RebuildError(ValueError):
    """Tell which parameter (`path`) holds what (`name`) a file cannot give back."""

    def __init__(self, path: str, name: str, reason: str = "its configuration is not known") -> None:
        self.path, self.name = path, name
        super().__init__(
            f"{path or 'value'}: {name} cannot be rebuilt from a file ({reason}); pass the object itself instead."
        )


def describe(value: Any) -> Any:
    """Return the configuration of a value as a tree of JSON's own types, the same in every process.

    Objects are described by their class and their parameters, classes and functions by their name. What cannot be made
    again from a file is opaque: the name of its class, and for networks, random generators and frozen estimators a
    digest of what is in them.
    """
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [describe(item) for item in value]}
    if isinstance(value, dict):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: describe(item) for key, item in value.items()}
        return {"$dict": [[describe(key), describe(item)] for key, item in value.items()]}
    try:
        return to_plain(value)
    except TypeError:
        return _describe_object(value)


def rebuild(tree: Any, path: str = "") -> Any:
    """Return the value that `describe` made a tree of, a `FrozenEstimator` around its estimator unfitted.

    Names are looked up in this package and those that it builds on, and nowhere else; nothing is called but the
    constructors of estimators, strategies, objectives, callbacks and the like. `path` names the value in errors.

    Raises
    ------
    RebuildError
        If something in the tree is opaque, of another package, or unknown to the installed versions.
    """
    if isinstance(tree, list):
        return [rebuild(item, _join(path, label)) for label, item in _labeled(tree)]
    if not isinstance(tree, dict):
        return tree
    mark = next((key for key in tree if key.startswith("$")), None)
    if mark is None:
        return _rebuild_named(tree, path)
    try:
        return _REBUILD[mark](tree, path)
    except RebuildError:
        raise
    except (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        name = tree[mark] if isinstance(tree[mark], str) else mark
        raise RebuildError(path, name, str(error) or type(error).__name__) from error


def differences(recorded: Any, now: Any, path: str = "") -> list[str]:
    """Return in words what differs between two descriptions, one line a parameter; empty if nothing does."""
    if _json(recorded) == _json(now):
        return []
    (kind, before), (kind_now, after) = _parts(recorded), _parts(now)
    if kind is None or kind != kind_now:
        return [f"{path or 'value'} was {_show(recorded)}, is {_show(now)}"]
    lines = []
    for label in [*before, *(label for label in after if label not in before)]:
        where = _join(path, label)
        if label not in after:
            lines.append(f"{where} was {_show(before[label])}, is not there any more")
        elif label not in before:
            lines.append(f"{where} was not there, is {_show(after[label])}")
        else:
            lines += differences(before[label], after[label], where)
    return lines or [f"{path or 'value'} has its entries in another order"]


def without_parameters(tree: Any, names: Collection[str]) -> Any:
    """Return a description in which no object has a parameter of these names."""
    if isinstance(tree, list):
        return [without_parameters(item, names) for item in tree]
    if not isinstance(tree, dict):
        return tree
    # Names are those of parameters in a dict of them; every other dict of a description begins with a mark.
    return {key: without_parameters(item, names) for key, item in tree.items() if key not in names}


def shared_parameters(tree: Any, other: Any) -> Any:
    """Return a description without the parameters that the objects of `other` do not have."""
    if isinstance(tree, list) and isinstance(other, list) and len(tree) == len(other):
        return [shared_parameters(*pair) for pair in zip(tree, other, strict=True)]
    if not isinstance(tree, dict) or not isinstance(other, dict) or tree.get("$object") != other.get("$object"):
        return tree
    return {key: shared_parameters(item, other[key]) for key, item in tree.items() if key in other}


def opaque_paths(tree: Any, path: str = "") -> list[str]:
    """Return the paths of what has a state that a description only has a digest of, but for frozen estimators."""
    if isinstance(tree, dict) and "$opaque" in tree:
        return [path] if "digest" in tree else []
    _, parts = _parts(tree)
    return [found for label, item in parts.items() for found in opaque_paths(item, _join(path, label))]


def _describe_object(value: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.device | torch.dtype):
        return {"$device" if isinstance(value, torch.device) else "$dtype": str(value)}
    if isinstance(value, np.dtype) and value.names is None:
        return {"$dtype": value.str}
    if isinstance(value, slice):
        return {"$slice": [describe(bound) for bound in (value.start, value.stop, value.step)]}
    if type(value) is partial:
        return {"$partial": [describe(item) for item in (value.func, list(value.args), value.keywords)]}
    if (name := name_of(value)) is not None:
        return {"$name": name}
    kind = name_of(type(value)) or full_name(type(value))
    if (digest := state_digest(value)) is not None:
        return {"$opaque": kind, "digest": digest}
    if (params := params_of(value)) is not None:
        tree = {"$object": kind, "params": {name: describe(item) for name, item in sorted(params.items())}}
        return tree | {"digest": learned_digest(value.estimator)} if isinstance(value, FrozenEstimator) else tree
    if isinstance(value, Enum):
        return {"$opaque": f"{kind}.{value.name}"}
    return {"$opaque": full_name(value) if hasattr(value, "__qualname__") else kind}


def _rebuild_named(tree: dict[str, Any], path: str) -> dict[str, Any]:
    for name in _UNPICKLES & tree.keys():
        if isinstance(tree[name], str | dict):
            raise RebuildError(_join(path, name), _show(tree[name]), "files would be unpickled through it")
    return {name: rebuild(item, _join(path, name)) for name, item in tree.items()}


def _rebuild_dict(tree: dict[str, Any], path: str) -> dict[Any, Any]:
    keys = [rebuild(key, path) for key, _ in tree["$dict"]]
    _rebuild_named({key: item for key, (_, item) in zip(keys, tree["$dict"], strict=True) if key in _UNPICKLES}, path)
    return {key: rebuild(item, _join(path, f"[{key!r}]")) for key, (_, item) in zip(keys, tree["$dict"], strict=True)}


def _rebuild_object(tree: dict[str, Any], path: str) -> Any:
    kind = resolve(tree["$object"])
    if not is_configurable(kind):
        raise TypeError("it is not a class of configured objects")
    return kind(**_rebuild_named(tree["params"], path))


def _rebuild_partial(tree: dict[str, Any], path: str) -> Any:
    function, args, keywords = tree["$partial"]
    function = resolve(function["$name"])
    return partial(function, *rebuild(args, path), **_rebuild_named(keywords, path))


def _rebuild_dtype(tree: dict[str, Any], path: str) -> Any:
    root, _, name = tree["$dtype"].rpartition(".")
    found = getattr(import_module("torch"), name) if root == "torch" else np.dtype(tree["$dtype"])
    if root == "torch" and not isinstance(found, import_module("torch").dtype):
        raise TypeError("it is no dtype")
    return found


def _refuse(tree: dict[str, Any], path: str) -> Any:
    raise RebuildError(path, tree["$opaque"])


_REBUILD = {
    "$tuple": lambda tree, path: tuple(rebuild(item, _join(path, label)) for label, item in _parts(tree)[1].items()),
    "$dict": _rebuild_dict,
    "$object": _rebuild_object,
    "$name": lambda tree, path: resolve(tree["$name"]),
    "$partial": _rebuild_partial,
    "$slice": lambda tree, path: slice(*rebuild(tree["$slice"], path)),
    "$device": lambda tree, path: import_module("torch").device(tree["$device"]),
    "$dtype": _rebuild_dtype,
    "$opaque": _refuse,
    **{mark: lambda tree, path: from_plain(tree) for mark in ("$array", "$scalar", "$float")},
}


def _json(tree: Any) -> str:
    # As Python objects 1, 1.0 and True are equal; as a budget they are not.
    return json.dumps(tree, sort_keys=True)


def _join(path: str, label: str) -> str:
    return path + label if label[:1] in ("", "[", " ") or not path else f"{path}.{label}"


def _labeled(items: list[Any]) -> Iterator[tuple[str, Any]]:
    # Steps of pipelines and parts of sums are (name, object): their names say more than their positions.
    names = [item["$tuple"][0] if _is_named(item) else None for item in items]
    for position, (name, item) in enumerate(zip(names, items, strict=True)):
        yield (name if name is not None and names.count(name) == 1 else f"[{position}]"), item


def _is_named(tree: Any) -> bool:
    pair = tree.get("$tuple") if isinstance(tree, dict) else None
    return isinstance(pair, list) and len(pair) > 1 and isinstance(pair[0], str) and isinstance(pair[1], dict)


def _parts(tree: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the kind of a tree and its parts by their labels; the kind of a leaf is None."""
    if isinstance(tree, list):
        return "list", dict(_labeled(tree))
    if not isinstance(tree, dict):
        return None, {}
    if not any(key.startswith("$") for key in tree):
        return "dict", tree
    if "$tuple" in tree:
        labels = [f"[{position}]" for position in range(len(tree["$tuple"]))]
        if _is_named(tree):
            labels[1] = ""
        return "tuple", dict(zip(labels, tree["$tuple"], strict=True))
    if "$dict" in tree:
        return "dict", {f"[{_show(key)}]": item for key, item in tree["$dict"]}
    if "$partial" in tree:
        return "partial", dict(zip((" (function)", " (arguments)", ""), tree["$partial"], strict=True))
    if "$object" in tree:
        learned = {" (what it learned)": tree["digest"]} if "digest" in tree else {}
        return tree["$object"], tree["params"] | learned
    return None, {}


def _show(tree: Any, length: int = 80) -> str:
    text = _text(tree)
    return text if len(text) <= length else f"{text[: length - 25]} ... {text[-20:]}"


def _text(tree: Any) -> str:
    kind, parts = _parts(tree)
    if kind == "list":
        return f"[{', '.join(map(_text, tree))}]"
    if kind == "tuple":
        return f"({', '.join(map(_text, tree['$tuple']))})"
    if kind == "dict":
        return f"{{{', '.join(f'{label}: {_text(item)}' for label, item in parts.items())}}}"
    if kind is not None:
        name = kind.rpartition(".")[2]
        return f"{name}({', '.join(f'{label.strip()}={_text(item)}' for label, item in parts.items())})"
    for mark in ("$name", "$device", "$dtype", "$slice", "$opaque"):
        if isinstance(tree, dict) and mark in tree:
            return f"{tree[mark]}" + (f" with the digest {tree['digest'][:8]}" if "digest" in tree else "")
    return repr(from_plain(tree))
